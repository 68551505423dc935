//! A gateway that writes to a real Kinesis server.

use serde_json::json;

use pinflow_testkit::create_temp_dir;
use pinflow_testkit::gateway::{RunningGateway, code};
use pinflow_testkit::kinesis::proxy::{KinesisProxy, ProxyFault};
use pinflow_testkit::kinesis::server::KinesisServer;
use pinflow_testkit::kinesis::site::KinesisSite;
use pinflow_testkit::kinesis::skipped;

fn start_gateway(endpoint: &str, place: &std::path::Path, more: &str) -> RunningGateway {
    RunningGateway::start(place, &format!("kinesis = {{ region = \"us-east-1\", endpoint = \"{endpoint}\" }}\n{more}"))
}

#[test]
fn records_are_stored_at_the_returned_sequence_numbers() {
    if skipped() {
        return;
    }
    let (server, place) = (KinesisServer::shared(), create_temp_dir());
    let site = KinesisSite::new(&server.endpoint(), &server.endpoint(), 2);
    let (gateway, stream) = (start_gateway(&server.endpoint(), place.path(), ""), site.stream("geo"));
    let mut placed = Vec::new();
    for number in 0..20 {
        let data = json!({ "ind": number, "country": "Chad" });
        placed.push((gateway.put(&stream, &format!("key-{number}"), &data), format!("key-{number}"), data.to_string()));
    }
    let records: Vec<_> =
        (0..20).map(|n| json!({ "data": format!("text {n}"), "partition-key": format!("many-{n}") })).collect();
    let body = json!({ "records": records }).to_string();
    let reply = gateway.send("PUT", &format!("/dev/streams/{stream}/records"), "application/json", &body);
    assert_eq!((reply.status, &reply.json()["FailedRecordCount"]), (200, &json!(0)), "{}", reply.text());
    for (n, one) in reply.json()["Records"].as_array().unwrap().iter().enumerate() {
        let text = |name: &str| one[name].as_str().unwrap().to_owned();
        placed.push(((text("ShardId"), text("SequenceNumber")), format!("many-{n}"), format!("text {n}")));
    }
    gateway.stop();
    let held = site.probe.list_stored_records(&stream);
    assert_eq!(held.values().map(Vec::len).sum::<usize>(), placed.len());
    for ((shard, number), key, data) in placed {
        let found = held[&shard].iter().find(|one| one.number == number).unwrap();
        assert_eq!((found.key.as_str(), std::str::from_utf8(&found.data).unwrap()), (key.as_str(), data.as_str()));
    }
}

#[test]
fn explicit_hash_key_overrides_the_partition_key() {
    if skipped() {
        return;
    }
    let (server, place) = (KinesisServer::shared(), create_temp_dir());
    let site = KinesisSite::new(&server.endpoint(), &server.endpoint(), 2);
    let (gateway, stream) = (start_gateway(&server.endpoint(), place.path(), ""), site.stream("geo"));
    let shard = |hash_key: &serde_json::Value| {
        let body = json!({ "Data": { "ind": 7 }, "PartitionKey": 7, "ExplicitHashKey": hash_key }).to_string();
        let reply = gateway.send("PUT", &format!("/streams/{stream}/record"), "application/json", &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["ShardId"].as_str().unwrap().to_owned()
    };
    let (first, last) = (shard(&json!(0)), shard(&json!("340282366920938463463374607431768211455")));
    assert_ne!(first, last);
    gateway.stop();
    let held = site.probe.list_stored_records(&stream);
    assert_eq!((held[&first].len(), held[&last].len(), held[&first][0].key.as_str()), (1, 1, "7"));
}

#[test]
fn streams_are_listed_described_created_and_deleted() {
    if skipped() {
        return;
    }
    let (server, place) = (KinesisServer::shared(), create_temp_dir());
    let site = KinesisSite::without_streams(&server.endpoint(), &server.endpoint());
    let stream = site.stream("pin");
    let gateway =
        start_gateway(&server.endpoint(), place.path(), &format!("manage_streams = true\nallow = [\"{stream}\"]"));
    let path = format!("/streams/{stream}");
    let missing = gateway.send("GET", &path, "", "");
    assert_eq!((missing.status, code(&missing)), (404, json!("ResourceNotFoundException")));
    assert_eq!(gateway.send("POST", &path, "application/json", "{\"ShardCount\": 3}").status, 200);
    for method in ["GET", "POST"] {
        let listed = gateway.send(method, "/streams", "application/json", "{}").json();
        assert_eq!(listed, json!({ "StreamNames": [stream], "HasMoreStreams": false }));
    }
    let described = gateway.send("GET", &path, "", "").json()["StreamDescription"].clone();
    assert_eq!((&described["StreamName"], &described["StreamStatus"]), (&json!(stream), &json!("ACTIVE")));
    assert_eq!(described["Shards"].as_array().unwrap().len(), 3);
    assert_eq!(described["Shards"][0]["HashKeyRange"]["StartingHashKey"], "0");
    let again = gateway.send("POST", &path, "application/json", "{\"ShardCount\": 2}");
    assert_eq!((again.status, code(&again)), (409, json!("ResourceInUseException")));
    assert_eq!(gateway.send("DELETE", &path, "", "").status, 200);
    assert_eq!(gateway.send("DELETE", &path, "", "").status, 404);
}

#[test]
fn throttled_records_are_retried_and_stored_once() {
    if skipped() {
        return;
    }
    let (server, place) = (KinesisServer::shared(), create_temp_dir());
    let proxy = KinesisProxy::start(server.port());
    let site = KinesisSite::new(&server.endpoint(), &proxy.endpoint(), 1);
    let (gateway, stream) =
        (start_gateway(&proxy.endpoint(), place.path(), "answer_secs_max = 5"), site.stream("user"));
    let records: Vec<_> = (0..9).map(|n| json!({ "data": n.to_string(), "partition-key": "k" })).collect();
    let body = json!({ "records": records }).to_string();
    let put = || gateway.send("PUT", &format!("/streams/{stream}/records"), "application/json", &body);
    proxy.inject_fault("PutRecords", ProxyFault::Half, 3);
    proxy.inject_fault("PutRecords", ProxyFault::Refused("ProvisionedThroughputExceededException"), 2);
    let reply = put();
    assert_eq!((reply.status, &reply.json()["FailedRecordCount"]), (200, &json!(0)), "{}", reply.text());
    assert!(!proxy.has_faults());
    let held: Vec<_> = site.probe.list_stored_records(&stream).into_values().flatten().collect();
    let mut texts: Vec<_> = held.iter().map(|one| String::from_utf8(one.data.clone()).unwrap()).collect();
    texts.sort();
    assert_eq!(texts, (0..9).map(|n| n.to_string()).collect::<Vec<_>>());
    // The service refuses records for longer than the gateway waits.
    proxy.inject_fault("PutRecords", ProxyFault::Refused("ProvisionedThroughputExceededException"), 1_000);
    let reply = put();
    assert_eq!(
        (reply.status, code(&reply)),
        (429, json!("ProvisionedThroughputExceededException")),
        "{}",
        reply.text()
    );
    assert!(reply.headers.contains_key("retry-after"));
}

#[test]
fn failed_put_is_not_retried() {
    if skipped() {
        return;
    }
    let (server, place) = (KinesisServer::shared(), create_temp_dir());
    let proxy = KinesisProxy::start(server.port());
    let site = KinesisSite::new(&server.endpoint(), &proxy.endpoint(), 1);
    let (gateway, stream) = (start_gateway(&proxy.endpoint(), place.path(), ""), site.stream("pin"));
    let body = "{\"Data\":{\"index\":1},\"PartitionKey\":\"k\"}";
    let put = || gateway.send("PUT", &format!("/streams/{stream}/record"), "application/json", body);
    for fault in [ProxyFault::Broken, ProxyFault::Cut, ProxyFault::CutAnswer] {
        proxy.inject_fault("PutRecords", fault, 1);
        let reply = put();
        assert_eq!(
            (reply.status, code(&reply)),
            (503, json!("ServiceUnavailableException")),
            "{fault:?}: {}",
            reply.text()
        );
    }
    proxy.inject_fault("PutRecords", ProxyFault::Refused("AccessDeniedException"), 1);
    let reply = put();
    assert_eq!(reply.status, 503);
    assert!(!reply.text().contains("AccessDenied"), "whose rights these are is not for senders to know");
    // Only the record whose reply was cut is stored.
    assert_eq!(site.probe.list_stored_records(&stream).into_values().map(|records| records.len()).sum::<usize>(), 1);
    assert_eq!(put().status, 200);
}
