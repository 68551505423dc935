//! The pipeline end to end: database, emulator, gateway, broker or streams, answers, and archive.

use std::path::Path;
use std::process::Command;

use pinflow::dataflows::graph::GraphOptions;

use super::{EndedRun, STREAMS, read_messages, run, skipped};
use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::gateway::RunningGateway;
use pinflow_testkit::kafka::broker::KafkaBroker;
use pinflow_testkit::kafka::site::PostsSite as Topics;
use pinflow_testkit::kinesis::server::KinesisServer as Kinesis;
use pinflow_testkit::kinesis::site::KinesisSite as Streams;
use pinflow_testkit::mysql::MysqlServer;
use pinflow_testkit::{ProcessOutput, create_temp_dir, last_snapshot, pinflow, succeed};

/// Draws per test. The tables have 900 rows.
const EMITTED_DRAWS: usize = 4000;

/// The URL of a gateway with a stage, as Amazon API Gateway has it.
fn stage(gateway: &RunningGateway) -> String {
    format!("http://{}/test", gateway.http.address)
}

/// Draws from a database of generated posts.
fn emit_from(to: &str, flags: &[&str]) -> EndedRun {
    let database = MysqlServer::shared().database();
    database.fill(900);
    let count = EMITTED_DRAWS.to_string();
    let arguments = ["emit", "--from", &database.url(), "--to", to, "--rate", "1M", "--count", &count];
    let ended = run(arguments.into_iter().chain(flags.iter().copied()));
    assert!(ended.code == 0 && ended.stderr.contains(&format!("{} messages", 3 * EMITTED_DRAWS)), "{ended:?}");
    ended
}

/// Reads all records, and asserts that the answers equal those of the batch engine.
fn assert_answers(command: &mut Command, tables: &Path) -> ProcessOutput {
    let output = succeed(command.args(["--until-caught-up", "--output", "snapshots"]));
    let snapshot = last_snapshot(&output.stdout);
    assert!(!snapshot.answers["popular_category_by_country"].is_empty());
    assert_answers_equal_batch(tables, GraphOptions::default(), &snapshot);
    succeed(pinflow(["table"]).arg(tables).arg("--verify"));
    snapshot
}

/// Adds an archive to a configuration.
fn enable_archive(config: &Path) {
    let text = std::fs::read_to_string(config).unwrap();
    std::fs::write(config, text + "[archive]\nurl = \"raw\"\nrotate_secs = 0\ncompression = \"zstd\"\n").unwrap();
}

/// Replays the archive of a run, and asserts that it gives the same answers.
fn assert_replays(place: &Path, said: &ProcessOutput) {
    let config = place.join("replay.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"raw\"\n[tables]\nurl = \"replayed\"\n";
    std::fs::write(&config, text).unwrap();
    let replayed = assert_answers(pinflow(["run"]).arg(&config), &place.join("replayed"));
    assert_eq!(replayed.answers, said.answers);
}

#[test]
fn emulator_through_gateway_and_files_gives_batch_answers() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    let gateway = RunningGateway::start(place.path(), "recording = \"recording\"");
    emit_from(&stage(&gateway), &["--prefix", "12e255fc4fcd"]);
    gateway.stop();
    for stream in STREAMS {
        assert_eq!(read_messages(&recording, stream).len(), EMITTED_DRAWS, "{stream}");
    }
    let tables = place.path().join("tables");
    assert_answers(pinflow(["run"]).arg(&recording).arg("--tables").arg(&tables), &tables);
}

#[test]
fn emulator_through_gateway_and_kafka_gives_batch_answers() {
    if skipped() || pinflow_testkit::kafka::skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let topics = Topics::new(broker, 3);
    let kafka = format!("kafka = {{ brokers = \"{}\" }}", broker.plaintext());
    let gateway = RunningGateway::start(topics.place.path(), &kafka);
    emit_from(&stage(&gateway), &["--prefix", &topics.prefix, "--key", "ind"]);
    gateway.stop();
    assert_eq!(topics.ends().values().sum::<u64>(), 3 * EMITTED_DRAWS as u64);
    let config = topics.configure("");
    enable_archive(&config);
    let said = assert_answers(pinflow(["run"]).arg(config), &topics.tables());
    topics.assert_each_once();
    assert_replays(topics.place.path(), &said);
}

#[test]
fn emulator_through_gateway_and_kinesis_gives_batch_answers() {
    if skipped() || pinflow_testkit::kinesis::skipped() {
        return;
    }
    // MiniStack is faster than kinesis-local, and this test puts many records.
    let (place, server) = (create_temp_dir(), Kinesis::start_ministack());
    let streams = Streams::new(&server.endpoint(), &server.endpoint(), 2);
    let kinesis = format!("kinesis = {{ region = \"us-east-1\", endpoint = \"{}\" }}", server.endpoint());
    let gateway = RunningGateway::start(place.path(), &kinesis);
    emit_from(&stage(&gateway), &["--gateway", "kinesis", "--prefix", &streams.prefix]);
    gateway.stop();
    assert_eq!(streams.list_stored_records().len(), 3 * EMITTED_DRAWS);
    let config = streams.configure("");
    enable_archive(&config);
    let said = assert_answers(&mut streams.command(&config), &streams.tables());
    assert_replays(streams.place.path(), &said);
}
