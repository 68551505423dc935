//! `pinflow gateway`: accepts records over HTTP and writes them to Kafka, Kinesis or files.
//!
//! `/topics` implements the API of the Confluent REST Proxy (v2), `/streams` that of an Amazon API Gateway in front of
//! Kinesis. Behind each is a Kafka cluster, a Kinesis region, or the files of a recording.
//!
//! A request is answered when its records are stored: acknowledged by all in-sync replicas, by Kinesis, or synced to disk.
//! Delivery is at least once: a client that times out or gets 503 retries, and a retry can create a duplicate. Nothing is
//! buffered beyond the requests in flight, and their memory is bounded.

mod admission;
mod config;
mod error;
mod json_text;
mod metrics;
mod middleware;
mod recording_folder;
mod start_error;
mod streams;
mod topics;
mod upload;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use config::{GatewayConfig, GatewayTokens};
pub use recording_folder::FolderError;
pub use start_error::GatewayStartError;

use admission::AdmissionControl;
use metrics::GatewayMetrics;
use middleware::{GatewayRole, GatewayState, SharedGatewayState};
use pinflow_core::error_text::error_text;
use pinflow_core::finding::Finding;
use pinflow_http::{AccessControl, ConnectionLimits, ServerPort, TokenFailures};
use pinflow_kafka::{RecordWriter, TopicAdmin, TopicError};
use pinflow_kinesis::{KinesisApi, StreamAdmin};
use recording_folder::RecordingFolder;

/// Interval between progress messages.
const PROGRESS_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Serves until `stop` turns true. Requests in progress are answered first.
///
/// # Errors
/// If the port cannot be bound, a token cannot be read, or Kafka, Kinesis or the folder cannot be reached.
pub async fn run(config: GatewayConfig, base: &Path, stop: watch::Receiver<bool>) -> Result<(), GatewayStartError> {
    let answer_timeout = Duration::from_secs(config.answer_secs_max);
    let tokens = &config.tokens;
    let roles = [
        (&tokens.write, GatewayRole::Writer),
        (&tokens.metrics, GatewayRole::Metrics),
        (&tokens.admin, GatewayRole::Admin),
    ];
    let failures = TokenFailures::new(config.failed_tokens_per_min_max);
    let access = AccessControl::new(&config.hosts, roles, failures, base)?;
    let port = ServerPort::bind(config.listen, config.tls.as_ref(), base)?;
    let folder = config.recording_folder(base).map_err(GatewayStartError::FolderName)?;
    let folder = folder.map(|path| RecordingFolder::open(&path).map(Arc::new)).transpose()?;
    let topics = match &config.kafka {
        Some(connection) => {
            let topics = TopicAdmin::connect(connection.clone(), base)?;
            let names = middleware::run_blocking(|| topics.list_names())?;
            tracing::info!(brokers = %connection.brokers, topics = names.len(), "records for /topics go to Kafka");
            let writer = RecordWriter::connect(connection, base, answer_timeout)?;
            Some(topics::TopicsBackend::Cluster { writer: Box::new(writer), topics: Box::new(topics) })
        }
        None => folder.clone().map(topics::TopicsBackend::RecordingFolder),
    };
    let streams = match &config.kinesis {
        Some(connection) => {
            let streams = StreamAdmin::connect(connection.clone()).await?;
            let names = streams.list_names().await?;
            tracing::info!(streams = names.len(), "records for /streams go to Kinesis");
            Some(streams::StreamsBackend::Region { api: KinesisApi::connect(connection.clone()).await?, streams })
        }
        None => folder.clone().map(streams::StreamsBackend::RecordingFolder),
    };
    let limits = ConnectionLimits {
        connections_max: config.connections_max,
        connections_per_address_max: config.connections_per_address_max,
        // Long enough for requests in progress to get their answer.
        shutdown_grace: answer_timeout + Duration::from_secs(5),
    };
    let admission = AdmissionControl::new(config.requests_per_sec_max, config.bytes_under_way_max);
    let state =
        Arc::new(GatewayState { access, admission, topics, streams, metrics: GatewayMetrics::default(), config });
    let scheme = if state.config.tls.is_some() { "https" } else { "http" };
    let address = port.local_address().map_err(GatewayStartError::Address)?;
    let url = format!("{scheme}://{address}");
    tracing::info!(%address, url, "the gateway is listening");
    let progress = tokio::spawn(log_progress(Arc::clone(&state)));
    let tally = Arc::clone(&state.metrics.connections);
    port.serve(middleware::build_router(Arc::clone(&state)), limits, tally, stop).await;
    progress.abort();
    let _ = progress.await;
    let (taken, refused) = state.metrics.record_totals();
    if let Some(topics::TopicsBackend::Cluster { writer, .. }) = &state.topics {
        middleware::run_blocking(|| writer.flush(answer_timeout));
    }
    drop(state);
    if let Some(folder) = folder {
        middleware::run_blocking(|| RecordingFolder::close(folder));
    }
    tracing::info!(taken, refused, "the gateway has stopped");
    Ok(())
}

/// Logs how many records were accepted and rejected.
async fn log_progress(state: SharedGatewayState) {
    let (mut before, mut then) = (state.metrics.record_totals(), Instant::now());
    loop {
        tokio::time::sleep(PROGRESS_LOG_INTERVAL).await;
        let now = state.metrics.record_totals();
        if now != before {
            let records_per_sec = ((now.0 - before.0) as f64 / then.elapsed().as_secs_f64()).round() as u64;
            tracing::info!(records = now.0, records_per_sec, refused = now.1, "progress");
        }
        (before, then) = (now, Instant::now());
    }
}

/// Checks that Kafka, Kinesis and the folder can be reached. Writes nothing.
pub async fn check_backends(config: &GatewayConfig, base: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |what: Result<String, String>| {
        findings.push(what.map_or_else(Finding::Problem, Finding::Passed));
    };
    if let Some(connection) = &config.kafka {
        let names = TopicAdmin::connect(connection.clone(), base).map_err(TopicError::from);
        let names = names.and_then(|topics| Ok(middleware::run_blocking(|| topics.list_names())?));
        found(match names {
            Ok(names) => Ok(format!("gateway: {} has {} topics", connection.brokers, names.len())),
            Err(error) => Err(format!("gateway: {}", error_text(&error))),
        });
    }
    if let Some(connection) = &config.kinesis {
        let names = async { StreamAdmin::connect(connection.clone()).await?.list_names().await };
        found(match names.await {
            Ok(names) => Ok(format!("gateway: Kinesis has {} streams", names.len())),
            Err(error) => Err(format!("gateway: {}", error_text(&error))),
        });
    }
    // An invalid folder was reported when the configuration was validated.
    if let Ok(Some(folder)) = config.recording_folder(base) {
        let nearest = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        found(match nix::unistd::access(nearest, nix::unistd::AccessFlags::W_OK) {
            Ok(()) => Ok(format!("gateway: records go to {}", folder.display())),
            Err(_) => Err(format!("gateway: {} is not writable; choose another recording", nearest.display())),
        });
    }
    if config.manage_streams && !config.tokens.is_any_set() {
        findings.push(Finding::Risk(
            "gateway: manage_streams without tokens: everybody who reaches the port can delete streams".to_owned(),
        ));
    }
    findings
}
