//! Sends to Kafka topics: each line is a message, acknowledged by all in-sync replicas or reported as failed.
//!
//! One idempotent producer serves all topics. Its queue is bounded: senders wait while it is full. A message that the
//! broker refuses for its size is counted, and the others continue. Any other failure ends the emit. A message fails
//! only after `message.timeout.ms` (five minutes by default).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, PurgeConfig, ThreadedProducer};

use super::key::{MessageKey, find_ind};
use super::{Destination, OutputCompression};
use crate::acks::{AckCounts, DestinationAcks};
use crate::error::EmitError;
use crate::stop::StopRequest;
use pinflow_core::key_problem::KeyProblem;
use pinflow_kafka::{
    DeliveryContext, DeliveryReports, KafkaConnection, KafkaConnectionError, create_producer, fetch_metadata,
};

/// How long the cluster may take to describe the topics before anything is sent.
const METADATA_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a sender checks for space in the full queue, and for the last delivery reports.
const REPORT_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A producer, and the topics it writes to.
pub(crate) struct KafkaOutput {
    producer: Arc<ThreadedProducer<DeliveryContext<TopicDeliveries>>>,
    stop: StopRequest,
}

impl KafkaOutput {
    /// Connects, and checks that the topics exist.
    ///
    /// # Errors
    /// If the cluster cannot be reached, or lacks a topic.
    pub(crate) fn connect(
        connection: &KafkaConnection,
        base: &Path,
        compress: OutputCompression,
        topics: &[(String, Arc<DestinationAcks>)],
        stop: &StopRequest,
    ) -> Result<KafkaOutput, EmitError> {
        let observer = connection.create_observer(base)?;
        for (topic, _) in topics {
            if stop.is_requested() {
                break;
            }
            let found = fetch_metadata(&observer, &connection.brokers, Some(topic), METADATA_TIMEOUT)?;
            let topic_error = found.topics().iter().find(|found| found.name() == topic).map(MetadataTopic::error);
            match topic_error.map(|code| code.map(RDKafkaErrorCode::from)) {
                Some(None) => {}
                None | Some(Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
                    return Err(EmitError::NoTopic { topic: topic.clone() });
                }
                Some(Some(RDKafkaErrorCode::TopicAuthorizationFailed)) => {
                    return Err(EmitError::TopicDenied { topic: topic.clone() });
                }
                Some(Some(code)) => return Err(EmitError::TopicUnwritable { topic: topic.clone(), code }),
            }
        }
        let deliveries = TopicDeliveries {
            topics: topics.iter().map(|(topic, acks)| TopicDelivery::new(topic, Arc::clone(acks))).collect(),
            broken: AtomicBool::new(false),
        };
        let producer = create_producer(connection, base, &[("compression.type", compress.name())], &[], deliveries)?;
        Ok(KafkaOutput { producer: Arc::new(producer), stop: stop.clone() })
    }

    /// The destination of the topic at this index.
    pub(crate) fn open_destination(&self, topic: usize, key: MessageKey) -> Box<dyn Destination> {
        Box::new(KafkaTopicDestination { producer: Arc::clone(&self.producer), topic, key, stop: self.stop.clone() })
    }
}

/// Delivery counts of one topic.
struct TopicDelivery {
    topic: String,
    acks: Arc<DestinationAcks>,
    failed: AtomicU64,
    /// Failed messages, by reason.
    reasons: Mutex<BTreeMap<String, u64>>,
}

impl TopicDelivery {
    fn new(topic: &str, acks: Arc<DestinationAcks>) -> TopicDelivery {
        TopicDelivery { topic: topic.to_owned(), acks, failed: AtomicU64::new(0), reasons: Mutex::default() }
    }

    fn count_failure(&self, error: &KafkaError, number: u64) {
        if is_size(error) {
            self.acks.refuse(number);
        }
        let reason = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        *self.reasons.lock().entry(reason).or_default() += 1;
        self.failed.fetch_add(1, Ordering::Release);
    }

    /// Messages whose delivery report is still due.
    fn unreported(&self) -> u64 {
        let counts = self.acks.counts();
        counts.sent.saturating_sub(counts.acknowledged + self.failed.load(Ordering::Acquire))
    }
}

/// The bits of a packed [`MessageId`] that hold the number.
const NUMBER_BITS: u32 = 48;

/// A message, as identified in delivery reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MessageId {
    /// The index of the topic.
    topic: usize,
    /// The message's number in its destination.
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

/// Receives delivery reports, and counts them.
pub(crate) struct TopicDeliveries {
    topics: Vec<TopicDelivery>,
    /// A message failed, and the next ones will fail, too.
    broken: AtomicBool,
}

impl DeliveryReports for TopicDeliveries {
    /// A packed [`MessageId`].
    type Opaque = usize;

    fn on_delivery(&self, result: &DeliveryResult<'_>, id: usize) {
        let MessageId { topic, number } = MessageId::unpack(id);
        let Some(delivered) = self.topics.get(topic) else { return };
        match result {
            Ok(_) => delivered.acks.acknowledge(number),
            Err((error, _)) => {
                delivered.count_failure(error, number);
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

/// The destination of one topic.
struct KafkaTopicDestination {
    producer: Arc<ThreadedProducer<DeliveryContext<TopicDeliveries>>>,
    topic: usize,
    key: MessageKey,
    stop: StopRequest,
}

impl KafkaTopicDestination {
    fn topic_deliveries(&self) -> &TopicDeliveries {
        &self.producer.client().context().reports
    }

    fn topic_delivery(&self) -> &TopicDelivery {
        &self.topic_deliveries().topics[self.topic]
    }

    /// Hands a message to the producer. Waits while the queue is full.
    fn produce(&self, message: &[u8]) -> io::Result<()> {
        let key = match &self.key {
            MessageKey::Ind => find_ind(message),
            MessageKey::None => None,
            MessageKey::Fixed(key) => Some(key.as_slice()),
        };
        let delivered = self.topic_delivery();
        // Counted first: the report may arrive at once.
        let number = delivered.acks.count_sent();
        let id = MessageId { topic: self.topic, number };
        let mut record = BaseRecord::with_opaque_to(&delivered.topic, id.pack()).payload(message);
        record.key = key;
        loop {
            if self.topic_deliveries().broken.load(Ordering::Acquire) {
                delivered.acks.uncount_sent();
                return Err(self.fail_after_reports());
            }
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, _)) if is_queue_full(&error) && self.stop.is_requested() => {
                    delivered.acks.uncount_sent();
                    return Ok(());
                }
                Err((error, again)) if is_queue_full(&error) => {
                    record = again;
                    std::thread::sleep(REPORT_POLL_INTERVAL);
                }
                Err((error, _)) => {
                    delivered.count_failure(&error, number);
                    if !is_size(&error) {
                        self.topic_deliveries().broken.store(true, Ordering::Release);
                        return Err(self.fail_after_reports());
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Waits for the last delivery report. Every message gets one, if only because it timed out. After a stop request
    /// and [`SETTLE_GRACE`](crate::stop::SETTLE_GRACE), what the brokers have not acknowledged is given up.
    fn await_reports(&self) {
        while self.topic_delivery().unreported() > 0 {
            if self.stop.is_grace_over() {
                self.producer.purge(PurgeConfig::default().queue().inflight());
            }
            std::thread::sleep(REPORT_POLL_INTERVAL);
        }
    }

    fn fail_after_reports(&self) -> io::Error {
        self.await_reports();
        io::Error::other(self.failure_text("; no more were sent"))
    }

    /// The failures of all topics, as text.
    fn failure_text(&self, rest: &str) -> String {
        let topics = &self.topic_deliveries().topics;
        let mut counts = AckCounts::default();
        topics.iter().for_each(|topic| counts.add_counts(topic.acks.counts()));
        let AckCounts { sent, acknowledged, .. } = counts;
        let mut text = format!("{} of {sent} messages were not acknowledged{rest}", sent.saturating_sub(acknowledged));
        for delivered in topics {
            for (reason, count) in delivered.reasons.lock().iter() {
                text.push_str(&format!("\n  {}: {count} times {reason}{}", delivered.topic, failure_hint(reason)));
            }
        }
        for trouble in self.producer.client().context().client.recent_errors() {
            text.push_str(&format!("\n  {trouble}"));
        }
        text
    }
}

fn failure_hint(reason: &str) -> &'static str {
    let hints = [
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
    hints.iter().find(|(pattern, _)| reason.contains(pattern)).map_or("", |(_, hint)| hint)
}

impl Destination for KafkaTopicDestination {
    fn send(&mut self, messages: &[u8]) -> io::Result<()> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', messages) {
            if self.stop.is_requested() {
                return Ok(());
            }
            self.produce(&messages[start..end])?;
            start = end + 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // The producer sends by itself, after `linger.ms` (5 by default).
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.await_reports();
        let delivered = self.topic_delivery();
        if delivered.failed.load(Ordering::Acquire) == 0 {
            Ok(())
        } else {
            Err(io::Error::other(self.failure_text("")))
        }
    }
}

/// Splits `kafka://BROKERS/PREFIX` into brokers and prefix. `None` if `to` is not such a URL.
pub(crate) fn parse_destination(to: &str) -> Option<(&str, &str)> {
    let rest = to.strip_prefix("kafka://")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// An unencrypted connection to `brokers`.
///
/// # Errors
/// If they are not written as `HOST:PORT,…`.
pub(crate) fn plaintext_connection(brokers: &str) -> Result<KafkaConnection, EmitError> {
    let connection = KafkaConnection::plaintext(brokers);
    let problems = connection.validate(Path::new(""));
    if !problems.is_empty() {
        return Err(EmitError::KafkaUrl(KafkaConnectionError::Invalid(KeyProblem::texts(&problems))));
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_id_survives_packing() {
        for id in [MessageId { topic: 0, number: 0 }, MessageId { topic: 7, number: (1 << NUMBER_BITS) - 1 }] {
            assert_eq!(MessageId::unpack(id.pack()), id);
        }
    }

    #[test]
    fn kafka_url_is_parsed_into_brokers_and_prefix() {
        assert_eq!(parse_destination("kafka://localhost:9092/12e255fc4fcd"), Some(("localhost:9092", "12e255fc4fcd")));
        assert_eq!(parse_destination("kafka://a:1,b:2"), Some(("a:1,b:2", "")));
        assert_eq!(parse_destination("kafka:///x"), Some(("", "x")));
        assert_eq!(parse_destination("recordings"), None);
    }
}
