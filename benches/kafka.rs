//! Kafka, from a real broker on this machine to durable answers, in one run:
//!
//! ```text
//! tests/kafka/setup.sh && cargo bench --bench kafka         # 3,000,000 records in three topics of four partitions
//! PINFLOW_BENCH_RECORDS=300000 cargo bench --bench kafka
//! ```
//!
//! - records/s of a bare loop over the same client that discards every record: the limit of broker, client and
//!   machine.
//! - records/s from the broker to final answers, and to final answers with durable Delta rows. Their ratio to the loop
//!   is the result.
//! - memory with a backlog of that many records, compared with reading the same records from files.
//! - latency from the broker's acknowledgement to the changed answer on stdout, at 1,000 records/s: p50, p99, max.
//!
//! There are no assertions. Compare the ratios of two runs on one machine.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where it cannot go on"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use pinflow_testkit::RunningProcess;
use pinflow_testkit::kafka::broker::KafkaBroker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use serde_json::Value;

const PINFLOW: &str = env!("CARGO_BIN_EXE_pinflow");
const STREAMS: [&str; 3] = ["pin", "geo", "user"];
const PARTITION_COUNT: i32 = 4;
const MEASURED_ROUNDS: usize = 3;
const READ_TIMEOUT: Duration = Duration::from_secs(600);
/// Duration of the latency measurement in seconds, with one record per millisecond.
const LATENCY_SECS: u64 = 10;

fn main() {
    let records: u64 = std::env::var("PINFLOW_BENCH_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3_000_000);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-bench");
    std::fs::create_dir_all(&place).unwrap();
    let recording = recording(&place, records / 3);
    let broker = KafkaBroker::start_dedicated("");
    for stream in STREAMS {
        broker.create_topic(&format!("bench.{stream}"), PARTITION_COUNT, &[]);
    }
    fill(&broker, &recording);
    throughput(&place, &broker, &recording, records / 3 * 3);
    latency(&place, &broker);
}

/// Generated posts, once per size.
fn recording(place: &Path, inds: u64) -> PathBuf {
    let folder = place.join(format!("recording-{inds}"));
    if !folder.join("done").exists() {
        let _ = std::fs::remove_dir_all(&folder);
        let inds = inds.to_string();
        let mut emit = Command::new(PINFLOW);
        emit.args(["emit", "--inds", &inds, "--count", &inds, "--order", "shuffled", "--to"]).arg(&folder);
        assert!(emit.stderr(Stdio::null()).status().unwrap().success(), "pinflow emit failed");
        std::fs::write(folder.join("done"), "").unwrap();
    }
    folder
}

/// Sends every line, alternating between the streams as a live producer would.
fn fill(broker: &KafkaBroker, recording: &Path) {
    let start = Instant::now();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.plaintext()).set("linger.ms", "20").set("batch.size", "1000000");
    config.set("queue.buffering.max.messages", "500000");
    let producer: BaseProducer = config.create().unwrap();
    let file = |stream: &str| BufReader::new(std::fs::File::open(recording.join(format!("{stream}.jsonl"))).unwrap());
    let mut lines = STREAMS.map(|stream| (format!("bench.{stream}"), file(stream).lines()));
    let (mut sent, mut bytes) = (0_u64, 0);
    'all: for number in 0.. {
        for (topic, lines) in &mut lines {
            let Some(line) = lines.next() else { break 'all };
            let line = line.unwrap();
            bytes += line.len();
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(number % PARTITION_COUNT);
            record.payload = Some(line.as_bytes());
            while let Err((_, again)) = producer.send(record) {
                producer.poll(Duration::from_millis(5));
                record = again;
            }
            sent += 1;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(READ_TIMEOUT).unwrap();
    println!("{sent} records of {} bytes on average, sent in {:.1?}", bytes as u64 / sent, start.elapsed());
}

fn ends(consumer: &BaseConsumer) -> Vec<(String, i32, i64)> {
    let of = |stream: &str| {
        let topic = format!("bench.{stream}");
        (0..PARTITION_COUNT).map(move |partition| (topic.clone(), partition)).collect::<Vec<_>>()
    };
    let all = STREAMS.iter().flat_map(|stream| of(stream));
    all.map(|(topic, partition)| {
        let (_, high) = consumer.fetch_watermarks(&topic, partition, READ_TIMEOUT).unwrap();
        (topic, partition, high)
    })
    .collect()
}

/// A consumer with the settings of the source.
fn consumer(broker: &KafkaBroker) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.plaintext()).set("group.id", "bench").set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false").set("check.crcs", "true").set("enable.partition.eof", "true");
    config.set("queued.max.messages.kbytes", "16384").set("queued.min.messages", "1000000");
    config.set("fetch.max.bytes", "16777216").set("fetch.queue.backoff.ms", "5");
    config.create().unwrap()
}

/// Reads and discards everything. Returns the seconds.
fn bare_loop(broker: &KafkaBroker) -> f64 {
    let start = Instant::now();
    let consumer = consumer(broker);
    let mut list = TopicPartitionList::new();
    for (topic, partition, _) in ends(&consumer) {
        list.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut bytes, mut at_end) = (0, 0);
    while at_end < list.count() {
        match consumer.poll(READ_TIMEOUT) {
            Some(Ok(message)) => bytes += message.payload().map_or(0, <[u8]>::len),
            Some(Err(KafkaError::PartitionEOF(_))) => at_end += 1,
            Some(Err(error)) => panic!("{error}"),
            None => panic!("no record in {READ_TIMEOUT:?}"),
        }
    }
    assert!(bytes > 0);
    start.elapsed().as_secs_f64()
}

fn children_cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    [usage.user_time(), usage.system_time()].iter().map(|t| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6).sum()
}

/// Stops a run, and asserts success.
fn stop(mut running: RunningProcess) {
    running.signal(Signal::SIGTERM);
    assert!(running.wait().success());
}

fn configure(place: &Path, broker: &KafkaBroker, topics: &str, more: &str) -> PathBuf {
    let path = place.join("run.toml");
    let brokers = broker.plaintext();
    let text = format!(
        "[[source]]\nkind = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = {{ {topics} }}\n[output]\nevery_ms = 50\n{more}\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn start(config: &Path, output: &str) -> (RunningProcess, BufReader<std::process::ChildStdout>) {
    let mut command = Command::new(PINFLOW);
    command.arg("run").arg(config).args(["--output", output]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = RunningProcess::start(&mut command);
    let lines = BufReader::new(running.stdout());
    (running, lines)
}

/// Runs until everything is answered and durable. Returns seconds, CPU seconds, and peak memory in bytes.
fn read_all(config: &Path, records: u64) -> (f64, f64, u64) {
    let (cpu, begun) = (children_cpu(), Instant::now());
    let (running, lines) = start(config, "snapshots");
    let (most, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(running.try_memory_bytes(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        for line in lines.lines().map_while(Result::ok).filter(|line| line.starts_with("{\"epoch\"")) {
            let cut: Value = serde_json::from_str(&line).unwrap();
            let read: u64 = cut["sources"].as_array().unwrap().iter().map(|of| of["read"].as_u64().unwrap()).sum();
            if read >= records {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    stop(running);
    (begun.elapsed().as_secs_f64(), children_cpu() - cpu, most.into_inner())
}

/// Peak memory while the same records are read from files.
fn files_memory(recording: &Path) -> u64 {
    let mut command = Command::new(PINFLOW);
    command.arg("run").arg(recording).args(["--output", "none"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = RunningProcess::start(&mut command);
    let mut most = 0;
    while running.try_wait().is_none() {
        most = most.max(running.try_memory_bytes());
        std::thread::sleep(Duration::from_millis(50));
    }
    most
}

fn throughput(place: &Path, broker: &KafkaBroker, recording: &Path, records: u64) {
    let topics = STREAMS.map(|stream| format!("{stream} = \"bench.{stream}\"")).join(", ");
    let data = place.join("data");
    println!(
        "\n{:<34} {:>10} {:>8} {:>8} {:>8} {:>10}",
        "broker to", "records/s", "wall s", "CPU s", "of loop", "memory MB"
    );
    let bare = (0..MEASURED_ROUNDS).map(|_| bare_loop(broker)).fold(f64::INFINITY, f64::min);
    println!("{:<34} {:>10.0} {bare:>8.2}", "nothing: a bare loop", records as f64 / bare);
    let tables = format!("[tables]\nurl = \"{}\"", data.display());
    for (name, more) in [("final answers", ""), ("final answers and durable rows", tables.as_str())] {
        let config = configure(place, broker, &topics, more);
        let mut best = (f64::INFINITY, f64::INFINITY, 0);
        for _ in 0..MEASURED_ROUNDS {
            let _ = std::fs::remove_dir_all(&data);
            let (wall, cpu, memory) = read_all(&config, records);
            best = (best.0.min(wall), best.1.min(cpu), best.2.max(memory));
        }
        let (wall, cpu, memory) = best;
        let (rate, share) = (records as f64 / wall, bare / wall);
        println!("{name:<34} {rate:>10.0} {wall:>8.2} {cpu:>8.2} {share:>8.2} {:>10}", memory / 1_000_000);
    }
    println!("{:<34} {:>48}", "the same records from files", files_memory(recording) / 1_000_000);
}

/// When each record was acknowledged, by its number.
struct DeliveryCounter(Mutex<Vec<Option<Instant>>>);

impl ClientContext for DeliveryCounter {}

impl ProducerContext for DeliveryCounter {
    type DeliveryOpaque = Box<usize>;
    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<usize>) {
        assert!(result.is_ok(), "a record was not acknowledged");
        self.0.lock().unwrap()[*number] = Some(Instant::now());
    }
}

fn latency(place: &Path, broker: &KafkaBroker) {
    broker.create_topic("live.user", PARTITION_COUNT, &[]);
    let config = configure(place, broker, "user = \"live.user\"", "");
    let (running, lines) = start(&config, "changes");
    let counted: Arc<Mutex<Vec<(u64, Instant)>>> = Arc::default();
    let into = Arc::clone(&counted);
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok).filter(|line| line.contains("\"users_joined_by_year\"")) {
            let now = Instant::now();
            let change: Value = serde_json::from_str(&line).unwrap();
            if let Some(count) = change["insert"][0]["number_users_joined"].as_u64() {
                into.lock().unwrap().push((count, now));
            }
        }
    });
    let total = usize::try_from(LATENCY_SECS * 1_000).unwrap();
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", broker.plaintext()).set("linger.ms", "0").set("acks", "all");
    let acknowledged = DeliveryCounter(Mutex::new(vec![None; total]));
    let producer: ThreadedProducer<DeliveryCounter> = settings.create_with_context(acknowledged).unwrap();
    // Wait until the topics are being read.
    std::thread::sleep(Duration::from_secs(3));
    let begun = Instant::now();
    for number in 0..total {
        let due = begun + Duration::from_millis(number as u64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let row = format!("{{\"ind\":{number},\"age\":33,\"date_joined\":\"2016-05-05T05:05:05\"}}");
        let partition = i32::try_from(number).unwrap() % PARTITION_COUNT;
        let record: BaseRecord<'_, [u8], [u8], _> =
            BaseRecord::with_opaque_to("live.user", Box::new(number)).partition(partition).payload(row.as_bytes());
        assert!(producer.send(record).is_ok());
    }
    producer.flush(READ_TIMEOUT).unwrap();
    let deadline = Instant::now() + READ_TIMEOUT;
    while counted.lock().unwrap().last().is_none_or(|(count, _)| *count < total as u64) {
        assert!(Instant::now() < deadline, "not all records were answered");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(running);
    // Partitions are not in order with each other: the n-th acknowledged record is answered at the latest when n are
    // counted.
    let mut sent: Vec<Instant> = producer.context().0.lock().unwrap().iter().map(|at| at.unwrap()).collect();
    sent.sort();
    let counted = counted.lock().unwrap();
    let mut waits: Vec<Duration> = (1..)
        .zip(&sent)
        .map(|(number, sent)| {
            let first = counted.partition_point(|(count, _)| *count < number);
            counted[first].1.saturating_duration_since(*sent)
        })
        .collect();
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!(
        "\nacknowledged to changed answer, {total} records at 1,000/s: p50 {:.1?}, p99 {:.1?}, max {:.1?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
