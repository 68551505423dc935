//! The tables of the answers, read by other engines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use pinflow::dataflows::questions::QuestionSet;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use pinflow_testkit::readers::python;
use pinflow_testkit::{
    ProcessOutput, RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed, wait_until,
};

struct AnswerTablesSite {
    place: tempfile::TempDir,
    config: PathBuf,
}

impl AnswerTablesSite {
    /// A followed recording that is empty at first. `answers` are additional lines of `[answers.delta]`.
    fn new(answers: &str) -> AnswerTablesSite {
        let place = create_temp_dir();
        emit(&place.path().join("whole"), 300, 3_000, 17, &["--malformed", "0.02"]);
        std::fs::create_dir(place.path().join("recording")).unwrap();
        let config = place.path().join("flow.toml");
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = true\n[tables]\nurl = \"tables\"\n\
             commit_age_secs_max = 0.05\n[answers.delta]\nurl = \"answers\"\nchanges = true\nevery_secs = 0.1\n{answers}\n\
             [output]\nformat = \"snapshots\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let site = AnswerTablesSite { place, config };
        site.grow_to(0.0);
        site
    }

    /// Extends each file to this fraction of the whole recording.
    fn grow_to(&self, part: f64) {
        for stream in ["pin", "geo", "user"] {
            let name = format!("{stream}.jsonl");
            let whole = std::fs::read(self.place.path().join("whole").join(&name)).unwrap();
            let now = &whole[..(whole.len() as f64 * part) as usize];
            let path = self.place.path().join("recording").join(&name);
            let there = std::fs::metadata(&path).map_or(0, |file| file.len() as usize);
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, &now[there.min(now.len())..]).unwrap();
        }
    }

    fn run(&self) -> Command {
        let mut command = pinflow(["run", "--until-caught-up"]);
        command.arg(&self.config);
        command
    }

    fn tables(&self) -> PathBuf {
        self.place.path().join("answers")
    }
}

/// The rows of every answer: from the table of current rows, and as the sum of the table of changes.
fn read(python: &Path, tables: &Path) -> (BTreeMap<String, Vec<Value>>, BTreeMap<String, Vec<Value>>) {
    let questions = QuestionSet::built_in(GraphOptions::default());
    let names = questions.names().map(ToString::to_string);
    let names: Vec<_> = names.flat_map(|name| [format!("{name}_changes"), name]).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/rows.py");
    let output = succeed(Command::new(python).arg(script).arg(tables).args(names));
    let mut found: BTreeMap<String, Vec<Value>> = serde_json::from_slice(&output.stdout).unwrap();
    let mut summed = BTreeMap::new();
    for name in questions.names() {
        let mut changes = found.remove(&format!("{name}_changes")).unwrap();
        changes.sort_by_key(|row| row["_as_of"].as_i64());
        let mut rows: BTreeMap<String, (i64, Value)> = BTreeMap::new();
        for mut change in changes {
            let diff = change["_diff"].as_i64().unwrap();
            assert!(change["_epoch"].as_i64() > Some(0) && diff.abs() == 1, "{change}");
            let row = change.as_object_mut().unwrap();
            row.retain(|name, _| !name.starts_with('_'));
            let held = rows.entry(change.to_string()).or_insert((0, change));
            held.0 += diff;
            // At any time a row exists once or not at all: it is never inserted twice, nor deleted before its insert.
            assert!([0, 1].contains(&held.0), "{held:?} of {name}");
        }
        let rows = rows.into_values().filter(|(count, _)| *count == 1).map(|(_, row)| row).collect();
        summed.insert(name.to_string(), rows);
    }
    (found, summed)
}

fn assert_tables_equal_snapshot(python: &Path, tables: &Path, snapshot: &ProcessOutput) {
    let sorted = |rows: &[Value]| {
        let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
        rows.sort();
        rows
    };
    let (current, summed) = read(python, tables);
    for (name, rows) in &snapshot.answers {
        assert_eq!(sorted(&current[name]), sorted(rows), "{name}");
        assert_eq!(sorted(&summed[name]), sorted(rows), "changes of {name}");
    }
}

#[test]
fn answers_tables_of_killed_runs_are_read_correctly_by_other_engines() {
    let Some(python) = python() else { return };
    let site = AnswerTablesSite::new("");
    let mut random = StdRng::seed_from_u64(5);
    for turn in 1..=8 {
        // Kill it at a random time: between two writes of a table or during one.
        let mut running = RunningProcess::start(site.run().stdout(Stdio::null()).stderr(Stdio::null()));
        site.grow_to(f64::from(turn) / 8.0);
        std::thread::sleep(Duration::from_millis(random.random_range(0..600)));
        if running.try_wait().is_none() {
            running.signal(Signal::SIGKILL);
        }
        running.wait();
        if turn % 4 == 0 {
            let output = succeed(&mut site.run());
            assert_tables_equal_snapshot(&python, &site.tables(), &last_snapshot(&output.stdout));
        }
    }
}

#[test]
fn expired_versions_and_files_are_removed() {
    // With `keep` every delivery changes an answer, so every write has rows.
    let site = AnswerTablesSite::new("keep_secs = 0\n[questions]\nduplicates = \"keep\"");
    let folder = site.tables().join("users_joined_by_year");
    let files = || {
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".parquet")).count()
    };
    for part in 1..=25 {
        site.grow_to(f64::from(part) / 25.0);
        succeed(&mut site.run());
    }
    assert_eq!(files(), 1, "only what is read now is there");
    let log = std::fs::read_dir(folder.join("_delta_log")).unwrap().map(|entry| entry.unwrap().file_name());
    let log: Vec<_> = log.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(log.iter().any(|name| name.contains("checkpoint.parquet")), "{log:?}");
    assert!(!log.iter().any(|name| name.ends_with("00000.json")), "the log begins at its checkpoint: {log:?}");
}

#[test]
fn unwritable_answers_table_does_not_stall_the_run_and_resumes() {
    let site = AnswerTablesSite::new("");
    site.grow_to(0.5);
    succeed(&mut site.run());
    let log = site.tables().join("users_joined_by_year/_delta_log");
    let aside = site.place.path().join("aside");
    std::fs::rename(&log, &aside).unwrap();
    // Put a file in place of the log's folder.
    std::fs::write(&log, "").unwrap();
    let output = site.run().output().unwrap();
    assert_eq!(output.status.code(), Some(1), "a start that cannot open a table says so: {output:?}");
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    let mut command = pinflow(["run"]);
    let error_log = site.place.path().join("log");
    let file = std::fs::File::create(&error_log).unwrap();
    let mut running = RunningProcess::start(command.arg(&site.config).stdout(Stdio::null()).stderr(file));
    let said = |what: &str| std::fs::read_to_string(&error_log).unwrap().contains(what);
    wait_until("it runs", || said("sources are started"));
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "").unwrap();
    site.grow_to(1.0);
    wait_until("it says that a table is behind", || said("the tables of answers could not be written"));
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    wait_until("it says that they are written again", || said("are written again"));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
    let Some(python) = python() else { return };
    let output = succeed(&mut site.run());
    assert_tables_equal_snapshot(&python, &site.tables(), &last_snapshot(&output.stdout));
}
