//! Logs when stderr is not a terminal: every line is JSON, messages are short, figures are fields.

use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use pinflow_testkit::{RunningProcess, create_temp_dir, emit, pinflow, succeed, wait_until};

/// Maximum length of a message. Its text is constant, and variable parts are in fields.
const MESSAGE_CHARS_MAX: usize = 120;

/// Every line of a log.
fn parse(log: &str) -> Vec<Value> {
    let parsed = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<Value> = log.lines().map(parsed).collect();
    for line in &lines {
        let message = line["message"].as_str().unwrap_or_else(|| panic!("no message: {line}"));
        assert!(message.chars().count() <= MESSAGE_CHARS_MAX, "{line}");
        assert!(!message.chars().any(|letter| letter.is_ascii_digit()), "a figure in the message: {line}");
    }
    lines
}

fn events_named<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == message).collect()
}

#[test]
fn findings_of_a_run_are_logged_as_events_with_counts() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 500, 2_000, 7, &["--malformed", "0.2"]);
    let tables = place.path().join("tables");
    let output = succeed(pinflow(["run", "--output", "none", "--tables"]).arg(&tables).arg(&recording));
    let lines = parse(&String::from_utf8(output.stderr).unwrap());
    let [done] = events_named(&lines, "done")[..] else { panic!("{lines:#?}") };
    let rejected = events_named(&lines, "rows were rejected");
    assert!(rejected.len() > 3 && rejected.iter().all(|line| line["reason"].is_string()), "{lines:#?}");
    let sum: u64 = rejected.iter().map(|line| line["rows"].as_u64().unwrap()).sum();
    assert_eq!(Some(sum), done["rejected"].as_u64());
    let faults = events_named(&lines, "fields were unreadable");
    assert!(!faults.is_empty(), "{lines:#?}");
    for fault in faults {
        assert!(fault["table"].is_string() && fault["column"].is_string() && fault["rows"].is_u64(), "{fault}");
    }
}

#[test]
fn progress_is_logged_as_one_event_with_numbers() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 500, 100_000, 7, &["--malformed", "0.01"]);
    let config = place.path().join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = 3000\n[tables]\nurl = \"tables\"\n\
                commit_age_secs_max = 0.5\n[engine]\nworkers = 4000\n";
    std::fs::write(&config, text).unwrap();
    let log = place.path().join("log");
    let mut command = pinflow(["run", "--output", "none"]);
    command.arg(&config).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let mut running = RunningProcess::start(&mut command);
    let read = || std::fs::read_to_string(&log).unwrap();
    wait_until("progress is logged", || read().contains("\"message\":\"progress\""));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), Some(0), "{}", read());
    let lines = parse(&read());
    let progress = events_named(&lines, "progress")[0];
    for field in ["rows", "rows_per_sec", "rejected", "epoch", "durable_epoch", "lag", "bytes", "bytes_remaining"] {
        assert!(progress[field].is_u64(), "no number {field}: {progress}");
    }
    assert!(progress["rows"].as_u64() > Some(0) && progress["bytes_remaining"].as_u64() > Some(0), "{progress}");
    // More workers than cores are only a warning.
    let [workers] = events_named(&lines, "more workers than cores would be slower; one per core is used")[..] else {
        panic!("{lines:#?}")
    };
    assert_eq!((workers["workers"].as_u64(), workers["level"].as_str()), (Some(4_000), Some("WARN")));
}
