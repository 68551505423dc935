//! Answers over HTTP while records flow, in one run:
//!
//! ```text
//! cargo bench --bench http                              # 200,000 records/s from a recording, 1,000 readers
//! PINFLOW_BENCH_INDS=100000 PINFLOW_BENCH_READERS=100 cargo bench --bench http
//! ```
//!
//! - ingest without readers: records/s at full speed and at the set rate. All other figures are ratios to these.
//! - snapshots: requests/s, p50 and p99 of `GET /answers` over persistent connections, and the remaining ingest rate.
//! - changes to 1,000 readers (Server-Sent Events): events/s, age of a change when it arrives (p50, p99), readers
//!   dropped, and the remaining ingest rate.
//! - p99 of a small request alone, and with 500 silent and 500 slow connections.
//!
//! Client and server share the cores of this machine. There are no assertions. Compare the ratios of two runs
//! on one machine.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where it cannot go on"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const PINFLOW: &str = env!("CARGO_BIN_EXE_pinflow");
/// Records per second of all streams.
const RECORDS_PER_SEC: u64 = 200_000;
const CLIENT_COUNT: usize = 8;
const MEASURED_REQUESTS: usize = 2_000;
const SETTLE_TIME: Duration = Duration::from_secs(2);

fn main() {
    let number = |name, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let inds = number("PINFLOW_BENCH_INDS", 1_000_000);
    let readers = number("PINFLOW_BENCH_READERS", 1_000);
    // A thousand sockets exceed the default limit of some systems.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("end_to_end");
    let recordings = recordings(&place, inds);
    let records = inds * 3;
    println!("{records} records");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        // The first run reads the recordings into the page cache.
        ingest(&recordings, records, 0, "nobody asks, the first time", run_without_readers).await;
        let alone = ingest(&recordings, records, 0, "nobody asks, as fast as it goes", run_without_readers).await;
        let asked = ingest(&recordings, records, 0, "snapshots, as fast as it goes", snapshots).await;
        println!("    ingest {:.2} of alone", asked / alone);
        let followed =
            ingest(&recordings, records, 0, "followed, as fast as it goes", move |at, over| follow(at, over, readers))
                .await;
        println!("    ingest {:.2} of alone", followed / alone);
        let alone =
            ingest(&recordings, records, RECORDS_PER_SEC, "nobody asks, at the set rate", run_without_readers).await;
        let asked = ingest(&recordings, records, RECORDS_PER_SEC, "snapshots, at the set rate", snapshots).await;
        println!("    ingest {:.2} of alone", asked / alone);
        let followed = ingest(&recordings, records, RECORDS_PER_SEC, "followed, at the set rate", move |at, over| {
            follow(at, over, readers)
        })
        .await;
        println!("    ingest {:.2} of alone", followed / alone);
        measure_requests_under_load(&recordings).await;
    });
}

/// The recordings of the end-to-end bench, generated once per size.
fn recordings(place: &Path, inds: u64) -> PathBuf {
    let folder = place.join(format!("recordings-{inds}"));
    if !folder.join("done").exists() {
        let _ = std::fs::remove_dir_all(&folder);
        let inds = inds.to_string();
        let mut emit = Command::new(PINFLOW);
        emit.args(["emit", "--inds", &inds, "--count", &inds, "--order", "shuffled", "--to"]).arg(&folder);
        assert!(emit.status().unwrap().success(), "pinflow emit failed");
        std::fs::write(folder.join("done"), "").unwrap();
    }
    folder
}

/// A pinflow that serves.
struct BenchServer {
    child: Child,
    at: SocketAddr,
    folder: tempfile::TempDir,
}

impl BenchServer {
    async fn start(recordings: &Path, rate: u64) -> BenchServer {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let rate = if rate == 0 { String::new() } else { format!("rate_per_sec = {rate}\n") };
        let config = format!(
            "[[source]]\nkind = \"recording\"\npath = \"{}\"\nfollow = true\n{rate}[serve]\nlisten = \"127.0.0.1:0\"\nconnections_max = 4096\n",
            recordings.display()
        );
        std::fs::write(folder.path().join("flow.toml"), config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut run = Command::new(PINFLOW);
        run.args(["run", "--output", "none"]).arg(folder.path().join("flow.toml"));
        let child = run.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let at = loop {
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
            let found = log.lines().find_map(|line| {
                serde_json::from_str::<Value>(line).ok()?["address"].as_str()?.parse::<SocketAddr>().ok()
            });
            match found {
                Some(at) => break at,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        BenchServer { child, at, folder }
    }

    /// CPU time so far, in seconds.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        ticks as f64 / 100.0
    }
}

impl Drop for BenchServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = &self.folder;
    }
}

/// Reads all records under a load on the server. Returns records/s.
async fn ingest<W, F>(recordings: &Path, records: u64, rate: u64, what: &str, load: W) -> f64
where
    W: FnOnce(SocketAddr, Arc<AtomicBool>) -> F,
    F: Future<Output = String> + Send + 'static,
{
    let server = BenchServer::start(recordings, rate).await;
    let mut kept = BenchConnection::connect(server.at).await;
    let over = Arc::new(AtomicBool::new(false));
    while kept.get("/readyz").await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (begun, from) = (Instant::now(), kept.read().await);
    let load = tokio::spawn(load(server.at, Arc::clone(&over)));
    let mut to = from;
    while to < records {
        tokio::time::sleep(Duration::from_millis(20)).await;
        to = kept.read().await;
    }
    let per_second = (to - from) as f64 / begun.elapsed().as_secs_f64();
    let cpu = server.cpu();
    over.store(true, Ordering::Relaxed);
    println!("{what}: {per_second:.0} records/s, {cpu:.1} CPU s of the server");
    let said = load.await.unwrap();
    if !said.is_empty() {
        println!("    {said}");
    }
    per_second
}

async fn run_without_readers(_: SocketAddr, _: Arc<AtomicBool>) -> String {
    String::new()
}

async fn snapshots(at: SocketAddr, over: Arc<AtomicBool>) -> String {
    let begun = Instant::now();
    let clients: Vec<_> = (0..CLIENT_COUNT)
        .map(|_| {
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let mut kept = BenchConnection::connect(at).await;
                let (mut took, mut bytes) = (Vec::new(), 0);
                while !over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let (status, body) = kept.get("/answers").await;
                    assert_eq!(status, 200);
                    took.push(asked.elapsed());
                    bytes += body.len();
                }
                (took, bytes)
            })
        })
        .collect();
    let (mut took, mut bytes) = (Vec::new(), 0);
    for client in clients {
        let (its, read) = client.await.unwrap();
        took.extend(its);
        bytes += read;
    }
    let per_second = took.len() as f64 / begun.elapsed().as_secs_f64();
    let mean = bytes / took.len().max(1);
    format!(
        "{per_second:.0} snapshots/s of {mean} bytes from {CLIENT_COUNT} clients, {}",
        format_percentiles(&mut took)
    )
}

async fn follow(at: SocketAddr, over: Arc<AtomicBool>, readers: u64) -> String {
    let begun = Instant::now();
    let (events, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let following: Vec<_> = (0..readers)
        .map(|_| {
            let (over, events, dropped) = (Arc::clone(&over), Arc::clone(&events), Arc::clone(&dropped));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(at).await.unwrap();
                let ask = format!("GET /answers/users_joined_by_year/changes HTTP/1.0\r\nhost: {at}\r\n\r\n");
                stream.write_all(ask.as_bytes()).await.unwrap();
                let mut lines = BufReader::new(stream).lines();
                let mut ages = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let Ok(Ok(Some(line))) = tokio::time::timeout(Duration::from_secs(1), lines.next_line()).await
                    else {
                        continue;
                    };
                    if line == "event: dropped" {
                        dropped.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    let Some(data) = line.strip_prefix("data: ") else { continue };
                    events.fetch_add(1, Ordering::Relaxed);
                    // Only every eighth event, so that reading the clock is not measured.
                    if events.load(Ordering::Relaxed) % 8 == 0 {
                        let as_of: Timestamp =
                            serde_json::from_str::<Value>(data).unwrap()["as_of"].as_str().unwrap().parse().unwrap();
                        let age = Timestamp::now().as_microsecond() - as_of.as_microsecond();
                        ages.push(Duration::from_micros(u64::try_from(age).unwrap_or(0)));
                    }
                }
                ages
            })
        })
        .collect();
    let mut ages = Vec::new();
    for reader in following {
        ages.extend(reader.await.unwrap());
    }
    let per_second = events.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    let dropped = dropped.load(Ordering::Relaxed);
    format!("{per_second:.0} events/s to {readers} readers, {dropped} dropped, age {}", format_percentiles(&mut ages))
}

/// Measures a small request alone, and with many other connections.
async fn measure_requests_under_load(recordings: &Path) {
    let server = BenchServer::start(recordings, RECORDS_PER_SEC).await;
    let mut kept = BenchConnection::connect(server.at).await;
    while kept.get("/readyz").await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let alone = requests(&mut kept).await;
    let mut crowd = Vec::new();
    for number in 0..1_000 {
        let mut stream = TcpStream::connect(server.at).await.unwrap();
        if number % 2 == 0 {
            // Sends a request and does not read the reply.
            let ask = format!("GET /changes HTTP/1.0\r\nhost: {}\r\n\r\n", server.at);
            stream.write_all(ask.as_bytes()).await.unwrap();
        }
        crowd.push(stream);
    }
    // Wait until each connection has its snapshot and its socket buffers are full.
    tokio::time::sleep(SETTLE_TIME).await;
    let beside = requests(&mut kept).await;
    println!("GET /answers/users_joined_by_year alone: {}", format_percentiles(&mut alone.clone()));
    println!("    beside 500 silent and 500 slow connections: {}", format_percentiles(&mut beside.clone()));
    println!(
        "    p99 {:.2} of alone",
        percentile(&beside, 0.99).as_secs_f64() / percentile(&alone, 0.99).as_secs_f64()
    );
    drop(crowd);
}

async fn requests(kept: &mut BenchConnection) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..MEASURED_REQUESTS {
        let asked = Instant::now();
        assert_eq!(kept.get("/answers/users_joined_by_year").await.0, 200);
        took.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    took.sort_unstable();
    took
}

fn percentile(sorted: &[Duration], part: f64) -> Duration {
    sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or_default()
}

fn format_percentiles(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let ms = |part| percentile(took, part).as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms", ms(0.5), ms(0.99))
}

/// A persistent connection.
struct BenchConnection {
    stream: BufReader<TcpStream>,
    at: SocketAddr,
}

impl BenchConnection {
    async fn connect(at: SocketAddr) -> BenchConnection {
        let stream = TcpStream::connect(at).await.unwrap();
        stream.set_nodelay(true).unwrap();
        BenchConnection { stream: BufReader::new(stream), at }
    }

    /// Status and body.
    async fn get(&mut self, path: &str) -> (u16, Vec<u8>) {
        let ask = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.at);
        self.stream.get_mut().write_all(ask.as_bytes()).await.unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.unwrap();
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            } else if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        (status, body)
    }

    /// Records read so far.
    async fn read(&mut self) -> u64 {
        let (_, body) = self.get("/status").await;
        let status: Value = serde_json::from_slice(&body).unwrap();
        status["sources"].as_array().unwrap().iter().map(|of| of["read"].as_u64().unwrap()).sum()
    }
}
