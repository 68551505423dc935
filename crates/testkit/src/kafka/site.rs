//! Posts sent through a broker, and the run that reads them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use pinflow_dataflows::graph::GraphOptions;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::broker::KafkaBroker;
use crate::batch::assert_answers_equal_batch;
use crate::ledger::deliveries;
use crate::{ProcessOutput, RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed, wait_until};

/// The streams. Topics are named after them.
pub const STREAMS: [&str; 3] = ["pin", "geo", "user"];
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// Three topics with a unique prefix, and a folder for the run that reads them.
pub struct PostsSite {
    /// A folder for configuration, log and tables.
    pub place: tempfile::TempDir,
    /// The prefix of its topics.
    pub prefix: String,
    brokers: String,
}

impl PostsSite {
    /// Creates the topics.
    pub fn new(broker: &KafkaBroker, partitions: i32) -> PostsSite {
        let site = PostsSite::without_topics(&broker.plaintext());
        for stream in STREAMS {
            broker.create_topic(&site.topic(stream), partitions, &[]);
        }
        site
    }

    /// Names topics without creating them.
    pub fn without_topics(brokers: &str) -> PostsSite {
        let prefix = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
        PostsSite { place: create_temp_dir(), prefix, brokers: brokers.to_owned() }
    }

    /// The topic of a stream.
    pub fn topic(&self, stream: &str) -> String {
        format!("{}.{stream}", self.prefix)
    }

    /// The folder of the tables.
    pub fn tables(&self) -> PathBuf {
        self.place.path().join("tables")
    }

    /// Writes a configuration that reads the three topics. `source` are additional lines of it.
    pub fn configure(&self, source: &str) -> PathBuf {
        let topics: Vec<String> = STREAMS.map(|stream| format!("{stream} = \"{}\"", self.topic(stream))).to_vec();
        self.configure_topics(&topics.join(", "), source)
    }

    /// As [`PostsSite::configure`], with these topics.
    pub fn configure_topics(&self, topics: &str, source: &str) -> PathBuf {
        let path = self.place.path().join("run.toml");
        let text = format!(
            "[[source]]\nkind = \"kafka\"\nbrokers = \"{}\"\ntopics = {{ {topics} }}\nwatch_secs = 0.5\n{source}\n\
             [tables]\nurl = \"tables\"\ncommit_rows_max = 2000\ncommit_age_secs_max = 0.1\n\
             [engine]\nepoch_ms = 3\n[output]\nevery_ms = 20\n",
            self.brokers
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Generates a recording to send.
    pub fn recording(&self, inds: u32, seed: u32, more: &[&str]) -> PathBuf {
        let folder = self.place.path().join(format!("recording-{seed}"));
        emit(&folder, inds, inds, seed, more);
        folder
    }

    /// Starts the program on a configuration.
    pub fn run(&self, config: &Path, more: &[&str]) -> LiveSite {
        LiveSite::start(config, more, &self.place.path().join("log"))
    }

    /// A producer of records.
    pub fn producer(&self) -> SendingThread {
        SendingThread::new(&self.brokers, &[])
    }

    /// Sends generated posts to the topics with `pinflow emit`.
    pub fn emit(&self, inds: u32, seed: u32, more: &[&str]) {
        let (inds, seed) = (inds.to_string(), seed.to_string());
        let to = format!("kafka://{}/{}", self.brokers, self.prefix);
        let mut command = pinflow(["emit", "--to", &to, "--inds", &inds, "--count", &inds, "--seed", &seed]);
        succeed(command.args(more));
    }

    /// Sends every line of a recording to the topic of its stream, round-robin over the partitions.
    pub fn send(&self, recording: &Path, partitions: i32) {
        let mut sending = self.producer();
        for stream in STREAMS {
            for (number, line) in (0..).zip(lines(recording, stream)) {
                sending.send(&self.topic(stream), number % partitions, Some(&line));
            }
        }
        sending.flush();
    }

    /// The end of each partition of the three topics, as readers of committed records see it.
    pub fn ends(&self) -> BTreeMap<String, u64> {
        let topics: Vec<String> = STREAMS.map(|stream| self.topic(stream)).to_vec();
        ends(&self.brokers, &topics)
    }

    /// The expected `_source` and `_position` of every committed record of the three topics.
    pub fn list_stored_positions(&self) -> Vec<(String, u64)> {
        let topics: Vec<String> = STREAMS.map(|stream| self.topic(stream)).to_vec();
        list_stored_positions(&self.brokers, &topics)
    }

    /// Asserts that the tables have each record of the broker exactly once, and nothing else.
    pub fn assert_each_once(&self) {
        assert_each_once(&self.list_stored_positions(), &self.tables());
    }

    /// Reads to the end, stops, and asserts that tables and answers are right.
    pub fn finish(&self, config: &Path) -> ProcessOutput {
        let live = self.run(config, &[]);
        live.wait_until_read(&self.ends());
        let snapshot = live.stop();
        self.assert_answers_and_rows(&snapshot);
        snapshot
    }

    /// Asserts that the tables have each record once, and that the answers equal the batch answers.
    pub fn assert_answers_and_rows(&self, snapshot: &ProcessOutput) {
        self.assert_each_once();
        assert_answers_equal_batch(&self.tables(), GraphOptions::default(), snapshot);
        succeed(pinflow(["table"]).arg(self.tables()).arg("--verify"));
    }
}

/// The lines of one stream of a recording.
pub fn lines(recording: &Path, stream: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(recording.join(format!("{stream}.jsonl"))).unwrap();
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The end of each partition by its name.
pub fn ends(brokers: &str, topics: &[String]) -> BTreeMap<String, u64> {
    let consumer = reader(brokers);
    let mut ends = BTreeMap::new();
    for topic in topics {
        let metadata = retry_transient(|| consumer.fetch_metadata(Some(topic), READ_TIMEOUT));
        for partition in metadata.topics()[0].partitions() {
            let (_, high) = retry_transient(|| consumer.fetch_watermarks(topic, partition.id(), READ_TIMEOUT));
            ends.insert(format!("kafka/{topic}/{}", partition.id()), u64::try_from(high).unwrap());
        }
    }
    ends
}

/// Retries until it succeeds, because injected errors may also hit requests of the test itself.
fn retry_transient<T>(ask: impl Fn() -> Result<T, KafkaError>) -> T {
    let start = std::time::Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(start.elapsed() < READ_TIMEOUT, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn list_stored_positions(brokers: &str, topics: &[String]) -> Vec<(String, u64)> {
    let consumer = reader(brokers);
    let mut held = Vec::new();
    for (name, end) in ends(brokers, topics) {
        let mut parts = name.split('/').skip(1);
        let (topic, partition) = (parts.next().unwrap(), parts.next().unwrap().parse().unwrap());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        if end == 0 {
            continue;
        }
        loop {
            match consumer.poll(READ_TIMEOUT) {
                Some(Ok(message)) => held.push((name.clone(), u64::try_from(message.offset()).unwrap())),
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                other => panic!("{name}: {:?}", other.map(|one| one.map(|_| ()))),
            }
        }
    }
    held
}

fn reader(brokers: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap()
}

/// Asserts that the tables have each of these records exactly once, as one row, and nothing else.
pub fn assert_each_once(held: &[(String, u64)], tables: &Path) {
    let found = deliveries(tables);
    for (source, position) in held {
        let times = found.get(&(source.clone(), *position, 0)).copied().unwrap_or_default();
        assert_eq!(times, 1, "{source} at {position} is {times} times in the tables");
    }
    assert_eq!(found.len(), held.len(), "rows that no record explains");
}

/// Sends records and asserts that each is acknowledged.
pub struct SendingThread {
    /// The producer, for direct use.
    pub producer: BaseProducer,
}

impl SendingThread {
    /// Creates a producer with additional settings of librdkafka.
    pub fn new(brokers: &str, settings: &[(&str, &str)]) -> SendingThread {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("linger.ms", "5").set("queue.buffering.max.messages", "1000000");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        SendingThread { producer: config.create().unwrap() }
    }

    /// Queues a record. `None` is a tombstone.
    pub fn send(&mut self, topic: &str, partition: i32, payload: Option<&[u8]>) {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        record.payload = payload;
        self.queue(record);
    }

    /// Queues a record with this timestamp, in milliseconds since 1970.
    pub fn send_at(&mut self, topic: &str, partition: i32, payload: &[u8], time_ms: i64) {
        self.queue(BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(payload).timestamp(time_ms));
    }

    fn queue(&mut self, mut record: BaseRecord<'_, [u8], [u8]>) {
        while let Err((error, again)) = self.producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.producer.poll(Duration::from_millis(10));
            record = again;
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until all queued records are acknowledged.
    pub fn flush(&mut self) {
        self.producer.flush(READ_TIMEOUT).unwrap();
        assert_eq!(self.producer.in_flight_count(), 0, "every record was acknowledged");
    }
}

/// A reading run. Killed when dropped.
pub struct LiveSite {
    /// The process.
    pub running: RunningProcess,
    said: Arc<Mutex<Vec<u8>>>,
    log: PathBuf,
    listening: Option<std::thread::JoinHandle<()>>,
}

impl LiveSite {
    /// Runs a configuration with additional flags.
    pub fn start(config: &Path, more: &[&str], log: &Path) -> LiveSite {
        let mut command = pinflow(["run"]);
        LiveSite::start_command(command.arg(config).args(more), log)
    }

    /// Starts a command that runs the program.
    pub fn start_command(command: &mut std::process::Command, log: &Path) -> LiveSite {
        let file = std::fs::File::create(log).unwrap();
        let mut running = RunningProcess::start(command.stdout(Stdio::piped()).stderr(file));
        let said = Arc::new(Mutex::new(Vec::new()));
        let (stdout, into) = (running.stdout(), Arc::clone(&said));
        let listening = std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let mut said = into.lock().unwrap();
                said.extend_from_slice(&line);
                said.push(b'\n');
            }
        });
        LiveSite { running, said, log: log.to_owned(), listening: Some(listening) }
    }

    /// The cut of the last complete snapshot.
    pub fn cut(&self) -> Option<Value> {
        let said = self.said.lock().unwrap();
        let mut lines = said.split(|byte| *byte == b'\n').rev().filter(|line| line.starts_with(b"{\"epoch\""));
        lines.next().map(|line| serde_json::from_slice(line).unwrap())
    }

    /// The current state of a partition in the snapshot.
    pub fn source(&self, name: &str) -> Option<Value> {
        let cut = self.cut()?;
        cut["sources"].as_array().unwrap().iter().find(|source| source["source"] == name).cloned()
    }

    /// The next position that it reads in a partition.
    pub fn position(&self, name: &str) -> Option<u64> {
        self.source(name).map(|source| source["position"].as_str().unwrap().parse().unwrap())
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the answers include everything before these ends.
    pub fn wait_until_read(&self, ends: &BTreeMap<String, u64>) {
        let mut last = None;
        wait_until(&format!("everything up to {ends:?} is read; {}", self.log.display()), || {
            let cut = self.cut();
            if cut.is_some() && cut == last {
                return false;
            }
            let read = ends.iter().all(|(name, end)| self.position(name).is_some_and(|position| position >= *end));
            last = cut;
            read
        });
    }

    /// Waits until the run knows the end of each partition, and has reached it.
    pub fn wait_until_caught_up(&self, ends: &BTreeMap<String, u64>) {
        self.wait_until_read(ends);
        wait_until("where partitions end is told", || {
            ends.keys().all(|name| self.source(name).is_some_and(|source| source["lag"] == 0))
        });
    }

    /// Sends SIGTERM. Returns the last snapshot, and asserts that it is durable.
    pub fn stop(mut self) -> ProcessOutput {
        self.running.signal(Signal::SIGTERM);
        let status = self.running.wait();
        assert_eq!(status.code(), Some(0), "an orderly stop is a success: {}", self.log());
        self.listening.take().unwrap().join().unwrap();
        let snapshot = last_snapshot(&self.said.lock().unwrap());
        assert_eq!(snapshot.cut["epoch"], snapshot.cut["durable_epoch"], "the final snapshot is durable");
        snapshot
    }

    /// Waits until the run fails. Returns the end of its stderr.
    pub fn wait_for_failure(mut self) -> String {
        let status: ExitStatus = self.running.wait();
        assert_eq!(status.code(), Some(1), "it ends loudly: {}", self.log());
        self.log().lines().last().unwrap_or_default().to_owned()
    }
}
