//! Decides where each partition starts, and verifies that it is the partition that was read before.
//!
//! The stored positions override `start`. A stored position must lie within what the brokers hold, and the last record
//! that was read must still have the same fingerprint. For a partition without a stored position, the start becomes
//! durable before any record is read: a crash before the first commit neither skips nor repeats records, whatever `start`
//! says by then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinflow_dataflows::ingest::StreamHint;
use rdkafka::error::KafkaError;

use super::config::KafkaStart;
use super::consumer::{KafkaConsumer, OffsetContent, REQUEST_TIMEOUT};
use super::fingerprint::RecordFingerprint;
use super::offset_check::{OffsetCheck, OffsetRange, check_offset};
use super::partition::PartitionReader;
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_connect::source::{AcceptedLoss, Partition, ReadShare, SourceContext, SourceError, SourceEvent};
use pinflow_core::position::PartitionProgress;

/// How long the brokers may be unreachable at startup. Later there is no limit.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before a request is retried.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// A topic that is being read.
#[derive(Debug, Clone)]
pub(super) struct StartedTopic {
    pub(super) name: Arc<str>,
    pub(super) stream_hint: StreamHint,
    /// The number of partitions being read.
    pub(super) partitions: i32,
}

/// What is read once all partitions are verified.
pub(super) struct StartedSource {
    pub(super) cluster_id: String,
    pub(super) topics: Vec<StartedTopic>,
    /// Partitions that can be read immediately.
    pub(super) known: Vec<PartitionReader>,
    /// Partitions whose start is not yet durable.
    pub(super) fresh: Vec<PartitionReader>,
}

/// The inputs of the startup.
pub(super) struct KafkaStartup<'a> {
    pub(super) context: &'a SourceContext,
    /// Sees committed records only.
    pub(super) reader: &'a KafkaConsumer,
    /// Sees uncommitted records too.
    pub(super) monitor: &'a KafkaConsumer,
    pub(super) start: KafkaStart,
    pub(super) accepted: &'a [AcceptedLoss],
    /// The partitions that this process reads.
    pub(super) share: ReadShare,
}

/// The name of a partition, and the key of its stored position. The key contains the cluster id, because another
/// cluster can have a topic of the same name.
pub(super) fn partition_names(cluster_id: &str, topic: &str, partition: i32) -> (String, String) {
    (format!("kafka/{topic}/{partition}"), format!("{}{partition}", key_prefix(cluster_id, topic)))
}

/// Whether a process with this share reads a partition.
pub(super) fn reads_partition(share: ReadShare, topic: &str, partition: i32) -> bool {
    // A broker numbers partitions from 0.
    usize::try_from(partition).is_ok_and(|partition| share.has_partition(topic, partition))
}

fn key_prefix(cluster_id: &str, topic: &str) -> String {
    format!("kafka/{cluster_id}/{topic}/")
}

impl KafkaStartup<'_> {
    /// Verifies every known partition and finds the start of every other one.
    pub(super) fn run(&self, topics: Vec<(Arc<str>, StreamHint)>) -> Result<StartedSource, ReaderExit> {
        let id = || self.monitor.cluster_id().ok_or(KafkaError::Canceled);
        let cluster_id = self.retry("reach the brokers", id)?;
        let mut started = StartedSource { cluster_id, topics: Vec::new(), known: Vec::new(), fresh: Vec::new() };
        let mut new_partitions = Vec::new();
        for (name, stream_hint) in topics {
            let topic = self.check_topic(&started.cluster_id, name, stream_hint)?;
            self.start_partitions(&topic, &mut started, &mut new_partitions)?;
            started.topics.push(topic);
        }
        if !new_partitions.is_empty() {
            self.context.send(SourceEvent::Discovered(new_partitions))?;
        }
        self.context.send(SourceEvent::StartsAnnounced)?;
        for loss in self.accepted.iter().filter(|loss| self.is_unused(loss, &started.known)) {
            let AcceptedLoss { partition, from, to } = loss;
            tracing::warn!(source = partition, %from, %to, "a range of --accept-loss was not used: no records are missing there; remove the flag");
        }
        Ok(started)
    }

    /// Whether no partition that this process reads had the accepted loss. Other processes judge theirs.
    fn is_unused(&self, loss: &AcceptedLoss, known: &[PartitionReader]) -> bool {
        let place = loss.partition.strip_prefix("kafka/").and_then(|place| place.rsplit_once('/'));
        let is_of_another = place.is_some_and(|(topic, number)| {
            number.parse().is_ok_and(|number| !reads_partition(self.share, topic, number))
        });
        let is_used = known.iter().any(|partition| partition.collected_bytes() > 0 && partition.name == loss.partition);
        !is_of_another && !is_used
    }

    /// Compares a topic of the cluster with the stored positions.
    fn check_topic(
        &self,
        cluster_id: &str,
        name: Arc<str>,
        stream_hint: StreamHint,
    ) -> Result<StartedTopic, ReaderExit> {
        let counted = self.retry(&format!("ask for topic {name}"), || self.monitor.partition_count(&name))?;
        let prefix = key_prefix(cluster_id, &name);
        let read = self.context.stored_with_prefix(&prefix).count();
        let Some(partitions) = counted else {
            return Err(ReaderExit::Failed(match read {
                0 => SourceError::Unusable(format!(
                    "topic {name} does not exist or is not visible. Create it (`pinflow topics create`), correct its name, \
                     or grant Describe on Topic {name}"
                )),
                read => deleted_error(&name, read),
            }));
        };
        if usize::try_from(partitions).is_ok_and(|count| count < read) {
            return Err(ReaderExit::Failed(fewer_partitions_error(&name, read, partitions)));
        }
        self.check_same_cluster(cluster_id, &name)?;
        Ok(StartedTopic { name, stream_hint, partitions })
    }

    /// Rejects a topic that was read from another cluster before: its rows would have the same `_source`.
    fn check_same_cluster(&self, cluster_id: &str, topic: &str) -> Result<(), ReaderExit> {
        let elsewhere = self.context.stored_with_prefix("kafka/").find_map(|(key, _)| {
            let mut parts = key.split('/').skip(1);
            let (cluster, of) = (parts.next()?, parts.next()?);
            (of == topic && cluster != cluster_id).then(|| cluster.to_owned())
        });
        match elsewhere {
            None => Ok(()),
            Some(other) => Err(ReaderExit::Failed(SourceError::Changed {
                partition: format!("kafka/{topic}"),
                what: format!(
                    "the tables hold rows of this topic from cluster {other}, but these brokers belong to cluster \
                     {cluster_id}. Correct `brokers`. If the cluster was replaced, write to other [tables]"
                ),
            })),
        }
    }

    fn start_partitions(
        &self,
        topic: &StartedTopic,
        started: &mut StartedSource,
        new_partitions: &mut Vec<Partition>,
    ) -> Result<(), ReaderExit> {
        // In a topic that was read before, a partition without a stored position was added later.
        let is_new = self.context.stored_with_prefix(&key_prefix(&started.cluster_id, &topic.name)).next().is_none();
        let mut anchors = BTreeMap::new();
        for number in (0..topic.partitions).filter(|number| reads_partition(self.share, &topic.name, *number)) {
            let (name, key) = partition_names(&started.cluster_id, &topic.name, number);
            let range = self.fetch_range(&topic.name, number)?;
            match self.context.stored_progress(&key) {
                Some(reached) => {
                    let next = reached.next_number();
                    let loss = self.check_position(&name, next, range)?;
                    if let Some(anchor) =
                        RecordFingerprint::from_stored(reached).filter(|anchor| anchor.offset >= range.low)
                    {
                        anchors.insert(number, anchor);
                    }
                    let id = self.context.open_partition(&name, &key, topic.stream_hint)?.id;
                    let mut partition = PartitionReader::new(
                        &topic.name,
                        number,
                        name,
                        id,
                        next,
                        RecordFingerprint::from_stored(reached),
                    );
                    partition.initial_end = self.fetch_end(&topic.name, number)?;
                    if let Some(loss) = loss {
                        partition.push_loss(loss);
                    }
                    started.known.push(partition);
                }
                None => {
                    let next = if is_new { self.first_offset(&topic.name, number, range)? } else { range.low };
                    let (mut reader, announced) = new_partition(self.context, topic, number, (name, key), next);
                    reader.initial_end = self.fetch_end(&topic.name, number)?;
                    started.fresh.push(reader);
                    new_partitions.push(announced);
                }
            }
        }
        self.verify_fingerprints(&topic.name, &anchors)
    }

    /// Checks that a stored position is within the available offsets. Returns the missing range if its loss was
    /// accepted.
    fn check_position(&self, name: &str, next: u64, range: OffsetRange) -> Result<Option<&AcceptedLoss>, ReaderExit> {
        match check_offset(next, range) {
            OffsetCheck::InRange => Ok(None),
            OffsetCheck::PastEnd => Err(ReaderExit::Failed(past_end_error(name, next, range))),
            OffsetCheck::Expired { to } => {
                let accepted = |loss: &&AcceptedLoss| loss.matches(name, next.into(), to.into());
                match self.accepted.iter().find(accepted) {
                    Some(loss) => {
                        loss.log_acceptance();
                        Ok(Some(loss))
                    }
                    None => Err(ReaderExit::Failed(expired_error(name, next, to))),
                }
            }
        }
    }

    /// The start of a partition of a new topic.
    fn first_offset(&self, topic: &str, number: i32, range: OffsetRange) -> Result<u64, ReaderExit> {
        // The end for readers of committed records: the records of an open transaction are read later.
        let end = || self.reader.offset_range(topic, number).map(|range| range.high);
        match self.start {
            KafkaStart::Earliest => Ok(range.low),
            KafkaStart::Latest => self.retry(&format!("find the end of {topic}"), end),
            KafkaStart::At(moment) => {
                let since = || self.reader.first_offset_since(topic, number, moment);
                match self.retry(&format!("find {moment} in {topic}"), since)? {
                    Some(offset) => Ok(offset),
                    None => self.retry(&format!("find the end of {topic}"), end),
                }
            }
        }
    }

    /// Verifies that the last records that were read are unchanged.
    fn verify_fingerprints(&self, topic: &str, anchors: &BTreeMap<i32, RecordFingerprint>) -> Result<(), ReaderExit> {
        let mut left = anchors.clone();
        let deadline = Instant::now() + STARTUP_TIMEOUT;
        while !left.is_empty() {
            if Instant::now() >= deadline {
                return Err(ReaderExit::Failed(
                    self.unreachable_error(&format!("read the last known records of {topic}")),
                ));
            }
            let at = left.iter().map(|(number, anchor)| (*number, anchor.offset)).collect();
            for (number, content) in self.monitor.read_at_offsets(topic, &at, || self.context.is_stopping())? {
                let Some(anchor) = left.remove(&number) else { continue };
                verify_fingerprint(&format!("kafka/{topic}/{number}"), anchor, content)?;
            }
        }
        Ok(())
    }

    fn fetch_range(&self, topic: &str, number: i32) -> Result<OffsetRange, ReaderExit> {
        self.retry(&format!("ask what kafka/{topic}/{number} holds"), || self.monitor.offset_range(topic, number))
    }

    /// The end of a partition as readers of committed records see it: the extent of the backlog.
    fn fetch_end(&self, topic: &str, number: i32) -> Result<u64, ReaderExit> {
        let ask = || self.reader.offset_range(topic, number);
        Ok(self.retry(&format!("ask where kafka/{topic}/{number} ends"), ask)?.high)
    }

    /// Sends a request until it succeeds, the run stops, or [`STARTUP_TIMEOUT`] has passed.
    fn retry<T>(&self, what: &str, ask: impl Fn() -> Result<T, KafkaError>) -> Result<T, ReaderExit> {
        let deadline = Instant::now() + STARTUP_TIMEOUT;
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(_) if self.context.is_stopping() => return Err(ReaderExit::Stopped),
                Err(_) if self.monitor.listener.is_rejected() || Instant::now() + REQUEST_TIMEOUT >= deadline => {
                    return Err(ReaderExit::Failed(self.unreachable_error(what)));
                }
                Err(error) => {
                    tracing::debug!("{what}: {error}");
                    // Runs the callbacks: connection errors and token requests.
                    let _ = self.monitor.consumer.poll(RETRY_INTERVAL);
                    let _ = self.reader.consumer.poll(Duration::ZERO);
                }
            }
        }
    }

    fn unreachable_error(&self, what: &str) -> SourceError {
        let _ = self.monitor.consumer.poll(Duration::ZERO);
        let errors = match self.monitor.listener.connection_errors() {
            none if none.is_empty() => "no broker answered".to_owned(),
            errors => errors,
        };
        SourceError::Unusable(format!(
            "{what}: {errors}. Start the brokers, or correct `brokers`; `pinflow check` shows details"
        ))
    }
}

/// Registers a partition without a stored position. Returns its reader and the description for the engine.
pub(super) fn new_partition(
    context: &SourceContext,
    topic: &StartedTopic,
    number: i32,
    (name, key): (String, String),
    next: u64,
) -> (PartitionReader, Partition) {
    let at = PartitionProgress { next: next.into(), ..PartitionProgress::NONE };
    let partition = context.register_partition(&name, &key, topic.stream_hint, Some(at));
    (PartitionReader::new(&topic.name, number, name, partition.id, next, None), partition)
}

/// Checks that the content of an offset still has the stored fingerprint.
pub(super) fn verify_fingerprint(
    name: &str,
    anchor: RecordFingerprint,
    content: OffsetContent,
) -> Result<(), SourceError> {
    match content {
        OffsetContent::Record(hash) if hash == anchor.hash => Ok(()),
        OffsetContent::Record(hash) => Err(SourceError::Changed {
            partition: name.to_owned(),
            what: format!(
                "offset {} held a record with fingerprint {:016x} when it was read, and now holds {hash:016x}: the \
                 topic was re-created, or its end was truncated. Rows from offset {} on may belong to the \
                 new one. {CHANGED_TOPIC_HINT}",
                anchor.offset,
                anchor.hash,
                anchor.offset + 1
            ),
        }),
        OffsetContent::Nothing => {
            // In a compacted topic the record may have been removed while older ones remain.
            let offset = anchor.offset;
            tracing::warn!(
                source = name,
                offset,
                "the last record that was read is gone, so it cannot be verified that the partition is the same"
            );
            Ok(())
        }
    }
}

/// How to proceed if the topic is not the one that was read.
const CHANGED_TOPIC_HINT: &str = "Restore the topic, or read the new one into other [tables]";

/// The error for records that expired before they were read.
pub(super) fn expired_error(name: &str, from: u64, to: u64) -> SourceError {
    SourceError::Lost {
        partition: name.to_owned(),
        from: from.into(),
        to: to.into(),
        what: format!(
            "retention or DeleteRecords removed them. Increase the topic's retention. To continue \
             without them, start once with --accept-loss {name}:{from}-{to}"
        ),
    }
}

/// The error for a partition that ends before the stored position.
pub(super) fn past_end_error(name: &str, next: u64, range: OffsetRange) -> SourceError {
    SourceError::Changed {
        partition: name.to_owned(),
        what: format!(
            "it was read up to offset {next}, and holds only {} to {} now, so {} to {} are gone: the topic was \
             re-created, or its end was truncated. {CHANGED_TOPIC_HINT}",
            range.low,
            range.high,
            range.high,
            next - 1
        ),
    }
}

/// The error for a topic that was deleted.
pub(super) fn deleted_error(topic: &str, partitions: usize) -> SourceError {
    SourceError::Changed {
        partition: format!("kafka/{topic}"),
        what: format!("the topic was deleted after {partitions} of its partitions were read. {CHANGED_TOPIC_HINT}"),
    }
}

/// The error for a topic with fewer partitions than were read.
pub(super) fn fewer_partitions_error(topic: &str, read: usize, now: i32) -> SourceError {
    SourceError::Changed {
        partition: format!("kafka/{topic}"),
        what: format!(
            "{read} partitions were read and it has {now} now, so {now} to {} are gone: it was re-created. {CHANGED_TOPIC_HINT}",
            read - 1
        ),
    }
}
