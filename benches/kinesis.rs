//! Kinesis, from a real server on this machine to durable answers, in one run:
//!
//! ```text
//! tests/kinesis/setup.sh && cargo bench --bench kinesis      # 600,000 records in three streams of four shards
//! PINFLOW_BENCH_RECORDS=60000 cargo bench --bench kinesis
//! ```
//!
//! - records/s of a bare loop of `GetRecords` over the same SDK that discards every record: the limit of the server
//!   (MiniStack, one Python process), the SDK and the machine.
//! - records/s from the server to final answers, and to final answers with durable Delta rows. Their ratio to the loop is
//!   the result.
//! - latency from the server's acknowledgement to the changed answer on stdout, at 1,000 records/s: polled once a second,
//!   polled as often as allowed, and subscribed.
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
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use nix::sys::signal::Signal;
use pinflow_testkit::RunningProcess;
use pinflow_testkit::kinesis::server::KinesisServer;
use serde_json::Value;
use tokio::runtime::Runtime;

const PINFLOW: &str = env!("CARGO_BIN_EXE_pinflow");
const STREAMS: [&str; 3] = ["pin", "geo", "user"];
const SHARD_COUNT: i32 = 4;
const MEASURED_ROUNDS: usize = 3;
const READ_TIMEOUT: Duration = Duration::from_secs(600);
/// Duration of the latency measurement in seconds, with one record per millisecond.
const LATENCY_SECS: u64 = 10;
/// Records per call while latency is measured, which are those of ten milliseconds.
const RECORDS_PER_CALL: usize = 10;

fn main() {
    let records: u64 = std::env::var("PINFLOW_BENCH_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(600_000);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kinesis-bench");
    std::fs::create_dir_all(&place).unwrap();
    let bench = KinesisBench::new(place);
    STREAMS.iter().for_each(|stream| bench.create(&format!("bench-{stream}")));
    bench.fill(records / 3);
    bench.throughput(records / 3 * 3);
    for (at, (name, more)) in
        [("polled once a second", ""), ("polled every 200 ms", "poll_ms = 200"), ("pushed", "fan_out = true")]
            .into_iter()
            .enumerate()
    {
        bench.latency(&format!("live{at}-user"), name, more);
    }
}

struct KinesisBench {
    place: PathBuf,
    server: KinesisServer,
    client: Client,
    runtime: Runtime,
}

impl KinesisBench {
    fn new(place: PathBuf) -> KinesisBench {
        let server = KinesisServer::start_ministack();
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(server.endpoint())
            .credentials_provider(Credentials::new("000000000000", "secret", None, None, "bench"))
            .build();
        // As in the source: all calls are made and answered on one thread.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        KinesisBench { place, server, client: Client::from_conf(config), runtime }
    }

    fn create(&self, stream: &str) {
        let client = &self.client;
        self.runtime.block_on(async {
            client.create_stream().stream_name(stream).shard_count(SHARD_COUNT).send().await.unwrap();
            while client.list_shards().stream_name(stream).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }

    /// Generated posts, as `emit` sends them.
    fn fill(&self, inds: u64) {
        let (start, inds) = (Instant::now(), inds.to_string());
        let mut emit = with_credentials(Command::new(PINFLOW));
        emit.args(["emit", "--inds", &inds, "--count", &inds, "--order", "shuffled", "--to", "kinesis://bench"]);
        emit.args(["--region", "us-east-1", "--endpoint", &self.server.endpoint()]).stderr(Stdio::null());
        assert!(emit.status().unwrap().success(), "pinflow emit failed");
        println!("three streams of {inds} records, sent in {:.1?}", start.elapsed());
    }

    /// Reads and discards every shard in parallel. Returns the seconds and the number of records.
    fn bare_loop(&self) -> (f64, usize) {
        let start = Instant::now();
        let records = self.runtime.block_on(async {
            let mut loops = Vec::new();
            for stream in STREAMS.map(|stream| format!("bench-{stream}")) {
                let listed = self.client.list_shards().stream_name(&stream).send().await.unwrap();
                for shard in listed.shards.unwrap() {
                    loops.push(read_shard(self.client.clone(), stream.clone(), shard.shard_id));
                }
            }
            futures::future::join_all(loops).await.into_iter().sum()
        });
        (start.elapsed().as_secs_f64(), records)
    }

    fn configure(&self, streams: &str, more: &str) -> PathBuf {
        let path = self.place.join("run.toml");
        let text = format!(
            "[[source]]\nkind = \"kinesis\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\nstreams = {{ {streams} }}\n{more}\n\
             [output]\nevery_ms = 50\n",
            self.server.endpoint()
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    fn throughput(&self, records: u64) {
        let streams = STREAMS.map(|stream| format!("{stream} = \"bench-{stream}\"")).join(", ");
        let data = self.place.join("data");
        println!("\n{:<34} {:>10} {:>8} {:>8}", "server to", "records/s", "wall s", "of loop");
        let bare = (0..MEASURED_ROUNDS).map(|_| self.bare_loop());
        let bare = bare.inspect(|(_, read)| assert_eq!(*read as u64, records)).map(|(wall, _)| wall);
        let bare = bare.fold(f64::INFINITY, f64::min);
        println!("{:<34} {:>10.0} {bare:>8.2}", "nothing: a bare loop", records as f64 / bare);
        let tables = format!("[tables]\nurl = \"{}\"", data.display());
        for (name, more) in [("final answers", ""), ("final answers and durable rows", tables.as_str())] {
            let config = self.configure(&streams, more);
            let mut best = f64::INFINITY;
            for _ in 0..MEASURED_ROUNDS {
                let _ = std::fs::remove_dir_all(&data);
                best = best.min(read_all(&config, records));
            }
            println!("{name:<34} {:>10.0} {best:>8.2} {:>8.2}", records as f64 / best, bare / best);
        }
    }

    fn latency(&self, stream: &str, name: &str, more: &str) {
        self.create(stream);
        let config = self.configure(&format!("user = \"{stream}\""), more);
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
        // Wait until the stream is being read or is subscribed to.
        std::thread::sleep(Duration::from_secs(15));
        let total = usize::try_from(LATENCY_SECS * 1_000).unwrap();
        let sent = self.put_slowly(stream, total);
        let deadline = Instant::now() + READ_TIMEOUT;
        while counted.lock().unwrap().last().is_none_or(|(count, _)| *count < total as u64) {
            assert!(Instant::now() < deadline, "not all records were answered");
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(running);
        // Shards are not in order with each other: the n-th acknowledged record is answered at the latest when n are counted.
        let counted = counted.lock().unwrap();
        let waited = |(number, sent): (u64, &Instant)| {
            let first = counted.partition_point(|(count, _)| *count < number);
            counted[first].1.saturating_duration_since(*sent)
        };
        let mut waits: Vec<Duration> = (1..).zip(&sent).map(waited).collect();
        waits.sort();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        println!(
            "acknowledged to changed answer, {total} records at 1,000/s, {name}: p50 {:.1?}, p99 {:.1?}, max {:.1?}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }

    /// Puts one record per millisecond in small calls. Returns when each was acknowledged.
    fn put_slowly(&self, stream: &str, total: usize) -> Vec<Instant> {
        let begun = Instant::now();
        let mut sent = Vec::with_capacity(total);
        for first in (0..total).step_by(RECORDS_PER_CALL) {
            let due = begun + Duration::from_millis((first + RECORDS_PER_CALL) as u64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let entry = |number: usize| {
                let row = format!("{{\"ind\":{number},\"age\":33,\"date_joined\":\"2016-05-05T05:05:05\"}}");
                let entry = PutRecordsRequestEntry::builder().partition_key(number.to_string());
                entry.data(Blob::new(row)).build().unwrap()
            };
            let entries: Vec<_> = (first..first + RECORDS_PER_CALL).map(entry).collect();
            let call = self.client.put_records().stream_name(stream).set_records(Some(entries));
            let answer = self.runtime.block_on(call.send()).unwrap();
            assert_eq!(answer.failed_record_count.unwrap_or(0), 0);
            sent.extend([Instant::now(); RECORDS_PER_CALL]);
        }
        println!("\nsent at {:.0} records/s", total as f64 / begun.elapsed().as_secs_f64());
        sent
    }
}

/// Reads all records of a shard without pauses. Returns their number.
async fn read_shard(client: Client, stream: String, shard: String) -> usize {
    let call = client.get_shard_iterator().stream_name(stream).shard_id(shard);
    let begun = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
    let (mut iterator, mut records) = (begun.shard_iterator, 0);
    while let Some(now) = iterator {
        let answer = client.get_records().shard_iterator(now).limit(10_000).send().await.unwrap();
        records += answer.records.len();
        let is_end = answer.records.is_empty() && answer.millis_behind_latest.unwrap_or(0) == 0;
        iterator = answer.next_shard_iterator.filter(|_| !is_end);
    }
    records
}

fn with_credentials(mut command: Command) -> Command {
    command.env("AWS_ACCESS_KEY_ID", "000000000000").env("AWS_SECRET_ACCESS_KEY", "secret");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn start(config: &Path, output: &str) -> (RunningProcess, BufReader<std::process::ChildStdout>) {
    let mut command = with_credentials(Command::new(PINFLOW));
    command.arg("run").arg(config).args(["--output", output]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = RunningProcess::start(&mut command);
    let lines = BufReader::new(running.stdout());
    (running, lines)
}

/// Runs until everything is answered and durable. Returns the seconds.
fn read_all(config: &Path, records: u64) -> f64 {
    let begun = Instant::now();
    let (mut running, lines) = start(config, "snapshots");
    for line in lines.lines().map_while(Result::ok).filter(|line| line.starts_with("{\"epoch\"")) {
        let cut: Value = serde_json::from_str(&line).unwrap();
        let read: u64 = cut["sources"].as_array().unwrap().iter().map(|of| of["read"].as_u64().unwrap()).sum();
        if read >= records {
            break;
        }
    }
    running.signal(Signal::SIGTERM);
    assert!(running.wait().success());
    begun.elapsed().as_secs_f64()
}
