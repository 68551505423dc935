//! A soak test: ordinary and hostile senders at a real gateway, and a real run that follows its files.
//!
//! Calm and hostile phases alternate, so that other load on the machine affects both alike. Memory limits, answers and
//! tables are asserted in every run. The ratio of the latencies is asserted only in a long run ([`MIN_RATIO_SECS`]).

mod hostile;
mod keys;
mod senders;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::file_calls::rounds;
use pinflow_testkit::gateway::RunningGateway;
use pinflow_testkit::http_client::HttpClient;
use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, last_snapshot, pinflow, succeed, wait_until};
use senders::{LatencySamples, SentRecord};

/// Default duration in seconds. `PINFLOW_SOAK_SECS` overrides it.
const DEFAULT_SOAK_SECS: u64 = 25;
/// The ratio of the latencies is asserted from this duration on, in seconds.
const MIN_RATIO_SECS: u64 = 1_800;
/// Seconds of one round: a calm phase and a hostile one.
const ROUND_SECS: u64 = 300;
/// `memory_max` of the run, and the limit of its resident memory, in bytes.
const RUN_MEMORY_MAX: u64 = 512 << 20;
/// Limit of the gateway's resident memory, in bytes: `bytes_under_way_max` of 64 MiB, and the process itself.
const GATEWAY_MEMORY_MAX: u64 = 256 << 20;
/// Limit of the 99th percentile in hostile phases, relative to the calm phases.
const P99_RATIO_MAX: f64 = 2.0;
const MEMORY_CHECK_INTERVAL: Duration = Duration::from_millis(100);

const WRITE_TOKEN: &str = "write-canary";
const READ_TOKEN: &str = "read-canary";

/// The current phase of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SoakPhase {
    /// A pause after a hostile phase, in which resources are released. Latencies do not count.
    Pause,
    Calm,
    Hostile,
    Over,
}

/// The state that all senders share.
struct SoakSite {
    gateway: HttpClient,
    run: HttpClient,
    phase: AtomicU8,
}

impl SoakSite {
    fn enter(&self, phase: SoakPhase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    fn phase(&self) -> SoakPhase {
        let phases = [SoakPhase::Pause, SoakPhase::Calm, SoakPhase::Hostile, SoakPhase::Over];
        phases[usize::from(self.phase.load(Ordering::SeqCst))]
    }

    fn has_ended(&self) -> bool {
        self.phase() == SoakPhase::Over
    }
}

/// The phases of a test of this many seconds, with their durations.
fn plan(secs: u64) -> Vec<(SoakPhase, Duration)> {
    let round_count = (secs / ROUND_SECS).max(1);
    let round = Duration::from_secs(secs) / u32::try_from(round_count).unwrap();
    let phases = [(SoakPhase::Pause, round / 30), (SoakPhase::Calm, round / 5), (SoakPhase::Hostile, round * 23 / 30)];
    (0..round_count).flat_map(|_| phases).collect()
}

fn start_gateway(place: &Path) -> RunningGateway {
    let more = "recording = \"posts\"\nbody_bytes_max = 10485760\nbytes_under_way_max = 67108864\n\
                tokens = { write = \"env:WRITE\" }";
    RunningGateway::start_with(place, more, &[("WRITE", WRITE_TOKEN)])
}

fn start_run(place: &Path) -> ServingRun {
    let more = format!(
        "[tables]\nurl = \"tables\"\n[engine]\nmemory_max = {RUN_MEMORY_MAX}\n\
         [serve]\nlisten = \"127.0.0.1:0\"\ntokens = {{ read = \"env:READ\" }}"
    );
    let config = configure_followed_recording(place, &place.join("posts"), &more);
    let serving = ServingRun::start_with(place, &config, &[], &[("READ", READ_TOKEN)]);
    wait_until("it is ready", || query_json(serving.http, "/readyz").0 == 200);
    serving
}

fn query_json(http: HttpClient, path: &str) -> (u16, Value) {
    let reply = http.get_with_headers(path, &[("authorization", &format!("Bearer {READ_TOKEN}"))]);
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

/// The largest resident memory of both processes.
#[derive(Debug, Default)]
struct MemoryPeaks {
    gateway: u64,
    run: u64,
}

impl MemoryPeaks {
    fn check(&mut self, gateway: &mut RunningGateway, run: &mut ServingRun) {
        assert!(gateway.running.try_wait().is_none(), "the gateway ended: {}", gateway.log());
        assert!(run.running.try_wait().is_none(), "the run ended: {}", run.log());
        self.gateway = self.gateway.max(gateway.running.memory_bytes());
        self.run = self.run.max(run.running.memory_bytes());
        assert!(self.gateway <= GATEWAY_MEMORY_MAX, "the gateway holds {} bytes", self.gateway);
        assert!(self.run <= RUN_MEMORY_MAX, "the run holds {} bytes", self.run);
    }
}

#[test]
fn ordinary_senders_are_served_during_attacks_within_memory_limits() {
    let secs = rounds("PINFLOW_SOAK_SECS", DEFAULT_SOAK_SECS);
    let place = create_temp_dir();
    let mut gateway = start_gateway(place.path());
    let mut run = start_run(place.path());
    let site =
        Arc::new(SoakSite { gateway: gateway.http, run: run.http, phase: AtomicU8::new(SoakPhase::Pause as u8) });
    let (ordinary, hostile) = (senders::start(&site), hostile::start(&site));
    let mut peaks = MemoryPeaks::default();
    for (phase, duration) in plan(secs) {
        site.enter(phase);
        let begun = Instant::now();
        while begun.elapsed() < duration {
            peaks.check(&mut gateway, &mut run);
            thread::sleep(MEMORY_CHECK_INTERVAL);
        }
    }
    site.enter(SoakPhase::Over);
    let (sent, answered) = ordinary.join();
    let attacks = hostile::join(hostile);
    gateway.stop();
    let posts = place.path().join("posts");
    assert_every_line_is_answered(&posts, run.http);
    peaks.run = peaks.run.max(run.running.memory_bytes());
    run.stop();
    succeed(pinflow(["table", "--verify"]).arg(place.path().join("tables")));
    assert_each_line_once(&posts, &place.path().join("tables"));
    sent.assert_stored(&posts);
    hostile::assert_outcomes(&attacks);
    report(secs, &peaks, &sent, &answered, &attacks);
}

/// Waits until the run has read all lines, and compares its answers with those of a batch run over the same files.
fn assert_every_line_is_answered(posts: &Path, run: HttpClient) {
    let lines: u64 = senders::STREAMS.iter().map(|stream| senders::stored_lines(posts, stream).len() as u64).sum();
    wait_until("all lines are read", || {
        let status = query_json(run, "/status").1;
        status["sources"].as_array().unwrap().iter().map(|of| of["read"].as_u64().unwrap()).sum::<u64>() == lines
    });
    let batch = last_snapshot(&succeed(pinflow(["run", "--output", "snapshots"]).arg(posts)).stdout).answers;
    let shown = query_json(run, "/answers").1;
    let shown: BTreeMap<String, Vec<Value>> = shown["answers"].as_array().unwrap().iter().map(named_rows).collect();
    assert_eq!(shown, batch);
}

fn named_rows(answer: &Value) -> (String, Vec<Value>) {
    (answer["answer"].as_str().unwrap().to_owned(), answer["rows"].as_array().unwrap().clone())
}

#[allow(clippy::print_stdout, reason = "the figures are what a long run is made for")]
fn report(
    secs: u64,
    peaks: &MemoryPeaks,
    sent: &SentRecord,
    answered: &LatencySamples,
    attacks: &[hostile::AttackOutcome],
) {
    println!("soak of {secs} s");
    println!(
        "memory at the most: run {} MiB of {}, gateway {} MiB of {}",
        peaks.run >> 20,
        RUN_MEMORY_MAX >> 20,
        peaks.gateway >> 20,
        GATEWAY_MEMORY_MAX >> 20
    );
    println!("{} records acknowledged, {} requests sent again after 503", sent.records(), sent.retries);
    for attack in attacks {
        println!("hostile: {}: {:?}", attack.name, attack.outcomes);
    }
    for (what, latencies) in [("request to reply", &sent.latencies), ("append to changed answer", answered)] {
        println!("{what}: calm {}; hostile {}", latencies.calm_percentiles(), latencies.hostile_percentiles());
        let ratio = latencies.p99_ratio();
        println!("{what}: p99 beside hostile senders is {ratio:.2} × calm");
        assert!(secs < MIN_RATIO_SECS || ratio <= P99_RATIO_MAX, "{what}: p99 is {ratio:.2} × calm");
    }
}
