//! Streams of a region: made, listed, described, split, merged, deleted.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::types::{ScalingType, StreamMode, StreamModeDetails, StreamStatus};
use serde::Serialize;
use tokio::time::sleep;

use super::api::{Api, Shard, Summary};
use super::connection::{Connection, ConnectionError};
use super::fault::{Fault, Kind};
use crate::backoff::Backoff;

/// How long a stream may take to become what was asked for.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bounds of the wait before a call is made again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3));

/// The streams of a region.
pub struct Streams {
    api: Api,
}

/// What a stream is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Shards; `None`: as many as the load asks for (on-demand).
    pub shards: Option<u32>,
    /// How long records are kept, hours; by default 24.
    pub retention_hours: Option<u32>,
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was made.
    Created,
    /// It is there already, as it is wanted.
    Exists,
    /// It is not there any more.
    Deleted,
    /// It was not there.
    Absent,
    /// Its shards are others now.
    Resharded,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// How to connect cannot be meant.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A call failed.
    #[error("stream {stream}: {fault}{}", fault.mend())]
    Call {
        /// The stream.
        stream: String,
        /// What it failed with.
        fault: Fault,
    },
    /// The stream is there, and is another than is wanted.
    #[error(
        "stream {stream} is there with {found}, where {wanted} is wanted; delete it, or reshard it (`pinflow streams split`)"
    )]
    Other {
        /// The stream.
        stream: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// A shard is not there, or cannot be split or merged.
    #[error("stream {stream}: {what}")]
    Shard {
        /// The stream.
        stream: String,
        /// What is wrong, and the mend.
        what: String,
    },
    /// It took too long.
    #[error("stream {stream} is not ready after {} s; look again later", PATIENCE.as_secs())]
    Slow {
        /// The stream.
        stream: String,
    },
}

impl Streams {
    /// Connects.
    ///
    /// # Errors
    /// [`StreamError::Connection`]
    pub async fn of(connection: Connection) -> Result<Streams, StreamError> {
        Ok(Streams { api: Api::connect(connection).await? })
    }

    /// The names of all streams that may be seen.
    ///
    /// # Errors
    /// [`StreamError::Call`]
    pub async fn names(&self) -> Result<Vec<String>, StreamError> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let call = self.api.client().list_streams().set_exclusive_start_stream_name(names.last().cloned());
            let answer = self.api.settle("ListStreams", call.send().await).await.map_err(of("*"))?;
            let has_more = answer.has_more_streams && !answer.stream_names.is_empty();
            names.extend(answer.stream_names);
            if !has_more {
                return Ok(names);
            }
        }
    }

    /// A stream with its shards.
    ///
    /// # Errors
    /// [`StreamError::Call`]
    pub async fn describe(&self, stream: &str) -> Result<(Summary, Vec<Shard>), StreamError> {
        let summary = self.api.summary(stream).await.map_err(of(stream))?;
        Ok((summary, self.api.shards(stream).await.map_err(of(stream))?))
    }

    /// Sees to it that a stream is there; one that is there already must have as many open shards.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn create(&self, wanted: &Wanted) -> Result<Outcome, StreamError> {
        let name = wanted.name.as_str();
        let mode = if wanted.shards.is_some() { StreamMode::Provisioned } else { StreamMode::OnDemand };
        let mode = StreamModeDetails::builder().stream_mode(mode).build();
        let mode = mode.map_err(|error| StreamError::Shard { stream: name.to_owned(), what: error.to_string() })?;
        let shards = wanted.shards.map(|shards| i32::try_from(shards).unwrap_or(i32::MAX));
        let call =
            self.api.client().create_stream().stream_name(name).set_shard_count(shards).stream_mode_details(mode);
        let made = self.api.settle("CreateStream", call.send().await).await;
        let outcome = match made {
            Ok(_) => Outcome::Created,
            Err(fault) if fault.kind == Kind::InUse => Outcome::Exists,
            Err(fault) => return Err(of(name)(fault)),
        };
        let summary = self.until_ready(name).await?;
        if let Some(shards) = wanted.shards.filter(|shards| *shards != summary.open_shards) {
            return Err(StreamError::Other {
                stream: name.to_owned(),
                found: format!("{} shards", summary.open_shards),
                wanted: shards.to_string(),
            });
        }
        if let Some(hours) = wanted.retention_hours {
            self.keep_for(name, &summary, hours).await?;
        }
        Ok(outcome)
    }

    /// Sets how long records are kept.
    async fn keep_for(&self, name: &str, summary: &Summary, hours: u32) -> Result<(), StreamError> {
        let (now, hours_i32) = (summary.retention_ms / 3_600_000, i32::try_from(hours).unwrap_or(i32::MAX));
        let client = self.api.client();
        if u64::from(hours) > now {
            let call = client.increase_stream_retention_period().stream_name(name).retention_period_hours(hours_i32);
            self.api.settle("IncreaseStreamRetentionPeriod", call.send().await).await.map_err(of(name))?;
        } else if u64::from(hours) < now {
            let call = client.decrease_stream_retention_period().stream_name(name).retention_period_hours(hours_i32);
            self.api.settle("DecreaseStreamRetentionPeriod", call.send().await).await.map_err(of(name))?;
        }
        self.until_ready(name).await.map(drop)
    }

    /// Sees to it that a stream is not there: its records are gone for good.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn delete(&self, name: &str) -> Result<Outcome, StreamError> {
        let call = self.api.client().delete_stream().stream_name(name).enforce_consumer_deletion(true);
        match self.api.settle("DeleteStream", call.send().await).await {
            Ok(_) => {}
            Err(fault) if fault.kind == Kind::Missing => return Ok(Outcome::Absent),
            Err(fault) => return Err(of(name)(fault)),
        }
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        loop {
            match self.api.summary(name).await {
                Err(fault) if fault.kind == Kind::Missing => return Ok(Outcome::Deleted),
                Err(fault) if !fault.may_pass() => return Err(of(name)(fault)),
                _ if Instant::now() >= deadline => return Err(StreamError::Slow { stream: name.to_owned() }),
                _ => sleep(backoff.wait()).await,
            }
        }
    }

    /// Splits an open shard in two, at a hash key or in the middle.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn split(&self, name: &str, shard: &str, at: Option<u128>) -> Result<Outcome, StreamError> {
        let (_, shards) = self.describe(name).await?;
        let (first, last) = keys(open(name, &shards, shard)?).ok_or_else(|| no_keys(name, shard))?;
        let at = match at {
            None => first + (last - first).div_ceil(2),
            Some(at) if at > first && at <= last => at,
            Some(at) => {
                let what = format!("{at} is no place to split {shard} at: it takes keys {first} to {last}");
                return Err(StreamError::Shard { stream: name.to_owned(), what });
            }
        };
        self.reshard(name, || async {
            let call = self.api.client().split_shard().stream_name(name).shard_to_split(shard);
            let call = call.new_starting_hash_key(at.to_string());
            self.api.settle("SplitShard", call.send().await).await.map(drop)
        })
        .await
    }

    /// Merges two open shards whose keys are adjacent.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn merge(&self, name: &str, one: &str, other: &str) -> Result<Outcome, StreamError> {
        let (_, shards) = self.describe(name).await?;
        let one_keys = keys(open(name, &shards, one)?).ok_or_else(|| no_keys(name, one))?;
        let other_keys = keys(open(name, &shards, other)?).ok_or_else(|| no_keys(name, other))?;
        if one_keys.1.checked_add(1) != Some(other_keys.0) && other_keys.1.checked_add(1) != Some(one_keys.0) {
            let what = format!("{one} and {other} are not adjacent: their keys have others between them");
            return Err(StreamError::Shard { stream: name.to_owned(), what });
        }
        self.reshard(name, || async {
            let call = self.api.client().merge_shards().stream_name(name).shard_to_merge(one);
            self.api.settle("MergeShards", call.adjacent_shard_to_merge(other).send().await).await.map(drop)
        })
        .await
    }

    /// Splits or merges shards until a stream has this many.
    ///
    /// # Errors
    /// [`StreamError`]
    pub async fn scale(&self, name: &str, shards: u32) -> Result<Outcome, StreamError> {
        self.reshard(name, || async {
            let call = self.api.client().update_shard_count().stream_name(name);
            let call = call.target_shard_count(i32::try_from(shards).unwrap_or(i32::MAX));
            let call = call.scaling_type(ScalingType::UniformScaling);
            self.api.settle("UpdateShardCount", call.send().await).await.map(drop)
        })
        .await
    }

    /// Changes the shards of a stream, one change at a time: while one is under way, another has to wait.
    async fn reshard<A>(&self, name: &str, change: impl Fn() -> A) -> Result<Outcome, StreamError>
    where
        A: Future<Output = Result<(), Fault>>,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        self.until_ready(name).await?;
        loop {
            match change().await {
                Ok(()) => break,
                // An answer that was lost on its way cannot be told from a change that was not made: it is not repeated.
                Err(fault) if !matches!(fault.kind, Kind::InUse | Kind::Throttled) => return Err(of(name)(fault)),
                Err(_) if Instant::now() >= deadline => return Err(StreamError::Slow { stream: name.to_owned() }),
                Err(_) => sleep(backoff.wait()).await,
            }
        }
        self.until_ready(name).await?;
        Ok(Outcome::Resharded)
    }

    /// Waits until nothing is being changed.
    async fn until_ready(&self, name: &str) -> Result<Summary, StreamError> {
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        loop {
            match self.status(name).await {
                Ok(StreamStatus::Active) => return self.api.summary(name).await.map_err(of(name)),
                Err(fault) if !fault.may_pass() => return Err(of(name)(fault)),
                _ if Instant::now() >= deadline => return Err(StreamError::Slow { stream: name.to_owned() }),
                _ => sleep(backoff.wait()).await,
            }
        }
    }

    async fn status(&self, name: &str) -> Result<StreamStatus, Fault> {
        const CALL: &str = "DescribeStreamSummary";
        let answer = self.api.client().describe_stream_summary().stream_name(name).send().await;
        let described = self.api.settle(CALL, answer).await?.stream_description_summary;
        described.map(|summary| summary.stream_status).ok_or_else(|| Fault::unreadable(CALL, "no description"))
    }
}

fn of(stream: &str) -> impl Fn(Fault) -> StreamError {
    let stream = stream.to_owned();
    move |fault| StreamError::Call { stream: stream.clone(), fault }
}

/// The open shard of this name.
fn open<'a>(stream: &str, shards: &'a [Shard], id: &str) -> Result<&'a Shard, StreamError> {
    let found = shards.iter().find(|shard| shard.id == id);
    let wrong = |what: String| StreamError::Shard { stream: stream.to_owned(), what };
    match found {
        Some(shard) if !shard.is_closed => Ok(shard),
        Some(_) => Err(wrong(format!("{id} is closed; only open shards can be split or merged"))),
        None => Err(wrong(format!("there is no shard {id}; `pinflow streams describe {stream}` names them"))),
    }
}

/// The keys that a shard takes.
fn keys(shard: &Shard) -> Option<(u128, u128)> {
    Some((shard.hash_keys.0.parse().ok()?, shard.hash_keys.1.parse().ok()?))
}

fn no_keys(stream: &str, shard: &str) -> StreamError {
    StreamError::Shard { stream: stream.to_owned(), what: format!("Kinesis does not say which keys {shard} takes") }
}
