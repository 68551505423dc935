//! Facts of a cluster: its name, its partitions, what they hold, and single records of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::anchor;
use super::listener::Listener;
use super::standing::Range;
use crate::error_text::error_text;
use crate::kafka::{Connection, Purpose};
use crate::sources::SourceError;
use crate::sources::thread::Halt;

/// How long one question to a broker may take.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// A cluster, and how it is reached.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) connection: Connection,
    /// What relative paths of the connection are relative to.
    pub(super) base: PathBuf,
    pub(super) group: String,
}

/// A client that reads.
pub(super) struct Reading {
    pub(super) consumer: BaseConsumer<Listener>,
    pub(super) listener: Listener,
}

/// What stands at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// A record with this hash.
    Record(u64),
    /// None: the next one stands further on, or there is none.
    Nothing,
}

impl Cluster {
    /// The client that reads the records.
    pub(super) fn reader(&self) -> Result<Reading, SourceError> {
        self.connect(&[
            // Fetched and not yet taken: this much, and one answer more.
            ("queued.max.messages.kbytes", "16384"),
            ("queued.min.messages", "1000000"),
            ("fetch.max.bytes", "16777216"),
            // How long a full queue waits before it looks again; librdkafka's second would leave the engine idle.
            ("fetch.queue.backoff.ms", "5"),
            ("fetch.error.backoff.ms", "250"),
            ("statistics.interval.ms", "1000"),
        ])
    }

    /// The client that looks after the topics beside the reader. It sees everything, so that the end of a partition is
    /// its end, not the first open transaction.
    pub(super) fn watcher(&self) -> Result<Reading, SourceError> {
        let mut settings = vec![("queued.max.messages.kbytes", "1024"), ("queued.min.messages", "1")];
        settings.extend([("fetch.message.max.bytes", "65536"), ("fetch.max.bytes", "1048576")]);
        let (mut config, listener) = self.settings(&settings)?;
        config.set("isolation.level", "read_uncommitted");
        self.create(&config, listener)
    }

    fn connect(&self, settings: &[(&str, &str)]) -> Result<Reading, SourceError> {
        let (config, listener) = self.settings(settings)?;
        self.create(&config, listener)
    }

    fn settings(&self, tuning: &[(&str, &str)]) -> Result<(ClientConfig, Listener), SourceError> {
        let unusable = |error| SourceError::Unusable(error_text(&error));
        let (mut config, client) = self.connection.client(&self.base, Purpose::Consumer).map_err(unusable)?;
        // What was passed through goes before.
        let common = [("topic.metadata.refresh.interval.ms", "30000"), ("reconnect.backoff.max.ms", "2000")];
        for (name, value) in tuning.iter().chain(&common) {
            if config.get(name).is_none() {
                config.set(*name, *value);
            }
        }
        config.set("group.id", &self.group).set("enable.partition.eof", "true");
        Ok((config, Listener::new(client)))
    }

    fn create(&self, config: &ClientConfig, listener: Listener) -> Result<Reading, SourceError> {
        let created = config.create_with_context(listener.clone());
        let consumer: BaseConsumer<Listener> =
            created.map_err(|error| SourceError::Unusable(error_text(&self.connection.refused(&error))))?;
        // Where tokens are wanted the first one is asked for here, and nothing is answered before.
        let _ = consumer.poll(Duration::ZERO);
        Ok(Reading { consumer, listener })
    }
}

impl Reading {
    /// The cluster's name, which stays with it whatever its brokers are called.
    pub(super) fn cluster_id(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(ANSWER)
    }

    /// How many partitions a topic has; `None` if there is no such topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<i32>, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        let count = i32::try_from(found.partitions().len()).unwrap_or(i32::MAX);
        match found.error().map(RDKafkaErrorCode::from) {
            None if count > 0 => Ok(Some(count)),
            None
            | Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopicId
                | RDKafkaErrorCode::UnknownTopic,
            ) => Ok(None),
            Some(code) => Err(KafkaError::MetadataFetch(code)),
        }
    }

    /// What a partition holds, as far as this client may see.
    pub(super) fn range(&self, topic: &str, partition: i32) -> Result<Range, KafkaError> {
        let (low, high) = self.consumer.fetch_watermarks(topic, partition, ANSWER)?;
        let offset = |offset| u64::try_from(offset).map_err(|_| KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset));
        Ok(Range { low: offset(low)?, high: offset(high)? })
    }

    /// The offset of the first record that is not older than a moment; `None` if all are.
    pub(super) fn first_since(&self, topic: &str, partition: i32, at: Timestamp) -> Result<Option<u64>, KafkaError> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(topic, partition, Offset::Offset(at.as_millisecond()))?;
        let answered = self.consumer.offsets_for_times(asked, ANSWER)?;
        let answer = answered.find_partition(topic, partition);
        let answer = answer.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset))?;
        answer.error()?;
        match answer.offset() {
            Offset::Offset(offset) => Ok(u64::try_from(offset).ok()),
            _ => Ok(None),
        }
    }

    /// Reads what stands at one offset of each of some partitions of a topic. A partition is missing from the answer
    /// if no broker told in time, or the offset was no longer there.
    pub(super) fn records(
        &self,
        topic: &str,
        at: &BTreeMap<i32, u64>,
        stopped: impl Fn() -> bool,
    ) -> Result<BTreeMap<i32, Stands>, Halt> {
        let mut assigned = TopicPartitionList::new();
        let unreadable = |error: KafkaError| SourceError::Unusable(format!("read single records of {topic}: {error}"));
        for (partition, offset) in at {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            assigned.add_partition_offset(topic, *partition, offset).map_err(unreadable)?;
        }
        self.consumer.assign(&assigned).map_err(unreadable)?;
        let found = self.first_records(topic, at, stopped);
        self.consumer.unassign().map_err(unreadable)?;
        found
    }

    fn first_records(
        &self,
        topic: &str,
        at: &BTreeMap<i32, u64>,
        stopped: impl Fn() -> bool,
    ) -> Result<BTreeMap<i32, Stands>, Halt> {
        let mut found = BTreeMap::new();
        let deadline = Instant::now() + ANSWER;
        while found.len() < at.len() && Instant::now() < deadline {
            if stopped() {
                return Err(Halt::Stopped);
            }
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.topic() == topic => {
                    let here =
                        at.get(&message.partition()).is_some_and(|at| i64::try_from(*at) == Ok(message.offset()));
                    let stands = if here { Stands::Record(anchor::hash_of(&message)) } else { Stands::Nothing };
                    found.entry(message.partition()).or_insert(stands);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    found.entry(partition).or_insert(Stands::Nothing);
                }
                // The listener has said what it is. An offset that is gone ends the looking at its partition.
                Some(Ok(_) | Err(_)) | None => {}
            }
        }
        Ok(found)
    }
}
