//! Reads one stream: discovers its shards and reads each one after its parents.
//!
//! ```text
//!  list ──▶ new shards ──Begun──▶ durable? ──┐
//!    ▲                                       ├─▶ parents ended? ──▶ read ──▶ at its end
//!    │                                       │                                  │
//!    └──────────── children ◀── list again ──┼──────────────────────────────────┘
//!                                            └── last block: position `end`
//! ```
//!
//! Guarantees, whenever the process dies:
//!
//! 1. A shard's start is durable before any of its records is read. The starts of its children are durable before its
//!    end, or in the same commit: at a shard's end the stream is listed again before the end is delivered.
//! 2. A child's first record is delivered after its parents' ends. Commits cover prefixes of the deliveries, so a
//!    child's progress is durable only in or after the commit that ends its parents.
//! 3. A shard that has ended is stored as ended (`Position::END`) and never read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pinflow_dataflows::ingest::StreamHint;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use super::backlog::StreamBacklog;
use super::clock::now_ms;
use super::config::KinesisStart;
use super::cursor::ShardCursor;
use super::errors;
use super::fan_out::StreamFanOut;
use super::partition_key_routing::PartitionKeys;
use super::retry_log::KinesisRetryLog;
use super::shard_buffer::ShardBuffer;
use super::shard_graph::ShardGraph;
use super::shard_reader::{KinesisContext, ShardEnd, ShardReader};
use super::shard_start::{self, ShardStart, StoredShards, start_of_shard};
use crate::{KinesisError, KinesisErrorKind, ShardInfo, StreamSummary};
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_connect::source::{Partition, SourceError, SourceEvent};
use pinflow_core::backoff::Backoff;
use pinflow_core::position::{PartitionId, PartitionProgress, Position};

/// How long Kinesis may be unreachable at startup. Later there is no limit.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);
/// Bounds of the pause before a call is retried.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Consecutive checks that must find a stream deleted or re-created before the run ends.
const MAX_CONSECUTIVE_FAILURES: u32 = 3;

/// What to read of a stream, and how.
pub(super) struct StreamPlan {
    pub(super) stream: Arc<str>,
    pub(super) stream_hint: StreamHint,
    /// The partition keys that route records, if the stream is shared.
    pub(super) routes: Option<Arc<PartitionKeys>>,
    pub(super) start: KinesisStart,
    pub(super) watch: Duration,
}

/// The reader of one stream.
pub(super) struct StreamReader {
    common: KinesisContext,
    plan: StreamPlan,
    summary: StreamSummary,
    retention_ms: Arc<AtomicU64>,
    fan_out: Arc<StreamFanOut>,
    graph: ShardGraph,
    backlog: StreamBacklog,
    /// Whether the end of the backlog was reported.
    is_backlog_reported: bool,
    /// Shards that are not read yet, by shard id.
    waiting: BTreeMap<String, ShardBuffer>,
    /// Time of the last listing. A shard that was not listed then holds no older records.
    listed_ms: u64,
    looked: Instant,
    retry_log: KinesisRetryLog,
    consecutive_failures: u32,
}

impl StreamReader {
    /// Finds the stream, verifies that it is the one that was read, and starts its shards.
    pub(super) async fn open(common: KinesisContext, plan: StreamPlan) -> Result<StreamReader, ReaderExit> {
        let name = plan.stream.to_string();
        let summary = retry_until_timeout(&name, || common.api.describe_summary(&name)).await;
        let known =
            common.context.stored_with_prefix("kinesis/").any(|(key, _)| split_key(key).is_some_and(|at| at.0 == name));
        let summary = summary.map_err(|error| match error.kind {
            KinesisErrorKind::Missing if known => errors::deleted_error(&name),
            KinesisErrorKind::Missing => SourceError::Unusable(format!(
                "stream {name} does not exist. Create it (`pinflow streams create`), or correct its name, the region or the \
                 endpoint"
            )),
            _ => SourceError::Unusable(format!("describe stream {name}: {error}{}", error.hint())),
        })?;
        let mut stream = StreamReader {
            retention_ms: Arc::new(AtomicU64::new(summary.retention_ms)),
            fan_out: Arc::new(StreamFanOut::new(Arc::clone(&plan.stream), common.consumer.is_some())),
            common,
            plan,
            summary,
            graph: ShardGraph::default(),
            backlog: StreamBacklog::default(),
            is_backlog_reported: false,
            waiting: BTreeMap::new(),
            listed_ms: 0,
            looked: Instant::now(),
            retry_log: KinesisRetryLog::default(),
            consecutive_failures: 0,
        };
        stream.check_same_stream()?;
        stream.register_consumer().await;
        stream.start_listed_shards().await?;
        Ok(stream)
    }

    /// Finds the enhanced fan-out consumer, and registers it if it does not exist.
    async fn register_consumer(&self) {
        let Some(name) = self.common.consumer.as_deref().filter(|_| self.fan_out.is_open()) else { return };
        match self.common.api.find_or_register_consumer(&self.summary.arn, name).await {
            Ok(consumer) => self.fan_out.set_consumer(consumer),
            // Registration takes some seconds.
            Err(error) => self
                .fan_out
                .note_rejected(&error, !matches!(error.kind, KinesisErrorKind::InUse | KinesisErrorKind::Broken)),
        }
    }

    fn key_prefix(&self) -> String {
        stream_key_prefix(&self.summary)
    }

    /// Rejects a stream whose rows would have the same `_source` as those of another stream in the tables.
    fn check_same_stream(&self) -> Result<(), SourceError> {
        let prefix = self.key_prefix();
        let of_name = |key: &str| {
            split_key(key).filter(|(name, _)| *name == &*self.plan.stream).map(|(_, stream)| stream.to_owned())
        };
        let mut others =
            self.common.context.stored_with_prefix("kinesis/").filter(|(key, _)| !key.starts_with(&prefix));
        match others.find_map(|(key, _)| of_name(key)) {
            None => Ok(()),
            Some(other) => Err(errors::different_stream_error(&self.plan.stream, &other, prefix.trim_end_matches('/'))),
        }
    }

    /// Starts the shards that exist at the start.
    async fn start_listed_shards(&mut self) -> Result<(), ReaderExit> {
        let name = Arc::clone(&self.plan.stream);
        let requested_ms = now_ms();
        let listed = retry_until_timeout(&name, || self.common.api.list_shards(&name)).await;
        let listed = listed.map_err(|error| {
            SourceError::Unusable(format!("list the shards of stream {name}: {error}{}", error.hint()))
        })?;
        self.fan_out.note_listed(&listed);
        let start = self.resolve_start();
        let prefix = self.key_prefix();
        let stored = self.common.context.stored_with_prefix(&prefix);
        let stored: StoredShards = stored.map(|(key, reached)| (key[prefix.len()..].to_owned(), reached)).collect();
        let mut discovered = Vec::new();
        for shard in &listed {
            let beginning = start_of_shard(shard, &listed, &stored, start, requested_ms);
            self.graph.add(shard, beginning == ShardStart::Ended);
            match beginning {
                ShardStart::Ended => {}
                ShardStart::Resumed(reached) => self.resume_shard(shard, reached).await?,
                ShardStart::Fresh(at) => discovered.push(self.add_new_shard(shard, at)),
            }
        }
        for (shard, reached) in shard_start::missing_shards(&listed, &stored) {
            self.handle_missing_shard(&shard, reached).await?;
        }
        if !discovered.is_empty() {
            self.common.context.send_async(SourceEvent::Discovered(discovered)).await?;
        }
        self.listed_ms = requested_ms;
        Ok(())
    }

    /// The configured start. `latest` is the current time by the service's clock: with a local clock that is ahead,
    /// records put in between would be skipped.
    fn resolve_start(&self) -> KinesisStart {
        let (service_ms, ahead_ms) = self.common.api.service_time();
        match self.plan.start {
            KinesisStart::Latest => {
                if ahead_ms > 0 {
                    let seconds = ahead_ms as f64 / 1e3;
                    let stream = &*self.plan.stream;
                    tracing::warn!(
                        stream,
                        seconds,
                        "this machine's clock is ahead of Kinesis; using the clock of Kinesis for the start"
                    );
                }
                let moment = i64::try_from(service_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
                moment.map_or(KinesisStart::Latest, KinesisStart::At)
            }
            start => start,
        }
    }

    async fn resume_shard(&mut self, shard: &ShardInfo, reached: PartitionProgress) -> Result<(), ReaderExit> {
        let (name, key) = self.shard_names(&shard.id);
        let partition = self.common.context.register_partition(&name, &key, self.plan.stream_hint, Some(reached));
        let id = partition.id;
        self.common.context.send_async(SourceEvent::Opened(partition)).await?;
        let buffer = self.shard_buffer(&shard.id, name, id, ShardCursor::resume(reached));
        self.waiting.insert(shard.id.clone(), buffer);
        Ok(())
    }

    fn add_new_shard(&mut self, shard: &ShardInfo, at: PartitionProgress) -> Partition {
        let (name, key) = self.shard_names(&shard.id);
        let partition = self.common.context.register_partition(&name, &key, self.plan.stream_hint, Some(at));
        let buffer = self.shard_buffer(&shard.id, name, partition.id, ShardCursor::start(at));
        self.waiting.insert(shard.id.clone(), buffer);
        partition
    }

    fn shard_buffer(&self, shard: &str, name: String, id: PartitionId, cursor: ShardCursor) -> ShardBuffer {
        ShardBuffer::new(shard, name, id, self.plan.routes.clone(), cursor)
    }

    fn shard_names(&self, shard: &str) -> (String, String) {
        (format!("kinesis/{}/{shard}", self.plan.stream), format!("{}{shard}", self.key_prefix()))
    }

    /// Handles a shard that no longer exists but was not read to its end.
    async fn handle_missing_shard(&self, shard: &str, reached: PartitionProgress) -> Result<(), ReaderExit> {
        let (name, key) = self.shard_names(shard);
        let (from, to) = (reached.next, Position::END);
        let Some(loss) = self.common.accepted.iter().find(|loss| loss.matches(&name, from, to)) else {
            return Err(ReaderExit::Failed(errors::lost_error(&name, from, to)));
        };
        loss.log_acceptance();
        let partition = self.common.context.register_partition(&name, &key, self.plan.stream_hint, Some(reached));
        let mut buffer = self.shard_buffer(shard, name, partition.id, ShardCursor::resume(reached));
        self.common.context.send_async(SourceEvent::Opened(partition)).await?;
        buffer.push_loss(loss);
        self.common.context.send_async(SourceEvent::Block(buffer.take_last_block())).await?;
        Ok(())
    }

    /// Reads until the run must end, or is to end because all that was there is read.
    pub(super) async fn read(mut self) -> Result<(), ReaderExit> {
        let mut readers: JoinSet<Result<ShardEnd, ReaderExit>> = JoinSet::new();
        let mut frontier = self.common.context.durable_frontier().subscribe();
        loop {
            // Before the frontier is read, so that an advance in between ends the wait below.
            frontier.mark_unchanged();
            self.start_ready(&mut readers);
            self.report_backlog().await?;
            // Shards that are not ready now follow one that was open when the run began, so their records are not part
            // of the backlog.
            if self.common.context.stops_when_caught_up() && readers.is_empty() && !self.waits_for_durable() {
                return Ok(());
            }
            let rest = self.plan.watch.saturating_sub(self.looked.elapsed());
            tokio::select! {
                Some(ended) = readers.join_next() => match joined_result(ended)? {
                    // Its children are added before it counts as read.
                    ShardEnd::Shard(buffer, _backlog) => self.end_shard(*buffer).await?,
                    ShardEnd::CaughtUp => {}
                },
                () = self.backlog.wait_for_change(), if !self.is_backlog_reported => {}
                Ok(()) = frontier.changed(), if self.waits_for_durable() => {}
                () = sleep(rest) => {}
            }
            if self.looked.elapsed() >= self.plan.watch {
                self.refresh_shards().await?;
            }
        }
    }

    /// Reports the end of the backlog once, if this is the last stream to read its own.
    async fn report_backlog(&mut self) -> Result<(), ReaderExit> {
        if self.is_backlog_reported || !self.backlog.is_read() || self.waits_for_durable() {
            return Ok(());
        }
        self.is_backlog_reported = true;
        if self.common.streams_behind.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.common.context.send_async(SourceEvent::BacklogRead).await?;
        }
        Ok(())
    }

    /// Whether a shard waits only for its start to become durable.
    fn waits_for_durable(&self) -> bool {
        self.graph.ready_shards().iter().any(|shard| self.waiting.contains_key(shard))
    }

    fn start_ready(&mut self, readers: &mut JoinSet<Result<ShardEnd, ReaderExit>>) {
        let ready = self.graph.ready_shards();
        if ready.is_empty() {
            return;
        }
        let durable: Vec<_> = {
            let frontier = self.common.context.durable_frontier().positions();
            let is_durable = |buffer: &ShardBuffer| buffer.cursor.is_stored() || frontier.contains_key(&buffer.id);
            ready.into_iter().filter(|shard| self.waiting.get(shard).is_some_and(is_durable)).collect()
        };
        for shard in durable {
            let Some(buffer) = self.waiting.remove(&shard) else { continue };
            self.graph.mark_reading(&shard);
            let stream = Arc::clone(&self.plan.stream);
            let (fan_out, retention_ms) = (Arc::clone(&self.fan_out), Arc::clone(&self.retention_ms));
            readers.spawn(
                ShardReader::new(self.common.clone(), stream, fan_out, buffer, retention_ms, self.backlog.add_shard())
                    .run(),
            );
        }
    }

    /// Ends a shard: adds its children, then delivers its end.
    async fn end_shard(&mut self, mut buffer: ShardBuffer) -> Result<(), ReaderExit> {
        let mut backoff = Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1);
        while !self.refresh_shards().await? {
            sleep(backoff.next_wait()).await;
        }
        self.common.context.send_async(SourceEvent::Block(buffer.take_last_block())).await?;
        self.common.context.send_async(SourceEvent::Ended(buffer.id)).await?;
        tracing::debug!("{} has ended", buffer.name);
        self.graph.mark_ended(&buffer.shard);
        Ok(())
    }

    /// Lists the shards, and checks that the stream is the same. Returns `false` if the stream could not be listed.
    async fn refresh_shards(&mut self) -> Result<bool, ReaderExit> {
        self.looked = Instant::now();
        let name = Arc::clone(&self.plan.stream);
        let requested_ms = now_ms();
        let seen = async {
            let summary = self.common.api.describe_summary(&name).await?;
            Ok::<_, KinesisError>((summary, self.common.api.list_shards(&name).await?))
        };
        let (summary, listed) = match seen.await {
            Ok(seen) => seen,
            Err(error) => {
                self.consecutive_failures = if error.is_retryable() { 0 } else { self.consecutive_failures + 1 };
                if self.consecutive_failures >= MAX_CONSECUTIVE_FAILURES || error.kind == KinesisErrorKind::Denied {
                    return Err(ReaderExit::Failed(match error.kind {
                        KinesisErrorKind::Missing => errors::deleted_error(&name),
                        _ => errors::call_error(&format!("kinesis/{name}"), &error),
                    }));
                }
                self.retry_log.log_failure(&format!("kinesis/{name}"), &error);
                return Ok(false);
            }
        };
        self.retry_log.log_recovery(&format!("kinesis/{name}"));
        self.consecutive_failures = 0;
        if stream_key_prefix(&summary) != self.key_prefix() {
            let (was, is) = (self.key_prefix(), stream_key_prefix(&summary));
            return Err(ReaderExit::Failed(errors::different_stream_error(
                &name,
                was.trim_end_matches('/'),
                is.trim_end_matches('/'),
            )));
        }
        self.retention_ms.store(summary.retention_ms, Ordering::Relaxed);
        self.fan_out.note_listed(&listed);
        self.register_consumer().await;
        self.add_shards(&listed).await?;
        self.listed_ms = requested_ms;
        Ok(true)
    }

    /// Adds new shards.
    async fn add_shards(&mut self, listed: &[ShardInfo]) -> Result<(), ReaderExit> {
        let mut discovered = Vec::new();
        let new = listed.iter().filter(|shard| !self.graph.contains(&shard.id));
        let is_known = |id: &String| self.graph.contains(id) || listed.iter().any(|shard| shard.id == *id);
        for (shard, reached) in shard_start::unknown_parents(new, is_known) {
            self.handle_missing_shard(&shard, reached).await?;
        }
        for shard in listed {
            if self.graph.add(shard, false) {
                // It holds no record that arrived before the last listing, which did not contain it.
                discovered.push(self.add_new_shard(shard, shard_start::oldest_record(self.listed_ms)));
            }
        }
        if !discovered.is_empty() {
            tracing::info!(stream = &*self.plan.stream, shards = discovered.len(), "shards were added to a stream");
            self.common.context.send_async(SourceEvent::Discovered(discovered)).await?;
        }
        Ok(())
    }
}

/// The key prefix of the positions of a stream's shards: the stream's ARN and creation time, because a re-created
/// stream can have the same name.
fn stream_key_prefix(summary: &StreamSummary) -> String {
    format!("kinesis/{}/{}/", summary.arn, summary.created_ms)
}

/// The stream name in the key of a position, and the part of the key that identifies the stream.
fn split_key(key: &str) -> Option<(&str, &str)> {
    // kinesis/arn:aws:kinesis:REGION:ACCOUNT:stream/NAME/CREATED/SHARD
    let (stream, _shard) = key.rsplit_once('/')?;
    let name = stream.split('/').nth(2)?;
    Some((name, stream))
}

/// Retries a call until it succeeds or [`STARTUP_TIMEOUT`] has passed.
async fn retry_until_timeout<T, A>(name: &str, ask: impl Fn() -> A) -> Result<T, KinesisError>
where
    A: Future<Output = Result<T, KinesisError>>,
{
    let deadline = Instant::now() + STARTUP_TIMEOUT;
    let mut backoff = Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1);
    loop {
        match ask().await {
            Ok(value) => return Ok(value),
            Err(error) if !error.is_retryable() || Instant::now() >= deadline => return Err(error),
            Err(error) => tracing::debug!("stream {name}: {error}"),
        }
        sleep(backoff.next_wait()).await;
    }
}

/// The result of a reader task. A panic is propagated.
fn joined_result(ended: Result<Result<ShardEnd, ReaderExit>, JoinError>) -> Result<ShardEnd, ReaderExit> {
    match ended {
        Ok(ended) => ended,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ReaderExit::Stopped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_key_identifies_stream() {
        let summary = StreamSummary {
            arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/posts.pin".to_owned(),
            created_ms: 1_700_000_000_000,
            retention_ms: 0,
            is_ready: true,
            open_shards: 1,
        };
        let key = format!("{}shardId-000000000007", stream_key_prefix(&summary));
        let stream = "kinesis/arn:aws:kinesis:eu-west-1:123456789012:stream/posts.pin/1700000000000";
        assert_eq!(split_key(&key), Some(("posts.pin", stream)));
        assert_eq!(split_key("kafka"), None);
    }
}
