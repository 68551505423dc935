//! Signals: simultaneous signals are one stop request, a later one stops at once, and a stop has a deadline.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM};

use pinflow_testkit::gateway::RunningGateway;
use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::{RunningProcess, SmallDisk, create_temp_dir, emit, pinflow, succeed, wait_until};

/// The documented limit, plus 10 s for a busy machine.
const STOP_TIMEOUT: Duration = Duration::from_secs(20 + 10);

/// A running `pinflow run` and its log.
struct LoggedRun {
    running: RunningProcess,
    log: PathBuf,
}

impl LoggedRun {
    fn start(place: &Path, config: &Path, output: &str) -> LoggedRun {
        let log = place.join("log");
        let mut command = pinflow(["run", "--output", output]);
        command.arg(config).stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        LoggedRun { running: RunningProcess::start(&mut command), log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn wait_until_logged(&mut self, what: &str) {
        let log = self.log.clone();
        wait_until(&format!("`{what}` is logged"), || {
            let text = std::fs::read_to_string(&log).unwrap();
            assert!(self.running.try_wait().is_none(), "it ended: {text}");
            text.contains(what)
        });
    }

    /// Waits for the end. Returns the exit code, and how long it took.
    fn code(&mut self) -> (Option<i32>, Duration) {
        let since = Instant::now();
        (self.running.wait().code(), since.elapsed())
    }
}

/// A configuration that follows a recording of `draws` posts.
fn configure_followed_recording(place: &Path, draws: u32, more: &str) -> PathBuf {
    emit(&place.join("recording"), 1_000, draws, 3, &[]);
    let config = place.join("run.toml");
    let text = format!(
        "[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = true\n[tables]\nurl = \"tables\"\n{more}"
    );
    std::fs::write(&config, text).unwrap();
    config
}

#[test]
fn two_signals_microseconds_apart_are_one_orderly_stop() {
    let place = create_temp_dir();
    let config = configure_followed_recording(place.path(), 300, "");
    let pairs = [(SIGTERM, SIGTERM), (SIGINT, SIGINT), (SIGINT, SIGTERM), (SIGHUP, SIGHUP), (SIGTERM, SIGHUP)];
    for round in 0..4 {
        for (first, second) in pairs {
            let mut run = LoggedRun::start(place.path(), &config, "none");
            run.wait_until_logged("sources are started");
            run.running.signal(first);
            std::thread::sleep(Duration::from_micros(40 * round));
            // The process may already have ended.
            run.running.try_signal(second);
            let (code, _) = run.code();
            assert_eq!(code, Some(0), "{first} and {second}, round {round}: {}", run.log());
        }
    }
    succeed(pinflow(["run", "--until-caught-up", "--output", "none"]).arg(&config));
    assert_each_line_once(&place.path().join("recording"), &place.path().join("tables"));
}

#[test]
fn ignored_hangup_does_not_stop_a_run() {
    let place = create_temp_dir();
    let config = configure_followed_recording(place.path(), 30, "");
    let log = place.path().join("log");
    let mut command = std::process::Command::new("nohup");
    command.arg(pinflow_testkit::program()).args(["run", "--output", "none"]).arg(&config);
    command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let mut running = RunningProcess::start(&mut command);
    wait_until("it runs", || std::fs::read_to_string(&log).unwrap().contains("sources are started"));
    running.signal(SIGHUP);
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.try_wait().is_none(), "nohup is respected");
    running.signal(SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn gateway_answers_open_requests_and_exits_cleanly_after_two_signals() {
    let place = create_temp_dir();
    for round in 0..5 {
        let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
        gateway.signal(SIGTERM);
        std::thread::sleep(Duration::from_micros(40 * round));
        gateway.signal(SIGTERM);
        gateway.ends_well();
    }
}

/// A run whose sources have ended and whose tables cannot be written: the disk is full.
fn start_on_full_disk(place: &Path) -> (LoggedRun, SmallDisk) {
    emit(&place.join("recording"), 3_000, 3_000, 5, &[]);
    let disk = SmallDisk::mount(&place.join("disk"), "200k");
    let config = place.join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\n[tables]\nurl = \"disk/tables\"\n";
    std::fs::write(&config, text).unwrap();
    let mut run = LoggedRun::start(place, &config, "none");
    // The only window is cut at the end, so the sources have ended.
    run.wait_until_logged("No space left");
    (run, disk)
}

#[test]
fn run_on_a_full_disk_ends_within_the_deadline_after_a_signal() {
    if pinflow_testkit::skip_without_tmpfs() {
        return;
    }
    let place = create_temp_dir();
    let (mut run, _disk) = start_on_full_disk(place.path());
    run.running.signal(SIGTERM);
    let (code, took) = run.code();
    assert_eq!(code, Some(1), "what was read is not committed: {}", run.log());
    assert!(took < STOP_TIMEOUT, "it took {took:?}");
    let log = run.log();
    // Aborted tasks may log after the error.
    let error = log.lines().find(|line| line.starts_with("pinflow: ")).unwrap_or_else(|| panic!("{log}"));
    assert!(error.contains("what is committed is safe") && error.contains("No space left"), "{log}");
}

#[test]
fn signal_more_than_a_second_after_the_first_stops_at_once() {
    if pinflow_testkit::skip_without_tmpfs() {
        return;
    }
    let place = create_temp_dir();
    let (mut run, _disk) = start_on_full_disk(place.path());
    run.running.signal(SIGTERM);
    run.wait_until_logged("\"message\":\"stopping\"");
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(run.running.try_wait().is_none(), "the first one waits for the window");
    run.running.signal(SIGTERM);
    let (code, _) = run.code();
    assert_eq!(code, Some(1));
    assert!(run.log().contains("stopped at once by SIGTERM; what is committed is safe"), "{}", run.log());
}

#[test]
fn unread_output_does_not_block_commits() {
    let place = create_temp_dir();
    let config = configure_followed_recording(place.path(), 60_000, "commit_age_secs_max = 3600\n");
    let mut run = LoggedRun::start(place.path(), &config, "changes");
    // A pipe buffers 64 KiB, and nothing reads it.
    let mut stdout = run.running.stdout();
    run.wait_until_logged("sources are started");
    std::thread::sleep(Duration::from_secs(1));
    run.running.signal(SIGTERM);
    let (code, took) = run.code();
    assert_eq!(code, Some(0), "{}", run.log());
    assert!(took < STOP_TIMEOUT, "it took {took:?}");
    let mut unread = Vec::new();
    stdout.read_to_end(&mut unread).unwrap();
    succeed(pinflow(["run", "--until-caught-up", "--output", "none"]).arg(&config));
    assert_each_line_once(&place.path().join("recording"), &place.path().join("tables"));
}

#[test]
fn signal_while_tables_are_unreachable_ends_the_run_at_once() {
    let place = create_temp_dir();
    // It accepts connections, and never responds.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    emit(&place.path().join("recording"), 10, 10, 3, &[]);
    let config = place.path().join("run.toml");
    let text = format!(
        "[[source]]\nkind = \"recording\"\npath = \"recording\"\n[tables]\nurl = \"s3://bucket/tables\"\n\
         [objects]\nendpoint = \"http://127.0.0.1:{port}\"\nregion = \"us-east-1\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let log = place.path().join("log");
    let mut command = pinflow_testkit::kinesis::site::with_credentials(pinflow(["run", "--output", "none"]));
    command.arg(&config).stderr(std::fs::File::create(&log).unwrap());
    let mut running = RunningProcess::start(&mut command);
    let connection = silent.accept().unwrap();
    running.signal(SIGTERM);
    let since = Instant::now();
    assert_eq!(running.wait().code(), Some(0), "nothing was read, so nothing is missing");
    assert!(since.elapsed() < STOP_TIMEOUT);
    assert!(std::fs::read_to_string(&log).unwrap().contains("stopped before anything was read"));
    drop(connection);
}

#[test]
fn emit_from_an_unreachable_database_ends_after_two_signals() {
    let place = create_temp_dir();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mysql://posts@{}/pinterest_data", free.local_addr().unwrap());
    drop(free);
    let mut command = pinflow(["emit", "--from", &url, "--to"]);
    command.arg(place.path().join("posts")).stderr(Stdio::piped());
    let mut running = RunningProcess::start(&mut command);
    let mut lines = BufReader::new(running.stderr()).lines();
    assert!(lines.next().unwrap().unwrap().contains("trying again"));
    running.signal(SIGTERM);
    running.try_signal(SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
    let said: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(said.iter().any(|line| line.starts_with("stopping: SIGTERM")), "{said:?}");
}

#[test]
fn every_stop_signal_ends_a_run_cleanly() {
    let place = create_temp_dir();
    let config = configure_followed_recording(place.path(), 30, "");
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let mut run = LoggedRun::start(place.path(), &config, "none");
        run.wait_until_logged("sources are started");
        run.running.signal(signal);
        let (code, _) = run.code();
        assert_eq!(code, Some(0), "{signal}: {}", run.log());
        assert!(run.log().contains(&format!("{signal}: finishing the window")), "{}", run.log());
    }
}

#[test]
fn signal_at_any_moment_while_tables_are_opened_ends_a_run_cleanly() {
    let place = create_temp_dir();
    let config = configure_followed_recording(place.path(), 300, "[serve]\nlisten = \"127.0.0.1:0\"\n");
    succeed(pinflow(["run", "--until-caught-up", "--output", "none"]).arg(&config));
    for round in 0..20 {
        let mut run = LoggedRun::start(place.path(), &config, "none");
        run.wait_until_logged("answers are served");
        std::thread::sleep(Duration::from_millis(2 * round));
        run.running.signal(SIGTERM);
        let (code, _) = run.code();
        assert_eq!(code, Some(0), "round {round}: {}", run.log());
        assert!(!run.log().contains("panicked"), "round {round}: {}", run.log());
    }
}
