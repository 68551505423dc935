//! Access control and limits of `[serve]`.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, pinflow};

fn start_serving(place: &std::path::Path, serve: &str, env: &[(&str, &str)]) -> ServingRun {
    let recording = place.join("recording");
    emit(&recording, 20, 20, 71, &[]);
    let config = configure_followed_recording(place, &recording, serve);
    let serving = ServingRun::start_with(place, &config, &[], env);
    pinflow_testkit::wait_until("it answers", || serving.http.get("/healthz").status == 200);
    serving
}

#[test]
fn unknown_host_or_foreign_origin_is_rejected() {
    let place = create_temp_dir();
    let serving = start_serving(place.path(), "[serve]\nlisten = \"127.0.0.1:0\"\nhosts = [\"pinflow.test\"]", &[]);
    serving.wait_until_ready();
    let http = serving.http;
    let status = |headers: &[(&str, &str)]| http.get_with_headers("/answers", headers).status;
    assert_eq!(status(&[("host", "pinflow.test")]), 200);
    assert_eq!(status(&[("host", "evil.test")]), 421);
    assert_eq!(status(&[("host", "localhost"), ("origin", "http://evil.test")]), 403);
    assert_eq!(status(&[("host", "localhost"), ("sec-fetch-site", "cross-site")]), 403);
    assert_eq!(http.raw(b"GET /answers HTTP/1.1\r\n\r\n").status, 400);
    serving.stop();
}

#[test]
fn token_permits_its_routes_only_and_is_never_logged() {
    let place = create_temp_dir();
    let serve = "[serve]\nlisten = \"127.0.0.1:0\"\ntokens = { read = \"env:READ\", metrics = \"env:METRICS\", admin = \"env:ADMIN\" }";
    let env = [("READ", "r-canary"), ("METRICS", "m-canary"), ("ADMIN", "a-canary"), ("RUST_LOG", "trace")];
    let serving = start_serving(place.path(), serve, &env);
    let http = serving.http;
    let status =
        |path: &str, token: &str| http.get_with_headers(path, &[("authorization", &format!("Bearer {token}"))]).status;
    pinflow_testkit::wait_until("it is ready", || status("/readyz", "r-canary") == 200);
    let doors = ["/healthz", "/answers", "/changes", "/status", "/metrics", "/rejected", "/openapi.json"];
    let tried = |token: &str| -> Vec<u16> {
        doors.iter().filter(|door| **door != "/changes").map(|door| status(door, token)).collect()
    };
    assert_eq!(tried("r-canary"), [200, 200, 200, 403, 403, 200]);
    assert_eq!(tried("m-canary"), [200, 403, 403, 200, 403, 403]);
    assert_eq!(tried("a-canary"), [200; 6]);
    assert_eq!(tried("x-canary"), [200, 401, 401, 401, 401, 401]);
    for door in &doors[1..] {
        let reply = http.get(door);
        assert_eq!((reply.status, reply.headers["www-authenticate"].as_str()), (401, "Bearer"), "{door}");
    }
    let shown =
        String::from_utf8(http.get_with_headers("/metrics", &[("authorization", "Bearer a-canary")]).body).unwrap();
    assert!(!shown.contains("canary"));
    let log = serving.log();
    serving.stop();
    assert!(!log.contains("canary"), "a token is in the log");
}

#[test]
fn large_or_slow_request_is_ended_and_others_are_served() {
    let place = create_temp_dir();
    let serving = start_serving(place.path(), "[serve]\nlisten = \"127.0.0.1:0\"\nconnections_max = 1100", &[]);
    serving.wait_until_ready();
    let http = serving.http;
    let large = format!("GET /answers HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(20 << 10));
    assert_eq!(http.raw(large.as_bytes()).status, 431);
    let many: String = (0..101).map(|number| format!("x{number}: 1\r\n")).collect();
    assert_eq!(http.raw(format!("GET /answers HTTP/1.1\r\nhost: localhost\r\n{many}\r\n").as_bytes()).status, 431);
    assert_eq!(http.raw(b"rubbish\r\n\r\n").status, 400);
    // Some connections send nothing, others send very slowly.
    let silent: Vec<_> = (0..500).map(|_| http.connect()).collect();
    let mut slow: Vec<_> = (0..500).map(|_| http.connect()).collect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        for stream in &mut slow {
            let _ = stream.write_all(b"GET ");
        }
        for _ in 0..50 {
            assert_eq!(http.get("/answers").status, 200);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // Connections over the limit are rejected at once, with a response.
    let more: Vec<_> = (0..200).map(|_| http.connect()).collect();
    let turned_away = more
        .into_iter()
        .filter(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let mut head = [0; 12];
            let mut stream = stream;
            stream.read_exact(&mut head).is_ok() && &head == b"HTTP/1.1 503"
        })
        .count();
    assert!(turned_away >= 50, "{turned_away} were turned away");
    // None of them stays open for long.
    for mut stream in silent.into_iter().chain(slow) {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut rest = Vec::new();
        // Closed gracefully or not.
        let _ = stream.read_to_end(&mut rest);
        assert!(begun.elapsed() < Duration::from_secs(60), "a silent connection is kept");
    }
    serving.stop();
}

#[test]
fn address_beyond_this_machine_needs_tokens_and_tls() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 20, 20, 72, &[]);
    let run = |listen: &str| pinflow(["run", "--listen", listen]).arg(&recording).output().unwrap();
    let refused = run("0.0.0.0:0");
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("other machines") && said.contains("tls"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = run(&taken.local_addr().unwrap().to_string());
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("another program"));
}
