//! Hostile clients: large announced bodies, too many records, unread replies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use pinflow_testkit::gateway::{JSON_CONTENT_TYPE, RunningGateway, code, request};
use pinflow_testkit::{create_temp_dir, wait_until};

const ONE_RECORD_BODY: &str = "{\"records\":[{\"value\":1}]}";

fn bytes_in_flight(gateway: &RunningGateway) -> f64 {
    let metrics = gateway.http.get("/metrics");
    let line =
        metrics.text().lines().find(|line| line.starts_with("pinflow_gateway_bytes_under_way ")).unwrap().to_owned();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn announce(gateway: &RunningGateway, bytes: usize, sent: usize) -> TcpStream {
    let mut stream = gateway.http.connect();
    let head = format!(
        "POST /topics/geo HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON_CONTENT_TYPE}\r\ncontent-length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![b' '; sent]).unwrap();
    stream
}

#[test]
fn silent_upload_times_out_and_blocks_no_other_client() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(
        place.path(),
        "recording = \"posts\"\nbody_bytes_max = 10485760\nbytes_under_way_max = 20000000",
    );
    let begun = Instant::now();
    let silent: Vec<_> = (0..50).map(|_| announce(&gateway, 10 << 20, 100)).collect();
    for _ in 0..50 {
        assert_eq!(gateway.send("POST", "/topics/geo", JSON_CONTENT_TYPE, ONE_RECORD_BODY).status, 200);
    }
    assert!(bytes_in_flight(&gateway) < 1e6, "what is announced is reserved");
    for mut stream in silent {
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 408") && reply.contains("too slowly"), "{reply}");
    }
    // Well before the limit of 30 s for a whole body.
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert_eq!(bytes_in_flight(&gateway), 0.0);
    gateway.stop();
}

#[test]
fn request_with_too_many_records_is_rejected_as_a_whole() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let body = |records: usize| format!("{{\"records\":[{}]}}", vec!["{\"value\":1}"; records].join(","));
    assert_eq!(gateway.send("POST", "/topics/geo", JSON_CONTENT_TYPE, &body(2_000)).status, 200);
    for records in [2_001, 200_000] {
        let refused = gateway.send("POST", "/topics/geo", JSON_CONTENT_TYPE, &body(records));
        assert_eq!((refused.status, code(&refused)), (413, json!(413)));
        assert!(refused.text().contains("records_max"), "{}", refused.text());
    }
    gateway.stop();
    let lines = std::fs::read_to_string(place.path().join("posts/geo.jsonl")).unwrap().lines().count();
    assert_eq!(lines, 2_000);
}

#[test]
fn unread_replies_are_counted_and_memory_stays_bounded() {
    let place = create_temp_dir();
    let more = "recording = \"posts\"\nrecords_max = 100000\nbytes_under_way_max = 67108864\nbody_bytes_max = 2000000";
    let gateway = RunningGateway::start(place.path(), more);
    let body = format!("{{\"records\":[{}]}}", vec!["{\"value\":1}"; 50_000].join(","));
    let sent = request("POST", "/topics/geo", &[("content-type", JSON_CONTENT_TYPE)], &body);
    let before = gateway.running.memory_bytes();
    let mut statuses = Vec::new();
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = gateway.http.connect();
        stream.write_all(&sent).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        statuses.push(String::from_utf8_lossy(&head[9..]).into_owned());
        held.push(stream);
    }
    // Each reply has 3 MiB, and the system buffers a part of it. The budget is too small for all forty.
    assert_eq!(statuses[0], "200");
    assert!(statuses.contains(&"503".to_owned()), "{statuses:?}");
    assert!(bytes_in_flight(&gateway) > 10e6);
    let grown = gateway.running.memory_bytes().saturating_sub(before);
    assert!(grown < 160 << 20, "{grown} bytes more are held");
    drop(held);
    wait_until("what was held is given back", || bytes_in_flight(&gateway) == 0.0);
    gateway.stop();
}
