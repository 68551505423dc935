//! kill -9 under random configurations: nothing is lost or repeated, and answers are correct.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::file_calls::{FaultChoices, rounds};
use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed};

/// Default number of configurations. `PINFLOW_CAMPAIGN` overrides it, and `PINFLOW_CAMPAIGN_SEED` draws others.
const DEFAULT_CONFIGURATIONS: u64 = 8;
/// Runs of one configuration that end by kill -9.
const KILLS_PER_CONFIGURATION: u64 = 4;

/// One random pipeline over one recording.
struct RandomPipeline {
    config: PathBuf,
    recording: PathBuf,
    tables: PathBuf,
    /// The flags that affect the answers.
    options: Vec<String>,
    text: String,
}

impl RandomPipeline {
    fn draw_random(place: &Path, choices: &mut FaultChoices) -> RandomPipeline {
        let recording = place.join("recording");
        let inds = 200 + u32::try_from(choices.below(2_000)).expect("a few");
        let malformed = choices.one_of(&["0", "0.01", "0.2"]);
        let seed = u32::try_from(choices.below(1_000)).expect("a seed");
        emit(&recording, inds, 6_000, seed, &["--malformed", malformed]);
        let options =
            ["--duplicates", choices.one_of(&["latest", "keep"]), "--ties", choices.one_of(&["first", "all"])]
                .into_iter()
                .chain(["--top", choices.one_of(&["1", "3", "all"]), "--median", choices.one_of(&["exact", "lower"])])
                .map(str::to_owned)
                .collect();
        let text = Self::text(choices);
        let config = place.join("run.toml");
        std::fs::write(&config, &text).expect("written");
        RandomPipeline { config, recording, tables: place.join("tables"), options, text }
    }

    fn text(choices: &mut FaultChoices) -> String {
        let mut text = String::new();
        let rate = 20_000 + choices.below(100_000);
        let follow = choices.one_of(&["true", "false"]);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = {rate}");
        let _ = writeln!(text, "follow = {follow}\n[tables]\nurl = \"tables\"");
        let _ = writeln!(text, "commit_rows_max = {}", 1 + choices.below(4_000));
        let _ = writeln!(text, "commit_age_secs_max = {}", choices.one_of(&["0.01", "0.05", "0.5"]));
        let _ = writeln!(text, "compression = \"{}\"", choices.one_of(&["snappy", "zstd"]));
        let _ = writeln!(text, "compact = {}", choices.one_of(&["true", "false"]));
        if choices.below(3) == 0 {
            let compression = choices.one_of(&["none", "gzip", "zstd"]);
            let _ = writeln!(text, "[archive]\nurl = \"archive\"\nrotate_secs = 0\ncompression = \"{compression}\"");
            let _ = writeln!(text, "flush_records = {}", 1 + choices.below(3_000));
        }
        if choices.below(3) == 0 {
            let _ = writeln!(text, "[answers.delta]\nurl = \"answers\"\nchanges = true\nevery_secs = 0.1");
        }
        let _ = writeln!(text, "[engine]\nepoch_ms = {}", 1 + choices.below(30));
        let _ = writeln!(text, "workers = {}", 1 + choices.below(2));
        let _ = writeln!(text, "epochs_in_flight_max = {}", 1 + choices.below(4));
        let _ = writeln!(text, "epoch_bytes_max = {}", 1_024 << choices.below(12));
        text
    }

    fn run_until_killed(&self, choices: &mut FaultChoices) {
        let mut command = pinflow(["run"]);
        command.arg(&self.config).args(["--output", "none"]).args(&self.options).stderr(Stdio::null());
        let mut running = RunningProcess::start(&mut command);
        let (born, life) = (Instant::now(), Duration::from_millis(5 + choices.below(400)));
        while born.elapsed() < life && running.try_wait().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if running.try_wait().is_none() {
            running.signal(Signal::SIGKILL);
        }
        let status = running.wait();
        assert!(status.success() || status.code().is_none(), "ended with {status}:\n{}", self.text);
    }

    fn finish(&self) {
        let whole = last_snapshot(&succeed(pinflow(["run"]).arg(&self.recording).args(&self.options)).stdout);
        let mut command = pinflow(["run", "--until-caught-up", "--output", "snapshots"]);
        let output = succeed(command.arg(&self.config).args(&self.options));
        assert_eq!(last_snapshot(&output.stdout).answers, whole.answers, "{:?}\n{}", self.options, self.text);
        assert_each_line_once(&self.recording, &self.tables);
        succeed(pinflow(["table"]).arg(&self.tables).arg("--verify"));
    }
}

#[test]
fn random_configurations_killed_at_random_moments_lose_and_repeat_nothing() {
    let mut choices = FaultChoices::new(rounds("PINFLOW_CAMPAIGN_SEED", 1));
    for _ in 0..rounds("PINFLOW_CAMPAIGN", DEFAULT_CONFIGURATIONS) {
        let place = create_temp_dir();
        let pipeline = RandomPipeline::draw_random(place.path(), &mut choices);
        for _ in 0..KILLS_PER_CONFIGURATION {
            pipeline.run_until_killed(&mut choices);
        }
        pipeline.finish();
    }
}
