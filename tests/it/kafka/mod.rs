//! Kafka, against a real broker that the tests start. `tests/kafka/setup.sh` installs it.
//!
//! `PINFLOW_SKIP_KAFKA=1` leaves these tests out. Without it a broker that cannot be started is a failure.

mod access;
pub(crate) mod broker;
pub(crate) mod certificates;
mod check;
mod emit;
mod malformed;
mod mock;
mod msk;
mod reading;
mod security;
pub(crate) mod site;
mod timestamps;
mod topic_changes;
mod topics;
mod transactions;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::{create_temp_dir, pinflow};
use broker::{BrokerListener, KafkaBroker};

/// Nothing that a broker is asked for takes longer on the slowest machine.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether the Kafka tests are to be left out; says so.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
pub(crate) fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_KAFKA").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_KAFKA=1: no broker is started, nothing of Kafka is tested");
    }
    skipped
}

/// How pinflow ended, and what it said.
#[derive(Debug)]
pub(crate) struct EndedRun {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    /// The same as it was written.
    pub(crate) bytes: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs pinflow to its end, however that is.
pub(crate) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> EndedRun {
    run_with(arguments, &[])
}

/// Runs pinflow to its end, with more in its environment.
pub(crate) fn run_with<'a>(arguments: impl IntoIterator<Item = &'a str>, environment: &[(&str, &str)]) -> EndedRun {
    let mut command = pinflow(arguments);
    command.env("PINFLOW_TEST_PASSWORD", broker::PASSWORD).envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    EndedRun {
        code: output.status.code().expect("it ended by itself"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        bytes: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A configuration that says how to connect.
pub(crate) struct KafkaConfigFile {
    path: PathBuf,
    _place: tempfile::TempDir,
}

impl KafkaConfigFile {
    /// `text` is the rest of a kafka source.
    pub(crate) fn new(text: &str) -> KafkaConfigFile {
        let place = create_temp_dir();
        let path = place.path().join("kafka.toml");
        std::fs::write(&path, format!("[[source]]\nkind = 'kafka'\n{text}")).unwrap();
        KafkaConfigFile { path, _place: place }
    }

    pub(crate) fn config(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// How to connect to a listener of the shared broker as a user; the password is in the environment of [`run`].
pub(crate) fn write_connection_config(listener: BrokerListener, mechanism: &str, user: &str) -> KafkaConfigFile {
    let broker = KafkaBroker::shared();
    KafkaConfigFile::new(&format!(
        "brokers = '{}'\ntls = {{ ca = '{}' }}\n\
         sasl = {{ mechanism = '{mechanism}', username = '{user}', password = 'env:PINFLOW_TEST_PASSWORD' }}\n",
        broker.address(listener),
        path_text(&broker.certificates().authority())
    ))
}

pub(crate) fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn reader(broker: &KafkaBroker) -> BaseConsumer {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", broker.plaintext()).set("group.id", "tests").set("enable.auto.commit", "false");
    settings.create().unwrap()
}

/// The offset of the next record in each partition of a topic.
pub(crate) fn offsets(broker: &KafkaBroker, topic: &str) -> Vec<i64> {
    let reader = reader(broker);
    let metadata = reader.fetch_metadata(Some(topic), REQUEST_TIMEOUT).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    (0..i32::try_from(partitions).unwrap())
        .map(|partition| reader.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).unwrap().1)
        .collect()
}

/// A message of a topic.
#[derive(Debug)]
pub(crate) struct KafkaMessage {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
}

impl KafkaMessage {
    pub(crate) fn key(&self) -> &str {
        std::str::from_utf8(self.key.as_deref().expect("a key")).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

/// All messages of a topic, each partition's in order.
pub(crate) fn read_all(broker: &KafkaBroker, topic: &str) -> Vec<KafkaMessage> {
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
