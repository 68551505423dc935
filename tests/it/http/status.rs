//! `/status`: freshness, the counts of this run and of all runs, the active options, the history of the last minutes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use pinflow_testkit::serving::{ServingRun, configure_followed_recording};
use pinflow_testkit::{create_temp_dir, emit, wait_until};

const RECORDED_LINES: u64 = 3_000;

fn configure_recording(place: &Path, more: &str) -> PathBuf {
    let recording = place.join("recording");
    emit(&recording, 1_000, 1_000, 17, &["--malformed", "0.05"]);
    configure_followed_recording(
        place,
        &recording,
        &format!("{more}\n[tables]\nurl = \"tables\"\ncommit_age_secs_max = 0.2"),
    )
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a number"))
}

/// The fields of the first log line with this message.
fn logged(serving: &ServingRun, message: &str) -> Value {
    let lines = serving.log();
    let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.find(|line| line["message"] == message).unwrap_or_else(|| panic!("`{message}` is logged"))
}

#[test]
fn status_separates_this_run_from_all_runs_after_a_restart() {
    let place = create_temp_dir();
    let config = configure_recording(place.path(), "");
    let first = ServingRun::start(place.path(), &config, &[]);
    first.wait_until_read(RECORDED_LINES);
    let status = first.http.json("/status");
    let rejected = number(&status["this_run"]["rejected"]);
    assert!(rejected > 0, "{status}");
    assert_eq!(status["all_time"], json!({ "read": RECORDED_LINES, "rejected": rejected }));
    let by_reason: u64 = status["this_run"]["rejections"].as_object().unwrap().values().map(number).sum();
    assert_eq!(by_reason, rejected, "{status}");
    first.stop();
    let again = ServingRun::start(place.path(), &config, &[]);
    again.wait_until_ready();
    let status = again.http.json("/status");
    let empty = json!({
        "read": 0, "written": 0, "rejected": 0, "redelivered": 0, "rejections": {}, "field_faults": [],
        "unknown_fields": 0, "times_ahead": 0, "question_faults": 0
    });
    assert_eq!(status["this_run"], empty);
    assert_eq!(status["all_time"], json!({ "read": RECORDED_LINES, "rejected": rejected }));
    wait_until("the partitions are known", || again.http.json("/status")["sources"].as_array().unwrap().len() == 3);
    let sources = again.http.json("/status")["sources"].clone();
    assert!(sources.as_array().unwrap().iter().all(|source| source["read"] == 0), "{sources}");
    let read: u64 = sources.as_array().unwrap().iter().map(|source| number(&source["read_all_time"])).sum();
    assert_eq!(read, RECORDED_LINES, "{sources}");
    let open = logged(&again, "the tables are open");
    assert_eq!(
        (&open["read_all_time"], &open["rejected_all_time"]),
        (&json!(RECORDED_LINES), &json!(rejected)),
        "{open}"
    );
    again.stop();
}

#[test]
fn operations_of_questions_without_a_result_give_null_and_are_counted() {
    let place = create_temp_dir();
    let sql = r#"SELECT 1 / (age - age) AS share, count(*) AS users FROM "user" WHERE age > 0 GROUP BY 1"#;
    let more = format!("[[question]]\nname = \"broken\"\nsql = '{sql}'\n");
    let serving = ServingRun::start(place.path(), &configure_recording(place.path(), &more), &[]);
    serving.wait_until_read(RECORDED_LINES);
    let answer = serving.http.json("/answers/broken");
    let users = number(&answer["rows"][0]["users"]);
    assert_eq!(answer["rows"], json!([{ "share": null, "users": users }]), "{answer}");
    assert!(users > 0, "{answer}");
    // The workers report what questions cost some time after the answers.
    wait_until("status and metrics count the faults", || {
        let faults = number(&serving.http.json("/status")["this_run"]["question_faults"]);
        let line = format!("pinflow_question_faults_total {faults}");
        faults >= users && serving.http.get("/metrics").text().lines().any(|shown| shown == line)
    });
    serving.stop();
}

#[test]
fn status_and_log_name_the_options_in_force() {
    let place = create_temp_dir();
    let more = "[questions]\nduplicates = \"keep\"\nties = \"all\"\ntop = \"all\"\nmedian = \"lower\"";
    let serving = ServingRun::start(place.path(), &configure_recording(place.path(), more), &[]);
    serving.wait_until_ready();
    let options = json!({ "duplicates": "keep", "ties": "all", "top": "all", "median": "lower" });
    assert_eq!(serving.http.json("/status")["options"], options);
    let started = logged(&serving, "sources are started");
    for (name, value) in options.as_object().unwrap() {
        assert_eq!(&started[name], value, "{started}");
    }
    serving.stop();
    let place = create_temp_dir();
    let again = ServingRun::start(
        place.path(),
        &configure_recording(place.path(), ""),
        &["--duplicates", "keep", "--top", "3"],
    );
    again.wait_until_ready();
    let options = json!({ "duplicates": "keep", "ties": "first", "top": 3, "median": "exact" });
    assert_eq!(again.http.json("/status")["options"], options);
    again.stop();
}

#[test]
fn status_has_latency_and_time_of_last_commit() {
    let place = create_temp_dir();
    let serving = ServingRun::start(place.path(), &configure_recording(place.path(), ""), &[]);
    serving.wait_until_read(RECORDED_LINES);
    wait_until("all is committed", || {
        let status = serving.http.json("/status");
        status["durable_epoch"] == status["epoch"] && status["commits"]["last_at"].is_string()
    });
    let status = serving.http.json("/status");
    let latency = &status["latency"];
    assert!(number(&latency["epochs"]) > 0, "{latency}");
    let [median, most] = ["p50_ms", "p99_ms"].map(|name| latency[name].as_f64().unwrap());
    assert!(0.0 < median && median <= most, "{latency}");
    let time = |name: &Value| name.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (started, committed, now) =
        (time(&status["started_at"]), time(&status["commits"]["last_at"]), time(&status["server_time"]));
    assert!(started <= committed && committed <= now, "{status}");
    serving.stop();
}

#[test]
fn status_history_has_a_sample_per_second_and_is_bounded() {
    let place = create_temp_dir();
    let serving = ServingRun::start(place.path(), &configure_recording(place.path(), ""), &[]);
    serving.wait_until_read(RECORDED_LINES);
    assert!(serving.http.json("/status").get("history").is_none());
    let samples = || serving.http.json("/status?history=600")["history"]["samples"].as_array().unwrap().clone();
    wait_until("three samples after all was read", || {
        samples().iter().filter(|sample| number(&sample["read"]) == RECORDED_LINES).count() >= 3
    });
    let all = samples();
    assert_eq!(all[0]["records_per_sec"], Value::Null, "nothing was before the first");
    assert!(all[1..].iter().all(|sample| sample["records_per_sec"].is_f64()), "{all:?}");
    assert!(all.iter().any(|sample| sample["latency_p99_ms"].is_f64()), "{all:?}");
    assert!(all.iter().all(|sample| sample["memory_bytes"].is_u64()), "{all:?}");
    assert!(all.is_sorted_by_key(|sample| sample["at"].as_str().unwrap().to_owned()), "{all:?}");
    let newest = serving.http.json("/status?history=2")["history"]["samples"].clone();
    assert_eq!(newest.as_array().unwrap().len(), 2);
    for refused in ["/status?history=0", "/status?history=601", "/status?history=x", "/status?limit=1"] {
        assert_eq!(serving.http.get(refused).status, 400, "{refused}");
    }
    let document = serving.http.json("/openapi.json");
    let parameter = &document["paths"]["/status"]["get"]["parameters"][0];
    assert_eq!((&parameter["name"], &parameter["schema"]["maximum"]), (&json!("history"), &json!(600)));
    serving.stop();
}
