//! `pinflow emit --to kafka://…`: every acknowledged message is stored.

use std::time::Duration;

use pinflow_testkit::kafka::broker::KafkaBroker;
use pinflow_testkit::kafka::{offsets, read_all, skipped};
use pinflow_testkit::{EndedRun, run};
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, pinflow, succeed, wait_until};

fn to(broker: &KafkaBroker, prefix: &str) -> String {
    format!("kafka://{}/{prefix}", broker.plaintext())
}

fn make(broker: &KafkaBroker, prefix: &str, partitions: i32) {
    for stream in ["pin", "geo", "user"] {
        broker.create_topic(&format!("{prefix}.{stream}"), partitions, &[]);
    }
}

#[test]
fn every_message_is_stored_under_its_ind() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    make(broker, "emitted", 4);
    let folder = create_temp_dir();
    emit(folder.path(), 500, 2_000, 5, &[]);
    let flags = ["--inds", "500", "--count", "2000", "--seed", "5", "--order", "emulator"];
    let ended = run(["emit", "--to", &to(broker, "emitted")].into_iter().chain(flags));
    assert!(ended.code == 0 && ended.stderr.contains("6000 messages"), "{ended:?}");
    for stream in ["pin", "geo", "user"] {
        let topic = format!("emitted.{stream}");
        assert_eq!(offsets(broker, &topic).iter().sum::<i64>(), 2_000);
        let recorded = std::fs::read_to_string(folder.path().join(format!("{stream}.jsonl"))).unwrap();
        let mut lines: Vec<_> = recorded.lines().map(str::to_owned).collect();
        let messages = read_all(broker, &topic);
        // The same posts. Each partition has the posts of its inds in the order of generation.
        for partition in 0..4 {
            let here: Vec<_> = messages.iter().filter(|message| message.partition == partition).collect();
            assert!(here.len() > 100, "{} messages in partition {partition}", here.len());
            let inds: std::collections::BTreeSet<_> = here.iter().map(|message| message.key()).collect();
            let expected = lines.iter().map(String::as_str).filter(|line| inds.contains(ind_of(line).as_str()));
            assert!(expected.eq(here.iter().map(|message| message.text())), "partition {partition} of {topic}");
        }
        let mut payloads: Vec<_> = messages.iter().map(|message| message.text().to_owned()).collect();
        lines.sort();
        payloads.sort();
        assert_eq!(payloads, lines);
    }
}

fn ind_of(line: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(line).unwrap();
    row.get("ind").or(row.get("index")).unwrap().to_string()
}

#[test]
fn recording_is_replayed_byte_for_byte() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    broker.create_topic("again", 1, &[]);
    let folder = create_temp_dir();
    emit(folder.path(), 300, 700, 9, &["--malformed", "0.05", "--wrap", "mixed", "--compress", "zstd"]);
    let from = folder.path().to_str().unwrap();
    let kafka = format!("kafka://{}", broker.plaintext());
    let ended = run(["emit", "--from", from, "--to", &kafka, "--topic", "again", "--key", "fixed"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let plain = run(["emit", "--from", from, "--to", "-"]);
    assert_eq!(plain.code, 0, "{plain:?}");
    let mut lines: Vec<_> = plain.bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop().as_deref(), Some(&b""[..]), "every message is ended");
    let messages = read_all(broker, "again");
    assert!(messages.iter().all(|message| message.key.as_deref() == Some(b"fixed")));
    let mut payloads: Vec<_> = messages.into_iter().map(|message| message.payload).collect();
    payloads.sort();
    lines.sort();
    assert_eq!(payloads.len(), lines.len());
    assert_eq!(payloads, lines);
}

#[test]
fn missing_topic_is_reported_before_sending() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    broker.create_topic("partial.pin", 1, &[]);
    let ended = run(["emit", "--inds", "10", "--to", &to(broker, "partial")]);
    assert!(ended.code == 1 && ended.stderr.contains("pinflow topics create partial.geo"), "{ended:?}");
    assert_eq!(offsets(broker, "partial.pin"), [0]);
}

#[test]
fn oversized_message_is_counted_and_others_are_sent() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    broker.create_topic("narrow", 1, &[("max.message.bytes", "20000")]);
    let folder = create_temp_dir();
    let path = folder.path().join("pin.jsonl");
    // Each message is alone in its batch, so that a refused large one does not affect others.
    let small = |ind| format!("{{\"index\":{ind},\"title\":\"{}\"}}\n", "x".repeat(15_000));
    let large = format!("{{\"index\":2,\"title\":\"{}\"}}\n", "x".repeat(2_000_000));
    std::fs::write(&path, small(1) + &large + &small(3)).unwrap();
    let config = folder.path().join("kafka.toml");
    let text = format!(
        "[[source]]\nkind = 'kafka'\nbrokers = '{}'\nproperties = {{ 'batch.num.messages' = 1 }}\n",
        broker.plaintext()
    );
    std::fs::write(&config, text).unwrap();
    let (from, config) = (path.to_str().unwrap(), config.to_str().unwrap());
    let ended = run(["emit", "--from", from, "--to", "kafka://", "--topic", "narrow", "--connection", config]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("1 of 3 messages were not acknowledged"), "{ended:?}");
    assert!(ended.stderr.contains("MessageSizeTooLarge") && ended.stderr.contains("max.message.bytes"), "{ended:?}");
    let there: Vec<_> = read_all(broker, "narrow").iter().map(|message| message.key().to_owned()).collect();
    assert_eq!(there, ["1", "3"]);
}

/// Starts emitting at a rate, and waits until messages have arrived.
fn start_emitting(
    broker: &KafkaBroker,
    place: &std::path::Path,
    inds: &str,
    timeout_ms: u32,
) -> (RunningProcess, std::path::PathBuf) {
    broker.create_topic("cut", 2, &[]);
    let config = place.join("kafka.toml");
    let text = format!(
        "[[source]]\nkind = 'kafka'\nbrokers = '{}'\nproperties = {{ 'message.timeout.ms' = {timeout_ms} }}\n",
        broker.plaintext()
    );
    std::fs::write(&config, text).unwrap();
    let log = place.join("emit.log");
    let mut command = pinflow(["emit", "--to", "kafka://", "--topic", "cut", "--inds", inds, "--rate", "10000"]);
    command.arg("--connection").arg(&config).stderr(std::fs::File::create(&log).unwrap());
    let running = RunningProcess::start(&mut command);
    wait_until("messages arrive", || offsets(broker, "cut").iter().sum::<i64>() > 1_000);
    (running, log)
}

#[test]
fn broker_restarted_after_a_crash_loses_and_repeats_nothing() {
    if skipped() {
        return;
    }
    // The broker syncs each message: otherwise a crash of the only replica loses the page cache.
    let mut broker = KafkaBroker::start_dedicated("log.flush.interval.messages=1\n");
    let place = create_temp_dir();
    let (mut running, log) = start_emitting(&broker, place.path(), "20000", 120_000);
    broker.kill();
    std::thread::sleep(Duration::from_millis(500));
    broker.start_again();
    let status = running.wait();
    assert!(status.success(), "{}", std::fs::read_to_string(log).unwrap());
    let mut found: Vec<_> = read_all(&broker, "cut").into_iter().map(|message| message.payload).collect();
    assert_eq!(found.len(), 60_000);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 60_000, "each message once");
}

#[test]
fn broker_that_stays_down_fails_emit_with_a_count_of_lost_messages() {
    if skipped() {
        return;
    }
    let mut broker = KafkaBroker::start_dedicated("");
    let place = create_temp_dir();
    let (mut running, log) = start_emitting(&broker, place.path(), "200000", 2_000);
    broker.kill();
    let status = running.wait();
    let said = std::fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    let (unacknowledged, rest) = said.split_once(" messages were not acknowledged").expect("it says so");
    assert!(rest.contains("MessageTimedOut") && rest.contains("no more were sent"), "{said}");
    let words: Vec<_> = unacknowledged.split_whitespace().rev().take(3).collect();
    let (sent, lost): (i64, i64) = (words[0].parse().unwrap(), words[2].parse().unwrap());
    // Acknowledged messages are stored. Others may be too, if the broker died before it responded. One that timed out while
    // a slow broker was still there was sent again, and may be stored twice.
    broker.start_again();
    let mut stored: Vec<_> = read_all(&broker, "cut").into_iter().map(|message| message.payload).collect();
    stored.sort();
    stored.dedup();
    let there = i64::try_from(stored.len()).unwrap();
    assert!(lost > 0 && there >= sent - lost && there <= sent, "{there} of {sent} are there, {lost} said to be lost");
}

#[test]
fn unreachable_broker_ends_emit_with_its_cause() {
    let EndedRun { code, stderr, .. } = run(["emit", "--inds", "1", "--to", "kafka://127.0.0.1:1/x"]);
    assert!(code == 1 && stderr.contains("Connection refused"), "{stderr}");
}

/// Needs no broker, because the same messages are written to files.
#[test]
fn replayed_table_rows_are_stored_unchanged() {
    let place = create_temp_dir();
    let at = |name: &str| place.path().join(name);
    emit(&at("first"), 800, 2_500, 31, &["--malformed", "0.03", "--wrap", "mixed"]);
    succeed(pinflow(["run"]).arg(at("first")).arg("--tables").arg(at("a")));
    succeed(pinflow(["emit", "--from"]).arg(at("a")).arg("--to").arg(at("second")));
    succeed(pinflow(["run"]).arg(at("second")).arg("--tables").arg(at("b")));
    for table in ["pin", "geo", "user"] {
        let rows = |tables: &str| {
            let read = pinflow_testkit::ledger::read(&at(tables).join(table));
            let own = read.columns.iter().position(|column| column == "_source").expect("lineage");
            let position = read.columns.iter().position(|column| column == "_position").expect("lineage");
            let sub = read.columns.iter().position(|column| column == "_sub").expect("lineage");
            let order = |row: &Vec<rusqlite::types::Value>| format!("{:?} {:?}", row[position], row[sub]);
            let mut rows = read.rows;
            rows.sort_by_key(order);
            rows.into_iter().map(|row| format!("{:?}", &row[..own])).collect::<Vec<_>>()
        };
        let (first, second) = (rows("a"), rows("b"));
        assert!(first.len() > 2_000, "{} rows of {table}", first.len());
        // Also in the order of arrival.
        assert_eq!(first, second, "{table}");
    }
    let rejected = pinflow_testkit::ledger::read(&at("b").join("rejected"));
    assert_eq!(rejected.rows.len(), 0, "a cleaned row is never rejected");
}
