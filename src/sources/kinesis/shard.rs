//! Reads one shard, by polling or as a subscriber (`pushed`), from where its cursor stands to the shard's end.
//!
//! A call that failed never moves anything: records count as taken only once the engine has taken them, and the next
//! iterator begins at the last of those. While the engine takes nothing, nothing is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::backlog::ShardBacklog;
use super::clock::now_ms;
use super::cursor::{Admitted, Breach};
use super::fan_out::{FanOut, Subscriptions};
use super::fate;
use super::lane::Lane;
use super::pace::Pace;
use super::trouble::Trouble;
use crate::backoff::Backoff;
use crate::kinesis::{Answer, Api, Fault, Kind};
use crate::position::Position;
use crate::sources::thread::Halt;
use crate::sources::{AcceptedLoss, Event, Feed, SourceError};

/// Records of one answer: as many as Kinesis gives at the most. It has 10 MiB at the most, too.
const RECORDS_MAX: i32 = 10_000;
/// Bounds of the wait before a call is made again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// A fault that no waiting should mend must be met this often in a row: a service that has just changed a stream may
/// contradict itself for a moment.
const STRIKES: u32 = 4;
/// How often it is made durable that nothing has come: what is lost during a pause is judged by it.
const MARK_EVERY: Duration = Duration::from_secs(600);

/// What the readers of a source have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) api: Arc<Api>,
    pub(super) feed: Feed,
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
pub(super) struct Reader {
    pub(super) common: Common,
    pub(super) stream: Arc<str>,
    pub(super) lane: Lane,
    pub(super) fan_out: Arc<FanOut>,
    pub(super) subscriptions: Subscriptions,
    /// How long the stream keeps records, milliseconds.
    retention_ms: Arc<AtomicU64>,
    pace: Pace,
    backoff: Backoff,
    trouble: Trouble,
    strikes: u32,
    pub(super) iterator: Option<String>,
    /// What is gone without a next record to end the gap: it is told before that record.
    lost: Option<AcceptedLoss>,
    /// Whether the engine knows that nothing more is there.
    told_idle: bool,
    /// Until everything is read that was there when reading began.
    pub(super) backlog: Option<ShardBacklog>,
    marked: Instant,
}

/// Why a shard is read no more.
pub(super) enum Ended {
    /// It has no more, and never will. What is collected in the lane is still to be handed over.
    Shard(Box<Lane>, Option<ShardBacklog>),
    /// Everything that was there is read, and no more is wanted.
    CaughtUp,
}

impl Reader {
    pub(super) fn new(
        common: Common,
        stream: Arc<str>,
        fan_out: Arc<FanOut>,
        lane: Lane,
        retention_ms: Arc<AtomicU64>,
        backlog: ShardBacklog,
    ) -> Reader {
        Reader {
            subscriptions: Subscriptions::new(),
            fan_out,
            pace: Pace::new(common.idle, common.calls_per_sec_max),
            backoff: Backoff::new(AGAIN.0, AGAIN.1),
            trouble: Trouble::default(),
            strikes: 0,
            iterator: None,
            lost: None,
            told_idle: false,
            backlog: Some(backlog),
            marked: Instant::now(),
            common,
            stream,
            lane,
            retention_ms,
        }
    }

    /// Reads until the shard has no more, or nothing more is wanted of it.
    pub(super) async fn run(mut self) -> Result<Ended, Halt> {
        let answers = Arc::clone(&self.common.answers);
        if !self.wait_for_start().await? {
            return Ok(Ended::CaughtUp);
        }
        loop {
            if self.subscribed().await? {
                return Ok(Ended::Shard(Box::new(self.lane), self.backlog));
            }
            // Waits while others hold too much in memory: the engine is slow.
            let room = answers.acquire().await.map_err(|_| Halt::Stopped)?;
            let fault = match self.call().await {
                Ok(Some((answer, asked_ms))) => {
                    self.well(&answer);
                    if self.take(answer, asked_ms).await? {
                        return Ok(Ended::Shard(Box::new(self.lane), self.backlog));
                    }
                    if self.has_caught_up() {
                        return Ok(Ended::CaughtUp);
                    }
                    None
                }
                Ok(None) => None,
                Err(fault) => Some(fault),
            };
            drop(room);
            let wait = match fault {
                Some(fault) => self.failed(&fault)?,
                None => self.pace.wait(Instant::now()).min(self.until_subscribed()),
            };
            sleep(wait).await;
        }
    }

    /// Whether the run ends with what is there, and all of this shard is read. One that takes no more has an end, and
    /// others may follow it.
    fn has_caught_up(&self) -> bool {
        self.common.feed.ends_caught_up() && self.told_idle && !self.fan_out.is_closed(&self.lane.shard)
    }

    /// Asks for records; `None` if only an iterator was asked for, and it is too soon for more.
    async fn call(&mut self) -> Result<Option<(Answer, u64)>, Fault> {
        if self.lane.cursor.is_stale(now_ms(), self.retention()) {
            self.iterator = None;
        }
        if self.iterator.is_none() {
            let begin = self.lane.cursor.begin();
            self.iterator = Some(self.common.api.iterator(&self.stream, &self.lane.shard, &begin).await?);
        }
        let Some(iterator) = self.iterator.as_deref().filter(|_| self.pace.wait(Instant::now()).is_zero()) else {
            return Ok(None);
        };
        let asked_ms = now_ms();
        self.pace.called(Instant::now());
        Ok(Some((self.common.api.records(iterator, RECORDS_MAX).await?, asked_ms)))
    }

    pub(super) fn retention(&self) -> u64 {
        self.retention_ms.load(Ordering::Relaxed)
    }

    pub(super) fn well(&mut self, answer: &Answer) {
        self.trouble.over(&self.lane.name);
        self.backoff.reset();
        self.strikes = 0;
        self.pace.answered(answer.behind_ms, answer.records.len());
    }

    /// What a failed call means: how long to wait before the next.
    fn failed(&mut self, fault: &Fault) -> Result<Duration, Halt> {
        match fault.kind {
            // The iterator is as good as before.
            Kind::Throttled => self.pace.refused(Instant::now()),
            _ => self.iterator = None,
        }
        self.strikes = if fault.may_pass() { 0 } else { self.strikes + 1 };
        if fault.kind == Kind::Denied || self.strikes >= STRIKES {
            return Err(Halt::Failed(fate::of_fault(&self.lane.name, fault)));
        }
        self.trouble.met(&self.lane.name, fault);
        Ok(self.backoff.wait().max(self.pace.wait(Instant::now())))
    }

    /// Hands an answer to the engine, asked for at `asked_ms`; whether it was the shard's last.
    pub(super) async fn take(&mut self, mut answer: Answer, asked_ms: u64) -> Result<bool, Halt> {
        let Admitted { old, positions } = self.admit(&answer, asked_ms)?;
        let records = std::mem::take(&mut answer.records);
        let mut newest = None;
        for (record, position) in records.iter().zip(positions).skip(old) {
            self.end_gap(position);
            newest = Some((position, record));
            if self.lane.collect(position, record) {
                self.lane.cursor.take(position, record);
                let block = self.lane.block(None);
                self.common.feed.deliver(Event::Block(block)).await?;
                self.told_idle = false;
            }
        }
        if let Some((position, record)) = newest {
            self.lane.cursor.take(position, record);
        }
        drop(records);
        self.lane.cursor.caught(&answer, asked_ms);
        if answer.next.is_none() {
            if let Some(lost) = self.lost.take() {
                self.lane.lose(&lost);
            }
            return Ok(true);
        }
        self.iterator = answer.next;
        let idle = answer.behind_ms == Some(0);
        let is_news = idle != self.told_idle || self.marked.elapsed() >= MARK_EVERY;
        if !self.lane.is_empty() || is_news {
            self.told_idle = idle;
            self.marked = Instant::now();
            let block = self.lane.block(answer.behind_ms);
            self.common.feed.deliver(Event::Block(block)).await?;
        }
        if idle {
            self.backlog = None;
        }
        Ok(false)
    }

    fn admit(&mut self, answer: &Answer, asked_ms: u64) -> Result<Admitted, Halt> {
        let retention_ms = self.retention();
        match self.lane.cursor.admit(answer, asked_ms, retention_ms) {
            Ok(admitted) => Ok(admitted),
            Err(Breach::Gap { from, to }) => {
                self.accept(from, to)?;
                // It is proved now, as far as it can be.
                let admitted = self.lane.cursor.admit(answer, asked_ms, retention_ms);
                admitted.map_err(|breach| fate::of_breach(&self.lane.name, &breach).into())
            }
            Err(breach) => Err(fate::of_breach(&self.lane.name, &breach).into()),
        }
    }

    /// Goes on without records that are gone, if that was accepted.
    fn accept(&mut self, from: Position, to: Position) -> Result<(), SourceError> {
        let name = &self.lane.name;
        let Some(loss) = self.common.accepted.iter().find(|loss| loss.is(name, from, to)) else {
            return Err(fate::lost(name, from, to));
        };
        loss.say();
        self.lost = Some(loss.clone());
        self.lane.cursor.proved();
        Ok(())
    }

    /// Tells of a gap before the record behind it.
    fn end_gap(&mut self, next: Position) {
        if let Some(loss) = self.lost.take_if(|loss| loss.from < next) {
            self.lane.lose(&AcceptedLoss { to: next.before(), ..loss });
        }
        self.lost = None;
    }
}
