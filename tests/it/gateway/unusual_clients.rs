//! Requests of unusual clients: half-closed, compressed, with a byte order mark.

use std::io::{Read, Write};
use std::net::Shutdown;

use serde_json::json;

use pinflow_testkit::create_temp_dir;
use pinflow_testkit::gateway::{JSON_CONTENT_TYPE, RunningGateway, code, request};

const ONE_RECORD_BODY: &str = "{\"records\":[{\"value\":{\"ind\":7,\"country\":\"Chad\"}}]}";

fn lines(place: &std::path::Path, stream: &str) -> usize {
    std::fs::read_to_string(place.join(format!("posts/{stream}.jsonl"))).unwrap().lines().count()
}

#[test]
fn half_closed_request_gets_the_position_of_its_record() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let put = "{\"Data\":{\"ind\":7},\"PartitionKey\":\"k\"}";
    for round in 0..20 {
        let sent = if round % 2 == 0 {
            request("POST", "/topics/ab.geo", &[("content-type", JSON_CONTENT_TYPE)], ONE_RECORD_BODY)
        } else {
            request("PUT", "/streams/ab-geo/record", &[("content-type", "application/json")], put)
        };
        let mut stream = gateway.http.connect();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.contains(&round.to_string()), "{reply}");
    }
    gateway.stop();
    assert_eq!(lines(place.path(), "geo"), 20);
}

#[test]
fn compressed_body_is_rejected_and_byte_order_mark_is_accepted() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let send = |encoding: &str| {
        gateway.send_with(
            "POST",
            "/topics/ab.geo",
            &[("content-type", JSON_CONTENT_TYPE), ("content-encoding", encoding)],
            ONE_RECORD_BODY,
        )
    };
    let refused = send("gzip");
    assert_eq!((refused.status, code(&refused)), (415, json!(415)));
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "Content-Encoding gzip is not accepted; send the body uncompressed");
    assert_eq!(refused.headers["accept-encoding"], "identity");
    assert_eq!((send("zstd").status, send("identity").status), (415, 200));
    let put = "\u{feff}{\"Data\":{\"ind\":7},\"PartitionKey\":\"k\"}";
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let refused = gateway.send_with("PUT", "/streams/geo/record", &headers, put);
    assert_eq!((refused.status, code(&refused)), (415, json!("SerializationException")));
    assert_eq!(gateway.send("PUT", "/streams/geo/record", "application/json", put).status, 200);
    assert_eq!(
        gateway.send("POST", "/topics/geo", JSON_CONTENT_TYPE, &format!("\u{feff}{ONE_RECORD_BODY}")).status,
        200
    );
    gateway.stop();
    assert_eq!(lines(place.path(), "geo"), 3);
}

#[test]
fn slashes_accept_headers_and_keys_are_parsed_like_the_original_proxies() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    assert_eq!(gateway.send("POST", "/topics/ab.geo/", JSON_CONTENT_TYPE, ONE_RECORD_BODY).status, 200);
    assert_eq!(gateway.send("POST", "/test/topics/ab.geo/", JSON_CONTENT_TYPE, ONE_RECORD_BODY).status, 200);
    assert_eq!(gateway.http.get("/topics/geo/").status, 200);
    let accepting = |lines: &[&str]| {
        let mut headers = vec![("content-type", JSON_CONTENT_TYPE)];
        headers.extend(lines.iter().map(|line| ("accept", *line)));
        gateway.send_with("POST", "/topics/geo", &headers, ONE_RECORD_BODY).status
    };
    assert_eq!(accepting(&["text/html", "application/json"]), 200);
    assert_eq!(accepting(&["text/html, text/plain", "image/png"]), 406);
    for body in [
        "{\"Data\":{\"ind\":7},\"PartitionKey\":7}",
        "{\"Data\":{\"ind\":7},\"PartitionKey\":\"k\",\"ExplicitHashKey\":\"170141183460469231731687303715884105728\"}",
    ] {
        let reply = gateway.send("PUT", "/streams/geo/record", "application/json", body);
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    }
    assert_eq!(gateway.http.raw(b"GET /healthz HTTP/1.0\r\n\r\n").status, 200);
    assert_eq!(gateway.http.raw(b"GET /topics HTTP/1.0\r\n\r\n").status, 400);
    let two_hosts = request(
        "POST",
        "/topics/geo",
        &[("content-type", JSON_CONTENT_TYPE), ("host", "localhost"), ("host", "localhost")],
        ONE_RECORD_BODY,
    );
    assert_eq!(gateway.http.raw(&two_hosts).status, 400);
    gateway.stop();
    assert_eq!(lines(place.path(), "geo"), 5);
}
