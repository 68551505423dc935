//! Access control, request rates and memory limits of the gateway.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::json;

use pinflow_testkit::gateway::{JSON_CONTENT_TYPE, RunningGateway, code, request};
use pinflow_testkit::{create_temp_dir, pinflow, wait_until};

const ONE_RECORD_BODY: &str = "{\"records\":[{\"value\":1}]}";

#[test]
fn token_permits_its_routes_only_and_is_never_logged() {
    let place = create_temp_dir();
    let more = "recording = \"posts\"\nmanage_streams = true\n\
                tokens = { write = \"env:WRITE\", metrics = \"env:METRICS\", admin = \"env:ADMIN\" }";
    let env = [("WRITE", "w-canary"), ("METRICS", "m-canary"), ("ADMIN", "a-canary"), ("RUST_LOG", "trace")];
    let gateway = RunningGateway::start_with(place.path(), more, &env);
    let tried = |header: &str, value: &str| {
        let headers = [("content-type", JSON_CONTENT_TYPE), (header, value)];
        let of = |method: &str, path: &str, body: &str| gateway.send_with(method, path, &headers, body).status;
        [
            of("GET", "/healthz", ""),
            of("POST", "/topics/pin", ONE_RECORD_BODY),
            of("GET", "/streams", ""),
            of("GET", "/metrics", ""),
            of("POST", "/streams/pin", ""),
        ]
    };
    assert_eq!(tried("authorization", "Bearer w-canary"), [200, 200, 200, 403, 403]);
    assert_eq!(tried("x-api-key", "w-canary"), [200, 200, 200, 403, 403]);
    assert_eq!(tried("authorization", "Bearer m-canary"), [200, 403, 403, 200, 403]);
    // The files of a recording already exist, so the last request gets 409, as from Kinesis.
    assert_eq!(tried("authorization", "Bearer a-canary"), [200, 200, 200, 200, 409]);
    assert_eq!(tried("authorization", "Bearer x"), [200, 401, 401, 401, 401]);
    assert_eq!(tried("x-nothing", ""), [200, 401, 401, 401, 401]);
    let denied = gateway.send("POST", "/topics/pin", JSON_CONTENT_TYPE, ONE_RECORD_BODY);
    assert_eq!((code(&denied), denied.headers["www-authenticate"].as_str()), (json!(40101), "Bearer"));
    assert_eq!(code(&gateway.send("GET", "/streams", "", "")), json!("MissingAuthenticationTokenException"));
    assert!(!gateway.log().contains("canary"), "a token is in the log");
    gateway.stop();
}

#[test]
fn unknown_host_or_foreign_origin_is_rejected() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"\nhosts = [\"posts.test\"]");
    let status = |name: &str, value: &str| {
        let headers = [("content-type", JSON_CONTENT_TYPE), (name, value)];
        gateway.send_with("POST", "/topics/pin", &headers, ONE_RECORD_BODY).status
    };
    assert_eq!((status("host", "posts.test"), status("host", "evil.test")), (200, 421));
    assert_eq!((status("origin", "http://evil.test"), status("sec-fetch-site", "cross-site")), (403, 403));
}

#[test]
fn client_over_its_rate_gets_429_with_retry_after() {
    let place = create_temp_dir();
    let more =
        "recording = \"posts\"\nrequests_per_sec_max = 1\ntokens = { write = \"env:WRITE\", admin = \"env:ADMIN\" }";
    let gateway = RunningGateway::start_with(place.path(), more, &[("WRITE", "w"), ("ADMIN", "a")]);
    let send = |token: &str| {
        gateway.send_with(
            "POST",
            "/topics/pin",
            &[("content-type", JSON_CONTENT_TYPE), ("x-api-key", token)],
            ONE_RECORD_BODY,
        )
    };
    let refused = (0..50).map(|_| send("w")).find(|reply| reply.status != 200).expect("fifty at once are too many");
    assert_eq!((refused.status, code(&refused)), (429, json!(429)));
    assert!(refused.headers["retry-after"].parse::<u64>().unwrap() >= 1);
    assert_eq!(send("a").status, 200, "another client has limits of its own");
    std::thread::sleep(Duration::from_secs(refused.headers["retry-after"].parse().unwrap()));
    wait_until("it is let in again", || send("w").status == 200);
}

#[test]
fn rejected_upload_gets_its_error_whatever_its_size() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start_with(
        place.path(),
        "recording = \"posts\"\nbody_bytes_max = 100000\ntokens = { write = \"env:WRITE\" }",
        &[("WRITE", "w")],
    );
    let large = format!("{ONE_RECORD_BODY}{}", " ".repeat(4_000_000));
    let send = |path: &str, word: &str, kind: &str| {
        gateway.send_with("POST", path, &[("content-type", kind), ("x-api-key", word)], &large).status
    };
    for _ in 0..20 {
        assert_eq!(send("/topics/pin", "wrong", JSON_CONTENT_TYPE), 401);
        assert_eq!(send("/topics/pin", "w", JSON_CONTENT_TYPE), 413);
        assert_eq!(send("/topics/pin", "w", "text/plain"), 415);
        assert_eq!(send("/topics/none", "w", JSON_CONTENT_TYPE), 404);
        assert_eq!(send("/nothing", "w", JSON_CONTENT_TYPE), 404);
    }
}

#[test]
fn bodies_in_flight_are_bounded() {
    let place = create_temp_dir();
    let gateway = RunningGateway::start(
        place.path(),
        "recording = \"posts\"\nbody_bytes_max = 100000\nbytes_under_way_max = 210000",
    );
    let whole = request(
        "POST",
        "/topics/pin",
        &[("content-type", JSON_CONTENT_TYPE)],
        &format!("{ONE_RECORD_BODY}{}", " ".repeat(99_000)),
    );
    let mut slow = gateway.http.connect();
    // Nearly all of it.
    slow.write_all(&whole[..97_000]).unwrap();
    wait_until("it takes up nearly all the room", || {
        let metrics = gateway.http.get("/metrics");
        let line = metrics.text().lines().find(|line| line.starts_with("pinflow_gateway_bytes_under_way"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<f64>().unwrap() >= 96_000.0
    });
    // There is memory for the body of another request, but not for its records.
    let large = format!("{ONE_RECORD_BODY}{}", " ".repeat(99_000));
    let busy = gateway.send("POST", "/topics/pin", JSON_CONTENT_TYPE, &large);
    assert_eq!((busy.status, code(&busy), busy.headers["retry-after"].as_str()), (503, json!(503), "1"));
    // The slow request succeeds in the end.
    slow.write_all(&whole[97_000..]).unwrap();
    let mut status = [0; 12];
    slow.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    wait_until("there is room again", || gateway.send("POST", "/topics/pin", JSON_CONTENT_TYPE, &large).status == 200);
    let metrics = gateway.http.get("/metrics");
    assert!(
        metrics.text().contains("pinflow_http_requests_total{route=\"/topics/{topic}\",status=\"503\"}"),
        "{}",
        metrics.text()
    );
    assert!(metrics.text().contains("pinflow_gateway_records_total{family=\"topics\",outcome=\"taken\"}"));
}

#[test]
fn invalid_configuration_is_reported_before_listening() {
    let place = create_temp_dir();
    let path = place.path().join("gateway.toml");
    let said = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let output = pinflow(["gateway"]).arg(&path).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, error) = said("[gateway]\nlisten = \"0.0.0.0:1\"\nrecording = \"r\"\nbody_bytes = 1\n");
    assert_eq!(status, Some(2), "{error}");
    assert!(
        error.contains(":4:1: [gateway] body_bytes: unknown key; did you mean `body_bytes_max`?")
            && error.contains("other machines"),
        "{error}"
    );
    let (status, error) = said("pipeline = \"posts\"\n");
    assert_eq!(status, Some(2));
    assert!(error.contains("[gateway]") || error.contains("no source"), "{error}");
    // One file can configure both commands.
    let both = "[gateway]\nlisten = \"127.0.0.1:0\"\nrecording = \"posts\"\n[[source]]\nkind = \"recording\"\npath = \"posts\"\n";
    std::fs::write(&path, both).unwrap();
    std::fs::create_dir(place.path().join("posts")).unwrap();
    std::fs::write(place.path().join("posts/pin.jsonl"), "").unwrap();
    let checked = pinflow(["check"]).arg(&path).output().unwrap();
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && text.contains("gateway: records go to"), "{text}");
    std::fs::write(&path, "[gateway]\nlisten = \"127.0.0.1:0\"\nkafka = { brokers = \"127.0.0.1:1\" }\n").unwrap();
    let checked = pinflow(["check"]).arg(&path).output().unwrap();
    assert_eq!(checked.status.code(), Some(1), "{}", String::from_utf8_lossy(&checked.stdout));
}
