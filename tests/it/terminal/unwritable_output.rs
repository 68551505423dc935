//! Exit codes when standard output or standard error cannot be written.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::hostile_server;
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, pinflow, program, succeed, wait_until};

/// An output that cannot be written.
#[derive(Debug, Clone, Copy)]
enum OutputSink {
    Full,
    Closed,
    Missing,
}

impl OutputSink {
    /// Runs a command line with `descriptor` (1 or 2) redirected to the sink. Returns the exit code.
    fn run(self, descriptor: u8, arguments: &[&str]) -> i32 {
        let quoted: Vec<_> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        let command = format!("{} {}", program().display(), quoted.join(" "));
        let other = if descriptor == 1 { "2>/dev/null" } else { "1>/dev/null" };
        let script = match self {
            OutputSink::Full => format!("{command} {other} {descriptor}>/dev/full"),
            OutputSink::Missing => format!("{command} {other} {descriptor}>&-"),
            // A pipe whose reader has closed it before the first write.
            OutputSink::Closed => format!(
                "mkfifo \"$PIPE\"; exec 9<>\"$PIPE\"; exec 8>\"$PIPE\"; exec 9<&-; {command} {other} {descriptor}>&8 8>&-"
            ),
        };
        let place = create_temp_dir();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).env("PIPE", place.path().join("pipe")).stdin(Stdio::null());
        shell.status().unwrap().code().expect("no signal ends it")
    }
}

#[test]
fn exit_codes_hold_when_standard_error_cannot_be_written() {
    let place = create_temp_dir();
    let at = |name: &str| place.path().join(name).display().to_string();
    emit(&place.path().join("recording"), 50, 50, 1, &[]);
    succeed(pinflow(["run", "--output", "none", "--tables"]).arg(at("tables")).arg(at("recording")));
    let (recording, tables, missing) = (at("recording"), at("tables"), at("missing"));
    let nobody = "http://127.0.0.1:1";
    let cases: &[(&[&str], i32)] = &[
        (&["run", &recording, "--output", "none"], 0),
        (&["run", &missing], 2),
        (&["check", &recording], 0),
        (&["check", &missing], 2),
        (&["table", &tables, "--verify"], 0),
        (&["table", &missing], 2),
        (&["query", "--at", nobody], 1),
        (&["emit", "--to", "-", "--inds", "10"], 0),
        (&["emit", "--to", &recording], 1),
        (&["gateway", &missing], 2),
        (&["--no-such-flag"], 2),
    ];
    for (arguments, code) in cases {
        for sink in [OutputSink::Full, OutputSink::Closed, OutputSink::Missing] {
            assert_eq!(sink.run(2, arguments), *code, "{arguments:?} with stderr {sink:?}");
        }
    }
}

#[test]
fn fenced_run_exits_with_75_when_standard_error_is_full() {
    let place = create_temp_dir();
    emit(&place.path().join("recording"), 500, 5_000, 3, &[]);
    let config = place.path().join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nrate_per_sec = 300\n[tables]\nurl = \"tables\"\n\
                commit_age_secs_max = 0.1\n";
    std::fs::write(&config, text).unwrap();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = pinflow(["run", "--output", "none"]);
    let mut first = RunningProcess::start(command.arg(&config).stderr(full()));
    wait_until("the first one writes", || place.path().join("tables/pin/_delta_log").is_dir());
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut command = pinflow(["run", "--output", "none"]);
    let mut second = RunningProcess::start(command.arg(&config).stderr(full()));
    assert_eq!(first.wait().code(), Some(75), "the second one has taken the tables over");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.wait().code(), Some(0));
}

#[test]
fn unwritable_standard_output_ends_every_command_cleanly() {
    let place = create_temp_dir();
    let at = |name: &str| place.path().join(name).display().to_string();
    emit(&place.path().join("recording"), 50, 50, 1, &[]);
    succeed(pinflow(["run", "--output", "none", "--tables"]).arg(at("tables")).arg(at("recording")));
    let (recording, tables) = (at("recording"), at("tables"));
    let answers = serde_json::json!({ "answers": [] }).to_string().into_bytes();
    let served = format!("http://127.0.0.1:{}", hostile_server("200 OK", answers));
    let cases: &[&[&str]] = &[
        &["run", &recording, "--output", "snapshots"],
        &["run", &recording, "--output", "changes"],
        &["run", &recording, "--output", "tables"],
        &["check", &recording],
        &["table", &tables],
        &["table", &tables, "--format", "json"],
        &["table", &tables, "--verify"],
        &["query", "--at", &served],
        &["emit", "--to", "-", "--inds", "1000"],
    ];
    for arguments in cases {
        assert_eq!(OutputSink::Full.run(1, arguments), 1, "{arguments:?} on a full disk");
        assert_eq!(OutputSink::Closed.run(1, arguments), 0, "{arguments:?} with nobody reading");
    }
}
