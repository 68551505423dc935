//! `pinflow emit --to https://…`: its requests, and its handling of replies record by record.

mod server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use pinflow_testkit::certificates::TestCertificates;
use pinflow_testkit::{EndedRun, run, run_with};
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, pinflow, wait_until};
use server::{CannedReply, ReceivedRequest, StubGateway, put, records, stored};

const STREAMS: [&str; 3] = ["pin", "geo", "user"];

/// Sends this many generated posts per stream to a server.
fn send(server: &StubGateway, count: u32, flags: &[&str]) -> EndedRun {
    let (url, count) = (server.url(), count.to_string());
    let arguments = ["emit", "--to", &url, "--inds", "200", "--count", &count, "--order", "emulator", "--seed", "5"];
    run(arguments.into_iter().chain(flags.iter().copied()))
}

/// The messages of each stream that [`send`] sends, in order.
fn expected(count: u32) -> BTreeMap<&'static str, Vec<Value>> {
    let folder = create_temp_dir();
    emit(folder.path(), 200, count, 5, &[]);
    let rows = |stream: &str| {
        let text = std::fs::read_to_string(folder.path().join(format!("{stream}.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    STREAMS.into_iter().map(|stream| (stream, rows(stream))).collect()
}

fn ind(row: &Value) -> u64 {
    row.get("ind").or(row.get("index")).and_then(Value::as_u64).unwrap()
}

fn by_ind(rows: &[Value]) -> BTreeMap<u64, Vec<&Value>> {
    let mut inds: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    rows.iter().for_each(|row| inds.entry(ind(row)).or_default().push(row));
    inds
}

/// Asserts that each sent message was acknowledged once, and those of an ind in order.
fn assert_all_acknowledged(acknowledged: &[Value], sent: &[Value]) {
    assert_eq!(acknowledged.len(), sent.len());
    assert!(by_ind(acknowledged) == by_ind(sent), "each message is there once, those of an ind in their order");
}

/// The rows of the requests to a path, in the order of arrival.
fn rows_to(requests: &[ReceivedRequest], path: &str) -> Vec<Value> {
    let here = requests.iter().filter(|request| request.path.starts_with(path));
    here.flat_map(|request| records(request).into_iter().map(|(_, row)| row)).collect()
}

#[test]
fn kafka_requests_hold_every_message_once_and_in_order_per_ind() {
    let server = StubGateway::start(|_, request| stored(request));
    let ended = send(&server, 3000, &["--prefix", "12e255fc4fcd"]);
    assert!(ended.code == 0 && ended.stderr.contains("9000 messages"), "{ended:?}");
    let requests = server.requests();
    for (stream, sent) in expected(3000) {
        assert_all_acknowledged(&rows_to(&requests, &format!("/test/topics/12e255fc4fcd.{stream}")), &sent);
    }
    for request in &requests {
        assert_eq!(
            (request.method.as_str(), request.headers["content-type"].as_str()),
            ("POST", "application/vnd.kafka.json.v2+json")
        );
        assert!(!request.headers.contains_key("authorization"));
        assert!(records(request).iter().all(|(key, _)| key.is_null()), "the original's records have no key");
    }
    assert!(
        requests.len() < 9000 && server.max_concurrent_requests() > 3,
        "{} abreast",
        server.max_concurrent_requests()
    );
}

#[test]
fn default_rate_sends_one_request_per_record() {
    let server = StubGateway::start(|_, request| stored(request));
    let ended = send(&server, 10, &["--rate", "100", "--key", "ind"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let requests = server.requests();
    assert_eq!(requests.len(), 30);
    for request in &requests {
        let [(key, row)] = &records(request)[..] else { panic!("{request:?}") };
        assert_eq!(*key, json!(ind(row)));
    }
}

#[test]
fn kinesis_requests_hold_one_record_or_batches() {
    let server = StubGateway::start(|_, request| put(request));
    let flags = ["--gateway", "kinesis", "--prefix", "streaming-12e255fc4fcd"];
    let ended = send(&server, 2000, &flags);
    assert_eq!(ended.code, 0, "{ended:?}");
    let requests = server.requests();
    for (stream, sent) in expected(2000) {
        let path = format!("/test/streams/streaming-12e255fc4fcd-{stream}/record");
        assert_all_acknowledged(&rows_to(&requests, &path), &sent);
    }
    for request in &requests {
        assert_eq!(request.method, "PUT");
        assert_eq!(request.path.ends_with("/records"), request.body.get("records").is_some());
        for (key, row) in records(request) {
            assert_eq!(key, json!(ind(&row).to_string()));
        }
    }
    assert!(requests.iter().any(|request| request.path.ends_with("/records")));
    let server = StubGateway::start(|_, request| put(request));
    let shared =
        ["--gateway", "kinesis", "--topic", "Prod", "--key", "streaming-{stream}", "--rate", "60", "--streams", "geo"];
    assert_eq!(send(&server, 3, &shared).code, 0);
    let first = &server.requests()[0];
    assert_eq!(first.path, "/test/streams/Prod/record");
    assert_eq!((&first.body["StreamName"], &first.body["PartitionKey"]), (&json!("Prod"), &json!("streaming-geo")));
}

#[test]
fn failing_gateway_loses_nothing_and_repeats_no_acknowledged_record() {
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
    let of_server = Arc::clone(&acknowledged);
    let server = StubGateway::start(move |number, request| match number % 6 {
        0 => CannedReply::Answer(
            429,
            vec![("retry-after", "0".to_owned())],
            json!({"error_code": 42901, "message": "slow down"}),
        ),
        1 => CannedReply::with_body(503, json!({"message": "draining"})),
        2 => CannedReply::Cut,
        3 => CannedReply::with_body(500, json!({"error_code": 50003, "message": "leader moved"})),
        // The first record is accepted, the others must be retried.
        4 => {
            let rows = records(request);
            of_server.lock().unwrap().push(rows[0].1.clone());
            let offset = |at: usize| match at {
                0 => json!({"partition": 0, "offset": 1}),
                _ => json!({"partition": null, "offset": null, "error_code": 2, "error": "retriable"}),
            };
            CannedReply::with_body(200, json!({"offsets": (0..rows.len()).map(offset).collect::<Vec<_>>()}))
        }
        _ => {
            of_server.lock().unwrap().extend(records(request).into_iter().map(|(_, row)| row));
            stored(request)
        }
    });
    let ended = send(&server, 200, &["--streams", "user"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for said in ["429: slow down", "503: draining", "500: leader moved", "the connection was cut"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    let (acknowledged, sent) = (acknowledged.lock().unwrap().clone(), expected(200)["user"].clone());
    let mut texts = [acknowledged, sent].map(|rows| rows.iter().map(Value::to_string).collect::<Vec<_>>());
    texts.iter_mut().for_each(|texts| texts.sort());
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn retry_after_header_is_honoured() {
    let server = StubGateway::start(|number, request| match number {
        0 => CannedReply::Answer(429, vec![("retry-after", "2".to_owned())], json!({"message": "slow down"})),
        _ => stored(request),
    });
    let ended = send(&server, 1, &["--streams", "geo"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(2), "it came back before it was told to");
    assert_eq!(requests[0].body, requests[1].body);
}

#[test]
fn truncated_response_is_retried() {
    let server = StubGateway::start(|number, request| if number == 0 { CannedReply::Torn } else { stored(request) });
    let ended = send(&server, 1, &["--streams", "geo"]);
    assert!(ended.code == 0 && server.requests().len() == 2, "{ended:?}");
}

#[test]
fn rejected_record_fails_alone_and_is_counted() {
    let server = StubGateway::start(|_, request| {
        let offset = |(_, row): (Value, Value)| match ind(&row) % 10 {
            3 => json!({"partition": null, "offset": null, "error_code": 1, "error": "record too large"}),
            _ => json!({"partition": 0, "offset": 1}),
        };
        CannedReply::with_body(200, json!({"offsets": records(request).into_iter().map(offset).collect::<Vec<_>>()}))
    });
    let refused = expected(500)["user"].iter().filter(|row| ind(row) % 10 == 3).count();
    let ended = send(&server, 500, &["--streams", "user"]);
    let said =
        format!("{refused} of 500 messages were not acknowledged\n  user: {refused} times error 1: record too large");
    assert!(ended.code == 1 && ended.stderr.contains(&said), "{said} is expected in {ended:?}");
    assert_eq!(rows_to(&server.requests(), "/test/topics/user").len(), 500, "none is sent again");
}

#[test]
fn permanent_rejection_ends_emit_with_the_gateways_message() {
    for (status, body, said) in [
        (404, json!({"error_code": 40401, "message": "Topic not found."}), "404: Topic not found."),
        (403, json!({"message": "Missing Authentication Token"}), "--token"),
        (200, json!({"hello": "world"}), "is --gateway right?"),
        (301, json!({}), "it points elsewhere"),
    ] {
        let server = StubGateway::start(move |_, _| CannedReply::with_body(status, body.clone()));
        let ended = send(&server, 20_000, &["--streams", "geo"]);
        assert!(ended.code == 1 && ended.stderr.contains(said), "{said} is expected in {ended:?}");
        assert!(ended.stderr.contains("no more were sent") || ended.stderr.contains("20000 of 20000"), "{ended:?}");
        assert!(server.requests().len() <= 16, "{} requests to somebody who refuses", server.requests().len());
    }
}

#[test]
fn oversized_request_is_split() {
    let server = StubGateway::start(|_, request| match records(request).len() {
        ..=7 => stored(request),
        _ => CannedReply::with_body(413, json!({"error_code": 41301, "message": "too large"})),
    });
    let ended = send(&server, 1000, &["--streams", "user"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let taken: Vec<_> = server.requests().into_iter().filter(|request| records(request).len() <= 7).collect();
    assert_all_acknowledged(&rows_to(&taken, "/test/topics/user"), &expected(1000)["user"]);
}

#[test]
fn token_is_sent_to_its_gateway_only() {
    let server = StubGateway::start(|_, request| match request.headers.get("authorization").map(String::as_str) {
        Some("Bearer canary") => stored(request),
        _ => CannedReply::with_body(401, json!({"message": "who are you"})),
    });
    let url = server.url();
    let arguments = |to| ["emit", "--inds", "5", "--streams", "geo", "--to", to];
    let known = run_with(arguments(&url), &[("PINFLOW_TOKEN", "canary")]);
    assert_eq!(known.code, 0, "{known:?}");
    let named = run_with(arguments(&url).into_iter().chain(["--token", "env:MINE"]), &[("MINE", "canary")]);
    assert_eq!(named.code, 0, "{named:?}");
    let stranger = run(arguments(&url));
    assert!(
        stranger.code == 1 && stranger.stderr.contains("401: who are you; a token is given with --token"),
        "{stranger:?}"
    );
    let abroad = run_with(arguments("http://192.0.2.1/test"), &[("PINFLOW_TOKEN", "canary")]);
    assert!(abroad.code == 2 && abroad.stderr.contains("unencrypted; use https"), "{abroad:?}");
    assert!([known, named, stranger, abroad].iter().all(|ended| !ended.stderr.contains("canary")));
}

#[test]
fn certificate_is_verified_against_the_configured_authority() {
    let place = create_temp_dir();
    let certificates = TestCertificates::make(place.path());
    let https = |name: &str| {
        let pem = |path: std::path::PathBuf| std::fs::read(path).unwrap();
        let certificate = rustls_pem(&pem(certificates.certificate(name)));
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(&pem(certificates.key(name))).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(certificate, key).unwrap();
        StubGateway::with_tls(Some(Arc::new(config)), |_, request| stored(request))
    };
    let authority = certificates.authority();
    let ca = ["--ca", authority.to_str().unwrap(), "--streams", "geo"];
    let good = https("good");
    let trusted = send(&good, 5, &ca);
    assert!(trusted.code == 0 && !good.requests().is_empty(), "{trusted:?}");
    let by_default = ["emit", "--inds", "5", "--streams", "geo", "--to", &good.url()];
    let named = run_with(by_default, &[("SSL_CERT_FILE", authority.to_str().unwrap())]);
    assert_eq!(named.code, 0, "{named:?}");
    let unknown = send(&good, 5, &["--streams", "geo"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("--ca FILE, or SSL_CERT_FILE"), "{unknown:?}");
    let elsewhere = https("wrong_host");
    let refused = send(&elsewhere, 5, &ca);
    assert!(refused.code == 1 && refused.stderr.contains("invalid peer certificate"), "{refused:?}");
    assert!(elsewhere.requests().is_empty());
}

fn rustls_pem(pem: &[u8]) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    rustls::pki_types::CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect()
}

#[test]
fn recording_is_sent_except_lines_that_are_not_json() {
    let place = create_temp_dir();
    let lines = ["{\"ind\":1,\"age\":20}", "{\"ind\":2", "{\"value\":{\"ind\":3}}"];
    std::fs::write(place.path().join("user.jsonl"), lines.join("\n") + "\n").unwrap();
    let server = StubGateway::start(|_, request| stored(request));
    let ended = run(["emit", "--from", place.path().to_str().unwrap(), "--to", &server.url()]);
    assert!(ended.code == 1 && ended.stderr.contains("1 of 3 messages were not acknowledged"), "{ended:?}");
    assert!(ended.stderr.contains("user: 1 times it is not JSON"), "{ended:?}");
    let mut sent = rows_to(&server.requests(), "/test/topics/user");
    sent.sort_by_key(ToString::to_string);
    assert_eq!(sent, [json!({"ind": 1, "age": 20}), json!({"value": {"ind": 3}})]);
}

#[test]
fn gateway_not_yet_up_is_retried() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    drop(held);
    let to = format!("http://127.0.0.1:{port}");
    let mut sending = RunningProcess::start(&mut pinflow(["emit", "--inds", "3", "--streams", "geo", "--to", &to]));
    std::thread::sleep(Duration::from_millis(700));
    assert!(sending.try_wait().is_none(), "it has not given up");
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    wait_until("it comes again", || listener.accept().is_ok());
}

#[test]
fn conflicting_flags_are_rejected_at_once() {
    for (flags, said) in [
        ("--to https://a.example/test --malformed 0.1", "--malformed"),
        ("--to https://a.example/test --gateway kinesis", "say which streams"),
        ("--to https://a.example/test/topics/x", "ends before /topics"),
        ("--to https://me:canary@a.example/test", "takes a token"),
        ("--to https://a.example/test --compress gzip", "--compress"),
        ("--to recordings --prefix a", "--prefix, --token and --ca are for"),
        ("--to recordings --creds a.yaml", "--creds, --draws and --times are for"),
        ("--from recordings --to - --seed 5", "are for made posts and for --from mysql"),
        ("--init-mysql postgres://a/b", "--init-mysql wants mysql://"),
    ] {
        let ended = run(["emit"].into_iter().chain(flags.split_whitespace()));
        assert!(ended.code == 2 && ended.stderr.contains(said), "{flags}: {ended:?}");
        assert!(!ended.stderr.contains("canary"), "{ended:?}");
    }
}
