//! Requests of existing scripts, sent with the same library: Python's `requests`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pinflow::dataflows::graph::GraphOptions;
use serde_json::{Value, json};

use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::gateway::{JSON_CONTENT_TYPE, RunningGateway};
use pinflow_testkit::{create_temp_dir, emit, find_real_posts, last_snapshot, pinflow, succeed};

#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_REQUESTS").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_REQUESTS=1: nothing is sent by Python");
    }
    skipped
}

/// Sends requests with Python and returns the replies.
fn send_by_python(requests: &[Value]) -> Vec<Value> {
    send_by_python_with_ca(None, requests)
}

fn send_by_python_with_ca(authority: Option<&Path>, requests: &[Value]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/gateway/python/bin/python3");
    assert!(python.exists(), "tests/gateway/setup.sh gets Python's requests");
    let mut child = Command::new(python)
        .arg(root.join("tests/gateway/send.py"))
        .envs(authority.map(|path| ("REQUESTS_CA_BUNDLE", path)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let writing = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn to_topic(gateway: &RunningGateway, stream: &str, value: &Value) -> Value {
    // Some scripts post a row as JSON, others as the string that json.dumps returns.
    json!({
        "method": "POST",
        "url": format!("http://{}/test/topics/12ab34cd56ef.{stream}", gateway.http.address),
        "headers": { "Content-Type": JSON_CONTENT_TYPE },
        "json": { "records": [{ "value": value }] },
    })
}

fn to_stream(gateway: &RunningGateway, stream: &str, data: &Value) -> Value {
    let name = format!("streaming-12ab34cd56ef-{stream}");
    json!({
        "method": "PUT",
        "url": format!("http://{}/test/streams/{name}/record", gateway.http.address),
        "headers": { "Content-Type": "application/json" },
        "json": { "StreamName": name, "Data": data, "PartitionKey": "partition-1" },
    })
}

fn assert_accepted(answers: &[Value], requests: usize) {
    assert_eq!(answers.len(), requests);
    for answer in answers {
        let body = &answer["body"];
        let placed = body["offsets"][0]["offset"].is_u64() || body["SequenceNumber"].is_string();
        assert!(answer["status"] == 200 && placed, "{answer}");
    }
}

/// Runs on the files that the gateway wrote, and asserts that no message is rejected and the answers are right.
fn assert_run_succeeds(place: &Path) {
    let (posts, tables) = (place.join("posts"), place.join("tables"));
    let run = succeed(pinflow(["run", "--output", "snapshots", "--tables"]).arg(&tables).arg(&posts));
    let log = String::from_utf8(run.stderr).unwrap();
    assert!(log.contains("\"rejected\":0"), "{log}");
    assert_answers_equal_batch(&tables, GraphOptions::default(), &last_snapshot(&run.stdout));
}

#[test]
fn posts_in_every_known_format_are_stored() {
    if skipped() {
        return;
    }
    let place = create_temp_dir();
    let generated = place.path().join("generated");
    emit(&generated, 40, 40, 95, &[]);
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let mut requests = Vec::new();
    for stream in ["pin", "geo", "user"] {
        let text = std::fs::read_to_string(generated.join(format!("{stream}.jsonl"))).unwrap();
        for (at, line) in text.lines().enumerate() {
            let row: Value = serde_json::from_str(line).unwrap();
            let shaped = match at % 5 {
                0 => row,
                1 => Value::from(line),
                2 => json!({ "value": row }),
                3 => json!([{ "value": row }]),
                _ => json!({ "records": [{ "value": row }] }),
            };
            requests.push(if at % 2 == 0 {
                to_topic(&gateway, stream, &shaped)
            } else {
                to_stream(&gateway, stream, &shaped)
            });
        }
    }
    assert_accepted(&send_by_python(&requests), requests.len());
    gateway.stop();
    assert_run_succeeds(place.path());
}

#[test]
fn tls_and_api_key_are_accepted() {
    if skipped() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let place = create_temp_dir();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (place.path().join("gate.pem"), place.path().join("gate.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let more = "recording = \"posts\"\ntls = { certificate = \"gate.pem\", key = \"gate.key\" }\ntokens = { write = \"env:WORD\" }";
    let gateway = RunningGateway::start_with(place.path(), more, &[("WORD", "canary")]);
    let to = |stream: &str, word: &str| {
        let url = format!("https://localhost:{}/prod/topics/{stream}", gateway.http.address.port());
        let headers = json!({ "Content-Type": JSON_CONTENT_TYPE, "x-api-key": word });
        json!({ "method": "POST", "url": url, "headers": headers, "json": { "records": [{ "value": { "ind": 1 } }] } })
    };
    let answers = send_by_python_with_ca(Some(&certificate), &[to("geo", "canary"), to("geo", "wrong")]);
    assert_accepted(&answers[..1], 1);
    assert_eq!((&answers[1]["status"], &answers[1]["body"]["error_code"]), (&json!(401), &json!(40101)));
    gateway.stop();
}

#[test]
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn formats_of_public_scripts_are_stored() {
    if skipped() {
        return;
    }
    let Some(real) = find_real_posts() else {
        eprintln!("no samples beside this checkout: the formats of public scripts are not sent");
        return;
    };
    let place = create_temp_dir();
    let gateway = RunningGateway::start(place.path(), "recording = \"posts\"");
    let variants: Vec<Value> =
        serde_json::from_slice(&std::fs::read(real.join("wire_variants.json")).unwrap()).unwrap();
    assert!(variants.len() >= 15);
    let mut requests = Vec::new();
    for variant in &variants {
        let sample = variant["sample"].as_str().unwrap();
        let value: Value = serde_json::from_str(sample).unwrap_or_else(|_| Value::from(sample));
        let stream = ["unique_id", "latitude", "first_name"].iter().position(|field| sample.contains(field));
        let Some(stream) = stream.map(|at| ["pin", "geo", "user"][at]) else { continue };
        requests.push(to_topic(&gateway, stream, &value));
        requests.push(to_topic(&gateway, stream, &Value::from(sample)));
        requests.push(to_stream(&gateway, stream, &value));
        requests.push(to_stream(&gateway, stream, &Value::from(sample)));
    }
    assert!(requests.len() >= 60);
    assert_accepted(&send_by_python(&requests), requests.len());
    gateway.stop();
    let posts: PathBuf = place.path().join("posts");
    let stored: usize = ["pin", "geo", "user"]
        .iter()
        .map(|stream| std::fs::read_to_string(posts.join(format!("{stream}.jsonl"))).unwrap().lines().count())
        .sum();
    assert_eq!(stored, requests.len());
    let tables = place.path().join("tables");
    let run = succeed(pinflow(["run", "--output", "snapshots", "--tables"]).arg(&tables).arg(&posts));
    assert_answers_equal_batch(&tables, GraphOptions::default(), &last_snapshot(&run.stdout));
}
