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

/// Records of one answer: as many as Kinesis gives at the most. It has 10 MiB at the most, too.
const MAX_RECORDS_PER_CALL: i32 = 10_000;
/// Bounds of the wait before a call is made again.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// A fault that no waiting should mend must be met this often in a row: a service that has just changed a stream may
/// contradict itself for a moment.
const MAX_CONSECUTIVE_FAILURES: u32 = 4;
/// How often it is made durable that nothing has come: what is lost during a pause is judged by it.
const IDLE_POSITION_INTERVAL: Duration = Duration::from_secs(600);

/// What the readers of a source have in common.
#[derive(Clone)]
pub(super) struct KinesisContext {
    pub(super) api: Arc<KinesisApi>,
    pub(super) context: SourceContext,
    /// Answers that may be in memory at once.
    pub(super) answers: Arc<Semaphore>,
    pub(super) accepted: Arc<[AcceptedLoss]>,
    /// The name of the consumer to which records are to be pushed.
    pub(super) consumer: Option<Arc<str>>,
    /// Streams of the source of which something is still to be read that was there at the start.
    pub(super) streams_behind: Arc<AtomicUsize>,
    pub(super) idle: Duration,
    pub(super) calls_per_sec_max: u64,
}

/// One shard being read.
pub(super) struct ShardReader {
    pub(super) common: KinesisContext,
    pub(super) stream: Arc<str>,
    pub(super) buffer: ShardBuffer,
    pub(super) fan_out: Arc<StreamFanOut>,
    pub(super) subscriptions: SubscriptionRetry,
    /// How long the stream keeps records, milliseconds.
    retention_ms: Arc<AtomicU64>,
    rate_limit: ShardRateLimit,
    backoff: Backoff,
    retry_log: KinesisRetryLog,
    consecutive_failures: u32,
    pub(super) iterator: Option<String>,
    /// What is gone without a next record to end the gap: it is told before that record.
    lost: Option<AcceptedLoss>,
    /// Whether the engine knows that nothing more is there.
    is_idle_reported: bool,
    /// Until everything is read that was there when reading began.
    pub(super) backlog: Option<ShardBacklog>,
    marked: Instant,
}

/// Why a shard is read no more.
pub(super) enum ShardEnd {
    /// It has no more, and never will. What is collected in the lane is still to be handed over.
    Shard(Box<ShardBuffer>, Option<ShardBacklog>),
    /// Everything that was there is read, and no more is wanted.
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

    /// Reads until the shard has no more, or nothing more is wanted of it.
    pub(super) async fn run(mut self) -> Result<ShardEnd, ReaderExit> {
        let answers = Arc::clone(&self.common.answers);
        if !self.wait_for_start().await? {
            return Ok(ShardEnd::CaughtUp);
        }
        loop {
            if self.read_subscribed().await? {
                return Ok(ShardEnd::Shard(Box::new(self.buffer), self.backlog));
            }
            // Waits while others hold too much in memory: the engine is slow.
            let room = answers.acquire().await.map_err(|_| ReaderExit::Stopped)?;
            let fault = match self.fetch_batch().await {
                Ok(Some((answer, asked_ms))) => {
                    self.note_success(&answer);
                    if self.deliver_batch(answer, asked_ms).await? {
                        return Ok(ShardEnd::Shard(Box::new(self.buffer), self.backlog));
                    }
                    if self.has_caught_up() {
                        return Ok(ShardEnd::CaughtUp);
                    }
                    None
                }
                Ok(None) => None,
                Err(fault) => Some(fault),
            };
            drop(room);
            let wait = match fault {
                Some(fault) => self.note_failure(&fault)?,
                None => self.rate_limit.delay(Instant::now()).min(self.subscribe_check_interval()),
            };
            sleep(wait).await;
        }
    }

    /// Whether the run ends with what is there, and all of this shard is read. One that takes no more has an end, and
    /// others may follow it.
    fn has_caught_up(&self) -> bool {
        self.common.context.stops_when_caught_up()
            && self.is_idle_reported
            && !self.fan_out.is_closed(&self.buffer.shard)
    }

    /// Asks for records; `None` if only an iterator was asked for, and it is too soon for more.
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
        let asked_ms = now_ms();
        self.rate_limit.note_call(Instant::now());
        Ok(Some((self.common.api.get_records(iterator, MAX_RECORDS_PER_CALL).await?, asked_ms)))
    }

    pub(super) fn retention_ms(&self) -> u64 {
        self.retention_ms.load(Ordering::Relaxed)
    }

    pub(super) fn note_success(&mut self, answer: &ShardBatch) {
        self.retry_log.log_recovery(&self.buffer.name);
        self.backoff.reset();
        self.consecutive_failures = 0;
        self.rate_limit.note_batch(answer.behind_ms, answer.records.len());
    }

    /// What a failed call means: how long to wait before the next.
    fn note_failure(&mut self, fault: &KinesisError) -> Result<Duration, ReaderExit> {
        match fault.kind {
            // The iterator is as good as before.
            KinesisErrorKind::Throttled => self.rate_limit.note_throttled(Instant::now()),
            _ => self.iterator = None,
        }
        self.consecutive_failures = if fault.is_retryable() { 0 } else { self.consecutive_failures + 1 };
        if fault.kind == KinesisErrorKind::Denied || self.consecutive_failures >= MAX_CONSECUTIVE_FAILURES {
            return Err(ReaderExit::Failed(errors::call_error(&self.buffer.name, fault)));
        }
        self.retry_log.log_failure(&self.buffer.name, fault);
        Ok(self.backoff.next_wait().max(self.rate_limit.delay(Instant::now())))
    }

    /// Hands an answer to the engine, asked for at `asked_ms`; whether it was the shard's last.
    pub(super) async fn deliver_batch(&mut self, mut answer: ShardBatch, asked_ms: u64) -> Result<bool, ReaderExit> {
        let CheckedBatch { old, positions } = self.check_batch(&answer, asked_ms)?;
        let records = std::mem::take(&mut answer.records);
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
        self.buffer.cursor.note_caught_up(&answer, asked_ms);
        if answer.next.is_none() {
            if let Some(lost) = self.lost.take() {
                self.buffer.push_loss(&lost);
            }
            return Ok(true);
        }
        self.iterator = answer.next;
        let idle = answer.behind_ms == Some(0);
        let is_news = idle != self.is_idle_reported || self.marked.elapsed() >= IDLE_POSITION_INTERVAL;
        if !self.buffer.is_empty() || is_news {
            self.is_idle_reported = idle;
            self.marked = Instant::now();
            let block = self.buffer.take_block(answer.behind_ms);
            self.common.context.send_async(SourceEvent::Block(block)).await?;
        }
        if idle {
            self.backlog = None;
        }
        Ok(false)
    }

    fn check_batch(&mut self, answer: &ShardBatch, asked_ms: u64) -> Result<CheckedBatch, ReaderExit> {
        let retention_ms = self.retention_ms();
        match self.buffer.cursor.check_batch(answer, asked_ms, retention_ms) {
            Ok(admitted) => Ok(admitted),
            Err(ContinuityError::Gap { from, to }) => {
                self.accept_loss(from, to)?;
                // It is proved now, as far as it can be.
                let admitted = self.buffer.cursor.check_batch(answer, asked_ms, retention_ms);
                admitted.map_err(|breach| errors::continuity_error(&self.buffer.name, &breach).into())
            }
            Err(breach) => Err(errors::continuity_error(&self.buffer.name, &breach).into()),
        }
    }

    /// Goes on without records that are gone, if that was accepted.
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

    /// Tells of a gap before the record behind it.
    fn report_gap(&mut self, next: Position) {
        if let Some(loss) = self.lost.take_if(|loss| loss.from < next) {
            self.buffer.push_loss(&AcceptedLoss { to: next.before(), ..loss });
        }
        self.lost = None;
    }
}
