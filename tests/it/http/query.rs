//! `pinflow query` against a serving run.

use pinflow_dataflows::graph::GraphOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use serde_json::Value;

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{RunningProcess, create_temp_dir, emit, pinflow};

fn query(at: &str, arguments: &[&str]) -> Output {
    let mut command = pinflow(["query", "--at", at]);
    command.args(arguments).env_remove("PINFLOW_TOKEN").env_remove("PINFLOW_AT").output().unwrap()
}

fn text(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn answers_are_printed_in_every_format() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 200, 400, 81, &[]);
    let serving = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, ""), &[]);
    serving.wait_until_read(1_200);
    let at = format!("http://{}", serving.http.address);
    let name = "popular_category_by_year";
    let expected = serving.http.json(&format!("/answers/{name}"));
    let rows = expected["rows"].as_array().unwrap();
    let json: Value = serde_json::from_str(text(&query(&at, &[name]))).unwrap();
    assert_eq!(json["rows"], expected["rows"]);
    let lines = query(&at, &[name, "--format", "ndjson"]);
    let lines: Vec<Value> = text(&lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&lines, rows);
    assert_eq!(
        text(&query(&at, &[name, "--format", "csv"])),
        serving.http.get(&format!("/answers/{name}?format=csv")).text()
    );
    let table = query(&at, &[name, "--format", "table"]);
    let mut lines = text(&table).lines();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines.next().unwrap()), ["post_year", "category", "category_count"]);
    assert_eq!(words(lines.next().unwrap())[0], rows[0]["post_year"].to_string());
    assert!(text(&table).contains("as of"));
    let year = rows[0]["post_year"].to_string();
    let filtered: Value = serde_json::from_str(text(&query(&at, &[name, &format!("post_year={year}")]))).unwrap();
    assert_eq!(filtered["rows"].as_array().unwrap().len(), 1);
    let list = query(&at, &["--format", "table"]);
    for name in pinflow::dataflows::questions::QuestionSet::built_in(GraphOptions::default()).names() {
        assert!(text(&list).contains(name.as_str()));
    }
    for (arguments, code, word) in [
        (&["nothing"][..], 1, "the answers are"),
        (&[name, "color=red"], 1, "post_year"),
        (&[name, "--durable"], 1, "writes no tables"),
        (&[name, "color"], 2, "COLUMN=VALUE"),
        (&[name, "--token", "r-canary"], 2, "env:NAME"),
    ] {
        let refused = query(&at, arguments);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(code), "{said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    serving.stop();
    let nobody = query(&at, &[name]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8(nobody.stderr).unwrap().contains("does a run serve there"));
}

#[test]
fn changes_are_followed_over_a_restart() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 50, 50, 82, &[]);
    let config =
        configure_followed_recording(place.path(), &recording, "[tables]\nurl = \"tables\"\ncommit_age_secs_max = 0.1");
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_read(150);
    let address = serving.http.address;
    let mut command = pinflow(["query", "--at", &format!("http://{address}"), "users_joined_by_year", "--follow"]);
    let mut following = RunningProcess::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut lines = BufReader::new(following.stdout()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let before = first["rows"].as_array().unwrap().len();
    let join = |ind: u32, year: u32| {
        let mut file = std::fs::OpenOptions::new().append(true).open(recording.join("user.jsonl")).unwrap();
        let row = format!(
            "{{\"ind\":{ind},\"first_name\":\"A\",\"last_name\":\"B\",\"age\":30,\"date_joined\":\"{year}-02-02T02:02:02\"}}\n"
        );
        file.write_all(row.as_bytes()).unwrap();
    };
    join(900_000, 2016);
    let change: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(!change["insert"].as_array().unwrap().is_empty(), "{change}");
    serving.stop();
    join(900_001, 2017);
    // On the same port, like a service that restarts.
    let again = ServingRun::start(place.path(), &config, &["--listen", &address.to_string()]);
    again.wait_until_ready();
    let anew: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(anew["anew"].as_str().unwrap().contains("was restarted"), "{anew}");
    assert!(anew["rows"].as_array().unwrap().len() >= before);
    drop(following);
    again.stop();
}

#[test]
fn query_uses_tls_and_token() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 50, 50, 83, &[]);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(place.path().join("cert.pem"), made.cert.pem()).unwrap();
    let key = place.path().join("key.pem");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let serve = "[serve]\nlisten = \"127.0.0.1:0\"\ntokens = { read = \"env:READ\" }\ntls = { certificate = \"cert.pem\", key = \"key.pem\" }";
    let config = configure_followed_recording(place.path(), &recording, serve);
    let serving = ServingRun::start_with(place.path(), &config, &[], &[("READ", "r-canary")]);
    let at = format!("https://localhost:{}", serving.http.address.port());
    let ca = place.path().join("cert.pem");
    let ask = |more: &[&str], token: &str| {
        let mut command = pinflow(["query", "--at", &at, "users_joined_by_year"]);
        command.args(more).env("PINFLOW_TOKEN", token).output().unwrap()
    };
    let trusting = ["--ca", ca.to_str().unwrap()];
    pinflow_testkit::wait_until("it answers", || ask(&trusting, "r-canary").status.success());
    let wrong = ask(&trusting, "x");
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("401"));
    let untrusting = ask(&[], "r-canary");
    let said = String::from_utf8(untrusting.stderr).unwrap();
    assert_eq!(untrusting.status.code(), Some(1));
    assert!(said.to_lowercase().contains("certificate") && !said.contains("canary"), "{said}");
    // A token is not sent unencrypted to another machine.
    let mut command = pinflow(["query", "--at", "http://pinflow.test:7461", "users_joined_by_year"]);
    let clear = command.env("PINFLOW_TOKEN", "r-canary").output().unwrap();
    assert!(String::from_utf8(clear.stderr).unwrap().contains("unencrypted"));
    // Plain HTTP gets no reply on a TLS port.
    let mut plain = serving.http.connect();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut plain, &mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("200"));
    serving.stop();
}
