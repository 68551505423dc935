//! Everything that shows answers follows the set of questions.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use pinflow_testkit::serving::ServingRun;
use pinflow_testkit::wait_until;
use serde_json::{Value, json};

use super::{Site, question_succeeds, wait_until_durable};

const BY_CATEGORY: &str = "SELECT category, count(*) AS pins FROM pin GROUP BY category ORDER BY category";
const BY_COUNTRY: &str = "SELECT country, count(*) AS posts, max(timestamp) AS newest FROM geo GROUP BY country";

/// The names of the columns of an answer.
fn column_names(answer: &Value) -> Vec<&str> {
    answer["columns"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect()
}

#[test]
fn replaced_question_has_an_answer_at_every_moment_and_subscribers_follow_it() {
    let mut site = Site::new(1_000, 2_000);
    let serving = ServingRun::start(site.path(), &site.configure(""), &[]);
    wait_until_durable(&serving, site.arrived());
    let add = |command: &str, sql: &str| {
        let file = site.write_sql("mine", sql);
        question_succeeds(&serving, &[command, file.to_str().unwrap()]);
    };
    let mut all = serving.http.events("/changes", &[]);
    // The stream begins with a snapshot of each answer.
    let begun: Vec<_> = all.by_ref().take(11).map(|event| event.kind).collect();
    assert!(begun.iter().all(|kind| kind == "snapshot"));
    add("add", BY_CATEGORY);
    let mut one = serving.http.events("/answers/mine/changes", &[]);
    let first = one.next().unwrap();
    assert_eq!((first.kind.as_str(), column_names(&first.data)), ("snapshot", vec!["category", "pins"]));
    let expected = [site.tried_rows(BY_CATEGORY, "latest"), site.tried_rows(BY_COUNTRY, "latest")];
    let (done, http) = (AtomicBool::new(false), serving.http);
    let polled = thread::scope(|scope| {
        let poller = scope.spawn(|| {
            let mut polled = 0;
            while !done.load(SeqCst) {
                let answer = http.json("/answers/mine");
                assert!(expected.contains(&answer["rows"]), "half an answer: {answer}");
                polled += 1;
            }
            polled
        });
        for sql in [BY_COUNTRY, BY_CATEGORY, BY_COUNTRY, BY_CATEGORY, BY_COUNTRY] {
            add("replace", sql);
        }
        done.store(true, SeqCst);
        poller.join().unwrap()
    });
    assert!(polled > 5, "polled {polled} times");
    // Both streams got the new answers as snapshots.
    for events in [&mut one, &mut all] {
        let last = events.filter(|event| event.data["answer"] == "mine" && event.kind == "snapshot");
        let newest = last.filter(|event| column_names(&event.data).len() == 3).nth(2).unwrap();
        assert_eq!(newest.data["rows"], expected[1]);
    }
    // Rows that arrive change the new answer.
    site.append(usize::MAX);
    wait_until_durable(&serving, site.lines);
    let rows = site.tried_rows(BY_COUNTRY, "latest");
    assert_eq!(serving.http.json("/answers/mine")["rows"], rows);
    assert!(one.any(|event| event.kind == "change" && !event.data["insert"].as_array().unwrap().is_empty()));

    let csv = serving.http.get("/answers/mine?format=csv");
    assert_eq!(csv.text().lines().next(), Some("country,posts,newest"));
    assert_eq!(csv.text().lines().count(), rows.as_array().unwrap().len() + 1);
    let has_path = || !serving.http.json("/openapi.json")["paths"]["/answers/mine"].is_null();
    assert!(has_path());
    let status = serving.http.json("/status");
    assert!(status["answers"].as_array().unwrap().iter().any(|of| of["answer"] == "mine"));
    question_succeeds(&serving, &["drop", "mine"]);
    wait_until("it is gone", || !has_path());
    // The stream of the answer ends, the other one says that it is gone.
    let last = one.last().unwrap();
    assert_eq!((last.kind.as_str(), &last.data["answer"]), ("removed", &json!("mine")));
    assert!(all.any(|event| event.kind == "removed" && event.data["answer"] == "mine"));
    serving.stop();
}

#[test]
fn tables_of_answers_follow_added_questions_and_keep_their_columns() {
    let site = Site::new(200, 400);
    let config = site.configure("[answers.delta]\nurl = \"answers\"\nevery_secs = 0.2\n");
    let serving = ServingRun::start(site.path(), &config, &[]);
    wait_until_durable(&serving, site.arrived());
    let post = |query: &str, sql: &str| serving.http.send("POST", &format!("/questions?{query}"), &[], sql.as_bytes());
    let file = site.write_sql("mine", BY_CATEGORY);
    question_succeeds(&serving, &["add", file.to_str().unwrap()]);
    let log = site.path().join("answers/mine/_delta_log");
    wait_until("the table is written", || log.join("00000000000000000001.json").exists());
    // A table keeps its columns, and Delta takes no column of any name.
    let replaced = post("name=mine&replace=true", BY_COUNTRY);
    assert_eq!((replaced.status, &replaced.json()["error"]), (409, &json!("refused")));
    assert!(replaced.json()["message"].as_str().unwrap().contains("move its folder away"), "{}", replaced.text());
    let unnamed = post("name=other", "SELECT count(*) AS \"a b\" FROM pin");
    assert_eq!((unnamed.status, &unnamed.json()["error"]), (409, &json!("refused")), "{}", unnamed.text());
    let same = "SELECT category, count(*) AS pins FROM pin WHERE follower_count > 100 GROUP BY category";
    assert_eq!(post("name=mine&replace=true", same).status, 202);
    serving.stop();
    let again = ServingRun::start(site.path(), &config, &[]);
    wait_until("it answers", || again.http.get("/answers/mine").status == 200);
    again.stop();
}
