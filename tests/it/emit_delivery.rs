//! `pinflow emit` counts acknowledged records, reports retries, and ends on a signal with a summary.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use pinflow_testkit::kafka::broker::KafkaBroker;
use pinflow_testkit::kafka::offsets;
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, pinflow, succeed, wait_until};

/// Longest time from a signal to the end of an emit, even if its destination hangs.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// A running emit whose standard error is written to a file.
struct RunningEmit {
    running: RunningProcess,
    log: PathBuf,
}

impl RunningEmit {
    fn start(place: &Path, arguments: &[&str]) -> RunningEmit {
        RunningEmit::start_with(place, pinflow(["emit"]).args(arguments).stdout(Stdio::null()))
    }

    fn start_with(place: &Path, command: &mut std::process::Command) -> RunningEmit {
        let log = place.join("emit.log");
        let running = RunningProcess::start(command.stderr(std::fs::File::create(&log).unwrap()));
        RunningEmit { running, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn wait_for_log(&self, text: &str) {
        wait_until(&format!("it logs {text}"), || self.log().contains(text));
    }

    /// Sends a signal and returns the exit code. Panics if the process takes too long.
    fn stop(&mut self, signal: Signal) -> Option<i32> {
        let asked = Instant::now();
        self.running.signal(signal);
        let status = self.running.wait();
        assert!(asked.elapsed() < SHUTDOWN_TIMEOUT, "it took {:?}: {}", asked.elapsed(), self.log());
        assert!(status.code().is_some(), "it ended by {status}: {}", self.log());
        status.code()
    }
}

/// Refuses every connection, because nothing listens on this port.
const CLOSED_ENDPOINT: &str = "http://127.0.0.1:1";

/// A port without a listener, outside the range of the ports that other tests get.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 8_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A gateway that writes files.
struct FileGateway {
    running: RunningProcess,
    posts: PathBuf,
    log: PathBuf,
}

impl FileGateway {
    fn start(place: &Path, port: u16) -> FileGateway {
        let config = place.join("gateway.toml");
        let text = format!("[gateway]\nlisten = \"127.0.0.1:{port}\"\nrecording = \"posts\"\n");
        std::fs::write(&config, text).unwrap();
        let log = place.join("gateway.log");
        let mut command = pinflow(["gateway"]);
        command.arg(&config).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let running = RunningProcess::start(&mut command);
        wait_until("the gateway listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        FileGateway { running, posts: place.join("posts"), log }
    }

    fn kill(mut self) {
        self.running.signal(Signal::SIGKILL);
        self.running.wait();
    }

    fn lines(&self, stream: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.posts.join(format!("{stream}.jsonl"))).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The lines but those that a kill cut off. The gateway ended them when it was started again, and its log names each
    /// by its number.
    fn complete_lines(&self, stream: &str) -> Vec<String> {
        let path = self.posts.join(format!("{stream}.jsonl")).display().to_string();
        let log = std::fs::read_to_string(&self.log).unwrap();
        let events = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let cut_off = events.filter(|event| event["path"] == *path && event["line"].is_u64());
        let cut_off: BTreeSet<u64> = cut_off.filter_map(|event| event["line"].as_u64()).collect();
        let numbered = (1..).zip(self.lines(stream));
        numbered.filter(|(number, _)| !cut_off.contains(number)).map(|(_, line)| line).collect()
    }
}

/// The messages as parsed, so that the order of fields does not count.
fn parsed(lines: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    lines.into_iter().map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap().to_string()).collect()
}

/// The generated posts of a stream.
fn generate_posts(inds: u32, count: u32, stream: &str) -> BTreeSet<String> {
    let folder = create_temp_dir();
    emit(folder.path(), inds, count, 7, &[]);
    let text = std::fs::read_to_string(folder.path().join(format!("{stream}.jsonl"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn gateway_down_is_reported_at_once_and_sigterm_reports_unacknowledged_records() {
    let place = create_temp_dir();
    let to = format!("http://127.0.0.1:{}", free_port());
    let mut emitting = RunningEmit::start(place.path(), &["--inds", "3", "--to", &to]);
    emitting.wait_for_log("retrying");
    let log = emitting.log();
    assert!(log.contains("\"level\":\"WARN\"") && log.contains("it cannot be reached"), "{log}");
    assert!(log.contains("\"attempt\":1") && log.contains("\"next_retry_secs\":"), "{log}");
    // The progress line shows acknowledged and waiting messages.
    emitting.wait_for_log("0 of 9 posts acknowledged, 0 a second, 9 messages wait, retry ");
    assert_eq!(emitting.stop(Signal::SIGTERM), Some(1));
    let log = emitting.log();
    assert!(log.contains("9 of 9 messages were not acknowledged"), "{log}");
    assert!(log.contains("pinflow was stopped before it was acknowledged"), "{log}");
    assert!(log.contains("--skip 0 --count 3 continues"), "{log}");
}

#[test]
fn gateway_started_later_receives_every_message() {
    let place = create_temp_dir();
    let port = free_port();
    let to = format!("http://127.0.0.1:{port}");
    let mut emitting = RunningEmit::start(place.path(), &["--inds", "30", "--seed", "7", "--to", &to]);
    emitting.wait_for_log("retrying");
    let gateway = FileGateway::start(place.path(), port);
    assert_eq!(emitting.running.wait().code(), Some(0), "{}", emitting.log());
    assert!(emitting.log().contains("messages are acknowledged again"), "{}", emitting.log());
    for stream in ["pin", "geo", "user"] {
        assert_eq!(gateway.lines(stream).len(), 30);
    }
}

#[test]
fn gateway_killed_during_emit_loses_no_message() {
    let place = create_temp_dir();
    let port = free_port();
    let gateway = FileGateway::start(place.path(), port);
    let to = format!("http://127.0.0.1:{port}");
    let flags = ["--inds", "500", "--count", "3000", "--seed", "7", "--order", "emulator", "--rate", "1000"];
    let mut command = pinflow(["emit", "--to", &to]);
    let mut emitting = RunningEmit::start_with(place.path(), command.args(flags));
    wait_until("messages arrive", || gateway.lines("user").len() > 100);
    gateway.kill();
    // A kill seldom cuts a line off: make it certain.
    let mut users = OpenOptions::new().append(true).open(place.path().join("posts/user.jsonl")).unwrap();
    users.write_all(b"{\"ind\": 7, \"first_").unwrap();
    emitting.wait_for_log("retrying");
    let gateway = FileGateway::start(place.path(), port);
    assert_eq!(emitting.running.wait().code(), Some(0), "{}", emitting.log());
    assert_eq!(gateway.lines("user").len(), gateway.complete_lines("user").len() + 1);
    for stream in ["pin", "geo", "user"] {
        let there = parsed(gateway.complete_lines(stream));
        assert!(there == parsed(generate_posts(500, 3000, stream)), "{stream}");
    }
}

#[test]
fn skip_reported_after_a_signal_continues_without_a_gap() {
    let place = create_temp_dir();
    let port = free_port();
    let gateway = FileGateway::start(place.path(), port);
    let to = format!("http://127.0.0.1:{port}");
    let flags = ["--inds", "400", "--count", "2000", "--seed", "7", "--order", "emulator", "--rate", "1000"];
    let mut command = pinflow(["emit", "--to", &to]);
    let mut emitting = RunningEmit::start_with(place.path(), command.args(flags));
    wait_until("messages arrive", || gateway.lines("user").len() > 100);
    assert_eq!(emitting.stop(Signal::SIGINT), Some(0), "all that was sent is acknowledged: {}", emitting.log());
    let log = emitting.log();
    let (_, rest) = log.split_once("--skip ").expect("it names a --skip");
    let words: Vec<_> = rest.split_whitespace().collect();
    let (skip, count) = (words[0], words[2]);
    let here: u64 = gateway.lines("user").len() as u64;
    assert_eq!(skip.parse::<u64>().unwrap() + count.parse::<u64>().unwrap(), 2000, "{log}");
    assert!(skip.parse::<u64>().unwrap() <= here && here < 2000, "{skip} of {here}");
    let rest = ["--inds", "400", "--seed", "7", "--order", "emulator", "--skip", skip, "--count", count];
    succeed(pinflow(["emit", "--to", &to]).args(rest));
    for stream in ["pin", "geo", "user"] {
        assert!(parsed(gateway.lines(stream)) == parsed(generate_posts(400, 2000, stream)), "{stream}");
    }
}

#[test]
fn signal_during_file_output_leaves_whole_messages_that_append_continues() {
    let place = create_temp_dir();
    let (cut, whole) = (place.path().join("cut"), place.path().join("whole"));
    let flags = ["--inds", "300", "--seed", "7", "--order", "emulator"];
    for (signal, compress) in [(Signal::SIGTERM, "none"), (Signal::SIGHUP, "gzip"), (Signal::SIGINT, "zstd")] {
        let ending = match compress {
            "none" => "jsonl",
            "gzip" => "jsonl.gz",
            _ => "jsonl.zst",
        };
        let file = cut.join(format!("user.{ending}"));
        let mut command = pinflow(["emit", "--streams", "user", "--count", "20000", "--rate", "1000"]);
        command.args(flags).args(["--compress", compress, "--to"]).arg(&cut);
        let mut emitting = RunningEmit::start_with(place.path(), &mut command);
        wait_until("messages are written", || std::fs::metadata(&file).is_ok_and(|file| file.len() > 1000));
        assert_eq!(emitting.stop(signal), Some(0), "{}", emitting.log());
        let log = emitting.log();
        let (before, _) = log.split_once(" continues").expect("it says how to continue");
        let count = before.rsplit(' ').next().unwrap();
        assert!(before.contains("user.jsonl") && before.contains("--append --count"), "{log}");
        let mut rest = pinflow(["emit", "--streams", "user", "--append", "--count", count, "--compress", compress]);
        succeed(rest.args(flags).arg("--to").arg(&cut));
        let mut all = pinflow(["emit", "--streams", "user", "--count", "20000", "--compress", compress, "--force"]);
        succeed(all.args(flags).arg("--to").arg(&whole));
        let lines = |folder: &Path| {
            let output = succeed(pinflow(["emit", "--to", "-", "--from"]).arg(folder.join(format!("user.{ending}"))));
            output.stdout
        };
        assert!(lines(&cut) == lines(&whole), "{compress}: the two parts are the whole");
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn signal_ends_emit_to_an_unread_pipe() {
    let place = create_temp_dir();
    let mut command = pinflow(["emit", "--inds", "100000", "--to", "-"]);
    let mut emitting = RunningEmit::start_with(place.path(), command.stdout(Stdio::piped()));
    // A pipe buffers 64 KiB. After that the write blocks.
    std::thread::sleep(Duration::from_millis(500));
    assert!(emitting.running.try_wait().is_none());
    assert_eq!(emitting.stop(Signal::SIGTERM), Some(1));
    let log = emitting.log();
    assert!(log.contains("stopped before all was acknowledged") && log.contains("--skip 0 --count"), "{log}");
}

#[test]
fn two_simultaneous_signals_are_one_stop_request() {
    let place = create_temp_dir();
    let to = CLOSED_ENDPOINT.to_owned();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut emitting = RunningEmit::start(place.path(), &["--inds", "3", "--to", &to]);
        emitting.wait_for_log("retrying");
        emitting.running.signal(signal);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(emitting.stop(signal), Some(1));
        let log = emitting.log();
        // How many had been drawn by then depends on the machine.
        assert!(log.contains(" messages were not acknowledged"), "{signal}: {log}");
        assert!(!log.contains("stopped before all"), "{signal}: {log}");
    }
}

#[test]
fn later_second_signal_stops_at_once() {
    let place = create_temp_dir();
    let to = CLOSED_ENDPOINT.to_owned();
    let mut emitting = RunningEmit::start(place.path(), &["--inds", "3", "--to", &to]);
    emitting.wait_for_log("retrying");
    emitting.running.signal(Signal::SIGTERM);
    emitting.wait_for_log("stops at once");
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(emitting.stop(Signal::SIGTERM), Some(1));
    let log = emitting.log();
    assert!(log.contains("stopped before all was acknowledged") && log.contains("--skip 0 --count 3"), "{log}");
}

#[test]
fn kinesis_endpoint_down_is_reported_at_once_and_a_signal_ends_emit() {
    let place = create_temp_dir();
    let endpoint = CLOSED_ENDPOINT.to_owned();
    let mut command = pinflow_testkit::kinesis::site::with_credentials(pinflow(["emit", "--inds", "3"]));
    command.args(["--to", "kinesis://x", "--region", "us-east-1", "--endpoint", &endpoint]);
    let mut emitting = RunningEmit::start_with(place.path(), &mut command);
    emitting.wait_for_log("retrying");
    assert!(emitting.log().contains("\"attempt\":1"), "{}", emitting.log());
    emitting.stop(Signal::SIGTERM);
}

#[test]
fn signal_while_kafka_is_down_reports_acknowledged_records() {
    if pinflow_testkit::kafka::skipped() {
        return;
    }
    let mut broker = KafkaBroker::start_dedicated("");
    broker.create_topic("cut", 2, &[]);
    let place = create_temp_dir();
    let to = format!("kafka://{}", broker.plaintext());
    let flags = ["--to", &to, "--topic", "cut", "--inds", "200000", "--rate", "5000"];
    let mut emitting = RunningEmit::start(place.path(), &flags);
    wait_until("messages arrive", || offsets(&broker, "cut").iter().sum::<i64>() > 1_000);
    broker.kill();
    emitting.wait_for_log("no message was acknowledged for");
    assert_eq!(emitting.stop(Signal::SIGTERM), Some(1));
    let log = emitting.log();
    let (unacknowledged, rest) = log.split_once(" messages were not acknowledged").expect("it says so");
    let words: Vec<_> = unacknowledged.split_whitespace().rev().take(3).collect();
    let (sent, lost): (i64, i64) = (words[0].parse().unwrap(), words[2].parse().unwrap());
    assert!(rest.contains("--skip "), "{log}");
    let skip = rest.split("--skip ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    broker.start_again();
    let there = offsets(&broker, "cut").iter().sum::<i64>();
    assert!(there >= sent - lost, "{there} of {sent} are there, {lost} said to be lost");
    // Three messages per draw: all draws before `--skip` are acknowledged.
    assert!(3 * skip.parse::<i64>().unwrap() <= sent - lost, "{skip}: {log}");
}

#[test]
fn full_disk_ends_emit_with_an_error() {
    let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    assert!(full.write_all(b"x").is_err(), "this system has no /dev/full");
    let output = pinflow(["emit", "--inds", "100", "--to", "-"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("write standard output") && said.contains("No space left"), "{said}");
}
