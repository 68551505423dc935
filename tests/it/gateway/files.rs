//! A gateway that writes to the files of a recording.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use serde_json::{Value, json};

use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::gateway::{BINARY_CONTENT_TYPE, JSON_CONTENT_TYPE, RunningGateway, code};
use pinflow_testkit::{create_temp_dir, emit, last_snapshot, pinflow, succeed};

const STREAMS: [&str; 3] = ["pin", "geo", "user"];

fn raw_lines(folder: &Path, stream: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(folder.join(format!("{stream}.jsonl"))).unwrap();
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop(), Some(Vec::new()), "the last line is ended");
    lines
}

fn lines(folder: &Path, stream: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("{stream}.jsonl"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn sent_records_can_be_run_as_a_recording() {
    let place = create_temp_dir();
    let generated = place.path().join("generated");
    emit(&generated, 60, 90, 91, &["--malformed", "0.05"]);
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let posts = place.path().join("posts");
    for (number, stream) in STREAMS.iter().enumerate() {
        for (at, line) in raw_lines(&generated, stream).iter().enumerate() {
            // A line that is not JSON is sent as bytes.
            match (serde_json::from_slice::<Value>(line), (at + number) % 3) {
                (Ok(value), 0) => assert_eq!(gateway.produce(&format!("a1.{stream}"), &[value]), [(0, at as i64)]),
                (Ok(value), 1) => {
                    let placed = gateway.put(&format!("streaming-a1-{stream}"), "key", &value);
                    assert_eq!(placed, ("shardId-000000000000".to_owned(), at.to_string()));
                }
                _ => {
                    use base64::Engine;
                    let value = base64::engine::general_purpose::STANDARD.encode(line);
                    let body = json!({ "records": [{ "value": value }] }).to_string();
                    // The path includes a stage, as with Amazon API Gateway.
                    let reply = gateway.send("POST", &format!("/test/topics/{stream}"), BINARY_CONTENT_TYPE, &body);
                    assert_eq!((reply.status, &reply.json()["offsets"][0]["offset"]), (200, &json!(at)));
                }
            }
        }
    }
    gateway.stop();
    for stream in STREAMS {
        let said = |line: &Vec<u8>| serde_json::from_slice::<Value>(line).map_err(|_| line.clone());
        let of = |folder: &Path| raw_lines(folder, stream).iter().map(said).collect::<Vec<_>>();
        assert_eq!(of(&posts), of(&generated));
    }
    let tables = place.path().join("tables");
    let run = succeed(pinflow(["run", "--output", "snapshots", "--tables"]).arg(&tables).arg(&posts));
    assert_answers_equal_batch(&tables, GraphOptions::default(), &last_snapshot(&run.stdout));
}

#[test]
fn numbers_and_texts_keep_their_json_text() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let value = "{\n  \"ind\": 12345678901234567890123,\t\"x\": 1.10e+2,  \"t\": \"\\u00e9 \\\" \u{1f600}\" }";
    let body = format!("{{\"records\": [{{\"value\": {value}}}, {{\"value\": null}}]}}");
    assert_eq!(gateway.send("POST", "/topics/pin", JSON_CONTENT_TYPE, &body).status, 200);
    let body = format!("{{\"Data\": {value}, \"PartitionKey\": \"k\"}}");
    assert_eq!(gateway.send("PUT", "/streams/pin/record", "application/json", &body).status, 200);
    let kept = "{\"ind\":12345678901234567890123,\"x\":1.10e+2,\"t\":\"\\u00e9 \\\" \u{1f600}\"}";
    assert_eq!(lines(&place.path().join("posts"), "pin"), [kept, "null", kept]);
}

#[test]
fn concurrent_clients_get_the_positions_of_their_own_records() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let placed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let (gateway, placed) = (&gateway, &placed);
            scope.spawn(move || {
                for request in 0..50 {
                    let values: Vec<_> = (0..3).map(|record| json!({ "ind": [sender, request, record] })).collect();
                    let places = gateway.produce("geo", &values);
                    placed.lock().unwrap().extend(values.into_iter().zip(places));
                }
            });
        }
    });
    gateway.stop();
    let lines = lines(&place.path().join("posts"), "geo");
    let placed = placed.into_inner().unwrap();
    assert_eq!((placed.len(), lines.len()), (8 * 50 * 3, 8 * 50 * 3));
    for (value, (_, offset)) in placed {
        assert_eq!(lines[usize::try_from(offset).unwrap()], value.to_string());
    }
}

#[test]
fn acknowledged_records_survive_kill_9() {
    let place = create_temp_dir();
    let mut acknowledged = Vec::new();
    for round in 0..10 {
        let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
        let over = AtomicBool::new(false);
        let said = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for sender in 0..4 {
                let (gateway, over, said) = (&gateway, &over, &said);
                scope.spawn(move || {
                    for request in 0.. {
                        let value = json!({ "ind": format!("{round}/{sender}/{request}") });
                        let body = json!({ "records": [{ "value": value }] }).to_string();
                        let wire = pinflow_testkit::gateway::request(
                            "POST",
                            "/topics/user",
                            &[("content-type", JSON_CONTENT_TYPE)],
                            &body,
                        );
                        // Stop when the connection breaks.
                        let Some(reply) = exchange_bytes(gateway.http.address, &wire) else { break };
                        if !reply.starts_with("HTTP/1.1 200") || over.load(Ordering::Relaxed) {
                            break;
                        }
                        let body: Value = serde_json::from_str(reply.split("\r\n\r\n").nth(1).unwrap()).unwrap();
                        said.lock().unwrap().push((body["offsets"][0]["offset"].as_u64().unwrap(), value.to_string()));
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(40 + 23 * round));
            gateway.running.signal(Signal::SIGKILL);
            over.store(true, Ordering::Relaxed);
        });
        acknowledged.append(&mut said.into_inner().unwrap());
    }
    assert!(acknowledged.len() > 20, "{} records were acknowledged", acknowledged.len());
    let lines = lines(&place.path().join("posts"), "user");
    for (offset, value) in &acknowledged {
        assert_eq!(&lines[usize::try_from(*offset).unwrap()], value);
    }
    let places: BTreeSet<_> = acknowledged.iter().map(|(offset, _)| offset).collect();
    assert_eq!(places.len(), acknowledged.len(), "two records got the same place");
}

/// Sends a request. `None` if the connection broke before the end of the reply.
fn exchange_bytes(address: std::net::SocketAddr, wire: &[u8]) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.write_all(wire).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    reply.ends_with('}').then_some(reply)
}

#[test]
fn errors_have_the_format_of_their_route_family() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"\nbody_bytes_max = 2000");
    let one = "{\"records\":[{\"value\":1}]}";
    let large = format!("{{\"records\":[{{\"value\":\"{}\"}}]}}", "x".repeat(3_000));
    let topics = [
        ("POST", "/topics/pins", JSON_CONTENT_TYPE, one, 404, 40401),
        ("POST", "/topics/%20", JSON_CONTENT_TYPE, one, 404, 40401),
        ("GET", "/topics/none", "", "", 404, 40401),
        ("POST", "/topics/pin/partitions/1", JSON_CONTENT_TYPE, one, 404, 40402),
        ("GET", "/topics/pin/partitions/7", "", "", 404, 40402),
        ("POST", "/topics/pin", "application/vnd.kafka.avro.v2+json", one, 415, 415),
        ("POST", "/topics/pin", "", one, 415, 415),
        ("POST", "/topics/pin", JSON_CONTENT_TYPE, "{\"records\":", 400, 400),
        ("POST", "/topics/pin", JSON_CONTENT_TYPE, "{\"records\":[]}", 422, 422),
        ("POST", "/topics/pin", JSON_CONTENT_TYPE, "{\"records\":[{\"valeu\":1}]}", 422, 42206),
        ("POST", "/topics/pin", JSON_CONTENT_TYPE, &large, 413, 413),
        ("DELETE", "/topics/pin", "", "", 405, 405),
        ("GET", "/brokers", "", "", 404, 404),
        ("GET", "/a/b/topics", "", "", 404, 404),
    ];
    for (method, path, kind, body, status, wanted) in topics {
        let reply = gateway.send(method, path, kind, body);
        assert_eq!((reply.status, code(&reply)), (status, json!(wanted)), "{method} {path} {kind}: {}", reply.text());
        assert_eq!(reply.headers["content-type"], "application/vnd.kafka.v2+json");
        assert!(reply.json()["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    let put = "{\"Data\":1,\"PartitionKey\":\"k\"}";
    let streams = [
        ("PUT", "/streams/pins/record", put, 404, "ResourceNotFoundException"),
        ("GET", "/prod/streams/pins", "", 404, "ResourceNotFoundException"),
        ("PUT", "/streams/pin/record", "{", 400, "SerializationException"),
        ("PUT", "/streams/pin/record", "{\"Data\":1}", 400, "ValidationException"),
        ("PUT", "/streams/pin/records", "{\"records\":[]}", 400, "ValidationException"),
        ("PUT", "/streams/pin/record", &large, 413, "SerializationException"),
        ("DELETE", "/streams/pin", "", 403, "AccessDeniedException"),
        ("POST", "/streams/pin", "{\"ShardCount\":1}", 403, "AccessDeniedException"),
        ("PATCH", "/streams/pin", "", 405, "UnknownOperationException"),
        ("GET", "/streams/pin/nothing", "", 404, "UnknownOperationException"),
    ];
    for (method, path, body, status, wanted) in streams {
        let reply = gateway.send(method, path, "application/json", body);
        assert_eq!((reply.status, code(&reply)), (status, json!(wanted)), "{method} {path}: {}", reply.text());
    }
    let reply = gateway.send_with("GET", "/topics", &[("accept", "text/html")], "");
    assert_eq!((reply.status, code(&reply)), (406, json!(406)));
    assert!(["pin", "geo", "user"].iter().all(|stream| lines(&place.path().join("posts"), stream).is_empty()));
}

#[test]
fn invalid_record_does_not_affect_others() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let body = "{\"records\":[{\"value\":1},{\"vale\":2},{\"value\":3,\"partition\":4},{\"value\":5}]}";
    let reply = gateway.send("POST", "/topics/pin", JSON_CONTENT_TYPE, body);
    let offsets = reply.json()["offsets"].clone();
    let of = |name: &str| offsets.as_array().unwrap().iter().map(|one| one[name].clone()).collect::<Vec<_>>();
    assert_eq!(reply.status, 200);
    assert_eq!(of("offset"), [json!(0), Value::Null, Value::Null, json!(1)]);
    assert_eq!(of("error_code"), [Value::Null, json!(1), json!(1), Value::Null]);
    assert_eq!((&reply.json()["key_schema_id"], &reply.json()["value_schema_id"]), (&Value::Null, &Value::Null));
    let body = "{\"records\":[{\"data\":\"1\",\"partition-key\":\"k\"},{\"data\":\"a\\nb\",\"partition-key\":\"k\"},{\"data\":2}]}";
    let reply = gateway.send("PUT", "/streams/pin/records", "application/json", body);
    assert_eq!((reply.status, &reply.json()["FailedRecordCount"]), (200, &json!(2)));
    assert_eq!(reply.json()["Records"][0]["SequenceNumber"], "2");
    assert_eq!(reply.json()["Records"][1]["ErrorCode"], "ValidationException");
    assert_eq!(lines(&place.path().join("posts"), "pin"), ["1", "5", "1"]);
}
