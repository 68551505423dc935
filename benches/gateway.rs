//! The gateway over the files of a recording, in one run:
//!
//! ```text
//! cargo bench --bench gateway
//! PINFLOW_BENCH_SECS=10 cargo bench --bench gateway
//! ```
//!
//! Requests/s, records/s and latency (p50, p99, from the first byte sent to the whole reply) for one record per request, as
//! the original scripts send, and for a hundred. Over one connection, and over 64 at the same time. Every record is
//! synced to disk before its reply, so the first line is the duration of one sync, and the others show how many senders
//! share one. For comparison: a loop that appends the same lines to a file and syncs each.
//!
//! Client and server share the cores of this machine. There are no assertions. Compare ratios within one run.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where it cannot go on"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PINFLOW: &str = env!("CARGO_BIN_EXE_pinflow");
const POST_BODY: &str =
    r#"{"ind":7528,"timestamp":"2020-08-28T03:52:47","latitude":-89.97,"longitude":-173.29,"country":"Chad"}"#;

/// A gateway. Killed when dropped.
struct BenchGateway {
    child: Child,
    address: SocketAddr,
}

impl Drop for BenchGateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() {
    let secs = std::env::var("PINFLOW_BENCH_SECS").ok().and_then(|n| n.parse().ok()).unwrap_or(3.0);
    let long = Duration::from_secs_f64(secs);
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    measure_disk_limit(place.path(), long);
    let gateway = gateway(place.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for (connections, records) in [(1, 1), (64, 1), (1, 100), (64, 100)] {
        runtime.block_on(send_requests(gateway.address, connections, records, long));
    }
}

/// Measures the disk without a gateway.
fn measure_disk_limit(place: &Path, long: Duration) {
    let mut file = File::create(place.join("floor")).unwrap();
    let (start, mut syncs) = (Instant::now(), 0);
    while start.elapsed() < long {
        writeln!(file, "{POST_BODY}").unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    println!("a line and a sync in turns: {:.0}/s", f64::from(syncs) / start.elapsed().as_secs_f64());
}

fn gateway(place: &Path) -> BenchGateway {
    let config = place.join("gateway.toml");
    std::fs::write(&config, "[gateway]\nlisten = \"127.0.0.1:0\"\nrecording = \"posts\"\n").unwrap();
    let mut child = Command::new(PINFLOW).arg("gateway").arg(&config).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = said.by_ref().map_while(Result::ok).find_map(|line| {
        let event: serde_json::Value = serde_json::from_str(&line).ok()?;
        event["address"].as_str()?.parse().ok()
    });
    // Read its output, so that it never blocks on a full pipe.
    std::thread::spawn(move || said.for_each(drop));
    BenchGateway { child, address: address.expect("it says where it listens") }
}

/// Sends over several connections. Each sends its next request after the previous reply.
async fn send_requests(address: SocketAddr, connections: usize, records: usize, long: Duration) {
    let body = format!("{{\"records\":[{}]}}", vec![format!("{{\"value\":{POST_BODY}}}"); records].join(","));
    let request = format!(
        "POST /topics/geo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/vnd.kafka.json.v2+json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (request, start) = (Arc::new(request), Instant::now());
    let senders: Vec<_> =
        (0..connections).map(|_| tokio::spawn(sender(address, Arc::clone(&request), start + long))).collect();
    let mut took = Vec::new();
    for sender in senders {
        took.extend(sender.await.unwrap());
    }
    let seconds = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_secs_f64() * 1000.0;
    println!(
        "{connections:>3} connections, {records:>3} records a request: {:>7.0} requests/s, {:>8.0} records/s, p50 {:.2} ms, p99 {:.2} ms",
        took.len() as f64 / seconds,
        (took.len() * records) as f64 / seconds,
        at(50),
        at(99)
    );
}

async fn sender(address: SocketAddr, request: Arc<String>, until: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut took, mut reply) = (Vec::new(), Vec::new());
    while Instant::now() < until {
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        reply.clear();
        while !is_complete_reply(&reply) {
            assert!(stream.read_buf(&mut reply).await.unwrap() > 0, "the gateway hung up");
        }
        assert!(reply.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply));
        took.push(sent.elapsed());
    }
    took
}

/// Whether a reply is complete, according to its `content-length`.
fn is_complete_reply(reply: &[u8]) -> bool {
    let text = String::from_utf8_lossy(reply);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}
