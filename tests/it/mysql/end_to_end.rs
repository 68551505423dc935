//! The whole way of the original: a database, the emulator, the gateway, a broker or streams, and the answers.

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::Options;

use super::server::Server;
use super::{Ended, STREAMS, recorded, run, skipped};
use crate::batch::assert_answers_follow;
use crate::harness::{Running, last_snapshot, pinflow, scratch, succeed, until};
use crate::kafka::broker::Broker;
use crate::kafka::posts::Site as Topics;
use crate::kinesis::server::Server as Kinesis;
use crate::kinesis::site::{Site as Streams, with_credentials};

/// Draws of each test; the tables have 900 rows.
const DRAWS: usize = 4000;

/// A gateway that runs; killed when dropped.
struct Gateway {
    running: Running,
    url: String,
}

impl Gateway {
    /// Starts one; `more` are the lines of `[gateway]`.
    fn start(place: &Path, more: &str) -> Gateway {
        let (config, log) = (place.join("gateway.toml"), place.join("gateway.log"));
        std::fs::write(&config, format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{more}\n")).unwrap();
        let mut command = with_credentials(pinflow(["gateway"]));
        command.arg(config).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let mut running = Running::start(&mut command);
        let mut port = None;
        until("it says where it listens", || {
            let said = std::fs::read_to_string(&log).unwrap();
            assert!(running.ended().is_none(), "{said}");
            port = said.lines().filter(|line| line.contains("listens")).find_map(|line| {
                let digits = line.split("127.0.0.1:").nth(1)?;
                digits.split(|digit: char| !digit.is_ascii_digit()).next()?.parse::<u16>().ok()
            });
            port.is_some()
        });
        Gateway { running, url: format!("http://127.0.0.1:{}/test", port.unwrap()) }
    }

    fn stop(mut self) {
        self.running.signal(Signal::SIGTERM);
        assert!(self.running.wait().success());
    }
}

/// Draws from a database of made posts.
fn draw(to: &str, flags: &[&str]) -> Ended {
    let database = Server::shared().database();
    database.fill(900);
    let count = DRAWS.to_string();
    let arguments = ["emit", "--from", &database.url(), "--to", to, "--rate", "1M", "--count", &count];
    let ended = run(arguments.into_iter().chain(flags.iter().copied()));
    assert!(ended.code == 0 && ended.stderr.contains(&format!("{} messages", 3 * DRAWS)), "{ended:?}");
    ended
}

/// Reads what is there, and demands the answers of the batch engine.
fn assert_answers(command: &mut Command, tables: &Path) {
    let output = succeed(command.args(["--until-caught-up", "--output", "snapshots"]));
    let snapshot = last_snapshot(&output.stdout);
    assert!(!snapshot.answers["popular_category_by_country"].is_empty());
    assert_answers_follow(tables, Options::default(), &snapshot);
    succeed(pinflow(["table"]).arg(tables).arg("--verify"));
}

#[test]
fn through_the_gateway_into_files() {
    if skipped() {
        return;
    }
    let place = scratch();
    let recording = place.path().join("recording");
    let gateway = Gateway::start(place.path(), "recording = \"recording\"");
    draw(&gateway.url, &["--prefix", "12e255fc4fcd"]);
    gateway.stop();
    for stream in STREAMS {
        assert_eq!(recorded(&recording, stream).len(), DRAWS, "{stream}");
    }
    let tables = place.path().join("tables");
    assert_answers(pinflow(["run"]).arg(&recording).arg("--tables").arg(&tables), &tables);
}

#[test]
fn through_the_gateway_and_kafka() {
    if skipped() || crate::kafka::skipped() {
        return;
    }
    let broker = Broker::shared();
    let topics = Topics::new(broker, 3);
    let kafka = format!("kafka = {{ brokers = \"{}\" }}", broker.plaintext());
    let gateway = Gateway::start(topics.place.path(), &kafka);
    draw(&gateway.url, &["--prefix", &topics.prefix, "--key", "ind"]);
    gateway.stop();
    assert_eq!(topics.ends().values().sum::<u64>(), 3 * DRAWS as u64);
    assert_answers(pinflow(["run"]).arg(topics.configure("")), &topics.tables());
    topics.assert_each_once();
}

#[test]
fn through_the_gateway_and_kinesis() {
    if skipped() || crate::kinesis::skipped() {
        return;
    }
    // The fast one: what is put is many records.
    let (place, server) = (scratch(), Kinesis::fast());
    let streams = Streams::new(&server.endpoint(), &server.endpoint(), 2);
    let kinesis = format!("kinesis = {{ region = \"us-east-1\", endpoint = \"{}\" }}", server.endpoint());
    let gateway = Gateway::start(place.path(), &kinesis);
    draw(&gateway.url, &["--gateway", "kinesis", "--prefix", &streams.prefix]);
    gateway.stop();
    assert_eq!(streams.held().len(), 3 * DRAWS);
    assert_answers(&mut streams.command(&streams.configure("")), &streams.tables());
}
