//! Requests on the wire: half-closed, HTTP/1.0, ambiguous.

use std::io::{Read, Write};
use std::net::Shutdown;

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, wait_until};

fn start_serving(place: &std::path::Path, more: &str, env: &[(&str, &str)]) -> ServingRun {
    let recording = place.join("recording");
    emit(&recording, 20, 20, 151, &[]);
    let serving = ServingRun::start_with(place, &configure_followed_recording(place, &recording, more), &[], env);
    wait_until("it answers", || serving.http.get("/healthz").status == 200);
    serving
}

#[test]
fn half_closed_request_is_answered() {
    let place = create_temp_dir();
    let serving = start_serving(place.path(), "", &[]);
    serving.wait_until_ready();
    for _ in 0..20 {
        let mut stream = serving.http.connect();
        stream.write_all(b"GET /answers HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n"), "{:?}", String::from_utf8_lossy(&reply));
    }
    serving.stop();
}

#[test]
fn ambiguous_request_is_rejected() {
    let place = create_temp_dir();
    let serving = start_serving(place.path(), "", &[]);
    serving.wait_until_ready();
    let status = |head: &str| serving.http.raw(format!("{head}\r\n\r\n").as_bytes()).status;
    assert_eq!(status("GET /answers HTTP/1.1\r\nhost: localhost\r\nhost: localhost"), 400);
    assert_eq!(status("GET /answers HTTP/1.1\r\nhost: localhost\r\nhost: evil.test"), 400);
    assert_eq!(status("GET http://evil.test/answers HTTP/1.1\r\nhost: localhost"), 400);
    assert_eq!(status("GET http://localhost/answers HTTP/1.1\r\nhost: localhost"), 200);
    let chunked = |coding: &str| {
        let head = format!("GET /answers HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: {coding}");
        serving.http.raw(format!("{head}\r\n\r\n0\r\n\r\n").as_bytes()).status
    };
    assert_eq!((chunked("chunked"), chunked("gzip, chunked"), chunked("gzip")), (200, 400, 400));
    serving.stop();
}

#[test]
fn http_1_0_probe_without_host_is_served() {
    let place = create_temp_dir();
    let serving = start_serving(place.path(), "", &[]);
    serving.wait_until_ready();
    let status =
        |path: &str, version: &str| serving.http.raw(format!("GET {path} {version}\r\n\r\n").as_bytes()).status;
    for path in ["/healthz", "/readyz", "/metrics", "/readyz/"] {
        assert_eq!((status(path, "HTTP/1.0"), status(path, "HTTP/1.1")), (200, 400), "{path}");
    }
    assert_eq!(status("/answers", "HTTP/1.0"), 400);
    serving.stop();
}

#[test]
fn trailing_slash_is_ignored() {
    let place = create_temp_dir();
    let tokens = "[serve]\nlisten = \"127.0.0.1:0\"\ntokens = { read = \"env:READ\", metrics = \"env:METRICS\" }";
    let serving = start_serving(place.path(), tokens, &[("READ", "r"), ("METRICS", "m")]);
    let status = |path: &str, token: &str| {
        serving.http.get_with_headers(path, &[("authorization", &format!("Bearer {token}"))]).status
    };
    wait_until("it is ready", || status("/readyz", "r") == 200);
    for path in ["/answers/", "/answers/users_joined_by_year/?read=live", "/status/", "/openapi.json/"] {
        assert_eq!(status(path, "r"), 200, "{path}");
    }
    // A trailing slash does not bypass access control.
    assert_eq!((status("/metrics/", "m"), status("/metrics/", "r"), status("/rejected/", "r")), (200, 403, 403));
    assert_eq!(status("/answers//", "r"), 404);
    serving.stop();
}

#[test]
fn address_with_too_many_unknown_tokens_gets_429_with_retry_after() {
    let place = create_temp_dir();
    let tokens = "[serve]\nlisten = \"127.0.0.1:0\"\ntokens = { read = \"env:READ\" }\nfailed_tokens_per_min_max = 3";
    let serving = start_serving(place.path(), tokens, &[("READ", "r")]);
    let ask = |token: &str| serving.http.get_with_headers("/answers", &[("authorization", &format!("Bearer {token}"))]);
    wait_until("it is ready", || ask("r").status == 200);
    assert!((0..3).all(|_| ask("wrong").status == 401));
    // The right token too: otherwise a good guess could be distinguished from a bad one.
    for token in ["wrong", "r"] {
        let reply = ask(token);
        let wait = reply.headers["retry-after"].parse::<u64>().unwrap();
        assert_eq!((reply.status, (1..=60).contains(&wait)), (429, true), "{reply:?}");
        assert_eq!(reply.json()["error"], "too_many_failures");
    }
    assert_eq!((serving.http.get("/healthz").status, serving.http.get("/").status), (200, 200));
    serving.stop();
}

#[test]
fn csv_uses_the_requested_separator() {
    let place = create_temp_dir();
    let serving = start_serving(place.path(), "", &[]);
    serving.wait_until_read(60);
    let csv = |query: &str| serving.http.get(&format!("/answers/users_joined_by_year?format=csv{query}"));
    let (comma, semicolon) = (csv(""), csv("&separator=;"));
    assert_eq!((comma.status, semicolon.status), (200, 200));
    assert!(comma.text().lines().count() > 1);
    // The answer has numbers only, so nothing else differs.
    assert_eq!(semicolon.text(), comma.text().replace(',', ";"));
    assert_eq!(csv("&separator=x").status, 400);
    serving.stop();
}
