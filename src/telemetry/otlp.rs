//! Export over the OpenTelemetry protocol, HTTP with protobuf: events as logs; commits and startup steps as spans.
//! Metrics are at `/metrics`, which every collector can scrape.
//!
//! Nothing waits for a collector: events that it does not accept in time are dropped, and this is logged once.
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

/// Timeout of a request to the collector, and of the last export at the end of a run.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// `[telemetry]`: where logs and spans are exported to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The URL of the collector, such as `http://localhost:4318`. `/v1/logs` and `/v1/traces` are appended.
    pub otlp: String,
    /// The service name.
    #[serde(default = "TelemetryConfig::service")]
    pub service: String,
    /// Headers of each request, such as an access token.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretFrom>,
}

/// Why the export cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The secret of a header cannot be read.
    #[error("[telemetry] headers")]
    Header(#[from] SecretError),
    /// The OpenTelemetry library rejects the settings.
    #[error("[telemetry] otlp")]
    Exporter(#[from] ExporterBuildError),
    /// The HTTP client cannot be created.
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

    /// Returns every problem with a hint.
    pub(crate) fn problems(&self) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        match Url::parse(&self.otlp) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => {
                let loopback = url.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
                if url.scheme() == "http" && !loopback && !self.headers.is_empty() {
                    let what = "headers would be sent unencrypted; use https:// for a collector on another machine";
                    problems.push(KeyProblem::new("otlp", what).conflicts_with("headers"));
                }
                if !url.username().is_empty() || url.password().is_some() {
                    problems.push(KeyProblem::new("otlp", "the URL holds credentials; put them into headers"));
                }
            }
            // The value may contain a secret, so the error does not.
            _ => problems.push(KeyProblem::new("otlp", "this is not a URL; write one like \"http://localhost:4318\"")),
        }
        if self.service.is_empty() {
            problems.push(KeyProblem::new("service", "is empty; give a name, or remove it"));
        }
        problems
    }
}

/// The exporters of logs and spans, each with its own thread and bounded queue.
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
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(OtlpClient::new()?)
            .with_endpoint(at("traces"))
            .with_headers(headers)
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        Ok(OtlpExporters {
            logs: SdkLoggerProvider::builder().with_resource(resource.clone()).with_batch_exporter(logs).build(),
            spans: SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(spans).build(),
        })
    }

    /// Selects the exported events: those of pinflow from `INFO` on, whatever `RUST_LOG` says. Events of the exporters'
    /// libraries are excluded, because exporting them would cause new ones.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let scope = InstrumentationScope::builder("pinflow").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = self.spans.tracer_with_scope(scope);
        let ours = |about: &Metadata<'_>| {
            let target = about.target();
            *about.level() <= Level::INFO && target.starts_with("pinflow") && target != super::progress::TARGET
        };
        // Events are exported as logs; in spans they would be duplicates.
        let spans = tracing_opentelemetry::layer().with_tracer(tracer);
        let spans = spans.with_filter(filter_fn(move |about| about.is_span() && ours(about)));
        let logs = OpenTelemetryTracingBridge::new(&self.logs).with_filter(filter_fn(ours));
        spans.and_then(logs)
    }

    pub(super) async fn finish(self) {
        // The exporter threads wait for requests that run on the runtime.
        let finished = tokio::task::spawn_blocking(move || {
            let _ = self.spans.shutdown_with_timeout(EXPORT_TIMEOUT);
            let _ = self.logs.shutdown_with_timeout(EXPORT_TIMEOUT);
        });
        // A failed export was logged when it was tried.
        let _ = finished.await;
    }
}

/// Sends requests on the runtime, which the exporter threads do not have.
#[derive(Debug)]
struct OtlpClient {
    http: reqwest::Client,
    runtime: Handle,
    failing: AtomicBool,
}

impl OtlpClient {
    fn new() -> Result<OtlpClient, TelemetryError> {
        let http = reqwest::Client::builder().timeout(EXPORT_TIMEOUT).build()?;
        Ok(OtlpClient { http, runtime: Handle::current(), failing: AtomicBool::new(false) })
    }

    /// Logs once that the collector does not accept data, and once that it does again.
    fn log_state_change(&self, failure: Option<String>) {
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
        self.log_state_change(match &outcome {
            Ok(reply) if reply.status().is_success() => None,
            Ok(reply) => Some(format!("it responds with {}", reply.status())),
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
    fn collector_url_with_secret_or_plaintext_headers_is_rejected() {
        let problems = |text: &str| toml::from_str::<TelemetryConfig>(text).unwrap().problems().len();
        assert_eq!(problems("otlp = 'http://localhost:4318'"), 0);
        assert_eq!(problems("otlp = 'https://collector.example/otlp'\nheaders = { authorization = 'env:T' }"), 0);
        assert_eq!(problems("otlp = 'http://collector.example'\nheaders = { authorization = 'env:T' }"), 1);
        assert_eq!(problems("otlp = 'https://me:secret@collector.example'"), 1);
        assert_eq!(problems("otlp = 'localhost:4318'\nservice = ''"), 2);
        assert!(toml::from_str::<TelemetryConfig>("otlp = 'http://a'\nheaders = { x = 'inline' }").is_err());
    }
}
