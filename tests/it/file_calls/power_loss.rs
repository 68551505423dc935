//! A power loss at any file call: durable rows stay, and the next run resumes after them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::journal::UnsyncedState;
use super::{FaultChoices, preload, rounds};
use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::{ProcessOutput, RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed};

/// Default number of power losses. `PINFLOW_POWER_LOSSES` overrides it.
const DEFAULT_POWER_LOSSES: u64 = 25;

struct PowerLossSite {
    place: tempfile::TempDir,
    generation: u64,
}

impl PowerLossSite {
    fn new() -> PowerLossSite {
        let place = create_temp_dir();
        emit(&place.path().join("recording"), 1_000, 5_000, 17, &["--malformed", "0.01"]);
        let site = PowerLossSite { place, generation: 0 };
        site.configure();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn root(&self) -> PathBuf {
        self.path(&format!("kept-{}", self.generation))
    }

    fn recording(&self) -> PathBuf {
        self.path("recording")
    }

    /// Tables, answers and an archive, with many small commits.
    fn configure(&self) {
        let root = format!("kept-{}", self.generation);
        let archive = if self.generation % 2 == 1 {
            format!("[archive]\nurl = \"{root}/archive\"\nrotate_secs = 0\nflush_records = 200\n")
        } else {
            String::new()
        };
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = 30000\n\
             [tables]\nurl = \"{root}/tables\"\ncommit_rows_max = 400\ncommit_age_secs_max = 0.02\n\
             [engine]\nepoch_ms = 2\n[output]\nevery_ms = 1\n{archive}"
        );
        fs::write(self.path("run.toml"), text).expect("written");
    }

    /// Runs until power is lost after `calls` changes. Returns the positions reported as durable, and the lost changes.
    fn run_until_power_is_lost(&self, calls: u64, choices: &mut FaultChoices) -> (BTreeMap<String, u64>, Vec<String>) {
        let (journal, shadow) = (self.path("journal"), self.path("shadow"));
        drop(fs::remove_file(&journal));
        drop(fs::remove_dir_all(&shadow));
        fs::create_dir_all(&shadow).expect("a folder for removed files");
        let said = fs::File::create(self.path("said")).expect("a file for stdout");
        let mut command = pinflow(["run"]);
        command.arg(self.path("run.toml")).args(["--output", "snapshots"]).stdout(said).stderr(Stdio::null());
        preload(&mut command, &self.root())
            .env("FILE_CALLS_JOURNAL", &journal)
            .env("FILE_CALLS_SHADOW", &shadow)
            .env("FILE_CALLS_STOP", calls.to_string());
        let status = RunningProcess::start(&mut command).wait();
        assert!(status.success() || status.code().is_none(), "it ended with {status}");
        let lost = UnsyncedState::read(&journal).lose_power(choices);
        (acknowledged(&self.path("said")), lost)
    }

    fn finish(&self, expected: &ProcessOutput) {
        let output = succeed(pinflow(["run"]).arg(self.path("run.toml")).args(["--output", "snapshots"]));
        assert_eq!(last_snapshot(&output.stdout).answers, expected.answers);
        let tables = self.root().join("tables");
        assert_each_line_once(&self.recording(), &tables);
        succeed(pinflow(["table"]).arg(&tables).arg("--verify"));
    }
}

/// The next position of each partition in the last snapshot that was completely durable.
fn acknowledged(said: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(said).unwrap_or_default();
    let mut cuts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let durable = cuts.rfind(|cut| cut.get("sources").is_some() && cut["epoch"] == cut["durable_epoch"]);
    let sources = durable.map(|cut| cut["sources"].as_array().cloned().unwrap_or_default()).unwrap_or_default();
    let next = |source: &Value| {
        let position = source["position"].as_str().and_then(|text| text.parse().ok()).expect("a line number");
        (source["source"].as_str().expect("a name").to_owned(), position)
    };
    sources.iter().filter(|source| source["position"].is_string()).map(next).collect()
}

/// The stored next position of each partition: the lowest one of the cleaned tables.
fn stored(tables: &Path) -> BTreeMap<String, u64> {
    let output = succeed(pinflow(["table"]).arg(tables).args(["--format", "json"]));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut least = BTreeMap::new();
    for table in told["tables"].as_array().expect("tables") {
        if table["table"] == "rejected" {
            continue;
        }
        for position in table["positions"].as_array().expect("positions") {
            let next = position["next"].as_u64().expect("a line number");
            let source = position["source"].as_str().expect("a name").to_owned();
            least.entry(source).and_modify(|known: &mut u64| *known = next.min(*known)).or_insert(next);
        }
    }
    least
}

#[test]
fn power_loss_at_any_file_call_keeps_every_acknowledged_row() {
    let mut site = PowerLossSite::new();
    let expected = last_snapshot(&succeed(pinflow(["run"]).arg(site.recording())).stdout);
    let mut choices = FaultChoices::new(0x70_77_72);
    for round in 0..rounds("PINFLOW_POWER_LOSSES", DEFAULT_POWER_LOSSES) {
        let calls = 1 + choices.below(if round % 5 == 0 { 90 } else { 700 });
        let (acknowledged, lost) = site.run_until_power_is_lost(calls, &mut choices);
        if !acknowledged.is_empty() {
            let stored = stored(&site.root().join("tables"));
            for (source, next) in acknowledged {
                let found = stored.get(&source).copied().unwrap_or_default();
                assert!(
                    found >= next,
                    "round {round}, call {calls}: {source} was durable up to {next}, {found} is left after {lost:?}"
                );
            }
        }
        if round % 4 == 3 {
            site.finish(&expected);
            site.generation += 1;
            site.configure();
        }
    }
    site.finish(&expected);
}
