//! Kafka brokers, and sending and reading their records. `tests/kafka/setup.sh` installs the broker.

pub mod broker;
mod msk_signature;
pub mod msk_stub;
pub mod site;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::paths::create_temp_dir;
use broker::{BrokerListener, KafkaBroker};

/// Longer than any request takes, even on a slow machine.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether the Kafka tests are skipped. Prints so.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
pub fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_KAFKA").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_KAFKA=1: no broker is started, nothing of Kafka is tested");
    }
    skipped
}

/// A configuration file with a Kafka connection.
pub struct KafkaConfigFile {
    path: PathBuf,
    _place: tempfile::TempDir,
}

impl KafkaConfigFile {
    /// Writes a configuration. `text` is the rest of its Kafka source.
    pub fn new(text: &str) -> KafkaConfigFile {
        let place = create_temp_dir();
        let path = place.path().join("kafka.toml");
        std::fs::write(&path, format!("[[source]]\nkind = 'kafka'\n{text}")).unwrap();
        KafkaConfigFile { path, _place: place }
    }

    /// Its path.
    pub fn config(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Writes a connection to a listener of the shared broker as a user. The password is in the environment of the run.
pub fn write_connection_config(listener: BrokerListener, mechanism: &str, user: &str) -> KafkaConfigFile {
    let broker = KafkaBroker::shared();
    KafkaConfigFile::new(&format!(
        "brokers = '{}'\ntls = {{ ca = '{}' }}\n\
         sasl = {{ mechanism = '{mechanism}', username = '{user}', password = 'env:PINFLOW_TEST_PASSWORD' }}\n",
        broker.address(listener),
        path_text(&broker.certificates().authority())
    ))
}

/// A path as text. Panics if it is not UTF-8.
pub fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn reader(broker: &KafkaBroker) -> BaseConsumer {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", broker.plaintext()).set("group.id", "tests").set("enable.auto.commit", "false");
    settings.create().unwrap()
}

/// The offset of the next record in each partition of a topic.
pub fn offsets(broker: &KafkaBroker, topic: &str) -> Vec<i64> {
    let reader = reader(broker);
    let metadata = reader.fetch_metadata(Some(topic), REQUEST_TIMEOUT).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    (0..i32::try_from(partitions).unwrap())
        .map(|partition| reader.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).unwrap().1)
        .collect()
}

/// A message of a topic.
#[derive(Debug)]
pub struct KafkaMessage {
    /// The number of its partition.
    pub partition: i32,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its payload. Empty for a tombstone.
    pub payload: Vec<u8>,
}

impl KafkaMessage {
    /// Its key as text. Panics without a key.
    pub fn key(&self) -> &str {
        std::str::from_utf8(self.key.as_deref().expect("a key")).unwrap()
    }

    /// Its payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

/// All messages of a topic. Those of a partition are in order.
pub fn read_all(broker: &KafkaBroker, topic: &str) -> Vec<KafkaMessage> {
    let ends = offsets(broker, topic);
    let reader = reader(broker);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..ends.len() {
        assignment.add_partition_offset(topic, i32::try_from(partition).unwrap(), Offset::Beginning).unwrap();
    }
    reader.assign(&assignment).unwrap();
    let total: i64 = ends.iter().sum();
    let (mut found, start) = (Vec::new(), Instant::now());
    while i64::try_from(found.len()).unwrap() < total {
        assert!(start.elapsed() < REQUEST_TIMEOUT, "{} of {total} messages of {topic} came", found.len());
        if let Some(message) = reader.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            found.push(KafkaMessage {
                partition: message.partition(),
                key: message.key().map(<[u8]>::to_vec),
                payload: message.payload().unwrap_or_default().to_vec(),
            });
        }
    }
    found
}
