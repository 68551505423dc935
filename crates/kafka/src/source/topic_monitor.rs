//! Checks the topics while they are read: partitions that were added, topics that were deleted or re-created.
//!
//! The client reports nothing when a topic is deleted and re-created with more records than were read: it goes on fetching
//! at its offset, from the new topic (a FIXME in librdkafka 2.12.1, `rdkafka_topic.c`). The topic id would show it, but
//! rdkafka does not expose it. So each check reads some records again and compares fingerprints. Each partition keeps the
//! fingerprint from its previous check, never a newer one, so the compared record was read before an unseen change.
//! A re-created topic differs in all its partitions, so a few partitions of each topic are enough for one check.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::KafkaConsumer;
use super::consumer_context::SourceConsumerContext;
use super::fingerprint::RecordFingerprint;
use super::offset_check::{OffsetCheck, OffsetRange, check_offset};
use super::partition::PartitionReader;
use super::startup::{
    StartedTopic, deleted_error, fewer_partitions_error, new_partition, partition_names, past_end_error,
    reads_partition, verify_fingerprint,
};
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_connect::source::{Partition, ReadShare, SourceContext, SourceError};

/// Interval between checks for a stop. Callbacks and token requests run at the same interval.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Consecutive failed checks before the run ends. A broker that has just started, or a new leader, may report outdated
/// state.
const MAX_CONSECUTIVE_FAILURES: u32 = 3;
/// Pause before the next check after a failed one.
const RECHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Number of partitions of a topic whose fingerprint is verified in one check.
const FINGERPRINTS_PER_CHECK: usize = 4;

/// How far each partition was delivered to the engine.
pub(super) type DeliveredPositions = Arc<Mutex<BTreeMap<(Arc<str>, i32), DeliveredPosition>>>;

/// How far one partition was delivered to the engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeliveredPosition {
    pub(super) next: u64,
    /// The first delivered record, or the last one of the previous run. Only this one reveals a topic that is
    /// re-created before the first check.
    pub(super) first: Option<RecordFingerprint>,
    /// The latest delivered record.
    pub(super) last: Option<RecordFingerprint>,
}

impl DeliveredPosition {
    /// The state before the first delivery.
    pub(super) fn starting_at(next: u64, anchor: Option<RecordFingerprint>) -> DeliveredPosition {
        DeliveredPosition { next, first: anchor, last: anchor }
    }

    /// Records a delivery.
    pub(super) fn move_on(&mut self, next: u64, anchor: Option<RecordFingerprint>) {
        *self = DeliveredPosition { next, first: self.first.or(anchor), last: anchor };
    }
}

/// What the monitor reports to the reader.
pub(super) enum MonitorEvent {
    /// Partitions were added. They are read from their oldest record, because none of their records was read before.
    Added {
        /// The partitions as the engine receives them.
        partitions: Vec<Partition>,
        /// The readers of the same partitions.
        fresh: Vec<PartitionReader>,
    },
    /// Access to a topic was denied, or is granted again.
    Access {
        /// The name of the topic.
        topic: Arc<str>,
        /// The reason and what to do; `None` if access is granted again.
        cause: Option<String>,
    },
    /// The run must end.
    Failed(SourceError),
}

/// The state of the monitor thread.
pub(super) struct TopicMonitor {
    pub(super) context: SourceContext,
    pub(super) reading: KafkaConsumer,
    /// The context of the reader. End offsets found by the monitor are stored there.
    pub(super) listener: SourceConsumerContext,
    pub(super) cluster_id: String,
    pub(super) topics: Vec<StartedTopic>,
    pub(super) progress: DeliveredPositions,
    pub(super) events: Sender<MonitorEvent>,
    /// Requests an immediate check. Disconnected once the reader ends.
    pub(super) check_requests: Receiver<()>,
    pub(super) every: Duration,
    /// Topics to which access is denied at the moment.
    pub(super) denied: BTreeSet<Arc<str>>,
    /// The partitions that this process reads.
    pub(super) share: ReadShare,
}

/// The result of one check.
enum MonitorResult {
    /// No problem was found.
    Ok,
    /// A problem that may be temporary.
    Suspect(SourceError),
}

impl TopicMonitor {
    /// Checks the topics until the run stops or must end.
    pub(super) fn run(mut self) -> Result<(), ReaderExit> {
        let mut kept = BTreeMap::new();
        let mut consecutive_failures = 0;
        let mut due = Instant::now() + self.every;
        let mut turn = 0;
        loop {
            if self.context.is_stopping() {
                return Err(ReaderExit::Stopped);
            }
            let pause = due.saturating_duration_since(Instant::now()).min(STOP_POLL_INTERVAL);
            match self.check_requests.recv_timeout(pause) {
                Ok(()) => due = Instant::now(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            // Nothing is assigned: the poll only runs callbacks, such as token requests.
            let _ = self.reading.consumer.poll(Duration::ZERO);
            if Instant::now() < due {
                continue;
            }
            match self.check_topics(&mut kept, turn) {
                Ok(MonitorResult::Ok) => {
                    consecutive_failures = 0;
                    due = Instant::now() + self.every;
                }
                Ok(MonitorResult::Suspect(error)) => {
                    consecutive_failures += 1;
                    if consecutive_failures >= MAX_CONSECUTIVE_FAILURES {
                        return self.report_failure(error);
                    }
                    tracing::debug!("check failed ({consecutive_failures} of {MAX_CONSECUTIVE_FAILURES}): {error}");
                    due = Instant::now() + RECHECK_INTERVAL.min(self.every);
                }
                Err(MonitorError::Unreachable(error)) => {
                    // The context has logged the reason.
                    tracing::debug!("the topics were not checked: {error}");
                    due = Instant::now() + self.every;
                }
                Err(MonitorError::ReaderExit(ReaderExit::Failed(error))) => return self.report_failure(error),
                Err(MonitorError::ReaderExit(exit)) => return Err(exit),
            }
            turn += 1;
        }
    }

    /// Sends the failure through the reader, after the records that it still has to deliver. Only the reader waits for
    /// the engine.
    fn report_failure(&self, error: SourceError) -> Result<(), ReaderExit> {
        self.events.send(MonitorEvent::Failed(error)).map_err(|_| ReaderExit::Stopped)
    }

    fn delivered_positions(&self) -> BTreeMap<(Arc<str>, i32), DeliveredPosition> {
        self.progress.lock().clone()
    }

    fn check_topics(
        &mut self,
        kept: &mut BTreeMap<(Arc<str>, i32), RecordFingerprint>,
        turn: usize,
    ) -> Result<MonitorResult, MonitorError> {
        let mut suspect = None;
        for at in 0..self.topics.len() {
            match self.check_topic(at, kept, turn) {
                Ok(problem) => {
                    self.report_access(at, None)?;
                    suspect = suspect.or(problem);
                }
                Err(MonitorError::Unreachable(error)) if is_access_denied(&error) => {
                    self.report_access(at, Some(&error))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(suspect.map_or(MonitorResult::Ok, MonitorResult::Suspect))
    }

    /// Logs and reports once that access to a topic is denied, and once that it is granted again.
    fn report_access(&mut self, at: usize, denied: Option<&KafkaError>) -> Result<(), MonitorError> {
        let topic = Arc::clone(&self.topics[at].name);
        let cause = denied.map(|error| {
            format!("access is denied ({error}). Grant Describe and Read on Topic {topic} to this client again")
        });
        match &cause {
            Some(cause) if self.denied.insert(Arc::clone(&topic)) => {
                tracing::warn!(
                    topic = &*topic,
                    cause,
                    "access to a topic is denied; reading resumes where it stopped once access is granted"
                );
            }
            None if self.denied.remove(&topic) => tracing::info!(topic = &*topic, "a topic can be read again"),
            _ => return Ok(()),
        }
        self.events
            .send(MonitorEvent::Access { topic, cause })
            .map_err(|_| MonitorError::ReaderExit(ReaderExit::Stopped))
    }

    /// Checks one topic. Returns the problem that was found.
    fn check_topic(
        &mut self,
        at: usize,
        kept: &mut BTreeMap<(Arc<str>, i32), RecordFingerprint>,
        turn: usize,
    ) -> Result<Option<SourceError>, MonitorError> {
        if let Some(problem) = self.check_partition_count(at)? {
            return Ok(Some(problem));
        }
        let (topic, mut suspect) = (self.topics[at].clone(), None);
        let mut provable = BTreeMap::new();
        // Read before the ranges: a position read later could be ahead of an older range.
        let now = self.delivered_positions();
        for number in (0..topic.partitions).filter(|number| reads_partition(self.share, &topic.name, *number)) {
            if self.context.is_stopping() {
                return Err(MonitorError::ReaderExit(ReaderExit::Stopped));
            }
            let place = (Arc::clone(&topic.name), number);
            let range = self.reading.offset_range(&topic.name, number)?;
            self.listener.note_end(&topic.name, number, range.high);
            let Some(reached) = now.get(&place) else { continue };
            if check_offset(reached.next, range) == OffsetCheck::PastEnd {
                suspect.get_or_insert(past_end_error(
                    &partition_names(&self.cluster_id, &topic.name, number).0,
                    reached.next,
                    range,
                ));
                continue;
            }
            let expired = |anchor: &RecordFingerprint| anchor.offset < range.low;
            let before = kept.get(&place).copied().or(reached.first);
            match before.filter(|anchor| !expired(anchor)).or(reached.last.filter(|anchor| !expired(anchor))) {
                Some(anchor) => {
                    kept.insert(place, anchor);
                    provable.insert(number, anchor);
                }
                None => drop(kept.remove(&place)),
            }
        }
        self.verify_fingerprints(&topic.name, &provable, turn, kept, &now)?;
        Ok(suspect)
    }

    /// Checks the number of partitions, and adds new ones.
    fn check_partition_count(&mut self, at: usize) -> Result<Option<SourceError>, MonitorError> {
        let topic = &self.topics[at];
        let read = usize::try_from(topic.partitions).unwrap_or(0);
        match self.reading.partition_count(&topic.name)? {
            None => return Ok(Some(deleted_error(&topic.name, read))),
            Some(now) if now < topic.partitions => return Ok(Some(fewer_partitions_error(&topic.name, read, now))),
            Some(now) if now > topic.partitions => self.add_partitions(at, now)?,
            Some(_) => {}
        }
        Ok(None)
    }

    fn add_partitions(&mut self, at: usize, count: i32) -> Result<(), MonitorError> {
        let topic = &self.topics[at];
        let mut added = (Vec::new(), Vec::new());
        let added_numbers = topic.partitions..count;
        for number in added_numbers.filter(|number| reads_partition(self.share, &topic.name, *number)) {
            let OffsetRange { low, .. } = self.reading.offset_range(&topic.name, number)?;
            let (reader, announced) = new_partition(
                &self.context,
                topic,
                number,
                partition_names(&self.cluster_id, &topic.name, number),
                low,
            );
            added.0.push(announced);
            added.1.push(reader);
        }
        let more = count - topic.partitions;
        tracing::info!(topic = &*topic.name, partitions = count, more, "partitions were added to a topic");
        self.topics[at].partitions = count;
        let (partitions, fresh) = added;
        if partitions.is_empty() {
            return Ok(());
        }
        self.events
            .send(MonitorEvent::Added { partitions, fresh })
            .map_err(|_| MonitorError::ReaderExit(ReaderExit::Stopped))
    }

    /// Verifies the fingerprints of some partitions, and replaces those that match with newer ones.
    fn verify_fingerprints(
        &self,
        topic: &Arc<str>,
        provable: &BTreeMap<i32, RecordFingerprint>,
        turn: usize,
        kept: &mut BTreeMap<(Arc<str>, i32), RecordFingerprint>,
        now: &BTreeMap<(Arc<str>, i32), DeliveredPosition>,
    ) -> Result<(), MonitorError> {
        if provable.is_empty() {
            return Ok(());
        }
        let chosen: BTreeMap<i32, RecordFingerprint> = provable
            .iter()
            .cycle()
            .skip((turn * FINGERPRINTS_PER_CHECK) % provable.len())
            .take(FINGERPRINTS_PER_CHECK.min(provable.len()))
            .map(|(number, anchor)| (*number, *anchor))
            .collect();
        let at = chosen.iter().map(|(number, anchor)| (*number, anchor.offset)).collect();
        // Reset the flag: earlier denials may concern other topics.
        let _ = self.reading.listener.take_access_denied();
        let records = self
            .reading
            .read_at_offsets(topic, &at, || self.context.is_stopping())
            .map_err(MonitorError::ReaderExit)?;
        if self.reading.listener.take_access_denied() {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed).into());
        }
        for (number, content) in records {
            let Some(anchor) = chosen.get(&number) else { continue };
            verify_fingerprint(&format!("kafka/{topic}/{number}"), *anchor, content)
                .map_err(|error| MonitorError::ReaderExit(error.into()))?;
            let place = (Arc::clone(topic), number);
            if let Some(last) = now.get(&place).and_then(|reached| reached.last) {
                kept.insert(place, last);
            }
        }
        Ok(())
    }
}

/// Whether a broker denies this client access to a topic.
fn is_access_denied(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// Why a check did not complete.
enum MonitorError {
    /// The brokers do not respond.
    Unreachable(KafkaError),
    /// The run ends.
    ReaderExit(ReaderExit),
}

impl From<KafkaError> for MonitorError {
    fn from(error: KafkaError) -> MonitorError {
        MonitorError::Unreachable(error)
    }
}
