//! Writes single records and tells of each what became of it, with the place that it got.
//!
//! One idempotent producer with all in-sync replicas' acknowledgement serves everybody. Its queue is bounded: who comes
//! while it is full is told so, and nothing waits without a limit.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ThreadedProducer};
use tokio::sync::oneshot;

use super::client::Client;
use super::connection::{Brokers, Connection, ConnectionError};
use super::producer::{Listening, Reports, producer};
use super::reach::{self, Unreachable};

/// How long it is believed that a topic is there, with its partitions.
const BELIEVED: Duration = Duration::from_secs(10);
/// How long it is believed that it is not.
const MISSED: Duration = Duration::from_secs(1);
/// Names that are remembered: those that are not there among them, which anybody can invent.
const NAMES_MAX: usize = 10_000;
/// Longest wait for a broker that names a topic's partitions.
const PATIENCE: Duration = Duration::from_secs(5);

/// A record to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Decides on the partition where none is said.
    pub key: Option<Vec<u8>>,
    /// Its bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The partition, if it is said.
    pub partition: Option<i32>,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

/// Why a record was not written, as far as is known: one whose time was over may stand there all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unwritten {
    /// The same record may be taken later.
    pub may_pass: bool,
    /// Why.
    pub what: String,
}

type Report = oneshot::Sender<Result<Place, Unwritten>>;

/// Writes to the topics of a cluster.
pub struct Writer {
    producer: ThreadedProducer<Listening<Senders>>,
    observer: BaseConsumer<Client>,
    brokers: Brokers,
    /// How many partitions a topic has (none: it is not there), and since when that is believed.
    known: Mutex<HashMap<String, (Option<i32>, Instant)>>,
}

impl Writer {
    /// Makes the clients. A record that is not acknowledged within `patience` is given up.
    ///
    /// # Errors
    /// If there is something wrong with the connection.
    pub fn of(connection: &Connection, base: &Path, patience: Duration) -> Result<Writer, ConnectionError> {
        let observer = connection.observer(base)?;
        let settings = [("compression.type", "zstd"), ("linger.ms", "2")];
        let timeout = patience.as_millis().to_string();
        let producer = producer(connection, base, &settings, &[("message.timeout.ms", &timeout)], Senders)?;
        Ok(Writer { producer, observer, brokers: connection.brokers.clone(), known: Mutex::default() })
    }

    /// How many partitions a topic has, as of a few seconds ago; `None` if there is no such topic. Waits for a broker,
    /// on the thread that asks.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub fn partitions(&self, topic: &str) -> Result<Option<i32>, Unreachable> {
        if let Some(known) = self.believed(topic) {
            return Ok(known);
        }
        let metadata = reach::metadata(&self.observer, &self.brokers, Some(topic), PATIENCE)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let there = found.filter(|found| found.error().is_none() && !found.partitions().is_empty());
        // What cannot be told at the moment is not taken for missing.
        let unclear =
            |code| !matches!(code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::InvalidTopic);
        if let Some(code) =
            found.and_then(MetadataTopic::error).map(RDKafkaErrorCode::from).filter(|code| unclear(*code))
        {
            let troubles = vec![format!("topic {topic}: {code}")];
            return Err(Unreachable { brokers: self.brokers.clone(), waited: Duration::ZERO, troubles });
        }
        let partitions = there.map(|found| i32::try_from(found.partitions().len()).unwrap_or(i32::MAX));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert(topic.to_owned(), (partitions, Instant::now()));
        Ok(partitions)
    }

    /// The same if it is known without asking.
    pub fn believed(&self, topic: &str) -> Option<Option<i32>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (partitions, since) = known.get(topic)?;
        let long = if partitions.is_some() { BELIEVED } else { MISSED };
        (since.elapsed() < long).then_some(*partitions)
    }

    /// Queues a record; what is given back hears what became of it.
    ///
    /// # Errors
    /// If it is not queued.
    pub fn write(
        &self,
        topic: &str,
        outgoing: &Outgoing,
    ) -> Result<oneshot::Receiver<Result<Place, Unwritten>>, Unwritten> {
        let (report, heard) = oneshot::channel();
        let mut record = BaseRecord::<[u8], [u8], Box<Report>>::with_opaque_to(topic, Box::new(report));
        record.key = outgoing.key.as_deref();
        record.payload = outgoing.value.as_deref();
        record.partition = outgoing.partition;
        match self.producer.send(record) {
            Ok(()) => Ok(heard),
            Err((error, _)) => Err(unwritten(&error)),
        }
    }

    /// Waits until every record is reported on.
    pub fn finish(&self, patience: Duration) {
        let _ = self.producer.flush(patience);
    }
}

/// Whether the same record may be taken later.
fn unwritten(error: &KafkaError) -> Unwritten {
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
    Unwritten { may_pass: !never, what }
}

/// Each report goes to whom it concerns.
struct Senders;

impl Reports for Senders {
    type Opaque = Box<Report>;

    fn heard(&self, result: &DeliveryResult<'_>, report: Box<Report>) {
        let outcome = match result {
            Ok(message) => Ok(Place { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(unwritten(error)),
        };
        // Who asked may have hung up.
        let _ = report.send(outcome);
    }
}
