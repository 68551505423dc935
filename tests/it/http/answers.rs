//! Every route: its replies and its errors.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use pinflow::dataflows::graph::GraphOptions;
use pinflow::dataflows::questions::QuestionSet;
use serde_json::{Value, json};

use pinflow_testkit::http_client::HttpClient;
use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, wait_until};

/// Texts that could inject HTML, spreadsheet formulas or terminal sequences.
const HOSTILE_TEXTS: [&str; 30] = [
    "<script>alert(1)</script>",
    "\"><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "javascript:alert(1)",
    "'-alert(1)-'",
    "\";alert(1);//",
    "</script><script>alert(1)</script>",
    "<iframe src=//evil>",
    "<body onload=alert(1)>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "{{7*7}}",
    "${alert(1)}",
    "<!--",
    "-->",
    "]]>",
    "&lt;script&gt;",
    "%3Cscript%3E",
    "\\u003cscript\\u003e",
    "<math><mi//xlink:href=\"data:x,<script>\">",
    "\u{202e}txt.exe",
    "<style>@import'//evil'</style>",
    "=HYPERLINK(\"http://evil\")",
    "+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "-2+3",
    "\u{1b}[31mred",
    "data: x\n\nevent: evil",
    "\r\nset-cookie: a=b",
    "\u{0}",
];

#[test]
fn every_route_returns_the_run_it_serves() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 400, 1_000, 41, &["--malformed", "0.05"]);
    let config = configure_followed_recording(
        place.path(),
        &recording,
        "[tables]\nurl = \"tables\"\ncommit_age_secs_max = 0.05",
    );
    let serving = ServingRun::start(place.path(), &config, &[]);
    serving.wait_until_read(3_000);
    let http = serving.http;
    assert_eq!((http.get("/healthz").status, http.get("/readyz").status), (200, 200));
    wait_until("everything is durable", || {
        http.json("/answers?read=durable")["epoch"] == http.json("/answers")["epoch"]
    });

    assert_answers_agree(http);
    let status = http.json("/status");
    assert_status_adds_up(http, &status);
    assert_rejected_are_of(&recording, http);
    assert_metrics_are_of(&status, http);
    let document = http.json("/openapi.json");
    let paths = document["paths"].as_object().unwrap().iter();
    for (path, _) in paths.filter(|(path, methods)| !path.ends_with("/changes") && methods.get("get").is_some()) {
        let path = path.replace("{name}", "users_joined_by_year");
        assert_eq!(http.get(&path).status, 200, "{path}");
    }
    serving.stop();
}

/// Asserts that every format, and single and combined replies, have the same rows.
fn assert_answers_agree(http: HttpClient) {
    let all = http.json("/answers");
    let questions = QuestionSet::built_in(GraphOptions::default());
    let names: Vec<_> = questions.names().map(|name| json!(name.as_str())).collect();
    assert_eq!(all["answers"].as_array().unwrap().iter().map(|of| of["answer"].clone()).collect::<Vec<_>>(), names);
    assert_eq!(http.json("/answers?read=durable")["answers"], all["answers"]);
    let lines = http.get("/answers?format=ndjson");
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    assert_eq!(lines.text().lines().count(), questions.len() + 1);
    for ((_, question), of_all) in questions.iter().zip(all["answers"].as_array().unwrap()) {
        let path = format!("/answers/{}", question.name);
        let one = http.json(&path);
        assert_eq!((&one["rows"], &one["columns"]), (&of_all["rows"], &of_all["columns"]), "{path}");
        assert_eq!((&one["epoch"], &one["as_of"]), (&all["epoch"], &all["as_of"]));
        let rows = one["rows"].as_array().unwrap();
        assert!(!rows.is_empty(), "{path}");
        let ndjson = http.get(&format!("{path}?format=ndjson"));
        let lines: Vec<Value> = ndjson.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(&lines, rows, "{path}");
        let csv = http.get(&format!("{path}?format=csv"));
        let header: Vec<_> = question.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(csv.text().split("\r\n").next().unwrap(), header.join(","), "{path}");
        // A filter returns exactly the rows with its value.
        for (at, column) in question.columns().iter().enumerate() {
            let wanted = &rows[rows.len() / 2][column.name.as_str()];
            let text =
                wanted.as_str().map_or_else(|| wanted.to_string(), |text| text.replace('+', "%2B").replace(' ', "+"));
            let left = http.json(&format!("{path}?{}={text}", column.name))["rows"].clone();
            let expected: Vec<_> = rows.iter().filter(|row| row[column.name.as_str()] == *wanted).cloned().collect();
            assert_eq!(left, json!(expected), "{path} by {at}");
            assert!(!expected.is_empty());
        }
    }
}

/// Sum of a count over all sources.
fn of_sources(status: &Value, what: &str) -> u64 {
    status["sources"].as_array().unwrap().iter().map(|of| of[what].as_u64().unwrap()).sum()
}

/// Asserts that all rows read are in the tables and in the answers.
fn assert_status_adds_up(http: HttpClient, status: &Value) {
    assert_eq!(status["state"], "running");
    let read = of_sources(status, "read");
    let written: u64 = status["tables"].as_array().unwrap().iter().map(|of| of["rows"].as_u64().unwrap()).sum();
    assert_eq!(status["tables"].as_array().unwrap().len(), 4);
    assert_eq!(read, written, "each row is in a table: {status}");
    let held = |what: &str| status["state_sizes"][what]["records"].as_u64().unwrap();
    assert!(held("inds") > 0 && held("rows") >= held("inds") && held("groups") > 0, "{status}");
    let graph = http.json("/graph");
    let operators = graph["operators"].as_array().unwrap();
    let [latest] = operators.iter().filter(|it| it["name"] == "Latest").collect::<Vec<_>>()[..] else {
        panic!("{graph}")
    };
    let rejected = of_sources(status, "rejected");
    assert_eq!(latest["records"], read - rejected, "each cleaned row went into the graph: {graph}");
    assert_eq!(latest["state_records"], held("rows"), "{graph}");
    assert!(
        status["memory"]["resident_bytes"].as_u64().unwrap() > 1 << 20
            && status["uptime_seconds"].as_f64().unwrap() > 0.0
    );
}

/// Asserts that rejections name the lines they came from.
fn assert_rejected_are_of(recording: &Path, http: HttpClient) {
    let rejected = http.json("/rejected?limit=7");
    assert_eq!(rejected.as_array().unwrap().len(), 7);
    for row in rejected.as_array().unwrap() {
        let stream = row["_source"].as_str().unwrap().strip_prefix("recording/").unwrap();
        let line = row["_position"].as_str().unwrap().parse::<usize>().unwrap();
        let text = std::fs::read(recording.join(stream)).unwrap();
        let line = text.split(|byte| *byte == b'\n').nth(line - 1).unwrap();
        // Of a message with several rows, only the rejected one.
        assert!(row["payload_bytes"].as_u64().unwrap() <= line.len() as u64, "{row}");
        if let Some(payload) = row["payload"].as_str() {
            assert!(std::str::from_utf8(line).unwrap().contains(payload), "{row}");
        }
    }
}

fn assert_metrics_are_of(status: &Value, http: HttpClient) {
    let read = of_sources(status, "read");
    let metrics = http.get("/metrics");
    let value = |name: &str| -> f64 {
        let line = metrics.text().lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("pinflow_records_total"), read as f64);
    assert_eq!(value("pinflow_state{state=\"running\"}"), 1.0);
    assert!(value("pinflow_commit_seconds_count") >= 1.0 && value("pinflow_epoch_lag") >= 0.0);
    let rejections: f64 = metrics
        .text()
        .lines()
        .filter(|line| line.starts_with("pinflow_rejections_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    let in_table =
        status["tables"].as_array().unwrap().iter().find(|of| of["table"] == "rejected").unwrap()["rows"].clone();
    assert_eq!(json!(rejections as u64), in_table);
}

#[test]
fn invalid_request_gets_status_and_message() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 50, 100, 42, &[]);
    let serving = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, ""), &[]);
    serving.wait_until_read(300);
    let http = serving.http;
    for (path, status, word) in [
        ("/nowhere", 404, "/openapi.json"),
        ("/answers/nothing", 404, "popular_category_by_year"),
        ("/answers/nothing/changes", 404, "popular_category_by_year"),
        ("/answers?format=xml", 400, "ndjson"),
        ("/answers?format=csv", 400, "single answers"),
        ("/answers?read=dirty", 400, "durable"),
        ("/answers?read=durable", 400, "no tables"),
        ("/changes?read=durable", 400, "no tables"),
        ("/answers?category=art", 400, "parameters are"),
        ("/answers/popular_category_by_year?catgory=art", 400, "post_year"),
        ("/answers/popular_category_by_year?null=year", 400, "post_year"),
        ("/answers/popular_category_by_year?category_count=many", 400, "whole number"),
        ("/answers/popular_category_by_year?post_year=last", 400, "whole number"),
        ("/rejected?limit=0", 400, "limit must be"),
        ("/rejected?limit=many", 400, "limit must be"),
        ("/status?x=1", 400, "parameter is history"),
        ("/status?history=601", 400, "history must be 1 to 600"),
        ("/graph?x=1", 400, "no parameters"),
        ("/answers/../../etc/passwd", 404, ""),
        ("/answers/%2e%2e%2fetc", 404, ""),
    ] {
        let reply = http.get(path);
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert!(reply.json()["message"].as_str().unwrap().contains(word), "{path}: {reply:?}");
    }
    let posted =
        http.raw(format!("POST /answers HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n", http.address).as_bytes());
    assert_eq!((posted.status, posted.headers["allow"].as_str()), (405, "GET,HEAD"));
    assert_eq!(http.get("/answers/popular_category_by_year?post_year=1066").json()["rows"], json!([]));
    serving.stop();
}

#[test]
fn unchanged_answer_is_revalidated_with_304() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    emit(&recording, 50, 100, 43, &[]);
    let serving = ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, ""), &[]);
    serving.wait_until_read(300);
    let http = serving.http;
    for path in ["/answers", "/answers/users_joined_by_year"] {
        let first = http.get(path);
        let tag = first.headers["etag"].clone();
        let again = http.get_with_headers(path, &[("if-none-match", &tag)]);
        assert_eq!((again.status, again.body.len(), &again.headers["etag"]), (304, 0, &tag));
        assert_eq!(http.get_with_headers(path, &[("if-none-match", &format!("\"x\", W/{tag}"))]).status, 304);
        assert_eq!(http.get_with_headers(path, &[("if-none-match", "\"other\"")]).status, 200);
    }
    let before = http.get("/answers/users_joined_by_year");
    let mut file = std::fs::OpenOptions::new().append(true).open(recording.join("user.jsonl")).unwrap();
    file.write_all(b"{\"ind\":999999,\"first_name\":\"A\",\"last_name\":\"B\",\"age\":20,\"date_joined\":\"2016-02-02T02:02:02\"}\n").unwrap();
    serving.wait_until_read(301);
    let after = http.get_with_headers("/answers/users_joined_by_year", &[("if-none-match", &before.headers["etag"])]);
    assert_eq!(after.status, 200);
    assert_ne!(after.body, before.body);
    serving.stop();
}

#[test]
fn hostile_texts_are_escaped_in_every_format() {
    let place = create_temp_dir();
    let recording = place.path().join("recording");
    std::fs::create_dir(&recording).unwrap();
    let (mut pins, mut geos) = (String::new(), String::new());
    for (ind, text) in HOSTILE_TEXTS.iter().enumerate() {
        let pin = json!({ "index": ind, "unique_id": text, "title": text, "description": text, "poster_name": text,
            "follower_count": "5k", "tag_list": text, "is_image_or_video": "image", "image_src": text,
            "save_location": "Local save in /data/x", "category": text, "downloaded": 1 });
        let geo = json!({ "ind": ind, "timestamp": "2019-05-05T05:05:05", "latitude": 1.0, "longitude": 2.0, "country": text });
        pins.push_str(&format!("{pin}\n"));
        geos.push_str(&format!("{geo}\n"));
        // The same text in a message that is rejected.
        pins.push_str(&format!("{}\n", json!({ "index": text, "title": text })));
    }
    std::fs::write(recording.join("pin.jsonl"), pins).unwrap();
    std::fs::write(recording.join("geo.jsonl"), geos).unwrap();
    std::fs::write(recording.join("user.jsonl"), "").unwrap();
    let serving =
        ServingRun::start(place.path(), &configure_followed_recording(place.path(), &recording, ""), &["--top", "all"]);
    serving.wait_until_read(90);
    let http = serving.http;
    let expected: BTreeSet<&str> = HOSTILE_TEXTS.iter().map(|text| text.trim()).collect();
    let one = http.get("/answers/popular_category_by_country");
    let said = one.json();
    let said: BTreeSet<&str> =
        said["rows"].as_array().unwrap().iter().map(|row| row["category"].as_str().unwrap().trim()).collect();
    assert!(expected.iter().all(|text| said.contains(text)), "{:?}", expected.difference(&said).collect::<Vec<_>>());
    let csv = http.get("/answers/popular_category_by_country?format=csv");
    for cell in ["=", "+", "@", "-2"] {
        assert!(!csv.text().contains(&format!(",{cell}")), "a cell begins with {cell}: {}", csv.text());
    }
    let rejected = http.get("/rejected?limit=256");
    assert_eq!(rejected.json().as_array().unwrap().len(), HOSTILE_TEXTS.len());
    let events: Vec<_> = http.events("/answers/popular_category_by_country/changes", &[]).take(1).collect();
    assert_eq!(events[0].data["rows"].as_array().unwrap().len(), one.json()["rows"].as_array().unwrap().len());
    for (path, kind) in [
        ("/answers", "application/json"),
        ("/answers/popular_category_by_country", "application/json"),
        ("/answers/popular_category_by_country?format=csv", "text/csv; charset=utf-8; header=present"),
        ("/rejected", "application/json"),
        ("/status", "application/json"),
        ("/answers/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "application/json"),
        ("/%3Cscript%3E", "application/json"),
        ("/answers?%3Cscript%3E=1", "application/json"),
    ] {
        let headers = http.get(path).headers;
        assert_eq!(headers["content-type"], kind, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(headers["content-security-policy"].contains("default-src 'self'"));
        assert!(!headers.contains_key("set-cookie") && !headers.contains_key("access-control-allow-origin"));
    }
    serving.stop();
}
