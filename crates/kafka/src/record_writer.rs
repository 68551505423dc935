//! Writes single records and returns the partition and offset of each.
//!
//! One idempotent producer with acknowledgement by all in-sync replicas serves all callers. Its queue is bounded: a write
//! to a full queue fails at once, and no call waits without a limit.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ThreadedProducer};
use tokio::sync::oneshot;

use super::client_context::KafkaContext;
use super::connection::{BrokerList, KafkaConnection, KafkaConnectionError};
use super::metadata::{self, ClusterUnreachable};
use super::producer::{DeliveryContext, DeliveryReports, create_producer};

/// How long it is believed that a topic is there, with its partitions.
const FOUND_TOPIC_TTL: Duration = Duration::from_secs(10);
/// How long it is believed that it is not.
const MISSING_TOPIC_TTL: Duration = Duration::from_secs(1);
/// Names that are remembered: those that are not there among them, which anybody can invent.
const MAX_CACHED_TOPICS: usize = 10_000;
/// Longest wait for a broker that names a topic's partitions.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// A record to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// Decides on the partition where none is said.
    pub key: Option<Vec<u8>>,
    /// Its bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The partition, if it is said.
    pub partition: Option<i32>,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

/// Why a record was not written, as far as is known: one whose time was over may stand there all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct RecordWriteError {
    /// The same record may be taken later.
    pub may_pass: bool,
    /// Why.
    pub what: String,
}

type ReportSender = oneshot::Sender<Result<RecordMetadata, RecordWriteError>>;

/// Writes to the topics of a cluster.
pub struct RecordWriter {
    producer: ThreadedProducer<DeliveryContext<ReportForwarder>>,
    observer: BaseConsumer<KafkaContext>,
    brokers: BrokerList,
    /// How many partitions a topic has (none: it is not there), and since when that is believed.
    known: Mutex<HashMap<String, (Option<i32>, Instant)>>,
}

impl RecordWriter {
    /// Makes the clients. A record that is not acknowledged within `timeout_after` is given up.
    ///
    /// # Errors
    /// If there is something wrong with the connection.
    pub fn connect(
        connection: &KafkaConnection,
        base: &Path,
        timeout_after: Duration,
    ) -> Result<RecordWriter, KafkaConnectionError> {
        let observer = connection.create_observer(base)?;
        let settings = [("compression.type", "zstd"), ("linger.ms", "2")];
        let timeout = timeout_after.as_millis().to_string();
        let producer =
            create_producer(connection, base, &settings, &[("message.timeout.ms", &timeout)], ReportForwarder)?;
        Ok(RecordWriter { producer, observer, brokers: connection.brokers.clone(), known: Mutex::default() })
    }

    /// How many partitions a topic has, as of a few seconds ago; `None` if there is no such topic. Waits for a broker,
    /// on the thread that asks.
    ///
    /// # Errors
    /// [`ClusterUnreachable`].
    pub fn partition_count(&self, topic: &str) -> Result<Option<i32>, ClusterUnreachable> {
        if let Some(known) = self.cached_partition_count(topic) {
            return Ok(known);
        }
        let metadata = metadata::fetch_metadata(&self.observer, &self.brokers, Some(topic), METADATA_TIMEOUT)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let there = found.filter(|found| found.error().is_none() && !found.partitions().is_empty());
        // What cannot be told at the moment is not taken for missing.
        let unclear =
            |code| !matches!(code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::InvalidTopic);
        if let Some(code) =
            found.and_then(MetadataTopic::error).map(RDKafkaErrorCode::from).filter(|code| unclear(*code))
        {
            let errors = vec![format!("topic {topic}: {code}")];
            return Err(ClusterUnreachable { brokers: self.brokers.clone(), waited: Duration::ZERO, errors });
        }
        let partitions = there.map(|found| i32::try_from(found.partitions().len()).unwrap_or(i32::MAX));
        let mut known = self.known.lock();
        if known.len() >= MAX_CACHED_TOPICS {
            known.clear();
        }
        known.insert(topic.to_owned(), (partitions, Instant::now()));
        Ok(partitions)
    }

    /// The same if it is known without asking.
    pub fn cached_partition_count(&self, topic: &str) -> Option<Option<i32>> {
        let known = self.known.lock();
        let (partitions, since) = known.get(topic)?;
        let long = if partitions.is_some() { FOUND_TOPIC_TTL } else { MISSING_TOPIC_TTL };
        (since.elapsed() < long).then_some(*partitions)
    }

    /// Queues a record; what is given back hears what became of it.
    ///
    /// # Errors
    /// If it is not queued.
    pub fn enqueue(
        &self,
        topic: &str,
        outgoing: &OutgoingRecord,
    ) -> Result<oneshot::Receiver<Result<RecordMetadata, RecordWriteError>>, RecordWriteError> {
        let (report, heard) = oneshot::channel();
        let mut record = BaseRecord::<[u8], [u8], Box<ReportSender>>::with_opaque_to(topic, Box::new(report));
        record.key = outgoing.key.as_deref();
        record.payload = outgoing.value.as_deref();
        record.partition = outgoing.partition;
        match self.producer.send(record) {
            Ok(()) => Ok(heard),
            Err((error, _)) => Err(write_error(&error)),
        }
    }

    /// Waits until every record is reported on.
    pub fn flush(&self, timeout_after: Duration) {
        let _ = self.producer.flush(timeout_after);
    }
}

/// Whether the same record may be taken later.
fn write_error(error: &KafkaError) -> RecordWriteError {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    let never = matches!(
        code,
        Some(
            Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::InvalidRecord
                | Code::InvalidTimestamp
                | Code::InvalidPartitions
                | Code::UnknownPartition
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::InvalidTopic
                | Code::PolicyViolation
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::InvalidArgument
        )
    );
    let what = match code {
        Some(Code::MessageTimedOut) => "the brokers did not acknowledge it in time; it may be there".to_owned(),
        Some(Code::QueueFull) => "too many records are under way".to_owned(),
        Some(Code::MessageSizeTooLarge) => "it is larger than the topic's max.message.bytes".to_owned(),
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    RecordWriteError { may_pass: !never, what }
}

/// Each report goes to whom it concerns.
struct ReportForwarder;

impl DeliveryReports for ReportForwarder {
    type Opaque = Box<ReportSender>;

    fn on_delivery(&self, result: &DeliveryResult<'_>, report: Box<ReportSender>) {
        let outcome = match result {
            Ok(message) => Ok(RecordMetadata { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(write_error(error)),
        };
        // Who asked may have hung up.
        let _ = report.send(outcome);
    }
}
