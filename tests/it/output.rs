//! Output of commands to a closed pipe and to a terminal of 80 columns.

use std::io::Read;
use std::process::{Command, Stdio};

use pinflow_testkit::{create_temp_dir, emit, pinflow, succeed};

/// Runs a command whose stdout is closed after some bytes. Returns its exit code.
fn code_with_closed_stdout(command: &mut Command, bytes_read: usize) -> Option<i32> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut vec![0; bytes_read]).unwrap();
    drop(stdout);
    child.wait().unwrap().code()
}

#[test]
fn closed_pipe_is_success_and_hides_no_error() {
    let place = create_temp_dir();
    let (recording, tables) = (place.path().join("recording"), place.path().join("tables"));
    // Enough files that the output does not fit into a pipe.
    std::fs::create_dir(&recording).unwrap();
    for number in 0..3_000 {
        let file = format!("user-{number:06}-{}.jsonl", "x".repeat(60));
        std::fs::write(recording.join(file), "{\"ind\":1,\"age\":3}\n").unwrap();
    }
    succeed(pinflow(["run", "--output", "none"]).arg(&recording).arg("--tables").arg(&tables));
    let table = |more: &[&str]| {
        let mut command = pinflow(["table"]);
        command.arg(&tables).args(more);
        command
    };
    for bytes_read in [0, 1] {
        assert_eq!(code_with_closed_stdout(&mut table(&[]), bytes_read), Some(0));
        assert_eq!(code_with_closed_stdout(&mut table(&["--verify"]), bytes_read), Some(0));
        assert_eq!(code_with_closed_stdout(&mut table(&["--format", "json"]), bytes_read), Some(0));
        assert_eq!(code_with_closed_stdout(&mut table(&["doctor"]), bytes_read), Some(0));
        assert_eq!(code_with_closed_stdout(pinflow(["check"]).arg(&recording), bytes_read), Some(0));
    }
    // A closed pipe does not hide a problem.
    std::fs::rename(tables.join("pin"), place.path().join("gone")).unwrap();
    assert_eq!(code_with_closed_stdout(&mut table(&["--verify"]), 1), Some(1));
}

#[test]
fn table_fits_80_columns_without_trailing_blanks() {
    let place = create_temp_dir();
    let tables = place.path().join("tables");
    let recording = place.path().join("recording");
    emit(&recording, 50, 100, 3, &["--malformed", "0.1"]);
    std::fs::rename(recording.join("geo.jsonl"), recording.join(format!("geo-{}.jsonl", "of-a-long-name".repeat(6))))
        .unwrap();
    succeed(pinflow(["run", "--output", "none"]).arg(&recording).arg("--tables").arg(&tables));
    for more in [&[][..], &["optimize"], &["doctor"], &["vacuum"]] {
        let output = succeed(pinflow(["table"]).arg(&tables).args(more));
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            assert!(line.chars().count() <= 80, "{more:?}: {line}");
            assert_eq!(line.trim_end(), line, "{more:?}");
        }
    }
}
