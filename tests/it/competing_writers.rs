//! Competing writers at the same tables: several runs of one pipeline, and delta-rs (from Python) at the same time.
//!
//! In each round some runs start shortly after each other, one of them may be killed, and delta-rs commits while they
//! write. Every run must end gracefully, fenced by a later one, or with an error that names the other writer. Once
//! the other writer's commit is undone as the error recommends, every line is in the tables exactly once.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::file_calls::{FaultChoices, rounds};
use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::readers::python;
use pinflow_testkit::{ProcessOutput, RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed};

/// Default number of rounds: one for each of [`DELTA_RS_OPERATIONS`]. `PINFLOW_COMPETING_ROUNDS` overrides it.
const DEFAULT_ROUNDS: u64 = 5;
/// The operations of delta-rs, one per round. `none` is a round without delta-rs.
const DELTA_RS_OPERATIONS: [&str; 5] = ["optimize", "none", "restore", "overwrite", "delete"];
/// Exit code of a run that was fenced by another one.
const FENCED_EXIT_CODE: i32 = 75;
/// Longest time between the starts of two runs, in milliseconds.
const START_GAP_MAX_MS: u64 = 500;

/// Waits until a table has a version, and then does one operation. After a conflict nothing was committed.
/// delta-rs may also repeatedly fail to read a log that grows by dozens of commits a second. Then nothing was
/// committed either, and it must be able to read the table at the end of the round.
const DELTA_RS_SCRIPT: &str = "
import os, sys, time, deltalake
path, operation, version = sys.argv[1], sys.argv[2], int(sys.argv[3])
deadline = time.time() + 60
while time.time() < deadline:
    try:
        dt = deltalake.DeltaTable(path)
        if dt.version() >= version:
            break
    except deltalake.exceptions.DeltaError:
        pass
    time.sleep(0.02)
operations = {
    'none': lambda: None,
    'optimize': lambda: dt.optimize.compact(),
    'restore': lambda: dt.restore(version - 3),
    'overwrite': lambda: deltalake.write_deltalake(dt, dt.to_pyarrow_table().slice(0, 7), mode='overwrite'),
    'delete': lambda: dt.delete('ind % 3 = 0'),
}
for tries_left in (4, 3, 2, 1, 0):
    try:
        operations[operation]()
        break
    except deltalake.exceptions.CommitFailedError as error:
        print('conflict:', error)
        break
    except deltalake.exceptions.DeltaError as error:
        print('delta-rs failed:', error)
        dt = deltalake.DeltaTable(path)
sys.stdout.flush()
os._exit(0)
";

/// One round.
struct CompetingRound {
    place: PathBuf,
    number: u64,
    operation: &'static str,
    table: &'static str,
    python: PathBuf,
}

/// How a run ended.
#[derive(Debug, Default)]
struct RunOutcomeCounts {
    finished: u32,
    fenced: u32,
    refused: u32,
    killed: u32,
}

#[test]
fn competing_runs_and_delta_rs_lose_and_repeat_nothing_or_are_reported() {
    let Some(python) = python() else { return };
    let place = create_temp_dir();
    emit(&place.path().join("recording"), 1_000, 4_000, 17, &["--malformed", "0.01"]);
    let batch = last_snapshot(&succeed(pinflow(["run"]).arg(place.path().join("recording"))).stdout);
    let mut choices = FaultChoices::new(rounds("PINFLOW_CAMPAIGN_SEED", 1));
    let (mut counts, mut landed) = (RunOutcomeCounts::default(), 0);
    for number in 0..rounds("PINFLOW_COMPETING_ROUNDS", DEFAULT_ROUNDS) {
        let operation = DELTA_RS_OPERATIONS[(number % DELTA_RS_OPERATIONS.len() as u64) as usize];
        let table = choices.one_of(&["pin", "geo", "user"]);
        let place = place.path().to_owned();
        let round = CompetingRound { place, number, operation, table, python: python.clone() };
        round.configure(&mut choices);
        round.run_competing_writers(&mut choices, &mut counts);
        landed += u32::from(round.foreign_version().is_some());
        round.finish(&batch);
        std::fs::remove_dir_all(round.tables()).unwrap();
    }
    // Otherwise the rounds have tested nothing.
    assert!(counts.fenced > 0 && landed > 0, "{counts:?}, {landed} commits of delta-rs");
}

impl CompetingRound {
    fn tables(&self) -> PathBuf {
        self.place.join(format!("tables-{}", self.number))
    }

    fn config(&self) -> PathBuf {
        self.place.join("run.toml")
    }

    /// Describes the round in a failure.
    fn name(&self) -> String {
        format!("round {}, {} of {}", self.number, self.operation, self.table)
    }

    fn configure(&self, choices: &mut FaultChoices) {
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = {}\n\
             [tables]\nurl = \"tables-{}\"\ncommit_rows_max = {}\ncommit_age_secs_max = 0.05\ncompact = {}\n\
             [engine]\nepoch_ms = 3\n",
            3_000 + choices.below(6_000),
            self.number,
            100 + choices.below(400),
            choices.one_of(&["true", "false"]),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// Runs several pipelines that fence each other, and delta-rs at the same time.
    #[allow(clippy::print_stdout, reason = "a long test prints the results of delta-rs")]
    fn run_competing_writers(&self, choices: &mut FaultChoices, counts: &mut RunOutcomeCounts) {
        let other = self.start_other_writer(8 + choices.below(20));
        let mut runs = Vec::new();
        for number in 0..2 + choices.below(2) {
            let log = self.place.join(format!("log-{number}"));
            let mut command = pinflow(["run", "--output", "none"]);
            command.arg(self.config()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
            runs.push((RunningProcess::start(&mut command), log));
            thread::sleep(Duration::from_millis(choices.below(START_GAP_MAX_MS)));
        }
        if choices.below(3) == 0 {
            let (run, _) = &runs[choices.below(runs.len() as u64) as usize];
            run.try_signal(Signal::SIGKILL);
        }
        for (mut run, log) in runs {
            let status = run.wait();
            let text = std::fs::read_to_string(log).unwrap();
            match status.code() {
                Some(0) => counts.finished += 1,
                Some(FENCED_EXIT_CODE) => counts.fenced += 1,
                Some(1) => self.assert_names_other_writer(&text, counts),
                None => counts.killed += 1,
                Some(_) => panic!("{} ended with {status}: {text}", self.name()),
            }
        }
        let output = other.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {}", self.name(), String::from_utf8_lossy(&output.stderr));
        if !output.stdout.is_empty() {
            println!("{}: {}", self.name(), String::from_utf8_lossy(&output.stdout));
        }
    }

    fn start_other_writer(&self, version: u64) -> Child {
        let mut command = Command::new(&self.python);
        command
            .args(["-c", DELTA_RS_SCRIPT])
            .arg(self.tables().join(self.table))
            .arg(self.operation)
            .arg(version.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Asserts that the error of a run is about rows that another writer has changed.
    fn assert_names_other_writer(&self, text: &str, counts: &mut RunOutcomeCounts) {
        let is_named = text.contains("another writer") && text.contains("RESTORE");
        let is_found = text.contains("the tables do not hold what was read");
        assert!(is_named || is_found, "{}: {text}", self.name());
        assert_ne!(self.operation, "none", "{text}");
        counts.refused += 1;
    }

    /// The version that delta-rs committed.
    fn foreign_version(&self) -> Option<u64> {
        let log = self.tables().join(self.table).join("_delta_log");
        let mut versions: Vec<u64> = std::fs::read_dir(&log)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.parse().ok())
            .collect();
        versions.sort_unstable();
        // Skip the version that creates the table.
        versions.into_iter().skip(1).find(|version| is_by_other_writer(&log.join(format!("{version:020}.json"))))
    }

    /// Undoes the other writer's commit if there is one, resumes alone, and asserts that every line is stored once.
    fn finish(&self, batch: &ProcessOutput) {
        let resume = || pinflow(["run", "--output", "snapshots"]).arg(self.config()).output().unwrap();
        let mut output = resume();
        if output.status.code() == Some(1) {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            self.assert_names_other_writer(&text, &mut RunOutcomeCounts::default());
            let before = self.foreign_version().unwrap_or_else(|| panic!("{}: {text}", self.name())) - 1;
            self.restore(before);
            output = resume();
        }
        assert!(output.status.success(), "{}: {}", self.name(), String::from_utf8_lossy(&output.stderr));
        assert_eq!(last_snapshot(&output.stdout).answers, batch.answers, "{}", self.name());
        assert_each_line_once(&self.place.join("recording"), &self.tables());
        succeed(pinflow(["table", "--verify"]).arg(self.tables()));
        self.assert_other_engine_opens();
    }

    /// Asserts that delta-rs can read the log once nothing writes any more, even if it failed before.
    fn assert_other_engine_opens(&self) {
        let script = "import sys, deltalake; assert deltalake.DeltaTable(sys.argv[1]).version() > 0";
        succeed(Command::new(&self.python).args(["-c", script]).arg(self.tables().join(self.table)));
    }

    fn restore(&self, version: u64) {
        let script =
            "import os, sys, deltalake; deltalake.DeltaTable(sys.argv[1]).restore(int(sys.argv[2])); os._exit(0)";
        let mut command = Command::new(&self.python);
        command.args(["-c", script]).arg(self.tables().join(self.table)).arg(version.to_string());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}: {}", self.name(), String::from_utf8_lossy(&output.stderr));
    }
}

/// Whether a commit was made by another writer. pinflow marks its own commits.
fn is_by_other_writer(commit: &Path) -> bool {
    let text = std::fs::read_to_string(commit).unwrap();
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.find(|line| line["commitInfo"].is_object()).is_some_and(|line| line["commitInfo"]["pinflow"].is_null())
}
