//! `pinflow emit --to kinesis://…`: every acknowledged message is stored.

use std::collections::BTreeMap;
use std::process::Stdio;

use pinflow_testkit::kafka::site::lines;
use pinflow_testkit::kinesis::proxy::{KinesisProxy, ProxyFault};
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::{KinesisSite, STREAMS, with_credentials};
use pinflow_testkit::kinesis::{env_or_default, skipped};
use pinflow_testkit::{pinflow, wait_until};

/// Default number of posts per stream in the volume test. `PINFLOW_KINESIS_INDS` overrides it.
const DEFAULT_INDS: u64 = 20_000;

/// Runs pinflow to its end. Returns its exit code, stdout and stderr.
pub(super) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> (i32, String, String) {
    let output = with_credentials(pinflow(arguments)).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("it ended by itself"), text(&output.stdout), text(&output.stderr))
}

fn emit(site: &KinesisSite, endpoint: &str, more: &[&str]) -> (i32, String) {
    let to = format!("kinesis://{}", site.prefix);
    let arguments = ["emit", "--to", &to, "--endpoint", endpoint, "--region", "us-east-1"];
    let (code, _, said) = run(arguments.into_iter().chain(more.iter().copied()));
    (code, said)
}

#[test]
fn every_message_is_stored_under_its_ind() {
    if skipped() {
        return;
    }
    let server = KinesisServer::shared();
    let proxy = KinesisProxy::start(server.port());
    let site = KinesisSite::new(&server.endpoint(), &server.endpoint(), 2);
    proxy.inject_fault("PutRecords", ProxyFault::Half, 3);
    proxy.inject_fault("PutRecords", ProxyFault::Refused("ProvisionedThroughputExceededException"), 2);
    proxy.inject_fault("PutRecords", ProxyFault::Broken, 1);
    proxy.inject_fault("PutRecords", ProxyFault::Cut, 1);
    let recording = site.recording(700, 61, &[]);
    let (code, said) =
        emit(&site, &proxy.endpoint(), &["--inds", "700", "--count", "700", "--seed", "61", "--order", "emulator"]);
    assert!(code == 0 && said.contains("2100 messages"), "{said}");
    assert!(!proxy.has_faults());
    for stream in STREAMS {
        let mut expected = lines(&recording, stream);
        let mut found = Vec::new();
        for records in site.probe.list_stored_records(&site.stream(stream)).values() {
            for record in records {
                let row: serde_json::Value = serde_json::from_slice(&record.data).unwrap();
                assert_eq!(row.get("ind").or(row.get("index")).unwrap().to_string(), record.key);
                found.push(record.data.clone());
            }
        }
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{stream}");
    }
}

#[test]
fn oversized_record_is_counted_and_others_are_stored() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::without_streams(&endpoint, &endpoint);
    site.probe.create(&site.prefix, 1);
    let path = site.place.path().join("pin.jsonl");
    let large = format!("{{\"index\":2,\"title\":\"{}\"}}\n", "x".repeat(1 << 20));
    std::fs::write(&path, format!("{{\"index\":1}}\n{large}{{\"index\":3}}\n")).unwrap();
    let arguments = ["emit", "--from", path.to_str().unwrap(), "--to", "kinesis://", "--topic", &site.prefix];
    let (code, _, said) = run(arguments.into_iter().chain(["--endpoint", &endpoint, "--region", "us-east-1"]));
    assert!(code == 1 && said.contains("1 of 3 messages were not acknowledged"), "{said}");
    let held = site.probe.list_stored_records(&site.prefix);
    let keys: Vec<_> = held.values().flatten().map(|record| record.key.as_str()).collect();
    assert_eq!(keys, ["1", "3"]);
}

#[test]
fn missing_stream_is_reported_before_sending() {
    if skipped() {
        return;
    }
    let endpoint = KinesisServer::shared().endpoint();
    let site = KinesisSite::without_streams(&endpoint, &endpoint);
    site.probe.create(&site.stream("pin"), 1);
    let (code, said) = emit(&site, &endpoint, &["--inds", "10"]);
    assert!(code == 1 && said.contains(&format!("pinflow streams create {}", site.stream("geo"))), "{said}");
    assert!(site.probe.list_stored_records(&site.stream("pin")).values().all(Vec::is_empty));
}

/// More posts than kinesis-local can handle, through four shards of each stream.
#[test]
fn many_posts_are_read_during_emit() {
    if skipped() {
        return;
    }
    let server = KinesisServer::start_ministack();
    let proxy = KinesisProxy::start(server.port());
    let site = KinesisSite::new(&server.endpoint(), &proxy.endpoint(), 4);
    let inds = env_or_default("PINFLOW_KINESIS_INDS", DEFAULT_INDS);
    let config = site.configure("");
    let live = site.run(&config, &[]);
    let (code, said) = emit(&site, &server.endpoint(), &["--inds", &inds.to_string()]);
    assert!(code == 0 && said.contains(&format!("{} messages", 3 * inds)), "{said}");
    let read = || {
        let cut = live.cut().unwrap_or_default();
        let counts = cut["sources"].as_array().into_iter().flatten().map(|source| source["read"].as_u64().unwrap());
        counts.sum::<u64>()
    };
    // Wait as long as there is progress.
    let mut before = read();
    while before < 3 * inds {
        wait_until("more has been read", || read() > before);
        before = read();
    }
    let snapshot = live.stop();
    site.assert_answers_and_rows(&snapshot);
    let shards: BTreeMap<_, _> = site.probe.list_stored_records(&site.stream("pin"));
    assert!(shards.len() == 4 && shards.values().all(|records| !records.is_empty()), "keys spread over all shards");
    assert!(proxy.reads_per_second() <= 5, "{} calls for the records of a shard in a second", proxy.reads_per_second());
}
