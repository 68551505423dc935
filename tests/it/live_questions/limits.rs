//! A question that holds too much is stopped, and everything else goes on.

use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::wait_until;
use serde_json::{Value, json};

use super::{Site, listed, question, question_succeeds, wait_until_durable};

/// Limits that a question with one group for each post exceeds.
const LIMITS: &str = "[questions]\ngroups_max = 300\nrows_max = 100\nbytes_max = \"1MiB\"\ntexts_max = 500\n";

#[test]
fn question_over_a_limit_is_stopped_with_its_reason_and_others_go_on() {
    let mut site = Site::new(2_000, 3_000);
    let config = site.configure(LIMITS);
    let serving = ServingRun::start(site.path(), &config, &[]);
    wait_until_durable(&serving, site.arrived());
    let few = "SELECT category, count(*) AS pins FROM pin GROUP BY category";
    let small = site.write_sql("small", few);
    question_succeeds(&serving, &["add", small.to_str().unwrap()]);
    for (name, sql, key) in [
        (
            "groups",
            "SELECT max(n) AS most FROM (SELECT ind % 900 AS part, count(*) AS n FROM pin GROUP BY 1)",
            "groups_max",
        ),
        ("rows", "SELECT ind % 200 AS part, count(*) AS n FROM pin GROUP BY 1", "rows_max"),
        ("texts", "SELECT max(title) AS title FROM pin GROUP BY ind % 3", "texts_max"),
    ] {
        let file = site.write_sql(name, sql);
        let (code, _, stderr) = question(&serving, &["add", file.to_str().unwrap()]);
        assert!(code == 1 && stderr.contains(&format!("question `{name}` was stopped")), "{stderr}");
        assert!(stderr.contains(key), "{stderr}");
        let body = &listed(&serving, name)[0];
        assert_eq!(body["state"], "stopped");
        assert!(body["since_epoch"].is_u64() && body["reason"].as_str().unwrap().contains(key), "{body}");
        assert_eq!(serving.http.get(&format!("/answers/{name}")).status, 404);
        // What it would replace stays.
        let file = site.write_sql("small", sql);
        let (code, _, stderr) = question(&serving, &["replace", file.to_str().unwrap()]);
        assert!(code == 1 && stderr.contains(key), "{stderr}");
        assert_eq!(serving.http.json("/answers/small")["rows"], site.tried_rows(few, "latest"), "{name}");
    }
    let metrics = serving.http.get("/metrics");
    for line in [
        "pinflow_question_state{question=\"groups\",state=\"stopped\"} 1",
        "pinflow_question_state{question=\"small\",state=\"live\"} 1",
        "pinflow_question_groups{question=\"small\"}",
        "pinflow_question_bytes{question=\"small\"}",
    ] {
        assert!(metrics.text().contains(line), "{line} is not in:\n{}", metrics.text());
    }
    // A question that is live exceeds its limit later, and disappears in one epoch.
    let growing =
        site.write_sql("growing", "SELECT ind, count(*) AS n FROM pin WHERE ind < 0 OR ind % 25 = 0 GROUP BY ind");
    let (code, _, stderr) = question(&serving, &["add", growing.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    // Replaced with one that holds less.
    let file = site.write_sql("rows", few);
    question_succeeds(&serving, &["replace", file.to_str().unwrap()]);
    site.append(usize::MAX);
    wait_until_durable(&serving, site.lines);
    for name in ["small", "rows"] {
        assert_eq!(serving.http.json(&format!("/answers/{name}"))["rows"], site.tried_rows(few, "latest"), "{name}");
        let body = &listed(&serving, name)[0];
        let costs: Vec<bool> = ["groups", "rows", "bytes", "faults"].iter().map(|key| body[*key].is_u64()).collect();
        assert_eq!(costs, [true; 4], "{body}");
    }
    question_succeeds(&serving, &["drop", "groups"]);
    wait_until("it is gone", || listed(&serving, "groups").is_empty());
    let built_in: Vec<Value> = serving.http.json("/questions")["questions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|of| of["origin"] == "builtin")
        .map(|of| of["state"].clone())
        .collect();
    assert_eq!(built_in, vec![json!("live"); 11]);
    serving.stop();
}
