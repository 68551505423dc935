//! kill -9 at random moments and at every step of the commit protocol, while shards are split and merged: nothing is
//! lost or repeated, and every key is in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinflow_core::position::Position;
use pinflow_delta::FAILPOINTS;
use rusqlite::types::Value;

use pinflow_testkit::RunningProcess;
use pinflow_testkit::kinesis::client::keys;
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::{KinesisSite, STREAMS};
use pinflow_testkit::kinesis::{env_or_default, skipped};
use pinflow_testkit::ledger::read;

/// Default number of rounds. `PINFLOW_KINESIS_ROUNDS` overrides it.
const DEFAULT_ROUNDS: u64 = 12;
/// Default number of rounds with enhanced fan-out.
const DEFAULT_FAN_OUT_ROUNDS: u64 = 6;
/// Streams are re-created after this many rounds, because kinesis-local slows down as its data grows.
const ROUNDS_PER_STREAM: u64 = 25;
/// Keys of each stream.
const KEYS_PER_STREAM: u64 = 12;

/// A small random number generator (splitmix64), so that every run has the same rounds.
fn random_choice(round: u64, what: u64) -> u64 {
    let mut z = (round * 31 + what).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Writes to three streams. The messages of each key contain 1, 2, 3, ….
struct CountingWriter {
    site: KinesisSite,
    config: std::path::PathBuf,
    count: u64,
}

impl CountingWriter {
    fn new(source: &str) -> CountingWriter {
        let endpoint = KinesisServer::shared().endpoint();
        let site = KinesisSite::new(&endpoint, &endpoint, 2);
        let config = site.configure(source);
        CountingWriter { site, config, count: 0 }
    }

    /// Puts the next message of every key, with one call per stream, so that each key stays in order.
    fn put(&mut self) {
        self.count += 1;
        let count = self.count;
        for stream in STREAMS {
            let message = |ind: u64| match stream {
                "pin" => format!("{{\"index\":{ind},\"title\":\"{count}\",\"category\":\"art\"}}"),
                "geo" => format!("{{\"ind\":{ind},\"country\":\"{count}\"}}"),
                _ => format!("{{\"ind\":{ind},\"first_name\":\"{count}\"}}"),
            };
            let records: Vec<_> =
                (0..KEYS_PER_STREAM).map(|ind| (format!("key {ind}"), message(ind).into_bytes())).collect();
            self.site.probe.put(&self.site.stream(stream), &records);
        }
    }

    /// Splits a shard, or merges two.
    fn reshard(&self, round: u64) {
        let stream = self.site.stream(STREAMS[random_choice(round, 1) as usize % 3]);
        let mut open = self.site.probe.open(&stream);
        open.sort_by_key(keys);
        let at = random_choice(round, 2) as usize % open.len();
        if open.len() > 1 && (open.len() > 4 || random_choice(round, 3).is_multiple_of(2)) {
            let at = at.min(open.len() - 2);
            self.site.probe.merge(&stream, &open[at], &open[at + 1]);
        } else {
            self.site.probe.split(&stream, &open[at]);
        }
    }

    /// Runs the process until it is killed, while records are put and shards change.
    fn run_until_killed(&mut self, round: u64) {
        let mut command = self.site.command(&self.config);
        let log = std::fs::File::create(self.site.place.path().join("log")).unwrap();
        command.args(["--output", "none"]).stderr(log);
        if round.is_multiple_of(2) {
            let name = FAILPOINTS[random_choice(round, 4) as usize % FAILPOINTS.len()];
            let passes = random_choice(round, 5) % 6;
            command.env("FAILPOINTS", format!("{name}={passes}*off->1*return(abort)"));
        }
        let mut running = RunningProcess::start(&mut command);
        let (born, life) = (Instant::now(), Duration::from_millis(100 + random_choice(round, 6) % 1_200));
        let change = life.mul_f64((random_choice(round, 7) % 100) as f64 / 100.0);
        let mut changed = false;
        while born.elapsed() < life && running.try_wait().is_none() {
            self.put();
            if !changed && born.elapsed() >= change {
                self.reshard(round);
                changed = true;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        if !changed {
            self.reshard(round);
        }
        if running.try_wait().is_none() {
            running.signal(Signal::SIGKILL);
        }
        let status = running.wait();
        let said = std::fs::read_to_string(self.site.place.path().join("log")).unwrap();
        assert!(status.code().is_none(), "round {round} ended with {status}: {said}");
        self.assert_children_come_after();
    }

    /// Asserts that a child shard has durable records only after the ends of its parents are durable.
    fn assert_children_come_after(&self) {
        let durable = self.site.durable();
        for stream in STREAMS {
            let name = self.site.stream(stream);
            let next = |shard: &str| durable.get(&format!("kinesis/{name}/{shard}")).copied();
            for shard in self.site.probe.shards(&name) {
                let begun = next(&shard.shard_id).is_some_and(|next| next > Position::START);
                for parent in [shard.parent_shard_id, shard.adjacent_parent_shard_id].into_iter().flatten() {
                    assert!(!begun || next(&parent) == Some(Position::END), "{} before {parent}", shard.shard_id);
                }
            }
        }
    }

    /// Runs to the end without kills, and asserts that tables and answers are right.
    fn finish(&self) {
        self.site.finish(&self.config);
        self.assert_children_come_after();
        for (stream, counter) in [("pin", "title"), ("geo", "country"), ("user", "user_name")] {
            assert_in_order(&self.site.tables().join(stream), counter, self.count);
        }
        STREAMS.iter().for_each(|stream| self.site.probe.delete(&self.site.stream(stream)));
    }
}

/// Asserts that the rows of each key, in the order of their versions, contain 1, 2, 3, ….
fn assert_in_order(table: &Path, counter: &str, count: u64) {
    let rows = read(table);
    let at = |name: &str| rows.columns.iter().position(|column| column == name).unwrap();
    let place = ["_arrived_at", "_source", "_position", "_sub"].map(at);
    let mut keys: BTreeMap<String, Vec<(Vec<String>, u64)>> = BTreeMap::new();
    for row in &rows.rows {
        let Value::Text(number) = &row[at(counter)] else { panic!("{row:?}") };
        let place = place.iter().map(|at| format!("{:?}", row[*at])).collect();
        keys.entry(format!("{:?}", row[at("ind")])).or_default().push((place, number.parse().unwrap()));
    }
    assert_eq!(keys.len() as u64, KEYS_PER_STREAM);
    for (key, mut deliveries) in keys {
        deliveries.sort();
        let said: Vec<u64> = deliveries.into_iter().map(|(_, number)| number).collect();
        assert_eq!(said, (1..=count).collect::<Vec<_>>(), "key {key} of {}", table.display());
    }
}

/// Runs the rounds, on `PINFLOW_KINESIS_ABREAST` pipelines in parallel. `source` are additional lines of
/// the source.
fn survive_kills(rounds: u64, source: &str) {
    let next = AtomicU64::new(0);
    let live_some = || {
        let mut counting: Option<CountingWriter> = None;
        for lived in 0.. {
            let round = next.fetch_add(1, Ordering::Relaxed);
            if lived % ROUNDS_PER_STREAM == 0 || round >= rounds {
                counting.take().iter().for_each(CountingWriter::finish);
            }
            if round >= rounds {
                break;
            }
            counting.get_or_insert_with(|| CountingWriter::new(source)).run_until_killed(round);
        }
    };
    std::thread::scope(|scope| {
        (0..env_or_default("PINFLOW_KINESIS_ABREAST", 1)).for_each(|_| drop(scope.spawn(live_some)));
    });
}

#[test]
fn run_killed_during_resharding_loses_repeats_and_reorders_nothing() {
    if !skipped() {
        survive_kills(env_or_default("PINFLOW_KINESIS_ROUNDS", DEFAULT_ROUNDS), "");
    }
}

#[test]
fn run_killed_during_fan_out_loses_repeats_and_reorders_nothing() {
    if !skipped() {
        survive_kills(env_or_default("PINFLOW_KINESIS_ROUNDS_PUSHED", DEFAULT_FAN_OUT_ROUNDS), "fan_out = true");
    }
}
