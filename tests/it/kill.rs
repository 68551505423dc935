//! kill -9 at random moments and at every step of the commit protocol: nothing lost or repeated, answers correct.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use pinflow_delta::FAILPOINTS;

use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::{ProcessOutput, RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed};

/// Draws in the recording, of three lines each.
const RECORDED_DRAWS: u32 = 20_000;
/// Default number of rounds. `PINFLOW_KILLS` overrides it.
const DEFAULT_KILL_ROUNDS: u64 = 60;

/// A small random number generator (splitmix64), so that every run has the same rounds.
fn random_choice(round: u64) -> u64 {
    let mut z = round.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

struct KillSite {
    place: tempfile::TempDir,
    recording: PathBuf,
    /// How often the tables were re-created.
    generation: u32,
}

impl KillSite {
    fn new() -> KillSite {
        let place = create_temp_dir();
        let recording = place.path().join("recording");
        emit(&recording, 3_000, RECORDED_DRAWS, 7, &["--malformed", "0.01"]);
        let site = KillSite { place, recording, generation: 0 };
        site.configure();
        site
    }

    fn tables(&self) -> PathBuf {
        self.place.path().join(format!("tables-{}", self.generation))
    }

    /// Small windows and a bounded rate, so that there are many commits and time to kill between them.
    fn configure(&self) {
        let config = format!(
            "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = 60000\n\
             [tables]\nurl = \"tables-{}\"\ncommit_rows_max = 1500\ncommit_age_secs_max = 0.05\n\
             [engine]\nepoch_ms = 3\n",
            self.generation
        );
        std::fs::write(self.config(), config).expect("written");
    }

    fn config(&self) -> PathBuf {
        self.place.path().join("run.toml")
    }

    /// Runs the process until it is killed. Returns whether it ended before that.
    fn run_until_killed(&self, round: u64) -> bool {
        let mut command = pinflow(["run"]);
        command.arg(self.config()).args(["--output", "none"]).stderr(Stdio::null());
        let at_step = round.is_multiple_of(2);
        if at_step {
            let name = FAILPOINTS[(round / 2) as usize % FAILPOINTS.len()];
            let passes = random_choice(round) % 4;
            command.env("FAILPOINTS", format!("{name}={passes}*off->1*return(abort)"));
        }
        let mut running = RunningProcess::start(&mut command);
        if !at_step {
            let life = Duration::from_millis(10 + random_choice(round) % 500);
            let born = Instant::now();
            while born.elapsed() < life && running.try_wait().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if running.try_wait().is_none() {
                running.signal(Signal::SIGKILL);
            }
        }
        let status = running.wait();
        // It was killed or ended successfully. It never fails.
        assert!(status.success() || status.code().is_none(), "round {round} ended with {status}");
        status.success()
    }

    /// Runs to the end without kills, and asserts that tables and answers are right.
    fn finish(&self, expected: &ProcessOutput) {
        let output = succeed(pinflow(["run"]).arg(self.config()).args(["--output", "snapshots"]));
        let answered = last_snapshot(&output.stdout);
        assert_eq!(answered.answers, expected.answers);
        assert_eq!(answered.cut["epoch"], answered.cut["durable_epoch"], "the final snapshot is durable");
        assert_each_line_once(&self.recording, &self.tables());
        assert_answers_equal_batch(&self.tables(), GraphOptions::default(), &answered);
        succeed(pinflow(["table"]).arg(self.tables()).arg("--verify"));
    }
}

fn run_without_kills(recording: &Path) -> ProcessOutput {
    last_snapshot(&succeed(pinflow(["run"]).arg(recording)).stdout)
}

#[test]
fn run_killed_at_any_moment_loses_and_repeats_nothing() {
    let rounds = std::env::var("PINFLOW_KILLS")
        .ok()
        .map_or(DEFAULT_KILL_ROUNDS, |n| n.parse().expect("PINFLOW_KILLS is a number"));
    let mut site = KillSite::new();
    let expected = run_without_kills(&site.recording);
    for round in 0..rounds {
        if site.run_until_killed(round) {
            site.finish(&expected);
            site.generation += 1;
            site.configure();
        }
    }
    site.finish(&expected);
}
