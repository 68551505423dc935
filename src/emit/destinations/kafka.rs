//! Topics of a Kafka cluster: every line is a message, and every message is acknowledged by all in-sync replicas or
//! reported as not.
//!
//! One idempotent producer serves all lanes. Its queue is bounded: a lane waits while it is full. A message that a
//! broker refuses for its size is counted and the others go on; at any other failure, which a message meets only after
//! `message.timeout.ms` (five minutes by default), no more are sent.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, PurgeConfig, ThreadedProducer};

use super::key::{Key, ind_of};
use super::{Compress, Destination};
use crate::emit::acks::{AckCounts, DestinationAcks};
use crate::emit::stop::StopRequest;
use crate::kafka::{Connection, Listening, Reports, metadata, producer};

/// Longest wait for the cluster to answer before anything is sent.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a lane waits for room in the queue before it looks again, and for the last reports.
const LOOK: Duration = Duration::from_millis(1);

/// A connection to a cluster, and the topics that are written.
pub(crate) struct Cluster {
    producer: Arc<ThreadedProducer<Listening<Deliveries>>>,
    stop: StopRequest,
}

impl Cluster {
    /// Connects, and looks whether the topics are there.
    ///
    /// # Errors
    /// If the cluster cannot be reached, or lacks a topic.
    pub(crate) fn connect(
        connection: &Connection,
        base: &Path,
        compress: Compress,
        topics: &[(String, Arc<DestinationAcks>)],
        stop: &StopRequest,
    ) -> anyhow::Result<Cluster> {
        let observer = connection.observer(base)?;
        for (topic, _) in topics {
            if stop.is_requested() {
                break;
            }
            let found = metadata(&observer, &connection.brokers, Some(topic), PATIENCE)?;
            let fault = found.topics().iter().find(|found| found.name() == topic).map(MetadataTopic::error);
            match fault.map(|code| code.map(RDKafkaErrorCode::from)) {
                Some(None) => {}
                None | Some(Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
                    bail!("topic {topic} does not exist; `pinflow topics create {topic}` makes it")
                }
                Some(Some(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
                    bail!("topic {topic} may not be seen; grant Describe and Write on Topic {topic}")
                }
                Some(Some(code)) => bail!("topic {topic} cannot be written: {code}"),
            }
        }
        let deliveries = Deliveries {
            topics: topics.iter().map(|(topic, acks)| Delivered::new(topic, Arc::clone(acks))).collect(),
            broken: AtomicBool::new(false),
        };
        let producer = producer(connection, base, &[("compression.type", compress.name())], &[], deliveries)?;
        Ok(Cluster { producer: Arc::new(producer), stop: stop.clone() })
    }

    /// The destination of the topic at a place in the list.
    pub(crate) fn destination(&self, topic: usize, key: Key) -> Box<dyn Destination> {
        Box::new(Topic { producer: Arc::clone(&self.producer), topic, key, stop: self.stop.clone() })
    }
}

/// What became of the messages of a topic.
struct Delivered {
    topic: String,
    acks: Arc<DestinationAcks>,
    failed: AtomicU64,
    /// How many failed, by reason.
    reasons: Mutex<BTreeMap<String, u64>>,
}

impl Delivered {
    fn new(topic: &str, acks: Arc<DestinationAcks>) -> Delivered {
        Delivered { topic: topic.to_owned(), acks, failed: AtomicU64::new(0), reasons: Mutex::default() }
    }

    fn fail(&self, error: &KafkaError, number: u64) {
        if is_size(error) {
            self.acks.refuse(number);
        }
        let reason = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        *self.reasons.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
        self.failed.fetch_add(1, Ordering::Release);
    }

    /// Messages whose report is still to come.
    fn open(&self) -> u64 {
        let counts = self.acks.counts();
        counts.sent.saturating_sub(counts.acknowledged + self.failed.load(Ordering::Acquire))
    }
}

/// Bits of a packed [`MessageId`] that hold the number.
const NUMBER_BITS: u32 = 48;

/// A message of a topic: what a delivery report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MessageId {
    /// The topic's place in the list.
    topic: usize,
    /// The number of the message among those of its destination.
    number: u64,
}

impl MessageId {
    fn pack(self) -> usize {
        self.topic << NUMBER_BITS | self.number as usize
    }

    fn unpack(packed: usize) -> MessageId {
        MessageId { topic: packed >> NUMBER_BITS, number: packed as u64 & ((1 << NUMBER_BITS) - 1) }
    }
}

/// Listens to the producer and counts.
pub(crate) struct Deliveries {
    topics: Vec<Delivered>,
    /// A message could not be delivered, and the next ones will not be either.
    broken: AtomicBool,
}

impl Reports for Deliveries {
    /// A [`MessageId`], packed.
    type Opaque = usize;

    fn heard(&self, result: &DeliveryResult<'_>, id: usize) {
        let MessageId { topic, number } = MessageId::unpack(id);
        let Some(delivered) = self.topics.get(topic) else { return };
        match result {
            Ok(_) => delivered.acks.acknowledge(number),
            Err((error, _)) => {
                delivered.fail(error, number);
                if !is_size(error) {
                    self.broken.store(true, Ordering::Release);
                }
            }
        }
    }
}

fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

fn is_size(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

/// One topic, as a destination.
struct Topic {
    producer: Arc<ThreadedProducer<Listening<Deliveries>>>,
    topic: usize,
    key: Key,
    stop: StopRequest,
}

impl Topic {
    fn deliveries(&self) -> &Deliveries {
        &self.producer.client().context().reports
    }

    fn delivered(&self) -> &Delivered {
        &self.deliveries().topics[self.topic]
    }

    /// Hands a message to the producer; waits while its queue is full.
    fn message(&self, message: &[u8]) -> io::Result<()> {
        let key = match &self.key {
            Key::Ind => ind_of(message),
            Key::None => None,
            Key::Fixed(key) => Some(key.as_slice()),
        };
        let delivered = self.delivered();
        // Before the report can come.
        let number = delivered.acks.count_sent();
        let id = MessageId { topic: self.topic, number };
        let mut record = BaseRecord::with_opaque_to(&delivered.topic, id.pack()).payload(message);
        record.key = key;
        loop {
            if self.deliveries().broken.load(Ordering::Acquire) {
                delivered.acks.uncount_sent();
                return Err(self.settle_broken());
            }
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, _)) if is_queue_full(&error) && self.stop.is_requested() => {
                    delivered.acks.uncount_sent();
                    return Ok(());
                }
                Err((error, again)) if is_queue_full(&error) => {
                    record = again;
                    std::thread::sleep(LOOK);
                }
                Err((error, _)) => {
                    delivered.fail(&error, number);
                    if !is_size(&error) {
                        self.deliveries().broken.store(true, Ordering::Release);
                        return Err(self.settle_broken());
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Waits for the last report. Each message has one, if only that its time is over. After a request to stop, what the
    /// brokers do not acknowledge soon is given up.
    fn settle(&self) {
        while self.delivered().open() > 0 {
            if self.stop.is_grace_over() {
                self.producer.purge(PurgeConfig::default().queue().inflight());
            }
            std::thread::sleep(LOOK);
        }
    }

    fn settle_broken(&self) -> io::Error {
        self.settle();
        io::Error::other(self.failures("; no more were sent"))
    }

    /// What failed, of all topics.
    fn failures(&self, rest: &str) -> String {
        let topics = &self.deliveries().topics;
        let mut counts = AckCounts::default();
        topics.iter().for_each(|topic| counts.add(topic.acks.counts()));
        let AckCounts { sent, acknowledged, .. } = counts;
        let mut text = format!("{} of {sent} messages were not acknowledged{rest}", sent.saturating_sub(acknowledged));
        for delivered in topics {
            for (reason, count) in delivered.reasons.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                text.push_str(&format!("\n  {}: {count} times {reason}{}", delivered.topic, mend(reason)));
            }
        }
        for trouble in self.producer.client().context().client.troubles() {
            text.push_str(&format!("\n  {trouble}"));
        }
        text
    }
}

fn mend(reason: &str) -> &'static str {
    let mends = [
        (
            "MessageSizeTooLarge",
            ": the topic's max.message.bytes is smaller; raise it, or lower batch.size in properties",
        ),
        ("TopicAuthorizationFailed", ": grant Write on the topic"),
        ("ClusterAuthorizationFailed", ": grant IdempotentWrite on the cluster"),
        ("PurgeQueue", ": pinflow was stopped before they were sent"),
        ("PurgeInflight", ": pinflow was stopped before the brokers answered; they may have arrived"),
        ("MessageTimedOut", ": the brokers did not answer in message.timeout.ms"),
    ];
    mends.iter().find(|(sign, _)| reason.contains(sign)).map_or("", |(_, mend)| mend)
}

impl Destination for Topic {
    fn send(&mut self, messages: &[u8]) -> io::Result<()> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', messages) {
            if self.stop.is_requested() {
                return Ok(());
            }
            self.message(&messages[start..end])?;
            start = end + 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // The producer sends within `linger.ms`, 5 by default.
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.settle();
        let delivered = self.delivered();
        if delivered.failed.load(Ordering::Acquire) == 0 { Ok(()) } else { Err(io::Error::other(self.failures(""))) }
    }
}

/// The brokers and the prefix of `kafka://BROKERS/PREFIX`; `None` if it is something else.
pub(crate) fn parse(to: &str) -> Option<(&str, &str)> {
    let rest = to.strip_prefix("kafka://")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// How to connect, by what was typed: brokers, or a configuration.
///
/// # Errors
/// If the configuration cannot be read, or does not say how.
pub(crate) fn connection(brokers: &str, file: Option<&Path>) -> anyhow::Result<(Connection, std::path::PathBuf)> {
    match file {
        Some(path) => Ok(crate::config::kafka_connection(path)?),
        None => {
            let connection = Connection::plaintext(brokers);
            let faults = connection.faults(Path::new(""));
            if !faults.is_empty() {
                return Err(crate::kafka::ConnectionError::Faulty(crate::key_problem::KeyProblem::texts(&faults)))
                    .context("read --to");
            }
            Ok((connection, std::path::PathBuf::new()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_id_packed_reads_back() {
        for id in [MessageId { topic: 0, number: 0 }, MessageId { topic: 7, number: (1 << NUMBER_BITS) - 1 }] {
            assert_eq!(MessageId::unpack(id.pack()), id);
        }
    }

    #[test]
    fn a_place_is_brokers_and_a_prefix() {
        assert_eq!(parse("kafka://localhost:9092/12e255fc4fcd"), Some(("localhost:9092", "12e255fc4fcd")));
        assert_eq!(parse("kafka://a:1,b:2"), Some(("a:1,b:2", "")));
        assert_eq!(parse("kafka:///x"), Some(("", "x")));
        assert_eq!(parse("recordings"), None);
    }
}
