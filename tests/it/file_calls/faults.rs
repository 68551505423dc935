//! Failing file calls: each is retried or ends the run with an error that names it. No row is lost or repeated.

use std::process::Stdio;

use super::{FaultChoices, preload, rounds};
use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, last_snapshot, pinflow, succeed};

/// Default number of runs with faults. `PINFLOW_FILE_FAULTS` overrides it.
const DEFAULT_FILE_FAULT_RUNS: u64 = 25;

/// Calls, and the error numbers that they may fail with. 0 writes only half of the bytes.
const CALL_FAULTS: [(&str, &[i32]); 8] = [
    ("open", &[libc_errno::EIO, libc_errno::EMFILE, libc_errno::ENOSPC, libc_errno::EACCES]),
    ("read", &[libc_errno::EIO, libc_errno::EINTR]),
    ("write", &[libc_errno::EIO, libc_errno::ENOSPC, libc_errno::EINTR, libc_errno::EDQUOT, 0]),
    ("sync", &[libc_errno::EIO, libc_errno::ENOSPC]),
    ("link", &[libc_errno::EIO, libc_errno::ENOSPC]),
    ("rename", &[libc_errno::EIO, libc_errno::ENOSPC]),
    ("unlink", &[libc_errno::EIO, libc_errno::EROFS]),
    ("mkdir", &[libc_errno::EIO, libc_errno::ENOSPC]),
];

/// Error numbers of Linux.
mod libc_errno {
    pub(super) const EINTR: i32 = 4;
    pub(super) const EIO: i32 = 5;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EMFILE: i32 = 24;
    pub(super) const ENOSPC: i32 = 28;
    pub(super) const EROFS: i32 = 30;
    pub(super) const EDQUOT: i32 = 122;
}

/// Draws several faults, in the format of `FILE_CALLS_FAULTS`.
fn draw_faults(choices: &mut FaultChoices) -> String {
    let mut drawn = Vec::new();
    for _ in 0..=choices.below(2) {
        let (call, errors) = choices.one_of(&CALL_FAULTS);
        let error = choices.one_of(errors);
        let (skip, count) = (choices.below(60), 1 + choices.below(3));
        drawn.push(format!("{call}:{error}:{skip}:{count}"));
    }
    drawn.join(",")
}

#[test]
fn random_file_call_errors_lose_and_repeat_nothing() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 500, 2_000, 23, &["--malformed", "0.01"]);
    let expected = last_snapshot(&succeed(pinflow(["run"]).arg(&recording)).stdout);
    let mut choices = FaultChoices::new(0x66_63);
    for round in 0..rounds("PINFLOW_FILE_FAULTS", DEFAULT_FILE_FAULT_RUNS) {
        let root = place.path().join(format!("tables-{round}"));
        let config = place.path().join("run.toml");
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"recording\"\n[tables]\nurl = \"tables-{round}\"\n\
             commit_rows_max = 500\ncommit_age_secs_max = 0.02\n[engine]\nepoch_ms = 2\n"
        );
        std::fs::write(&config, text).expect("written");
        let faults = draw_faults(&mut choices);
        let log = place.path().join("log");
        let stderr = std::fs::File::create(&log).expect("a log");
        let mut command = pinflow(["run"]);
        command.arg(&config).args(["--output", "none"]).stdout(Stdio::null()).stderr(stderr);
        preload(&mut command, &root).env("FILE_CALLS_FAULTS", &faults);
        let status = RunningProcess::start(&mut command).wait();
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        // The run continues after the fault, or ends with exit code 1 and an error. It never crashes.
        assert!(matches!(status.code(), Some(0 | 1)), "{faults}: ended with {status}:\n{said}");
        assert!(!said.contains("panicked"), "{faults}:\n{said}");
        let output = succeed(pinflow(["run"]).arg(&config).args(["--output", "snapshots"]));
        assert_eq!(last_snapshot(&output.stdout).answers, expected.answers, "{faults}");
        assert_each_line_once(&recording, &root);
        succeed(pinflow(["table"]).arg(&root).arg("--verify"));
        std::fs::remove_dir_all(&root).expect("removed");
    }
}
