//! Reads one shard from its cursor to its end, by polling or as a subscriber (`subscription`).
//!
//! A failed call never moves the cursor: a record counts as read only once the engine has accepted it, and the next iterator
//! starts at the last such record. While the engine accepts nothing, nothing is requested.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::backlog::ShardBacklog;
use super::clock::now_ms;
use super::cursor::{CheckedBatch, ContinuityError};
use super::errors;
use super::fan_out::{StreamFanOut, SubscriptionRetry};
use super::rate_limit::ShardRateLimit;
use super::retry_log::KinesisRetryLog;
use super::shard_buffer::ShardBuffer;
use crate::{KinesisApi, KinesisError, KinesisErrorKind, ShardBatch};
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_connect::source::{AcceptedLoss, SourceContext, SourceError, SourceEvent};
use pinflow_core::backoff::Backoff;
use pinflow_core::position::Position;

/// Maximum number of records per call, the limit of Kinesis. A batch also has at most 10 MiB.
const MAX_RECORDS_PER_CALL: i32 = 10_000;
/// Bounds of the pause before a call is retried.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// Consecutive permanent errors before the run ends. A service that has just changed a stream may contradict itself
/// briefly.
const MAX_CONSECUTIVE_FAILURES: u32 = 4;
/// How often the read time of an idle shard is stored. It decides whether records can have expired during a pause.
const IDLE_POSITION_INTERVAL: Duration = Duration::from_secs(600);

/// The state shared by the readers of a source.
#[derive(Clone)]
pub(super) struct KinesisContext {
    pub(super) api: Arc<KinesisApi>,
    pub(super) context: SourceContext,
    /// Limits the batches that are in memory at once.
    pub(super) batch_permits: Arc<Semaphore>,
    pub(super) accepted: Arc<[AcceptedLoss]>,
    /// The name of the enhanced fan-out consumer.
    pub(super) consumer: Option<Arc<str>>,
    /// Number of streams whose backlog is not yet read.
    pub(super) streams_behind: Arc<AtomicUsize>,
    pub(super) idle: Duration,
    pub(super) calls_per_sec_max: u64,
}

/// The reader of one shard.
pub(super) struct ShardReader {
    pub(super) common: KinesisContext,
    pub(super) stream: Arc<str>,
    pub(super) buffer: ShardBuffer,
    pub(super) fan_out: Arc<StreamFanOut>,
    pub(super) subscriptions: SubscriptionRetry,
    /// The retention period of the stream, in milliseconds.
    retention_ms: Arc<AtomicU64>,
    rate_limit: ShardRateLimit,
    backoff: Backoff,
    retry_log: KinesisRetryLog,
    consecutive_failures: u32,
    pub(super) iterator: Option<String>,
    /// An accepted loss that is still to be recorded, because the position after it is not yet known.
    lost: Option<AcceptedLoss>,
    /// Whether the engine knows that nothing more is there.
    is_idle_reported: bool,
    /// Counts the shard as having a backlog until it is read.
    pub(super) backlog: Option<ShardBacklog>,
    marked: Instant,
}

/// Why the reader of a shard ended.
pub(super) enum ShardEnd {
    /// The shard has no more records. The last collected messages are still to be sent.
    Shard(Box<ShardBuffer>, Option<ShardBacklog>),
    /// The backlog is read, and the run ends with it.
    CaughtUp,
}

impl ShardReader {
    pub(super) fn new(
        common: KinesisContext,
        stream: Arc<str>,
        fan_out: Arc<StreamFanOut>,
        buffer: ShardBuffer,
        retention_ms: Arc<AtomicU64>,
        backlog: ShardBacklog,
    ) -> ShardReader {
        ShardReader {
            subscriptions: SubscriptionRetry::new(),
            fan_out,
            rate_limit: ShardRateLimit::new(common.idle, common.calls_per_sec_max),
            backoff: Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1),
            retry_log: KinesisRetryLog::default(),
            consecutive_failures: 0,
            iterator: None,
            lost: None,
            is_idle_reported: false,
            backlog: Some(backlog),
            marked: Instant::now(),
            common,
            stream,
            buffer,
            retention_ms,
        }
    }

    /// Reads until the end of the shard, or until the backlog is read if the run ends with it.
    pub(super) async fn run(mut self) -> Result<ShardEnd, ReaderExit> {
        let batch_permits = Arc::clone(&self.common.batch_permits);
        if !self.wait_for_start().await? {
            return Ok(ShardEnd::CaughtUp);
        }
        loop {
            if self.read_subscribed().await? {
                return Ok(ShardEnd::Shard(Box::new(self.buffer), self.backlog));
            }
            // Waits while other shards fill the memory limit: the engine is slow.
            let permit = batch_permits.acquire().await.map_err(|_| ReaderExit::Stopped)?;
            let error = match self.fetch_batch().await {
                Ok(Some((batch, requested_ms))) => {
                    self.note_success(&batch);
                    if self.deliver_batch(batch, requested_ms).await? {
                        return Ok(ShardEnd::Shard(Box::new(self.buffer), self.backlog));
                    }
                    if self.has_caught_up() {
                        return Ok(ShardEnd::CaughtUp);
                    }
                    None
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            drop(permit);
            let wait = match error {
                Some(error) => self.note_failure(&error)?,
                None => self.rate_limit.delay(Instant::now()).min(self.subscribe_check_interval()),
            };
            sleep(wait).await;
        }
    }

    /// Whether the run ends with the backlog and this shard's is read. A closed shard is read to its end instead,
    /// because children may follow.
    fn has_caught_up(&self) -> bool {
        self.common.context.stops_when_caught_up()
            && self.is_idle_reported
            && !self.fan_out.is_closed(&self.buffer.shard)
    }

    /// Requests records. Returns `None` if only an iterator was requested and the rate limit requires a pause.
    async fn fetch_batch(&mut self) -> Result<Option<(ShardBatch, u64)>, KinesisError> {
        if self.buffer.cursor.is_stale(now_ms(), self.retention_ms()) {
            self.iterator = None;
        }
        if self.iterator.is_none() {
            let begin = self.buffer.cursor.iterator_start();
            self.iterator = Some(self.common.api.shard_iterator(&self.stream, &self.buffer.shard, &begin).await?);
        }
        let Some(iterator) = self.iterator.as_deref().filter(|_| self.rate_limit.delay(Instant::now()).is_zero())
        else {
            return Ok(None);
        };
        let requested_ms = now_ms();
        self.rate_limit.note_call(Instant::now());
        Ok(Some((self.common.api.get_records(iterator, MAX_RECORDS_PER_CALL).await?, requested_ms)))
    }

    pub(super) fn retention_ms(&self) -> u64 {
        self.retention_ms.load(Ordering::Relaxed)
    }

    pub(super) fn note_success(&mut self, batch: &ShardBatch) {
        self.retry_log.log_recovery(&self.buffer.name);
        self.backoff.reset();
        self.consecutive_failures = 0;
        self.rate_limit.note_batch(batch.behind_ms, batch.records.len());
    }

    /// Handles a failed call. Returns how long to wait before the next one.
    fn note_failure(&mut self, error: &KinesisError) -> Result<Duration, ReaderExit> {
        match error.kind {
            // The iterator is still valid.
            KinesisErrorKind::Throttled => self.rate_limit.note_throttled(Instant::now()),
            _ => self.iterator = None,
        }
        self.consecutive_failures = if error.is_retryable() { 0 } else { self.consecutive_failures + 1 };
        if error.kind == KinesisErrorKind::Denied || self.consecutive_failures >= MAX_CONSECUTIVE_FAILURES {
            return Err(ReaderExit::Failed(errors::call_error(&self.buffer.name, error)));
        }
        self.retry_log.log_failure(&self.buffer.name, error);
        Ok(self.backoff.next_wait().max(self.rate_limit.delay(Instant::now())))
    }

    /// Delivers a batch that was requested at `requested_ms`. Returns whether it was the last of the shard.
    pub(super) async fn deliver_batch(&mut self, mut batch: ShardBatch, requested_ms: u64) -> Result<bool, ReaderExit> {
        let CheckedBatch { old, positions } = self.check_batch(&batch, requested_ms)?;
        let records = std::mem::take(&mut batch.records);
        let mut newest = None;
        for (record, position) in records.iter().zip(positions).skip(old) {
            self.report_gap(position);
            newest = Some((position, record));
            if self.buffer.collect(position, record) {
                self.buffer.cursor.advance(position, record);
                let block = self.buffer.take_block(None);
                self.common.context.send_async(SourceEvent::Block(block)).await?;
                self.is_idle_reported = false;
            }
        }
        if let Some((position, record)) = newest {
            self.buffer.cursor.advance(position, record);
        }
        drop(records);
        self.buffer.cursor.note_caught_up(&batch, requested_ms);
        if batch.next.is_none() {
            if let Some(lost) = self.lost.take() {
                self.buffer.push_loss(&lost);
            }
            return Ok(true);
        }
        self.iterator = batch.next;
        let idle = batch.behind_ms == Some(0);
        let is_news = idle != self.is_idle_reported || self.marked.elapsed() >= IDLE_POSITION_INTERVAL;
        if !self.buffer.is_empty() || is_news {
            self.is_idle_reported = idle;
            self.marked = Instant::now();
            let block = self.buffer.take_block(batch.behind_ms);
            self.common.context.send_async(SourceEvent::Block(block)).await?;
        }
        if idle {
            self.backlog = None;
        }
        Ok(false)
    }

    fn check_batch(&mut self, batch: &ShardBatch, requested_ms: u64) -> Result<CheckedBatch, ReaderExit> {
        let retention_ms = self.retention_ms();
        match self.buffer.cursor.check_batch(batch, requested_ms, retention_ms) {
            Ok(checked) => Ok(checked),
            Err(ContinuityError::Gap { from, to }) => {
                self.accept_loss(from, to)?;
                // Checked again, now that the loss is accepted.
                let checked = self.buffer.cursor.check_batch(batch, requested_ms, retention_ms);
                checked.map_err(|error| errors::continuity_error(&self.buffer.name, &error).into())
            }
            Err(error) => Err(errors::continuity_error(&self.buffer.name, &error).into()),
        }
    }

    /// Continues without expired records if their loss was accepted.
    fn accept_loss(&mut self, from: Position, to: Position) -> Result<(), SourceError> {
        let name = &self.buffer.name;
        let Some(loss) = self.common.accepted.iter().find(|loss| loss.matches(name, from, to)) else {
            return Err(errors::lost_error(name, from, to));
        };
        loss.log_acceptance();
        self.lost = Some(loss.clone());
        self.buffer.cursor.mark_verified();
        Ok(())
    }

    /// Adds the placeholder of a loss before the next record.
    fn report_gap(&mut self, next: Position) {
        if let Some(loss) = self.lost.take_if(|loss| loss.from < next) {
            self.buffer.push_loss(&AcceptedLoss { to: next.before(), ..loss });
        }
        self.lost = None;
    }
}
