//! How a run ends: signals, closed pipes, full disks, invalid configurations.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::{
    RunningProcess, SmallDisk, create_temp_dir, emit, last_snapshot, pinflow, skip_without_tmpfs, succeed, wait_until,
};

fn configure(place: &Path, source: &str, tables: &str) -> std::path::PathBuf {
    let config = place.join("run.toml");
    let text = format!(
        "[[source]]\nkind = \"recording\"\npath = \"recording\"\n{source}\n[tables]\nurl = \"{tables}\"\n\
         commit_rows_max = 2000\ncommit_age_secs_max = 0.1\n[output]\nevery_ms = 20\n"
    );
    std::fs::write(&config, text).expect("written");
    config
}

#[test]
fn signal_commits_the_window_and_the_next_run_resumes_after_it() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 2_000, 10_000, 3, &[]);
    let whole = last_snapshot(&succeed(pinflow(["run"]).arg(&recording)).stdout);
    let config = configure(place.path(), "rate_per_sec = 20000", "tables");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut command = pinflow(["run"]);
        let mut running = RunningProcess::start(command.arg(&config).stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut lines = BufReader::new(running.stdout()).lines();
        // A first snapshot shows that it runs.
        let mut last = lines.next().expect("a line").expect("text");
        running.signal(signal);
        for line in lines {
            last = line.expect("text");
        }
        assert_eq!(running.wait().code(), Some(0), "an orderly stop is a success");
        let cut: Value = serde_json::from_str(&last).expect("JSON");
        assert_eq!(cut["epoch"], cut["durable_epoch"], "everything shown last is durable");
        assert!(cut["sources"].as_array().is_some_and(|sources| !sources.is_empty()));
    }
    let answered = last_snapshot(&succeed(pinflow(["run"]).arg(&config)).stdout);
    assert_eq!(answered.answers, whole.answers);
    assert_each_line_once(&recording, &place.path().join("tables"));
}

#[test]
fn closed_pipe_ends_the_run_successfully() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 2_000, 10_000, 3, &[]);
    let config = configure(place.path(), "rate_per_sec = 20000", "tables");
    let mut command = pinflow(["run"]);
    let mut running = RunningProcess::start(command.arg(&config).stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut first = String::new();
    BufReader::new(running.stdout()).read_line(&mut first).expect("a line");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
#[cfg(feature = "failpoints")]
fn panic_in_any_thread_ends_the_process_and_loses_nothing() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 2_000, 10_000, 3, &[]);
    let config = configure(place.path(), "", "tables");
    for (failpoint, who) in [("engine::block=3*off->panic", "worker"), ("engine::commit=panic", "committer")] {
        let mut command = pinflow(["run"]);
        command.arg(&config).args(["--output", "none"]).env("FAILPOINTS", format!("{failpoint}(a fault of ours)"));
        let output = command.output().expect("pinflow starts");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(&format!("pinflow: {who}")) && said.contains("a fault of ours"),
            "it says who and why: {said}"
        );
    }
    succeed(pinflow(["run"]).arg(&config));
    assert_each_line_once(&recording, &place.path().join("tables"));
}

#[test]
fn full_disk_pauses_the_run_until_space_is_freed() {
    if skip_without_tmpfs() {
        return;
    }
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 3_000, 20_000, 5, &[]);
    let disk = SmallDisk::mount(&place.path().join("disk"), "32m");
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![0; 31 << 20]).expect("room for the ballast");
    let config = configure(place.path(), "", "disk/tables");
    let log = std::fs::File::create(place.path().join("log")).expect("a log");
    let mut command = pinflow(["run"]);
    let mut running = RunningProcess::start(command.arg(&config).args(["--output", "none"]).stderr(log));
    let said = || std::fs::read_to_string(place.path().join("log")).unwrap_or_default();
    wait_until("pinflow says that the disk is full", || {
        assert!(running.try_wait().is_none(), "it must not end: {}", said());
        said().contains("No space left")
    });
    std::fs::remove_file(&ballast).expect("removed");
    assert_eq!(running.wait().code(), Some(0), "it heals: {}", said());
    assert_each_line_once(&recording, &disk.0.join("tables"));
    succeed(pinflow(["table"]).arg(disk.0.join("tables")).arg("--verify"));
}

#[test]
fn every_configuration_error_is_reported_with_its_line() {
    let place = create_temp_dir();
    let config = place.path().join("bad.toml");
    std::fs::write(
        &config,
        "pipeline = \"Bad Name\"\nsurprise = 1\n\n[[source]]\nkind = \"recording\"\npath = \"nowhere\"\nrate = 5\n\n\
         [questions]\nties = \"maybe\"\ntop = 0\n\n[engine]\nworkers = 0\nepoch_ms = \"soon\"\n\n[tables]\nurl = \"gs://far\"\n",
    )
    .expect("written");
    let output = pinflow(["run"]).arg(&config).output().expect("pinflow starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty(), "stdout is for data");
    let said = String::from_utf8(output.stderr).expect("text");
    for expected in [
        "bad.toml:1:12: pipeline: must be 1 to 63 of a-z, 0-9, _ and -, found \"Bad Name\"",
        "bad.toml:2:1: surprise: unknown key",
        "bad.toml:7:1: [[source]] rate: unknown key; did you mean `rate_per_sec`?",
        "bad.toml:10:8: [questions] ties: unknown value \"maybe\"",
        "bad.toml:11:7: [questions] top: must be at least 1, found 0",
        "bad.toml:15:12: [engine] epoch_ms: expected a whole number, found the text \"soon\"",
        "`gs://` is not supported",
    ] {
        assert!(said.contains(expected), "no `{expected}` in:\n{said}");
    }
}

#[test]
fn check_reports_missing_input_and_writes_nothing() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    let config = configure(place.path(), "", "tables");
    let missing = pinflow(["check"]).arg(&config).output().expect("pinflow starts");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stdout).contains("fault"), "the missing recording is a fault");
    emit(&recording, 100, 100, 1, &[]);
    succeed(pinflow(["check"]).arg(&config));
    assert!(!place.path().join("tables").exists(), "a check makes no tables");
}

#[test]
fn run_until_caught_up_reads_existing_lines_and_ends() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 500, 1_000, 5, &[]);
    let whole = ["pin", "geo", "user"].map(|stream| recording.join(format!("{stream}.jsonl")));
    let texts = whole.each_ref().map(|path| std::fs::read(path).expect("a recording"));
    for path in &whole {
        std::fs::write(path, "").expect("emptied");
    }
    let config = configure(place.path(), "follow = true", "tables");
    let mut said = Vec::new();
    // The files grow each time, and are complete at the last. An incomplete line is read later.
    for part in [0, 1, 3, 7, 10] {
        for (path, text) in whole.iter().zip(&texts) {
            std::fs::write(path, &text[..text.len() * part / 10]).expect("written");
        }
        said = succeed(pinflow(["run", "--until-caught-up", "--output", "snapshots"]).arg(&config)).stdout;
    }
    let at_once = last_snapshot(&succeed(pinflow(["run", "--output", "snapshots"]).arg(&recording)).stdout);
    assert_eq!(last_snapshot(&said).answers, at_once.answers);
    assert_each_line_once(&recording, &place.path().join("tables"));
}

#[test]
fn clock_before_1970_is_reported_without_a_panic() {
    let Some(faketime) = pinflow_testkit::find_faketime() else { return };
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 10, 10, 1, &[]);
    let mut command = pinflow(["run", "--output", "none", "--tables"]);
    command.arg(place.path().join("tables")).arg(&recording);
    let output = command.env("LD_PRELOAD", faketime).env("FAKETIME", "@1969-06-01 00:00:00").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("clock is set to before 1970") && !said.contains("panicked"), "{said}");
}
