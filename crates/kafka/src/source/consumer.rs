//! Creates the consumers and queries the cluster: its id, partition counts, offset ranges, and single records.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::consumer_context::SourceConsumerContext;
use super::fingerprint;
use super::offset_check::OffsetRange;
use crate::{ClientPurpose, KafkaConnection};
use pinflow_connect::source::SourceError;
pub(super) use pinflow_connect::source::reader_thread::ReaderExit;
use pinflow_core::error_text::error_text;

/// Timeout of one request to a broker.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A cluster and its connection settings.
#[derive(Debug, Clone)]
pub(super) struct KafkaCluster {
    pub(super) connection: KafkaConnection,
    /// Resolves relative paths of the connection.
    pub(super) base: PathBuf,
    pub(super) group: String,
}

/// A consumer and its callbacks.
pub(super) struct KafkaConsumer {
    pub(super) consumer: BaseConsumer<SourceConsumerContext>,
    pub(super) listener: SourceConsumerContext,
}

/// The content of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OffsetContent {
    /// A record with this hash.
    Record(u64),
    /// No record: the next one is at a higher offset, or there is none.
    Nothing,
}

impl KafkaCluster {
    /// Creates the consumer that reads the records.
    pub(super) fn create_reader(&self) -> Result<KafkaConsumer, SourceError> {
        self.create_tuned(&[
            // Bounds the fetched records that wait in the client, to this size plus one fetch response.
            ("queued.max.messages.kbytes", "16384"),
            ("queued.min.messages", "1000000"),
            ("fetch.max.bytes", "16777216"),
            // Pause of a partition whose queue is full. The default of librdkafka, 1 s, would leave the engine idle.
            ("fetch.queue.backoff.ms", "5"),
            ("fetch.error.backoff.ms", "250"),
            ("statistics.interval.ms", "1000"),
        ])
    }

    /// Creates the consumer of the topic monitor. It reads uncommitted records, so that the end of a partition is its
    /// high watermark and not its first open transaction.
    pub(super) fn create_monitor(&self) -> Result<KafkaConsumer, SourceError> {
        let mut settings = vec![("queued.max.messages.kbytes", "1024"), ("queued.min.messages", "1")];
        settings.extend([("fetch.message.max.bytes", "65536"), ("fetch.max.bytes", "1048576")]);
        let (mut config, listener) = self.build_config(&settings)?;
        config.set("isolation.level", "read_uncommitted");
        self.create_consumer(&config, listener)
    }

    fn create_tuned(&self, settings: &[(&str, &str)]) -> Result<KafkaConsumer, SourceError> {
        let (config, listener) = self.build_config(settings)?;
        self.create_consumer(&config, listener)
    }

    fn build_config(&self, tuning: &[(&str, &str)]) -> Result<(ClientConfig, SourceConsumerContext), SourceError> {
        let made = self.connection.client_config(&self.base, ClientPurpose::Consumer);
        let (mut config, client) = made.map_err(|error| SourceError::from_connection(&error))?;
        // Properties from the configuration take precedence.
        let common = [("topic.metadata.refresh.interval.ms", "30000"), ("reconnect.backoff.max.ms", "2000")];
        for (name, value) in tuning.iter().chain(&common) {
            if config.get(name).is_none() {
                config.set(*name, *value);
            }
        }
        config.set("group.id", &self.group).set("enable.partition.eof", "true");
        Ok((config, SourceConsumerContext::new(client)))
    }

    fn create_consumer(
        &self,
        config: &ClientConfig,
        listener: SourceConsumerContext,
    ) -> Result<KafkaConsumer, SourceError> {
        let created = config.create_with_context(listener.clone());
        let consumer: BaseConsumer<SourceConsumerContext> =
            created.map_err(|error| SourceError::Unusable(error_text(&self.connection.creation_error(&error))))?;
        // With token authentication the first token is requested here. No request succeeds before.
        let _ = consumer.poll(Duration::ZERO);
        Ok(KafkaConsumer { consumer, listener })
    }
}

impl KafkaConsumer {
    /// The id of the cluster. It stays the same if broker addresses change.
    pub(super) fn cluster_id(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(REQUEST_TIMEOUT)
    }

    /// The number of partitions of a topic; `None` if the topic does not exist.
    pub(super) fn partition_count(&self, topic: &str) -> Result<Option<i32>, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
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

    /// The offsets that a partition holds, as visible at this client's isolation level.
    pub(super) fn offset_range(&self, topic: &str, partition: i32) -> Result<OffsetRange, KafkaError> {
        let (low, high) = self.consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
        let offset = |offset| u64::try_from(offset).map_err(|_| KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset));
        Ok(OffsetRange { low: offset(low)?, high: offset(high)? })
    }

    /// The offset of the first record with this timestamp or a later one; `None` if all records are older.
    pub(super) fn first_offset_since(
        &self,
        topic: &str,
        partition: i32,
        at: Timestamp,
    ) -> Result<Option<u64>, KafkaError> {
        let mut timestamps = TopicPartitionList::new();
        timestamps.add_partition_offset(topic, partition, Offset::Offset(at.as_millisecond()))?;
        let offsets = self.consumer.offsets_for_times(timestamps, REQUEST_TIMEOUT)?;
        let answer = offsets.find_partition(topic, partition);
        let answer = answer.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset))?;
        answer.error()?;
        match answer.offset() {
            Offset::Offset(offset) => Ok(u64::try_from(offset).ok()),
            _ => Ok(None),
        }
    }

    /// Reads the content of one offset in each of several partitions of a topic. A partition is missing from the result
    /// if no broker responded in time, or if the offset is no longer available.
    pub(super) fn read_at_offsets(
        &self,
        topic: &str,
        at: &BTreeMap<i32, u64>,
        stopped: impl Fn() -> bool,
    ) -> Result<BTreeMap<i32, OffsetContent>, ReaderExit> {
        let mut assigned = TopicPartitionList::new();
        let unreadable = |error: KafkaError| SourceError::Unusable(format!("read single records of {topic}: {error}"));
        for (partition, offset) in at {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            assigned.add_partition_offset(topic, *partition, offset).map_err(unreadable)?;
        }
        self.consumer.assign(&assigned).map_err(unreadable)?;
        let found = self.poll_first_records(topic, at, stopped);
        self.consumer.unassign().map_err(unreadable)?;
        found
    }

    fn poll_first_records(
        &self,
        topic: &str,
        at: &BTreeMap<i32, u64>,
        stopped: impl Fn() -> bool,
    ) -> Result<BTreeMap<i32, OffsetContent>, ReaderExit> {
        let mut found = BTreeMap::new();
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        while found.len() < at.len() && Instant::now() < deadline {
            if stopped() {
                return Err(ReaderExit::Stopped);
            }
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.topic() == topic => {
                    let here =
                        at.get(&message.partition()).is_some_and(|at| i64::try_from(*at) == Ok(message.offset()));
                    let content = if here {
                        OffsetContent::Record(fingerprint::message_hash(&message))
                    } else {
                        OffsetContent::Nothing
                    };
                    found.entry(message.partition()).or_insert(content);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    found.entry(partition).or_insert(OffsetContent::Nothing);
                }
                // The context has logged the error. A partition whose offset is gone is left out of the result.
                Some(Ok(_) | Err(_)) | None => {}
            }
        }
        Ok(found)
    }
}
