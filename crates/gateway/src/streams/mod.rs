//! `/streams`: the API of an Amazon API Gateway in front of Kinesis. Puts records; lists, describes, creates and deletes
//! streams.

mod error;
mod records;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::SharedGatewayState;
use super::error::GatewayError;
use super::json_text::truncate_message;
use super::middleware::{GatewayState, drain_body, recording_stream};
use super::recording_folder::{AppendError, RecordingFolder, STREAMS};
use super::upload::{UploadedBody, receive_body};
use error::{StreamsApiError, api_reply};
use pinflow_core::backoff::Backoff;
use pinflow_http::hold_reply;
use pinflow_kinesis::{
    KinesisApi, KinesisErrorKind, PutEntry, PutResult, ShardInfo, StreamAdmin, StreamSpec, StreamSummary,
};

/// Minimum and maximum backoff before throttled records are put again.
const PUT_RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(500));
/// Shard id of a recording's file.
const FILE_SHARD: &str = "shardId-000000000000";
/// The largest hash key. A file covers the whole range.
const HASH_KEY_MAX: &str = "340282366920938463463374607431768211455";

/// Where records of `/streams` go.
pub(super) enum StreamsBackend {
    /// A Kinesis region.
    Region {
        /// Puts records.
        api: KinesisApi,
        /// Lists, describes, creates and deletes streams.
        streams: StreamAdmin,
    },
    /// The files of a recording.
    RecordingFolder(Arc<RecordingFolder>),
}

/// The stream in a request's path. Extraction fails if it is not allowed.
struct StreamPath(String);

impl FromRequestParts<SharedGatewayState> for StreamPath {
    type Rejection = StreamsApiError;

    async fn from_request_parts(parts: &mut Parts, state: &SharedGatewayState) -> Result<StreamPath, StreamsApiError> {
        #[derive(Deserialize)]
        struct StreamSegments {
            stream: String,
        }
        let segments = Path::<StreamSegments>::from_request_parts(parts, state).await;
        let Path(StreamSegments { stream }) = segments.map_err(|_| StreamsApiError::from(GatewayError::NotFound))?;
        check_stream_name(state, &stream)?;
        Ok(StreamPath(stream))
    }
}

/// A request with a body for an allowed stream. The body is discarded if the stream is not allowed.
struct StreamRequest {
    stream: String,
    upload: UploadedBody,
}

impl FromRequest<SharedGatewayState> for StreamRequest {
    type Rejection = StreamsApiError;

    async fn from_request(request: Request, state: &SharedGatewayState) -> Result<StreamRequest, StreamsApiError> {
        let (mut parts, body) = request.into_parts();
        let StreamPath(stream) = match StreamPath::from_request_parts(&mut parts, state).await {
            Ok(named) => named,
            Err(error) => {
                drain_body(body).await;
                return Err(error);
            }
        };
        let upload = receive_body(state, &parts.headers, body).await?;
        Ok(StreamRequest { stream, upload })
    }
}

pub(super) fn routes() -> Router<SharedGatewayState> {
    Router::new()
        // Amazon's tutorial lists with GET, existing clients with POST.
        .route("/streams", get(list_streams).post(list_streams))
        .route("/streams/{stream}", get(describe_stream).post(create_stream).delete(delete_stream))
        .route("/streams/{stream}/record", put(put_one))
        .route("/streams/{stream}/records", put(put_many))
}

/// Renders an error in the format of these routes.
pub(super) fn error_response(error: GatewayError) -> Response {
    StreamsApiError::from(error).into_response()
}

/// Where a record was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordOutput {
    shard_id: String,
    sequence_number: String,
}

/// The result of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum PutRecordsEntry {
    PutRecordOutput(PutRecordOutput),
    #[serde(rename_all = "PascalCase")]
    Failed {
        error_code: String,
        error_message: String,
    },
}

impl PutRecordsEntry {
    fn failed(code: &str, message: impl Into<String>) -> PutRecordsEntry {
        PutRecordsEntry::Failed { error_code: code.to_owned(), error_message: message.into() }
    }
}

/// The results of a request's records, in their order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsOutput {
    failed_record_count: usize,
    records: Vec<PutRecordsEntry>,
}

async fn put_one(State(state): State<SharedGatewayState>, sent: StreamRequest) -> Result<Response, StreamsApiError> {
    let StreamRequest { stream, mut upload } = sent;
    upload.reserve_records(1)?;
    let put = records::parse_record(&upload.bytes, &stream)?;
    let outcome = put_records(&state, &stream, vec![Ok(put)]).await?.pop();
    match outcome {
        Some(PutRecordsEntry::PutRecordOutput(placed)) => {
            state.metrics.streams.add_counts(1, 0);
            Ok(api_reply(StatusCode::OK, None, &placed))
        }
        Some(PutRecordsEntry::Failed { error_code, error_message }) => {
            state.metrics.streams.add_counts(0, 1);
            Err(match KinesisErrorKind::from_code(&error_code) {
                KinesisErrorKind::Throttled => StreamsApiError::throttled(error_message),
                KinesisErrorKind::Refused => StreamsApiError::invalid(error_message),
                _ => StreamsApiError::unavailable(error_message),
            })
        }
        None => Err(StreamsApiError::unavailable("the record has no result")),
    }
}

async fn put_many(State(state): State<SharedGatewayState>, sent: StreamRequest) -> Result<Response, StreamsApiError> {
    let StreamRequest { stream, mut upload } = sent;
    upload.reserve_records(records::MAX_RECORDS_PER_REQUEST)?;
    let records = records::parse_records(&upload.bytes, &stream)?;
    let UploadedBody { bytes, reservation } = upload;
    drop(bytes);
    let records = put_records(&state, &stream, records).await?;
    let failed_record_count = records.iter().filter(|one| matches!(one, PutRecordsEntry::Failed { .. })).count();
    state.metrics.streams.add_counts(records.len() - failed_record_count, failed_record_count);
    let throttled = |one: &PutRecordsEntry| matches!(one, PutRecordsEntry::Failed { error_code, .. } if KinesisErrorKind::from_code(error_code) != KinesisErrorKind::Refused);
    let (status, wait) = match failed_record_count {
        all if all < records.len() => (StatusCode::OK, None),
        _ if records.iter().any(throttled) => (StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(1))),
        _ => (StatusCode::BAD_REQUEST, None),
    };
    Ok(hold_reply(api_reply(status, wait, &PutRecordsOutput { failed_record_count, records }), reservation).await)
}

/// Stores records. Each one succeeds or fails on its own.
async fn put_records(
    state: &GatewayState,
    stream: &str,
    records: Vec<Result<PutEntry, String>>,
) -> Result<Vec<PutRecordsEntry>, StreamsApiError> {
    let mut outcomes = Vec::with_capacity(records.len());
    let mut left = Vec::new();
    for record in records {
        match record {
            Ok(put) => {
                left.push((outcomes.len(), put));
                outcomes.push(PutRecordsEntry::failed("InternalFailure", "the record was not sent"));
            }
            Err(why) => outcomes.push(PutRecordsEntry::failed("ValidationException", why)),
        }
    }
    match require_backend(state)? {
        StreamsBackend::Region { api, .. } => {
            let timeout = Duration::from_secs(state.config.answer_secs_max);
            put_with_retries(api, stream, left, &mut outcomes, timeout).await?;
        }
        StreamsBackend::RecordingFolder(folder) => append_to_recording(folder, stream, left, &mut outcomes).await,
    }
    Ok(outcomes)
}

/// Puts records until each is stored or rejected, or the time is over. Throttled records are retried.
async fn put_with_retries(
    api: &KinesisApi,
    stream: &str,
    mut left: Vec<(usize, PutEntry)>,
    outcomes: &mut [PutRecordsEntry],
    timeout: Duration,
) -> Result<(), StreamsApiError> {
    let (deadline, mut backoff) = (Instant::now() + timeout, Backoff::new(PUT_RETRY_BACKOFF.0, PUT_RETRY_BACKOFF.1));
    let mut is_begun = false;
    while !left.is_empty() {
        let puts: Vec<PutEntry> = left.iter().map(|(_, put)| put.clone()).collect();
        match api.put_records(stream, &puts).await {
            Ok(written) => {
                let mut again = Vec::new();
                for ((at, put), written) in left.into_iter().zip(written) {
                    outcomes[at] = match written {
                        PutResult::Acknowledged { shard, sequence_number } => {
                            PutRecordsEntry::PutRecordOutput(PutRecordOutput { shard_id: shard, sequence_number })
                        }
                        PutResult::Refused(code) => PutRecordsEntry::failed(&code, "Kinesis rejected the record"),
                        PutResult::NotTaken(code) => {
                            again.push((at, put));
                            PutRecordsEntry::failed(&code, "the shard's throughput is exceeded; retry the record")
                        }
                    };
                }
                left = again;
                is_begun = true;
            }
            // Throttled as a whole: nothing was stored, so a retry cannot create duplicates. After a lost answer it could, so
            // the client decides about that.
            Err(error)
                if error.kind == KinesisErrorKind::Throttled && Instant::now() + PUT_RETRY_BACKOFF.1 < deadline => {}
            Err(error) if !is_begun => return Err(StreamsApiError::from_kinesis(stream, &error)),
            // Some of the records are stored, and the client must learn which.
            Err(error) => {
                let error = StreamsApiError::from_kinesis(stream, &error);
                left.iter()
                    .for_each(|(at, _)| outcomes[*at] = PutRecordsEntry::failed("InternalFailure", &*error.message));
                return Ok(());
            }
        }
        if left.is_empty() || Instant::now() + PUT_RETRY_BACKOFF.1 >= deadline {
            return Ok(());
        }
        sleep(backoff.next_wait()).await;
    }
    Ok(())
}

/// Appends records to a recording's file, with one sync.
async fn append_to_recording(
    folder: &RecordingFolder,
    stream: &str,
    left: Vec<(usize, PutEntry)>,
    outcomes: &mut [PutRecordsEntry],
) {
    let Some(file) = recording_stream(stream) else { return };
    let (mut lines, mut kept) = (Vec::new(), Vec::new());
    for (at, put) in left {
        if put.data.contains(&b'\n') {
            outcomes[at] = PutRecordsEntry::failed(
                "ValidationException",
                "a recording holds one record per line; this data has a line break",
            );
        } else {
            lines.extend_from_slice(&put.data);
            lines.push(b'\n');
            kept.push(at);
        }
    }
    if kept.is_empty() {
        return;
    }
    let first = folder.append_lines(file, lines, kept.len() as u64).await;
    for (number, at) in (0..).zip(kept) {
        outcomes[at] = match &first {
            Ok(first) => {
                let sequence_number = (first + number).to_string();
                PutRecordsEntry::PutRecordOutput(PutRecordOutput { shard_id: FILE_SHARD.to_owned(), sequence_number })
            }
            Err(AppendError::Busy) => PutRecordsEntry::failed(
                "ProvisionedThroughputExceededException",
                "too many records are waiting to be written",
            ),
            Err(AppendError::Failed(why)) => PutRecordsEntry::failed("InternalFailure", why),
        };
    }
}

/// Checks that a stream's name is valid and allowed.
fn check_stream_name(state: &GatewayState, stream: &str) -> Result<(), StreamsApiError> {
    let backend = require_backend(state)?;
    let named = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    let is_name = !stream.is_empty() && stream.len() <= 128 && stream.chars().all(named);
    let is_file = !matches!(backend, StreamsBackend::RecordingFolder(_)) || recording_stream(stream).is_some();
    if is_name && is_file && state.config.allows_name(stream) { Ok(()) } else { Err(StreamsApiError::missing(stream)) }
}

fn require_backend(state: &GatewayState) -> Result<&StreamsBackend, StreamsApiError> {
    state.streams.as_ref().ok_or_else(|| StreamsApiError::from(GatewayError::Nothing("Kinesis")))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreamsOutput {
    stream_names: Vec<String>,
    has_more_streams: bool,
}

async fn list_streams(State(state): State<SharedGatewayState>) -> Result<Response, StreamsApiError> {
    let mut stream_names = match require_backend(&state)? {
        StreamsBackend::Region { streams, .. } => streams.list_names().await?,
        StreamsBackend::RecordingFolder(_) => STREAMS.map(str::to_owned).to_vec(),
    };
    stream_names.retain(|name| state.config.allows_name(name));
    stream_names.sort();
    Ok(api_reply(StatusCode::OK, None, &ListStreamsOutput { stream_names, has_more_streams: false }))
}

/// A stream as in Kinesis' `DescribeStream`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription {
    stream_name: String,
    #[serde(rename = "StreamARN", skip_serializing_if = "String::is_empty")]
    stream_arn: String,
    stream_status: &'static str,
    retention_period_hours: u64,
    /// Seconds since 1970, as in Kinesis.
    stream_creation_timestamp: f64,
    shards: Vec<ShardDescription>,
    has_more_shards: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShardDescription {
    shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: HashKeyRange,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HashKeyRange {
    starting_hash_key: String,
    ending_hash_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStreamOutput {
    stream_description: StreamDescription,
}

impl From<ShardInfo> for ShardDescription {
    fn from(shard: ShardInfo) -> ShardDescription {
        let mut parents = shard.parents.into_iter();
        let (starting_hash_key, ending_hash_key) = shard.hash_keys;
        ShardDescription {
            shard_id: shard.id,
            parent_shard_id: parents.next(),
            adjacent_parent_shard_id: parents.next(),
            hash_key_range: HashKeyRange { starting_hash_key, ending_hash_key },
        }
    }
}

async fn describe_stream(
    State(state): State<SharedGatewayState>,
    StreamPath(stream): StreamPath,
) -> Result<Response, StreamsApiError> {
    let (summary, shards) = match require_backend(&state)? {
        StreamsBackend::Region { streams, .. } => streams.describe(&stream).await?,
        StreamsBackend::RecordingFolder(_) => describe_file(),
    };
    let stream_description = StreamDescription {
        stream_name: stream,
        stream_arn: summary.arn,
        stream_status: if summary.is_ready { "ACTIVE" } else { "UPDATING" },
        retention_period_hours: summary.retention_ms / 3_600_000,
        stream_creation_timestamp: summary.created_ms as f64 / 1000.0,
        shards: shards.into_iter().map(ShardDescription::from).collect(),
        has_more_shards: false,
    };
    Ok(api_reply(StatusCode::OK, None, &DescribeStreamOutput { stream_description }))
}

/// Describes a file as a stream with one shard.
fn describe_file() -> (StreamSummary, Vec<ShardInfo>) {
    let summary = StreamSummary { arn: String::new(), created_ms: 0, retention_ms: 0, is_ready: true, open_shards: 1 };
    let hash_keys = ("0".to_owned(), HASH_KEY_MAX.to_owned());
    (summary, vec![ShardInfo { id: FILE_SHARD.to_owned(), parents: Vec::new(), hash_keys, is_closed: false }])
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateStreamInput {
    #[serde(default, rename = "ShardCount")]
    shards: Option<u32>,
    #[serde(default, rename = "StreamName")]
    stream: Option<String>,
}

async fn create_stream(
    State(state): State<SharedGatewayState>,
    sent: StreamRequest,
) -> Result<Response, StreamsApiError> {
    let StreamRequest { stream, upload } = sent;
    let shape: CreateStreamInput = match upload.bytes.trim_ascii() {
        [] => CreateStreamInput::default(),
        text => serde_json::from_slice(text)
            .map_err(|error| StreamsApiError::invalid(truncate_message(error.to_string())))?,
    };
    if shape.stream.is_some_and(|given| given != stream) {
        return Err(StreamsApiError::invalid("StreamName differs from the stream in the path"));
    }
    let shards = shape.shards.unwrap_or(1);
    if !(1..=10_000).contains(&shards) {
        return Err(StreamsApiError::invalid("ShardCount must be 1 to 10000"));
    }
    match require_backend(&state)? {
        StreamsBackend::Region { streams, .. } => {
            let wanted = StreamSpec { name: stream, shards: Some(shards), retention_hours: None };
            streams.create(&wanted).await?;
        }
        StreamsBackend::RecordingFolder(_) => {
            return Err(StreamsApiError::in_use("the files of a recording exist already"));
        }
    }
    Ok(api_reply(StatusCode::OK, None, &serde_json::json!({})))
}

async fn delete_stream(
    State(state): State<SharedGatewayState>,
    StreamPath(stream): StreamPath,
) -> Result<Response, StreamsApiError> {
    match require_backend(&state)? {
        StreamsBackend::Region { streams, .. } => match streams.delete(&stream).await? {
            pinflow_kinesis::StreamOutcome::Absent => Err(StreamsApiError::missing(&stream)),
            _ => Ok(api_reply(StatusCode::OK, None, &serde_json::json!({}))),
        },
        StreamsBackend::RecordingFolder(_) => {
            Err(StreamsApiError::invalid("the files of a recording cannot be deleted through the gateway"))
        }
    }
}
