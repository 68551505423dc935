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

use super::broker_list::BrokerList;
use super::client_context::KafkaContext;
use super::connection::KafkaConnection;
use super::connection_error::KafkaConnectionError;
use super::metadata::{self, ClusterUnreachable};
use super::producer::{DeliveryContext, DeliveryReports, create_producer};

/// How long the partition count of an existing topic is cached.
const FOUND_TOPIC_TTL: Duration = Duration::from_secs(10);
/// How long the absence of a topic is cached.
const MISSING_TOPIC_TTL: Duration = Duration::from_secs(1);
/// Maximum number of cached topic names. Names of missing topics count too, because clients can send any name.
const MAX_CACHED_TOPICS: usize = 10_000;
/// Maximum wait for a broker that returns the partitions of a topic.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// A record to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// Determines the partition if `partition` is `None`.
    pub key: Option<Vec<u8>>,
    /// The payload; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The partition; `None` chooses it by the key.
    pub partition: Option<i32>,
}

/// Where a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The number of the partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

/// Why a record was not acknowledged. After a timeout it may have been written nevertheless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct RecordWriteError {
    /// Whether a retry of the same record can succeed.
    pub may_pass: bool,
    /// The reason, for people.
    pub what: String,
}

type ReportSender = oneshot::Sender<Result<RecordMetadata, RecordWriteError>>;

/// Writes records to the topics of a cluster.
pub struct RecordWriter {
    producer: ThreadedProducer<DeliveryContext<ReportForwarder>>,
    observer: BaseConsumer<KafkaContext>,
    brokers: BrokerList,
    /// Cached partition counts (`None`: the topic does not exist), and when each was fetched.
    known: Mutex<HashMap<String, (Option<i32>, Instant)>>,
}

impl RecordWriter {
    /// Creates the clients. A record that is not acknowledged within `timeout_after` fails.
    ///
    /// # Errors
    /// If the connection is invalid.
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

    /// The number of partitions of a topic, at most a few seconds old; `None` if the topic does not exist. Blocks the
    /// calling thread while it waits for a broker.
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
        // A topic whose state is unknown at the moment is not treated as missing.
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

    /// The cached number of partitions, if there is one. Does not block.
    pub fn cached_partition_count(&self, topic: &str) -> Option<Option<i32>> {
        let known = self.known.lock();
        let (partitions, since) = known.get(topic)?;
        let long = if partitions.is_some() { FOUND_TOPIC_TTL } else { MISSING_TOPIC_TTL };
        (since.elapsed() < long).then_some(*partitions)
    }

    /// Queues a record. The returned receiver gets its delivery report.
    ///
    /// # Errors
    /// If the record is not queued.
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

    /// Waits until every record was reported on, or the timeout has passed.
    pub fn flush(&self, timeout_after: Duration) {
        let _ = self.producer.flush(timeout_after);
    }
}

/// Maps a client error. It tells whether a retry of the same record can succeed.
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
        Some(Code::MessageTimedOut) => {
            "the brokers did not acknowledge it in time; it may have been written".to_owned()
        }
        Some(Code::QueueFull) => "too many records are in flight".to_owned(),
        Some(Code::MessageSizeTooLarge) => "it is larger than the topic's max.message.bytes".to_owned(),
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    RecordWriteError { may_pass: !never, what }
}

/// Sends each delivery report to the caller that queued the record.
struct ReportForwarder;

impl DeliveryReports for ReportForwarder {
    type Opaque = Box<ReportSender>;

    fn on_delivery(&self, result: &DeliveryResult<'_>, report: Box<ReportSender>) {
        let outcome = match result {
            Ok(message) => Ok(RecordMetadata { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(write_error(error)),
        };
        // The caller may have gone away.
        let _ = report.send(outcome);
    }
}
