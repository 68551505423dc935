//! `/streams`: what clients of Kinesis behind Amazon's gateway ask of it: records put, streams listed, described, made
//! and deleted.

mod fault;
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

use super::Shared;
use super::folder::{Folder, STREAMS, Unstored};
use super::json::shorten;
use super::refusal::Refusal;
use super::router::{Front, drain, stream_of};
use super::upload::{Upload, take_body};
use crate::backoff::Backoff;
use crate::http::hold_reply;
use crate::kinesis::{Api, Kind, Put, Shard, Streams, Summary, Wanted, Written};
use fault::{Fault, reply};

/// Bounds of the wait before records that a shard had no room for are put again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(500));
/// The only shard that a file has.
const FILE_SHARD: &str = "shardId-000000000000";
/// The largest hash key, of which a file has all.
const HASH_KEY_MAX: &str = "340282366920938463463374607431768211455";

/// What is behind `/streams`.
pub(super) enum Behind {
    /// A region.
    Region {
        /// Puts.
        api: Api,
        /// Lists, describes, makes and deletes.
        streams: Streams,
    },
    /// The files of a recording.
    Folder(Arc<Folder>),
}

/// The stream that a request names, if it may be named.
struct Named(String);

impl FromRequestParts<Shared> for Named {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, front: &Shared) -> Result<Named, Fault> {
        #[derive(Deserialize)]
        struct Segments {
            stream: String,
        }
        let segments = Path::<Segments>::from_request_parts(parts, front).await;
        let Path(Segments { stream }) = segments.map_err(|_| Fault::from(Refusal::NotFound))?;
        find(front, &stream)?;
        Ok(Named(stream))
    }
}

/// A request with a body for a stream that may be named. The body is read past where there is nothing for it.
struct Sent {
    stream: String,
    upload: Upload,
}

impl FromRequest<Shared> for Sent {
    type Rejection = Fault;

    async fn from_request(request: Request, front: &Shared) -> Result<Sent, Fault> {
        let (mut parts, body) = request.into_parts();
        let Named(stream) = match Named::from_request_parts(&mut parts, front).await {
            Ok(named) => named,
            Err(fault) => {
                drain(body).await;
                return Err(fault);
            }
        };
        let upload = take_body(front, &parts.headers, body).await?;
        Ok(Sent { stream, upload })
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        // The tutorial lists with GET, the original's clients with POST.
        .route("/streams", get(list).post(list))
        .route("/streams/{stream}", get(describe).post(create).delete(delete))
        .route("/streams/{stream}/record", put(put_one))
        .route("/streams/{stream}/records", put(put_many))
}

/// A refusal in the shape of these routes.
pub(super) fn refuse(refusal: Refusal) -> Response {
    Fault::from(refusal).into_response()
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Placed {
    shard_id: String,
    sequence_number: String,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Outcome {
    Placed(Placed),
    #[serde(rename_all = "PascalCase")]
    Failed {
        error_code: String,
        error_message: String,
    },
}

impl Outcome {
    fn failed(code: &str, message: impl Into<String>) -> Outcome {
        Outcome::Failed { error_code: code.to_owned(), error_message: message.into() }
    }
}

/// What became of the records of a request, in their order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcomes {
    failed_record_count: usize,
    records: Vec<Outcome>,
}

async fn put_one(State(front): State<Shared>, sent: Sent) -> Result<Response, Fault> {
    let Sent { stream, mut upload } = sent;
    upload.reserve_records(1)?;
    let put = records::one(&upload.bytes, &stream)?;
    let outcome = write(&front, &stream, vec![Ok(put)]).await?.pop();
    match outcome {
        Some(Outcome::Placed(placed)) => {
            front.tallies.streams.count(1, 0);
            Ok(reply(StatusCode::OK, None, &placed))
        }
        Some(Outcome::Failed { error_code, error_message }) => {
            front.tallies.streams.count(0, 1);
            Err(match Kind::of(&error_code) {
                Kind::Throttled => Fault::throttled(error_message),
                Kind::Refused => Fault::invalid(error_message),
                _ => Fault::later(error_message),
            })
        }
        None => Err(Fault::later("nothing became of the record")),
    }
}

async fn put_many(State(front): State<Shared>, sent: Sent) -> Result<Response, Fault> {
    let Sent { stream, mut upload } = sent;
    upload.reserve_records(records::RECORDS_MAX)?;
    let records = records::many(&upload.bytes, &stream)?;
    let Upload { bytes, reservation } = upload;
    drop(bytes);
    let records = write(&front, &stream, records).await?;
    let failed_record_count = records.iter().filter(|one| matches!(one, Outcome::Failed { .. })).count();
    front.tallies.streams.count(records.len() - failed_record_count, failed_record_count);
    let throttled =
        |one: &Outcome| matches!(one, Outcome::Failed { error_code, .. } if Kind::of(error_code) != Kind::Refused);
    let (status, wait) = match failed_record_count {
        all if all < records.len() => (StatusCode::OK, None),
        _ if records.iter().any(throttled) => (StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(1))),
        _ => (StatusCode::BAD_REQUEST, None),
    };
    Ok(hold_reply(reply(status, wait, &Outcomes { failed_record_count, records }), reservation).await)
}

/// Puts records where they belong; each on its own succeeds or fails.
async fn write(front: &Front, stream: &str, records: Vec<Result<Put, String>>) -> Result<Vec<Outcome>, Fault> {
    let mut outcomes = Vec::with_capacity(records.len());
    let mut left = Vec::new();
    for record in records {
        match record {
            Ok(put) => {
                left.push((outcomes.len(), put));
                outcomes.push(Outcome::failed("InternalFailure", "it was not put"));
            }
            Err(why) => outcomes.push(Outcome::failed("ValidationException", why)),
        }
    }
    match behind(front)? {
        Behind::Region { api, .. } => {
            let patience = Duration::from_secs(front.config.answer_secs_max);
            put_all(api, stream, left, &mut outcomes, patience).await?;
        }
        Behind::Folder(folder) => append(folder, stream, left, &mut outcomes).await,
    }
    Ok(outcomes)
}

/// Puts records until each is there, refused, or the time is over: what a shard has no room for is put again.
async fn put_all(
    api: &Api,
    stream: &str,
    mut left: Vec<(usize, Put)>,
    outcomes: &mut [Outcome],
    patience: Duration,
) -> Result<(), Fault> {
    let (deadline, mut backoff) = (Instant::now() + patience, Backoff::new(AGAIN.0, AGAIN.1));
    let mut is_begun = false;
    while !left.is_empty() {
        let puts: Vec<Put> = left.iter().map(|(_, put)| put.clone()).collect();
        match api.put(stream, &puts).await {
            Ok(written) => {
                let mut again = Vec::new();
                for ((at, put), written) in left.into_iter().zip(written) {
                    outcomes[at] = match written {
                        Written::Acknowledged { shard, sequence_number } => {
                            Outcome::Placed(Placed { shard_id: shard, sequence_number })
                        }
                        Written::Refused(code) => Outcome::failed(&code, "the record is refused"),
                        Written::NotTaken(code) => {
                            again.push((at, put));
                            Outcome::failed(&code, "the shard takes no more at the moment; send the record again")
                        }
                    };
                }
                left = again;
                is_begun = true;
            }
            // Nothing of it was taken. An answer that was lost on its way is another thing: putting again might
            // write twice what its sender would rather know about.
            Err(fault) if fault.kind == Kind::Throttled && Instant::now() + AGAIN.1 < deadline => {}
            Err(fault) if !is_begun => return Err(Fault::of(stream, &fault)),
            // Some of the records are there, and their sender is to know which.
            Err(fault) => {
                let fault = Fault::of(stream, &fault);
                left.iter().for_each(|(at, _)| outcomes[*at] = Outcome::failed("InternalFailure", &*fault.message));
                return Ok(());
            }
        }
        if left.is_empty() || Instant::now() + AGAIN.1 >= deadline {
            return Ok(());
        }
        sleep(backoff.wait()).await;
    }
    Ok(())
}

/// Appends records to a file, together.
async fn append(folder: &Folder, stream: &str, left: Vec<(usize, Put)>, outcomes: &mut [Outcome]) {
    let Some(file) = stream_of(stream) else { return };
    let (mut lines, mut kept) = (Vec::new(), Vec::new());
    for (at, put) in left {
        if put.data.contains(&b'\n') {
            outcomes[at] = Outcome::failed("ValidationException", "a recording holds lines; this data has several");
        } else {
            lines.extend_from_slice(&put.data);
            lines.push(b'\n');
            kept.push(at);
        }
    }
    if kept.is_empty() {
        return;
    }
    let first = folder.append(file, lines, kept.len() as u64).await;
    for (number, at) in (0..).zip(kept) {
        outcomes[at] = match &first {
            Ok(first) => {
                let sequence_number = (first + number).to_string();
                Outcome::Placed(Placed { shard_id: FILE_SHARD.to_owned(), sequence_number })
            }
            Err(Unstored::Busy) => {
                Outcome::failed("ProvisionedThroughputExceededException", "too many records are under way")
            }
            Err(Unstored::Failed(why)) => Outcome::failed("InternalFailure", why),
        };
    }
}

/// Whether a stream may be named.
fn find(front: &Front, stream: &str) -> Result<(), Fault> {
    let behind = behind(front)?;
    let named = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    let is_name = !stream.is_empty() && stream.len() <= 128 && stream.chars().all(named);
    let is_file = !matches!(behind, Behind::Folder(_)) || stream_of(stream).is_some();
    if is_name && is_file && front.config.allows(stream) { Ok(()) } else { Err(Fault::missing(stream)) }
}

fn behind(front: &Front) -> Result<&Behind, Fault> {
    front.streams.as_ref().ok_or_else(|| Fault::from(Refusal::Nothing("Kinesis")))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    stream_names: Vec<String>,
    has_more_streams: bool,
}

async fn list(State(front): State<Shared>) -> Result<Response, Fault> {
    let mut stream_names = match behind(&front)? {
        Behind::Region { streams, .. } => streams.names().await?,
        Behind::Folder(_) => STREAMS.map(str::to_owned).to_vec(),
    };
    stream_names.retain(|name| front.config.allows(name));
    stream_names.sort();
    Ok(reply(StatusCode::OK, None, &Listed { stream_names, has_more_streams: false }))
}

/// A stream, as Kinesis describes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    stream_name: String,
    #[serde(rename = "StreamARN", skip_serializing_if = "String::is_empty")]
    stream_arn: String,
    stream_status: &'static str,
    retention_period_hours: u64,
    /// Seconds, as the service says it.
    stream_creation_timestamp: f64,
    shards: Vec<DescribedShard>,
    has_more_shards: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedShard {
    shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: HashKeys,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HashKeys {
    starting_hash_key: String,
    ending_hash_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    stream_description: Described,
}

impl From<Shard> for DescribedShard {
    fn from(shard: Shard) -> DescribedShard {
        let mut parents = shard.parents.into_iter();
        let (starting_hash_key, ending_hash_key) = shard.hash_keys;
        DescribedShard {
            shard_id: shard.id,
            parent_shard_id: parents.next(),
            adjacent_parent_shard_id: parents.next(),
            hash_key_range: HashKeys { starting_hash_key, ending_hash_key },
        }
    }
}

async fn describe(State(front): State<Shared>, Named(stream): Named) -> Result<Response, Fault> {
    let (summary, shards) = match behind(&front)? {
        Behind::Region { streams, .. } => streams.describe(&stream).await?,
        Behind::Folder(_) => of_file(),
    };
    let stream_description = Described {
        stream_name: stream,
        stream_arn: summary.arn,
        stream_status: if summary.is_ready { "ACTIVE" } else { "UPDATING" },
        retention_period_hours: summary.retention_ms / 3_600_000,
        stream_creation_timestamp: summary.created_ms as f64 / 1000.0,
        shards: shards.into_iter().map(DescribedShard::from).collect(),
        has_more_shards: false,
    };
    Ok(reply(StatusCode::OK, None, &Description { stream_description }))
}

/// A file, as if it were a stream.
fn of_file() -> (Summary, Vec<Shard>) {
    let summary = Summary { arn: String::new(), created_ms: 0, retention_ms: 0, is_ready: true, open_shards: 1 };
    let hash_keys = ("0".to_owned(), HASH_KEY_MAX.to_owned());
    (summary, vec![Shard { id: FILE_SHARD.to_owned(), parents: Vec::new(), hash_keys, is_closed: false }])
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    #[serde(default, rename = "ShardCount")]
    shards: Option<u32>,
    #[serde(default, rename = "StreamName")]
    stream: Option<String>,
}

async fn create(State(front): State<Shared>, sent: Sent) -> Result<Response, Fault> {
    let Sent { stream, upload } = sent;
    let shape: Shape = match upload.bytes.trim_ascii() {
        [] => Shape::default(),
        text => serde_json::from_slice(text).map_err(|error| Fault::invalid(shorten(error.to_string())))?,
    };
    if shape.stream.is_some_and(|said| said != stream) {
        return Err(Fault::invalid("StreamName is another than the path says"));
    }
    let shards = shape.shards.unwrap_or(1);
    if !(1..=10_000).contains(&shards) {
        return Err(Fault::invalid("ShardCount must be 1 to 10000"));
    }
    match behind(&front)? {
        Behind::Region { streams, .. } => {
            let wanted = Wanted { name: stream, shards: Some(shards), retention_hours: None };
            streams.create(&wanted).await?;
        }
        Behind::Folder(_) => return Err(Fault::in_use("the files of a recording are there already")),
    }
    Ok(reply(StatusCode::OK, None, &serde_json::json!({})))
}

async fn delete(State(front): State<Shared>, Named(stream): Named) -> Result<Response, Fault> {
    match behind(&front)? {
        Behind::Region { streams, .. } => match streams.delete(&stream).await? {
            crate::kinesis::Outcome::Absent => Err(Fault::missing(&stream)),
            _ => Ok(reply(StatusCode::OK, None, &serde_json::json!({}))),
        },
        Behind::Folder(_) => Err(Fault::invalid("the files of a recording are not deleted through the gateway")),
    }
}
