//! Creates, lists, describes, splits, merges, scales and deletes the streams of a region.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::types::{ScalingType, StreamMode, StreamModeDetails, StreamStatus};
use serde::Serialize;
use tokio::time::sleep;

use super::api::{KinesisApi, ShardInfo, StreamSummary};
use super::connection::{KinesisConnection, KinesisConnectionError};
use super::error::{KinesisError, KinesisErrorKind};
use pinflow_core::backoff::Backoff;
use pinflow_core::user_error::{ExitStatus, UserError};

/// Maximum wait for a stream to reach the requested state.
const STREAM_READY_TIMEOUT: Duration = Duration::from_secs(300);
/// Bounds of the pause before a call is retried.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3));

/// Administers the streams of a region.
pub struct StreamAdmin {
    api: KinesisApi,
}

/// The requested properties of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// The name of the stream.
    pub name: String,
    /// Number of shards; `None` for on-demand mode.
    pub shards: Option<u32>,
    /// Retention period in hours; by default 24.
    pub retention_hours: Option<u32>,
}

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamOutcome {
    /// The stream was created.
    Created,
    /// The stream existed, with the requested number of shards.
    Exists,
    /// The stream was deleted.
    Deleted,
    /// The stream did not exist.
    Absent,
    /// The shards were changed.
    Resharded,
}

/// Why a stream cannot be described or changed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection is invalid.
    #[error(transparent)]
    Connection(#[from] KinesisConnectionError),
    /// A call failed.
    #[error("stream {stream}: {error}{}", error.hint())]
    Call {
        /// The name of the stream.
        stream: String,
        /// The error of the call.
        error: KinesisError,
    },
    /// The stream exists with other properties than requested.
    #[error("stream {stream} exists with {found}, not {wanted}; delete it, or reshard it (`pinflow streams scale`)")]
    Other {
        /// The name of the stream.
        stream: String,
        /// The property that differs.
        found: String,
        /// The requested value.
        wanted: String,
    },
    /// A shard does not exist, or cannot be split or merged.
    #[error("stream {stream}: {what}")]
    Shard {
        /// The name of the stream.
        stream: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The stream did not become ready in time.
    #[error("stream {stream} is not ready after {} s; check again later", STREAM_READY_TIMEOUT.as_secs())]
    Slow {
        /// The name of the stream.
        stream: String,
    },
}

impl UserError for StreamError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            StreamError::Connection(error) => error.exit_code(),
            _ => ExitStatus::Failed,
        }
    }
}

impl StreamAdmin {
    /// Connects to a region.
    ///
    /// # Errors
    /// [`StreamError::Connection`]
    pub async fn connect(connection: KinesisConnection) -> Result<StreamAdmin, StreamError> {
        Ok(StreamAdmin { api: KinesisApi::connect(connection).await? })
    }

    /// The names of all visible streams.
    ///
    /// # Errors
    /// [`StreamError::Call`]
    pub async fn list_names(&self) -> Result<Vec<String>, StreamError> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let call = self.api.client().list_streams().set_exclusive_start_stream_name(names.last().cloned());
            let response = self.api.check_response("ListStreams", call.send().await).await.map_err(call_error("*"))?;
            let has_more = response.has_more_streams && !response.stream_names.is_empty();
            names.extend(response.stream_names);
            if !has_more {
                return Ok(names);
            }
        }
    }

    /// Describes a stream and its shards.
    ///
    /// # Errors
    /// [`StreamError::Call`]
    pub async fn describe(&self, stream: &str) -> Result<(StreamSummary, Vec<ShardInfo>), StreamError> {
        let summary = self.api.describe_summary(stream).await.map_err(call_error(stream))?;
        Ok((summary, self.api.list_shards(stream).await.map_err(call_error(stream))?))
    }

    /// Creates a stream unless it exists with the requested number of open shards. Returns once it is ready.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn create(&self, spec: &StreamSpec) -> Result<StreamOutcome, StreamError> {
        let name = spec.name.as_str();
        let mode = if spec.shards.is_some() { StreamMode::Provisioned } else { StreamMode::OnDemand };
        let mode = StreamModeDetails::builder().stream_mode(mode).build();
        let mode = mode.map_err(|error| StreamError::Shard { stream: name.to_owned(), what: error.to_string() })?;
        let shards = spec.shards.map(|shards| i32::try_from(shards).unwrap_or(i32::MAX));
        let call =
            self.api.client().create_stream().stream_name(name).set_shard_count(shards).stream_mode_details(mode);
        let made = self.api.check_response("CreateStream", call.send().await).await;
        let outcome = match made {
            Ok(_) => StreamOutcome::Created,
            Err(error) if error.kind == KinesisErrorKind::InUse => StreamOutcome::Exists,
            Err(error) => return Err(call_error(name)(error)),
        };
        let summary = self.wait_until_ready(name).await?;
        if let Some(shards) = spec.shards.filter(|shards| *shards != summary.open_shards) {
            return Err(StreamError::Other {
                stream: name.to_owned(),
                found: format!("{} shards", summary.open_shards),
                wanted: shards.to_string(),
            });
        }
        if let Some(hours) = spec.retention_hours {
            self.set_retention(name, &summary, hours).await?;
        }
        Ok(outcome)
    }

    /// Sets the retention period, in hours.
    async fn set_retention(&self, name: &str, summary: &StreamSummary, hours: u32) -> Result<(), StreamError> {
        let (now, hours_i32) = (summary.retention_ms / 3_600_000, i32::try_from(hours).unwrap_or(i32::MAX));
        let client = self.api.client();
        if u64::from(hours) > now {
            let call = client.increase_stream_retention_period().stream_name(name).retention_period_hours(hours_i32);
            self.api
                .check_response("IncreaseStreamRetentionPeriod", call.send().await)
                .await
                .map_err(call_error(name))?;
        } else if u64::from(hours) < now {
            let call = client.decrease_stream_retention_period().stream_name(name).retention_period_hours(hours_i32);
            self.api
                .check_response("DecreaseStreamRetentionPeriod", call.send().await)
                .await
                .map_err(call_error(name))?;
        }
        self.wait_until_ready(name).await.map(drop)
    }

    /// Deletes a stream with all its records if it exists. Returns once it is gone.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn delete(&self, name: &str) -> Result<StreamOutcome, StreamError> {
        let call = self.api.client().delete_stream().stream_name(name).enforce_consumer_deletion(true);
        match self.api.check_response("DeleteStream", call.send().await).await {
            Ok(_) => {}
            Err(error) if error.kind == KinesisErrorKind::Missing => return Ok(StreamOutcome::Absent),
            Err(error) => return Err(call_error(name)(error)),
        }
        let deadline = Instant::now() + STREAM_READY_TIMEOUT;
        let mut backoff = Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1);
        loop {
            match self.api.describe_summary(name).await {
                Err(error) if error.kind == KinesisErrorKind::Missing => return Ok(StreamOutcome::Deleted),
                Err(error) if !error.is_retryable() => return Err(call_error(name)(error)),
                _ if Instant::now() >= deadline => return Err(StreamError::Slow { stream: name.to_owned() }),
                _ => sleep(backoff.next_wait()).await,
            }
        }
    }

    /// Splits an open shard in two, at a hash key or in the middle.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn split_shard(&self, name: &str, shard: &str, at: Option<u128>) -> Result<StreamOutcome, StreamError> {
        let (_, shards) = self.describe(name).await?;
        let (first, last) =
            hash_key_range(find_open_shard(name, &shards, shard)?).ok_or_else(|| unknown_keys_error(name, shard))?;
        let at = match at {
            None => first + (last - first).div_ceil(2),
            Some(at) if at > first && at <= last => at,
            Some(at) => {
                let what = format!("{shard} cannot be split at hash key {at}: its keys are {first} to {last}");
                return Err(StreamError::Shard { stream: name.to_owned(), what });
            }
        };
        self.retry_resharding(name, || async {
            let call = self.api.client().split_shard().stream_name(name).shard_to_split(shard);
            let call = call.new_starting_hash_key(at.to_string());
            self.api.check_response("SplitShard", call.send().await).await.map(drop)
        })
        .await
    }

    /// Merges two open shards whose keys are adjacent.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn merge_shards(&self, name: &str, one: &str, other: &str) -> Result<StreamOutcome, StreamError> {
        let (_, shards) = self.describe(name).await?;
        let one_keys =
            hash_key_range(find_open_shard(name, &shards, one)?).ok_or_else(|| unknown_keys_error(name, one))?;
        let other_keys =
            hash_key_range(find_open_shard(name, &shards, other)?).ok_or_else(|| unknown_keys_error(name, other))?;
        if one_keys.1.checked_add(1) != Some(other_keys.0) && other_keys.1.checked_add(1) != Some(one_keys.0) {
            let what = format!("{one} and {other} cannot be merged: their hash key ranges are not adjacent");
            return Err(StreamError::Shard { stream: name.to_owned(), what });
        }
        self.retry_resharding(name, || async {
            let call = self.api.client().merge_shards().stream_name(name).shard_to_merge(one);
            self.api.check_response("MergeShards", call.adjacent_shard_to_merge(other).send().await).await.map(drop)
        })
        .await
    }

    /// Splits or merges shards until the stream has this many.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn scale_shards(&self, name: &str, shards: u32) -> Result<StreamOutcome, StreamError> {
        self.retry_resharding(name, || async {
            let call = self.api.client().update_shard_count().stream_name(name);
            let call = call.target_shard_count(i32::try_from(shards).unwrap_or(i32::MAX));
            let call = call.scaling_type(ScalingType::UniformScaling);
            self.api.check_response("UpdateShardCount", call.send().await).await.map(drop)
        })
        .await
    }

    /// Changes the shards of a stream. Retries while another change is in progress.
    async fn retry_resharding<A>(&self, name: &str, change: impl Fn() -> A) -> Result<StreamOutcome, StreamError>
    where
        A: Future<Output = Result<(), KinesisError>>,
    {
        let deadline = Instant::now() + STREAM_READY_TIMEOUT;
        let mut backoff = Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1);
        self.wait_until_ready(name).await?;
        loop {
            match change().await {
                Ok(()) => break,
                // A lost response does not tell whether the change was made, so the call is not repeated.
                Err(error) if !matches!(error.kind, KinesisErrorKind::InUse | KinesisErrorKind::Throttled) => {
                    return Err(call_error(name)(error));
                }
                Err(_) if Instant::now() >= deadline => return Err(StreamError::Slow { stream: name.to_owned() }),
                Err(_) => sleep(backoff.next_wait()).await,
            }
        }
        self.wait_until_ready(name).await?;
        Ok(StreamOutcome::Resharded)
    }

    /// Waits until no change is in progress.
    async fn wait_until_ready(&self, name: &str) -> Result<StreamSummary, StreamError> {
        let deadline = Instant::now() + STREAM_READY_TIMEOUT;
        let mut backoff = Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1);
        loop {
            match self.stream_status(name).await {
                Ok(StreamStatus::Active) => return self.api.describe_summary(name).await.map_err(call_error(name)),
                Err(error) if !error.is_retryable() => return Err(call_error(name)(error)),
                _ if Instant::now() >= deadline => return Err(StreamError::Slow { stream: name.to_owned() }),
                _ => sleep(backoff.next_wait()).await,
            }
        }
    }

    async fn stream_status(&self, name: &str) -> Result<StreamStatus, KinesisError> {
        const CALL: &str = "DescribeStreamSummary";
        let response = self.api.client().describe_stream_summary().stream_name(name).send().await;
        let described = self.api.check_response(CALL, response).await?.stream_description_summary;
        described
            .map(|summary| summary.stream_status)
            .ok_or_else(|| KinesisError::incomplete_response(CALL, "no description"))
    }
}

fn call_error(stream: &str) -> impl Fn(KinesisError) -> StreamError {
    let stream = stream.to_owned();
    move |error| StreamError::Call { stream: stream.clone(), error }
}

/// Finds an open shard by its id.
fn find_open_shard<'a>(stream: &str, shards: &'a [ShardInfo], id: &str) -> Result<&'a ShardInfo, StreamError> {
    let found = shards.iter().find(|shard| shard.id == id);
    let wrong = |what: String| StreamError::Shard { stream: stream.to_owned(), what };
    match found {
        Some(shard) if !shard.is_closed => Ok(shard),
        Some(_) => Err(wrong(format!("{id} is closed; only open shards can be split or merged"))),
        None => Err(wrong(format!("shard {id} does not exist; `pinflow streams describe {stream}` lists the shards"))),
    }
}

/// The first and the last hash key of a shard.
fn hash_key_range(shard: &ShardInfo) -> Option<(u128, u128)> {
    Some((shard.hash_keys.0.parse().ok()?, shard.hash_keys.1.parse().ok()?))
}

fn unknown_keys_error(stream: &str, shard: &str) -> StreamError {
    StreamError::Shard { stream: stream.to_owned(), what: format!("Kinesis returned no hash key range for {shard}") }
}
