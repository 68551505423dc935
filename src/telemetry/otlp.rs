//! Export over the OpenTelemetry protocol, HTTP with protobuf: events as logs, commits and steps of a start as spans.
//! Figures are at `/metrics`, which every collector scrapes.
//!
//! Nothing waits for a collector: what it does not take in time is dropped, and said so once.
//! The protocol: <https://opentelemetry.io/docs/specs/otlp/>.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, LogExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use pinflow_core::key_problem::KeyProblem;
use pinflow_core::secret::{SecretError, SecretFrom};
use pinflow_core::user_error::{ExitStatus, UserError};

/// How long a request to the collector may take, and the end of a run waits for the last ones.
const PATIENCE: Duration = Duration::from_secs(5);

/// `[telemetry]`: where logs and spans go besides stderr.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The collector, as in `http://localhost:4318`; `/v1/logs` and `/v1/traces` are put after it.
    pub otlp: String,
    /// The name under which they are kept.
    #[serde(default = "TelemetryConfig::service")]
    pub service: String,
    /// Headers of each request, such as the collector's token.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretFrom>,
}

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A header's secret is not there.
    #[error("[telemetry] headers")]
    Header(#[from] SecretError),
    /// The library refuses.
    #[error("[telemetry] otlp")]
    Exporter(#[from] ExporterBuildError),
    /// There is no client for HTTP.
    #[error("[telemetry] otlp")]
    OtlpClient(#[from] reqwest::Error),
}

impl UserError for TelemetryError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            TelemetryError::Header(error) => error.exit_code(),
            TelemetryError::Exporter(_) | TelemetryError::OtlpClient(_) => ExitStatus::Failed,
        }
    }
}

impl TelemetryConfig {
    fn service() -> String {
        "pinflow".to_owned()
    }

    /// What is wrong, each with its mend.
    pub(crate) fn faults(&self) -> Vec<KeyProblem> {
        let mut faults = Vec::new();
        match Url::parse(&self.otlp) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => {
                let loopback = url.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
                if url.scheme() == "http" && !loopback && !self.headers.is_empty() {
                    let what = "headers would be sent unencrypted; use https:// for a collector on another machine";
                    faults.push(KeyProblem::new("otlp", what).conflicts_with("headers"));
                }
                if !url.username().is_empty() || url.password().is_some() {
                    faults.push(KeyProblem::new("otlp", "the URL holds credentials; put them into headers"));
                }
            }
            // What was written may hold a secret, so it is not repeated.
            _ => faults.push(KeyProblem::new("otlp", "this is not a URL; write one like \"http://localhost:4318\"")),
        }
        if self.service.is_empty() {
            faults.push(KeyProblem::new("service", "is empty; give a name, or remove it"));
        }
        faults
    }
}

/// Logs and spans on their way out, each with a thread and a bounded queue of its own.
pub(super) struct OtlpExporters {
    logs: SdkLoggerProvider,
    spans: SdkTracerProvider,
}

impl OtlpExporters {
    pub(super) fn start(
        config: &TelemetryConfig,
        base: &Path,
        pipeline: &str,
    ) -> Result<OtlpExporters, TelemetryError> {
        let mut headers = HashMap::new();
        for (name, secret) in &config.headers {
            headers.insert(name.clone(), secret.read(base)?.expose().to_owned());
        }
        let at = |path: &str| format!("{}/v1/{path}", config.otlp.trim_end_matches('/'));
        let resource = Resource::builder()
            .with_service_name(config.service.clone())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("pinflow.pipeline", pipeline.to_owned()),
            ])
            .build();
        let logs = LogExporter::builder()
            .with_http()
            .with_http_client(OtlpClient::new()?)
            .with_endpoint(at("logs"))
            .with_headers(headers.clone())
            .with_timeout(PATIENCE)
            .build()?;
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(OtlpClient::new()?)
            .with_endpoint(at("traces"))
            .with_headers(headers)
            .with_timeout(PATIENCE)
            .build()?;
        Ok(OtlpExporters {
            logs: SdkLoggerProvider::builder().with_resource(resource.clone()).with_batch_exporter(logs).build(),
            spans: SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(spans).build(),
        })
    }

    /// What of all that is logged goes out: our own from `INFO` on, whatever `RUST_LOG` says. Not what the exporters'
    /// own libraries log: it would never end.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let scope = InstrumentationScope::builder("pinflow").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = self.spans.tracer_with_scope(scope);
        let ours = |about: &Metadata<'_>| {
            let target = about.target();
            *about.level() <= Level::INFO && target.starts_with("pinflow") && target != super::progress::TARGET
        };
        // Events are logs; in spans they would be said twice.
        let spans = tracing_opentelemetry::layer().with_tracer(tracer);
        let spans = spans.with_filter(filter_fn(move |about| about.is_span() && ours(about)));
        let logs = OpenTelemetryTracingBridge::new(&self.logs).with_filter(filter_fn(ours));
        spans.and_then(logs)
    }

    pub(super) async fn finish(self) {
        // The threads of the exporters wait for requests that are made on the runtime.
        let finished = tokio::task::spawn_blocking(move || {
            let _ = self.spans.shutdown_with_timeout(PATIENCE);
            let _ = self.logs.shutdown_with_timeout(PATIENCE);
        });
        // What could not be exported was said when it was tried.
        let _ = finished.await;
    }
}

/// Makes requests on the runtime: the exporters' threads have none.
#[derive(Debug)]
struct OtlpClient {
    http: reqwest::Client,
    runtime: Handle,
    failing: AtomicBool,
}

impl OtlpClient {
    fn new() -> Result<OtlpClient, TelemetryError> {
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        Ok(OtlpClient { http, runtime: Handle::current(), failing: AtomicBool::new(false) })
    }

    /// Says once that the collector does not take it, and once that it does again.
    fn tell(&self, failure: Option<String>) {
        let was = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(failure) if !was => {
                tracing::warn!(reason = failure, "the OpenTelemetry collector accepts nothing; all logs are on stderr");
            }
            None if was => tracing::info!("the OpenTelemetry collector accepts logs and spans again"),
            _ => {}
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let (parts, body) = request.into_parts();
            let url = parts.uri.to_string();
            let reply = http.request(parts.method, url).headers(parts.headers).body(body).send().await?;
            let mut response = Response::builder().status(reply.status());
            if let Some(headers) = response.headers_mut() {
                headers.clone_from(reply.headers());
            }
            Ok::<_, HttpError>(response.body(reply.bytes().await?)?)
        });
        let outcome = sent.await.map_err(HttpError::from).and_then(|reply| reply);
        self.tell(match &outcome {
            Ok(reply) if reply.status().is_success() => None,
            Ok(reply) => Some(format!("it answers {}", reply.status())),
            Err(error) => Some(error.to_string()),
        });
        outcome
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_url_without_secrets() {
        let faults = |text: &str| toml::from_str::<TelemetryConfig>(text).unwrap().faults().len();
        assert_eq!(faults("otlp = 'http://localhost:4318'"), 0);
        assert_eq!(faults("otlp = 'https://collector.example/otlp'\nheaders = { authorization = 'env:T' }"), 0);
        assert_eq!(faults("otlp = 'http://collector.example'\nheaders = { authorization = 'env:T' }"), 1);
        assert_eq!(faults("otlp = 'https://me:secret@collector.example'"), 1);
        assert_eq!(faults("otlp = 'localhost:4318'\nservice = ''"), 2);
        assert!(toml::from_str::<TelemetryConfig>("otlp = 'http://a'\nheaders = { x = 'inline' }").is_err());
    }
}
