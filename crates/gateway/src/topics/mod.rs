//! `/topics`: the API of the Confluent REST Proxy v2. Produces records; lists and describes topics.
//!
//! One difference: if no record of a request was stored, the reply has an error status, and the error in addition to the
//! proxy's body. The REST Proxy returns 200. A client that checks only the status sees the failure.

mod error;
mod records;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::SharedGatewayState;
use super::error::GatewayError;
use super::middleware::{GatewayState, drain_body, recording_stream, run_blocking};
use super::recording_folder::{AppendError, RecordingFolder, STREAMS};
use super::upload::{UploadedBody, receive_body};
use error::{TopicsApiError, api_reply};
use pinflow_core::error_text::error_text;
use pinflow_http::hold_reply;
use pinflow_kafka::{
    ClusterUnreachable, OutgoingRecord, PartitionInfo, RecordMetadata, RecordWriteError, RecordWriter, TopicAdmin,
    TopicError, TopicInfo,
};
use records::EmbeddedFormat;

/// `Content-Type` of every reply.
const KAFKA_V2_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.kafka.v2+json");
/// `Accept` types that are served.
const ACCEPTED_TYPES: [&str; 6] = [
    "application/vnd.kafka.v2+json",
    "application/vnd.kafka+json",
    "application/vnd.kafka.json.v2+json",
    "application/json",
    "application/*",
    "*/*",
];

/// Where records of `/topics` go.
pub(super) enum TopicsBackend {
    /// A Kafka cluster.
    Cluster {
        /// Produces records.
        writer: Box<RecordWriter>,
        /// Lists and describes topics.
        topics: Box<TopicAdmin>,
    },
    /// The files of a recording.
    RecordingFolder(Arc<RecordingFolder>),
}

/// Topic and partition in a request's path.
#[derive(Deserialize)]
struct TopicPath {
    topic: String,
    #[serde(default)]
    partition: Option<i32>,
}

impl FromRequestParts<SharedGatewayState> for TopicPath {
    type Rejection = TopicsApiError;

    async fn from_request_parts(parts: &mut Parts, state: &SharedGatewayState) -> Result<TopicPath, TopicsApiError> {
        let named = Path::from_request_parts(parts, state).await;
        named.map(|Path(named)| named).map_err(|_| TopicsApiError::from(GatewayError::NotFound))
    }
}

pub(super) fn routes() -> Router<SharedGatewayState> {
    Router::new()
        .route("/topics", get(list_topics))
        .route("/topics/{topic}", get(describe_topic).post(produce_records))
        .route("/topics/{topic}/partitions", get(list_partitions))
        .route("/topics/{topic}/partitions/{partition}", get(describe_partition).post(produce_records))
        .route("/topics/{topic}/partitions/{partition}/offsets", get(partition_offsets))
}

/// Renders an error in the format of these routes.
pub(super) fn error_response(error: GatewayError) -> Response {
    TopicsApiError::from(error).into_response()
}

/// The result of one record.
#[derive(Debug, Default, Serialize)]
struct RecordOffset {
    partition: Option<i32>,
    offset: Option<i64>,
    /// 1: not retriable, 2: retriable.
    error_code: Option<u8>,
    error: Option<String>,
}

/// The results of a request's records, in their order.
#[derive(Debug, Serialize)]
struct ProduceResponse {
    offsets: Vec<RecordOffset>,
    key_schema_id: Option<i32>,
    value_schema_id: Option<i32>,
}

/// The reply to a request of which no record was stored.
#[derive(Serialize)]
struct RejectedProduceResponse<'a> {
    #[serde(flatten)]
    error: &'a TopicsApiError,
    #[serde(flatten)]
    produced: ProduceResponse,
}

impl From<Result<RecordMetadata, RecordWriteError>> for RecordOffset {
    fn from(written: Result<RecordMetadata, RecordWriteError>) -> RecordOffset {
        match written {
            Ok(place) => {
                RecordOffset { partition: Some(place.partition), offset: Some(place.offset), ..RecordOffset::default() }
            }
            Err(unwritten) => RecordOffset {
                error_code: Some(if unwritten.may_pass { 2 } else { 1 }),
                error: Some(unwritten.what),
                ..RecordOffset::default()
            },
        }
    }
}

fn not_retriable(what: impl Into<String>) -> RecordWriteError {
    RecordWriteError { may_pass: false, what: what.into() }
}

async fn produce_records(
    State(state): State<SharedGatewayState>,
    request: Request,
) -> Result<Response, TopicsApiError> {
    let (mut parts, body) = request.into_parts();
    let ProduceTarget { topic, partition, written_as, partitions } = match resolve_target(&state, &mut parts).await {
        Ok(expected) => expected,
        Err(error) => {
            drain_body(body).await;
            return Err(error);
        }
    };
    let mut upload = receive_body(&state, &parts.headers, body).await?;
    let bytes = upload.bytes.clone();
    let raw = records::split_records(&bytes, state.config.records_max)?;
    upload.reserve_records(raw.len())?;
    let mut records = records::parse_records(&raw, written_as);
    drop(raw);
    drop(bytes);
    let UploadedBody { bytes, reservation } = upload;
    drop(bytes);
    for record in records.iter_mut().flatten() {
        record.partition = record.partition.or(partition);
    }
    let written = match require_backend(&state)? {
        TopicsBackend::Cluster { writer, .. } => write_to_kafka(writer, &topic, partitions, records).await,
        TopicsBackend::RecordingFolder(folder) => append_to_recording(folder, &topic, records).await,
    };
    let taken = written.iter().filter(|one| one.is_ok()).count();
    state.metrics.topics.add_counts(taken, written.len() - taken);
    Ok(hold_reply(produce_response(written), reservation).await)
}

/// What is known of a produce request before its body is read.
struct ProduceTarget {
    topic: String,
    /// Partition in the path, the default of all its records.
    partition: Option<i32>,
    written_as: EmbeddedFormat,
    /// Partitions of the topic.
    partitions: i32,
}

async fn resolve_target(state: &SharedGatewayState, parts: &mut Parts) -> Result<ProduceTarget, TopicsApiError> {
    check_accept_header(&parts.headers)?;
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let written_as = records::parse_embedded_format(content_type)?;
    let TopicPath { topic, partition } = TopicPath::from_request_parts(parts, state).await?;
    let partitions = partition_count(state, &topic).await?;
    match partition {
        Some(partition) if !(0..partitions).contains(&partition) => Err(TopicsApiError::no_partition()),
        _ => Ok(ProduceTarget { topic, partition, written_as, partitions }),
    }
}

/// The reply with the results of the records.
fn produce_response(written: Vec<Result<RecordMetadata, RecordWriteError>>) -> Response {
    let taken = written.iter().any(Result::is_ok);
    let first = written.iter().find_map(|one| one.as_ref().err().cloned());
    let may_pass = written.iter().any(|one| matches!(one, Err(unwritten) if unwritten.may_pass));
    let offsets = written.into_iter().map(RecordOffset::from).collect();
    let produced = ProduceResponse { offsets, key_schema_id: None, value_schema_id: None };
    match first {
        Some(unwritten) if !taken => {
            let message = format!("no record was stored: {}", unwritten.what);
            let error = if may_pass { TopicsApiError::unavailable(message) } else { TopicsApiError::rejected(message) };
            api_reply(error.status, error.retry_after(), &RejectedProduceResponse { error: &error, produced })
        }
        _ => api_reply(StatusCode::OK, None, &produced),
    }
}

/// Produces records in order. After a retriable error the rest is not tried, so that no record overtakes another.
async fn write_to_kafka(
    writer: &RecordWriter,
    topic: &str,
    partitions: i32,
    records: Vec<Result<OutgoingRecord, String>>,
) -> Vec<Result<RecordMetadata, RecordWriteError>> {
    let mut full = None;
    let mut queued = Vec::with_capacity(records.len());
    for record in records {
        let record = match (record, &full) {
            (Err(why), _) => Err(not_retriable(why)),
            (Ok(_), Some(full)) => Err(RecordWriteError::clone(full)),
            (Ok(record), None) => match record.partition {
                Some(partition) if !(0..partitions).contains(&partition) => {
                    Err(not_retriable(format!("topic {topic} has no partition {partition}")))
                }
                _ => writer.enqueue(topic, &record),
            },
        };
        if let Err(unwritten) = &record
            && unwritten.may_pass
        {
            full = Some(unwritten.clone());
        }
        queued.push(record);
    }
    let mut written = Vec::with_capacity(queued.len());
    for one in queued {
        written.push(match one {
            Ok(acknowledgement) => acknowledgement.await.unwrap_or_else(|_| {
                Err(RecordWriteError {
                    may_pass: true,
                    what: "the gateway is stopping; the record may have been stored".to_owned(),
                })
            }),
            Err(unwritten) => Err(unwritten),
        });
    }
    written
}

/// Appends the records' values to a recording's file, with one sync.
async fn append_to_recording(
    folder: &RecordingFolder,
    topic: &str,
    records: Vec<Result<OutgoingRecord, String>>,
) -> Vec<Result<RecordMetadata, RecordWriteError>> {
    let Some(stream) = recording_stream(topic) else { return Vec::new() };
    let (mut lines, mut count) = (Vec::new(), 0);
    let kept: Vec<Result<i64, RecordWriteError>> = records
        .into_iter()
        .map(|record| {
            let record = record.map_err(not_retriable)?;
            if record.partition.is_some_and(|partition| partition != 0) {
                return Err(not_retriable("a recording has only partition 0"));
            }
            let line = record.value.unwrap_or_else(|| b"null".to_vec());
            if line.contains(&b'\n') {
                return Err(not_retriable("a recording holds one record per line; this value has a line break"));
            }
            lines.extend_from_slice(&line);
            lines.push(b'\n');
            count += 1;
            Ok(count - 1)
        })
        .collect();
    if count == 0 {
        return kept.into_iter().map(|one| one.map(|offset| RecordMetadata { partition: 0, offset })).collect();
    }
    let first = folder.append_lines(stream, lines, u64::try_from(count).unwrap_or(0)).await;
    let first = first.map(|first| i64::try_from(first).unwrap_or(i64::MAX)).map_err(|unstored| match unstored {
        AppendError::Busy | AppendError::Failed(_) => RecordWriteError { may_pass: true, what: unstored.to_string() },
    });
    let place = |offset: i64| first.clone().map(|first| RecordMetadata { partition: 0, offset: first + offset });
    kept.into_iter().map(|one| one.and_then(place)).collect()
}

/// Partitions of a topic.
///
/// # Errors
/// 404 if the topic does not exist or is not allowed, 503 if the brokers do not answer.
async fn partition_count(state: &GatewayState, topic: &str) -> Result<i32, TopicsApiError> {
    let named = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    if topic.is_empty() || topic.len() > 249 || !topic.chars().all(named) || !state.config.allows_name(topic) {
        return Err(TopicsApiError::no_topic());
    }
    let partitions = match require_backend(state)? {
        TopicsBackend::RecordingFolder(_) => recording_stream(topic).map(|_| 1),
        TopicsBackend::Cluster { writer, .. } => match writer.cached_partition_count(topic) {
            Some(known) => known,
            None => run_blocking(|| writer.partition_count(topic)).map_err(|error| brokers_unavailable(&error))?,
        },
    };
    partitions.ok_or_else(TopicsApiError::no_topic)
}

fn require_backend(state: &GatewayState) -> Result<&TopicsBackend, TopicsApiError> {
    state.topics.as_ref().ok_or_else(|| TopicsApiError::from(GatewayError::Nothing("Kafka")))
}

fn brokers_unavailable(error: &ClusterUnreachable) -> TopicsApiError {
    tracing::warn!(%error, "Kafka does not answer");
    TopicsApiError::unavailable("the brokers do not answer")
}

fn check_accept_header(headers: &HeaderMap) -> Result<(), TopicsApiError> {
    // Several headers are one list.
    let wanted: Vec<_> = headers.get_all(ACCEPT).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    let wanted = wanted.join(",");
    let known = |kind: &str| {
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        ACCEPTED_TYPES.contains(&essence.as_str())
    };
    if wanted.trim().is_empty() || wanted.split(',').any(known) {
        Ok(())
    } else {
        Err(TopicsApiError::not_acceptable())
    }
}

async fn list_topics(State(state): State<SharedGatewayState>, headers: HeaderMap) -> Result<Response, TopicsApiError> {
    check_accept_header(&headers)?;
    let mut names = match require_backend(&state)? {
        TopicsBackend::Cluster { topics, .. } => {
            run_blocking(|| topics.list_names()).map_err(|error| brokers_unavailable(&error))?
        }
        TopicsBackend::RecordingFolder(_) => STREAMS.map(str::to_owned).to_vec(),
    };
    names.retain(|name| state.config.allows_name(name));
    names.sort();
    Ok(api_reply(StatusCode::OK, None, &names))
}

/// A topic as the REST Proxy describes it.
#[derive(Serialize)]
struct TopicDescription {
    name: String,
    configs: serde_json::Map<String, serde_json::Value>,
    partitions: Vec<PartitionDescription>,
}

#[derive(Serialize)]
struct PartitionDescription {
    partition: i32,
    leader: i32,
    replicas: Vec<ReplicaDescription>,
}

#[derive(Serialize)]
struct ReplicaDescription {
    broker: i32,
    leader: bool,
    in_sync: bool,
}

#[derive(Serialize)]
struct PartitionOffsets {
    beginning_offset: i64,
    end_offset: i64,
}

impl From<&PartitionInfo> for PartitionDescription {
    fn from(part: &PartitionInfo) -> PartitionDescription {
        let replica = |broker: &i32| ReplicaDescription {
            broker: *broker,
            leader: *broker == part.leader,
            in_sync: part.isr.contains(broker),
        };
        let replicas = part.replicas.iter().map(replica).collect();
        PartitionDescription { partition: part.partition, leader: part.leader, replicas }
    }
}

/// The description of the topic in a request's path.
struct DescribedTopic(TopicInfo);

impl FromRequestParts<SharedGatewayState> for DescribedTopic {
    type Rejection = TopicsApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &SharedGatewayState,
    ) -> Result<DescribedTopic, TopicsApiError> {
        check_accept_header(&parts.headers)?;
        let TopicPath { topic, .. } = TopicPath::from_request_parts(parts, state).await?;
        partition_count(state, &topic).await?;
        let described = match require_backend(state)? {
            // Describing blocks between its awaits.
            TopicsBackend::Cluster { topics, .. } => {
                run_blocking(|| tokio::runtime::Handle::current().block_on(topics.describe(&topic)))
            }
            TopicsBackend::RecordingFolder(_) => {
                let part = PartitionInfo {
                    partition: 0,
                    leader: 0,
                    replicas: vec![0],
                    isr: vec![0],
                    low: Some(0),
                    high: None,
                };
                Ok(TopicInfo { topic, partitions: vec![part], settings: None })
            }
        };
        described.map(DescribedTopic).map_err(|error| match error {
            TopicError::Absent(_) => TopicsApiError::no_topic(),
            TopicError::Unreachable(error) => brokers_unavailable(&error),
            error => {
                tracing::warn!(error = error_text(&error), "Kafka does not describe a topic");
                TopicsApiError::unavailable("the brokers do not describe this topic")
            }
        })
    }
}

/// The description of the partition in a request's path.
struct DescribedPartition(PartitionInfo);

impl FromRequestParts<SharedGatewayState> for DescribedPartition {
    type Rejection = TopicsApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &SharedGatewayState,
    ) -> Result<DescribedPartition, TopicsApiError> {
        let DescribedTopic(topic) = DescribedTopic::from_request_parts(parts, state).await?;
        let TopicPath { partition, .. } = TopicPath::from_request_parts(parts, state).await?;
        let part = topic.partitions.into_iter().find(|part| Some(part.partition) == partition);
        part.map(DescribedPartition).ok_or_else(TopicsApiError::no_partition)
    }
}

async fn describe_topic(DescribedTopic(topic): DescribedTopic) -> Response {
    let configs = topic.settings.into_iter().flatten().map(|(name, value)| (name, value.into())).collect();
    let partitions = topic.partitions.iter().map(PartitionDescription::from).collect();
    api_reply(StatusCode::OK, None, &TopicDescription { name: topic.topic, configs, partitions })
}

async fn list_partitions(DescribedTopic(topic): DescribedTopic) -> Response {
    let partitions: Vec<PartitionDescription> = topic.partitions.iter().map(PartitionDescription::from).collect();
    api_reply(StatusCode::OK, None, &partitions)
}

async fn describe_partition(DescribedPartition(part): DescribedPartition) -> Response {
    api_reply(StatusCode::OK, None, &PartitionDescription::from(&part))
}

async fn partition_offsets(DescribedPartition(part): DescribedPartition) -> Result<Response, TopicsApiError> {
    match part {
        PartitionInfo { low: Some(beginning_offset), high: Some(end_offset), .. } => {
            Ok(api_reply(StatusCode::OK, None, &PartitionOffsets { beginning_offset, end_offset }))
        }
        _ => Err(TopicsApiError::unavailable("the offsets of this partition are not known at the moment")),
    }
}
