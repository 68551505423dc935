//! `pinflow question`, and questions of the user's own in configurations and flags.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use pinflow_testkit::{create_temp_dir, emit, last_snapshot, pinflow, succeed};

/// Writes a file below a folder. Returns its name.
fn write<'a>(folder: &Path, name: &'a str, text: &str) -> &'a str {
    fs::write(folder.join(name), text).unwrap();
    name
}

/// Runs a command that must fail with this exit code and print nothing on stdout. Returns its stderr.
fn stderr_of(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{command:?}: {stderr}");
    assert!(stdout.is_empty(), "stdout is for data");
    stderr
}

fn stdout_of(command: &mut Command) -> String {
    String::from_utf8(succeed(command).stdout).unwrap()
}

/// Writes three pins, two geo posts and a user, and the tables `data` of a run over them.
fn write_small_tables(folder: &Path) {
    let recordings = folder.join("recordings");
    fs::create_dir_all(&recordings).unwrap();
    let pin = |ind: u32, category: &str, followers: &str, title: &str| {
        format!(
            "{{\"index\":{ind},\"category\":\"{category}\",\"follower_count\":\"{followers}\",\"title\":\"{title}\"}}\n"
        )
    };
    // The second delivery of 1 is the one that counts.
    let pins = pin(1, "art", "5", "old")
        + &pin(2, "art", "2k", "=1+1")
        + &pin(3, "food", "7", "a, b")
        + &pin(1, "art", "6", "new");
    write(&recordings, "pin.jsonl", &pins);
    let geo = |ind: u32, country: &str, at: &str| {
        format!(
            "{{\"ind\":{ind},\"country\":\"{country}\",\"latitude\":1.5,\"longitude\":-2,\"timestamp\":\"{at}\"}}\n"
        )
    };
    write(&recordings, "geo.jsonl", &(geo(1, "Chad", "2020-01-02T03:04:05") + &geo(3, "Fiji", "2021-06-07T08:09:10")));
    let user =
        "{\"ind\":1,\"first_name\":\"Ann\",\"last_name\":\"Lee\",\"age\":30,\"date_joined\":\"2016-10-24T11:23:51\"}\n";
    write(&recordings, "user.jsonl", user);
    succeed(pinflow(["run", "recordings", "--tables", "data", "--output", "none"]).current_dir(folder));
}

/// The rows that `question try` gives over the tables `data`.
fn try_rows(folder: &Path, sql: &str, flags: &[&str]) -> Value {
    write(folder, "tried.sql", sql);
    let mut command = pinflow(["question", "try", "tried.sql", "--tables", "data", "--format", "json"]);
    let printed: Value = serde_json::from_str(&stdout_of(command.args(flags).current_dir(folder))).unwrap();
    assert_eq!(printed["answer"], "tried");
    printed["rows"].clone()
}

#[test]
fn tried_question_gives_the_rows_that_count() {
    let place = create_temp_dir();
    write_small_tables(place.path());
    let tried = |sql: &str| try_rows(place.path(), sql, &[]);
    assert_eq!(
        tried(
            "SELECT category, count(*) AS pins, sum(follower_count) AS followers FROM pin GROUP BY 1 ORDER BY pins DESC"
        ),
        json!([{"category": "art", "pins": 2, "followers": 2006}, {"category": "food", "pins": 1, "followers": 7}])
    );
    assert_eq!(
        tried(
            "SELECT p.title, g.timestamp, u.age FROM pin p LEFT JOIN geo g USING (ind) LEFT JOIN user u USING (ind) ORDER BY p.ind"
        ),
        json!([
            {"title": "new", "timestamp": "2020-01-02T03:04:05Z", "age": 30},
            {"title": "=1+1", "timestamp": null, "age": null},
            {"title": "a, b", "timestamp": "2021-06-07T08:09:10Z", "age": null},
        ])
    );
    assert_eq!(
        tried("SELECT coordinates[1] AS latitude, count(*) AS n FROM geo GROUP BY 1"),
        json!([{"latitude": 1.5, "n": 2}])
    );
    assert_eq!(tried("SELECT count(*) AS n FROM pin"), json!([{"n": 3}]));
    assert_eq!(try_rows(place.path(), "SELECT count(*) AS n FROM pin", &["--duplicates", "keep"]), json!([{"n": 4}]));
}

#[test]
fn tried_answer_is_printed_as_a_table_and_as_csv_up_to_a_limit() {
    let place = create_temp_dir();
    write_small_tables(place.path());
    write(place.path(), "titles.sql", "SELECT ind, title, nullif(ind, 2) AS odd FROM pin ORDER BY ind");
    let tried = |format: &str, more: &[&str]| {
        let mut command = pinflow(["question", "try", "titles.sql", "--tables", "data", "--format", format]);
        succeed(command.args(more).current_dir(place.path()))
    };
    let csv = String::from_utf8(tried("csv", &[]).stdout).unwrap();
    assert_eq!(csv, "ind,title,odd\n1,new,1\n2,'=1+1,\n3,\"a, b\",3\n");
    let limited = tried("table", &["--limit", "1"]);
    let table = String::from_utf8(limited.stdout).unwrap();
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words, [vec!["ind", "title", "odd"], vec!["1", "new", "1"]]);
    let log = String::from_utf8(limited.stderr).unwrap();
    assert!(log.contains("the first 1 of 3 rows, from 3 rows of the tables"), "{log}");
}

#[test]
fn built_in_questions_give_the_answers_of_the_run_when_they_are_tried() {
    let place = create_temp_dir();
    emit(&place.path().join("recordings"), 300, 2_000, 5, &[]);
    let names = stdout_of(&mut pinflow(["question", "builtin"]));
    assert_eq!(names.lines().count(), 11);
    for options in [&[][..], &["--duplicates", "keep", "--ties", "all", "--top", "2", "--median", "lower"]] {
        let _ = fs::remove_dir_all(place.path().join("data"));
        let mut run = pinflow(["run", "recordings", "--tables", "data", "--output", "snapshots"]);
        let answers = last_snapshot(&succeed(run.args(options).current_dir(place.path())).stdout).answers;
        for name in names.lines() {
            let sql = stdout_of(&mut pinflow(["question", "builtin", name]));
            assert!(!answers[name].is_empty(), "{name} has no rows");
            assert_eq!(try_rows(place.path(), &sql, options), json!(answers[name]), "{name} {options:?}");
        }
    }
}

/// Questions of both paths: aggregates of a join, windows, rows, texts that no run holds anyway.
const OWN_QUESTIONS: [(&str, &str); 6] = [
    (
        "pins",
        "SELECT category, count(*) AS pins, avg(follower_count) AS mean FROM pin GROUP BY category ORDER BY pins DESC",
    ),
    ("latest", "SELECT timestamp, country, title FROM pin JOIN geo USING (ind) ORDER BY timestamp DESC LIMIT 5"),
    (
        "places",
        "SELECT country, category, count(*) AS n, row_number() OVER (PARTITION BY country ORDER BY count(*) DESC, category) AS place FROM pin JOIN geo USING (ind) GROUP BY 1, 2 QUALIFY place <= 2 ORDER BY 1, 4",
    ),
    (
        "tags",
        "SELECT tag, count(*) AS n FROM (SELECT trim(unnest(string_split(tag_list, ','))) AS tag FROM pin) GROUP BY tag ORDER BY n DESC LIMIT 10",
    ),
    ("middle", "SELECT round(avg(coordinates[1]), 6) AS latitude, count(coordinates) AS places FROM geo"),
    ("alone", "SELECT count(*) AS n FROM pin LEFT JOIN geo USING (ind) WHERE geo.country IS NULL"),
];

#[test]
fn run_keeps_own_questions_equal_to_their_batch_answers() {
    let place = create_temp_dir();
    emit(&place.path().join("recordings"), 300, 2_000, 7, &[]);
    let [(first, sql), others @ ..] = OWN_QUESTIONS;
    let source = "[[source]]\nkind = \"recording\"\npath = \"recordings\"\n";
    write(place.path(), "posts.toml", &format!("[[question]]\nname = {first:?}\nsql = {sql:?}\n\n{source}"));
    for duplicates in ["latest", "keep"] {
        let _ = fs::remove_dir_all(place.path().join("data"));
        let mut run =
            pinflow(["run", "posts.toml", "--tables", "data", "--output", "snapshots", "--duplicates", duplicates]);
        for (name, sql) in others {
            let file = format!("{name}.sql");
            run.arg("--question").arg(write(place.path(), &file, sql));
        }
        let answers = last_snapshot(&succeed(run.current_dir(place.path())).stdout).answers;
        // A start over the tables reads back what the questions need.
        let again = last_snapshot(&succeed(&mut run).stdout).answers;
        assert_eq!(again, answers, "after a restart with {duplicates}");
        for (name, sql) in OWN_QUESTIONS {
            assert!(!answers[name].is_empty(), "{name} has no rows");
            let tried = try_rows(place.path(), sql, &["--duplicates", duplicates]);
            assert_eq!(tried, json!(answers[name]), "{name} with {duplicates}");
        }
    }
}

#[test]
fn explanation_shows_columns_order_plan_and_memory() {
    let place = create_temp_dir();
    let sql = "SELECT category, count(*) AS pins, max(length(title)) AS longest FROM pin GROUP BY category ORDER BY pins DESC";
    write(place.path(), "longest.sql", sql);
    let explain =
        |more: &[&str]| stdout_of(pinflow(["question", "explain", "longest.sql"]).args(more).current_dir(place.path()));
    let text = explain(&[]);
    for part in [
        "longest\n",
        "kept up to date on the general path",
        "category  text",
        "pins      long, never null",
        "listed by pins DESC",
        "Aggregate",
        "Scan pin",
        "held anyway    pin.category",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let json: Value = serde_json::from_str(&explain(&["--format", "json"])).unwrap();
    assert_eq!(json["question"], "longest");
    assert_eq!(json["columns"][1], json!({"name": "pins", "type": "long", "nullable": false}));
    assert_eq!(json["memory"]["held_anyway"], json!(["pin.category"]));
    let extra = json["memory"]["held_for_it"].as_array().unwrap();
    assert!(extra.len() == 1 && extra[0]["column"] == "pin.title", "{json}");
    assert_eq!(json["memory"]["bytes_per_ind"], extra[0]["bytes"]);
}

#[test]
fn memory_is_estimated_for_a_number_of_inds_and_measured_over_tables() {
    let place = create_temp_dir();
    write_small_tables(place.path());
    write(place.path(), "titles.sql", "SELECT category, title, count(*) AS pins FROM pin GROUP BY category, title");
    write(
        place.path(),
        "categories.sql",
        "SELECT category, count(*) AS pins FROM pin WHERE category <> '' GROUP BY category",
    );
    let explain = |file: &str, more: &[&str]| {
        let mut command = pinflow(["question", "explain", file]);
        stdout_of(command.args(more).current_dir(place.path()))
    };
    let total = |file: &str, more: &[&str]| -> Value {
        let text = explain(file, &[more, &["--format", "json"]].concat());
        serde_json::from_str::<Value>(&text).unwrap()["memory"]["total"].clone()
    };
    let estimated = total("titles.sql", &["--inds", "1000", "--groups", "40"]);
    assert_eq!((&estimated["is_measured"], &estimated["answer_rows"]), (&json!(false), &json!(40)), "{estimated}");
    let more = total("titles.sql", &["--inds", "1000"]);
    assert_eq!(more["groups"], 1_000);
    assert!(more["held_bytes"].as_u64() > estimated["held_bytes"].as_u64(), "{more}");
    for (file, groups) in [("titles.sql", 3), ("categories.sql", 2)] {
        let measured = total(file, &["--tables", "data"]);
        assert_eq!((&measured["is_measured"], &measured["inds"]), (&json!(true), &json!(3)), "{measured}");
        assert_eq!((&measured["groups"], &measured["answer_rows"]), (&json!(groups), &json!(groups)), "{measured}");
        assert!(measured["held_bytes"].as_u64() > Some(0) && measured["answer_bytes"].as_u64() > Some(0), "{measured}");
    }
    let text = explain("titles.sql", &["--tables", "data"]);
    for part in ["memory of the answer", "memory over these tables, with 3 ind (measured)", "3 groups", "for 3 rows"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn every_problem_of_every_question_is_reported_with_its_place() {
    let place = create_temp_dir();
    write(place.path(), "one.sql", "SELECT follower_cnt,\n  now() AS at\nFROM pin");
    write(place.path(), "two.sql", "SELECT category FROM pins");
    let in_place = |arguments: &[&str]| stderr_of(pinflow(arguments).current_dir(place.path()), 2);
    let explained = in_place(&["question", "explain", "one.sql", "two.sql"]);
    for part in
        ["one.sql: 2 problems", "1:8 ", "`follower_count`", "^^^^^^^^^^^^", "2:3 ", "two.sql: 1 problem", "1:22"]
    {
        assert!(explained.contains(part), "{part} is not in:\n{explained}");
    }
    let posts = "[[question]]\nfile = \"one.sql\"\n\n[[question]]\nfile = \"nowhere.sql\"\n\n[[source]]\nkind = \"recording\"\npath = \"r\"\n";
    write(place.path(), "posts.toml", posts);
    for command in ["check", "run"] {
        let found = in_place(&[command, "posts.toml", "--question", "two.sql"]);
        for part in [
            "posts.toml has 3 errors",
            "posts.toml:2:8: [[question]] file: one.sql: 2 problems",
            "posts.toml:5:8: [[question]] file: cannot read nowhere.sql: there is no such file",
            "--question two.sql: two.sql: 1 problem",
        ] {
            assert!(found.contains(part), "{command}: {part} is not in:\n{found}");
        }
    }
}

#[test]
fn check_lists_the_columns_of_questions() {
    let place = create_temp_dir();
    write_small_tables(place.path());
    write(place.path(), "pins.sql", "SELECT count(*) AS pins, count(*) FILTER (WHERE $top = 3) AS three FROM pin");
    let mut check = pinflow(["check", "recordings", "--question", "pins.sql", "--top", "3"]);
    let printed = stdout_of(check.current_dir(place.path()));
    assert!(printed.contains("ok     question `pins`: pins, three\n"), "{printed}");
}

#[test]
fn unusable_questions_and_tables_exit_with_2() {
    let place = create_temp_dir();
    write_small_tables(place.path());
    write(place.path(), "empty.sql", " \n");
    write(place.path(), "large.sql", &"x".repeat((64 << 10) + 1));
    write(place.path(), "top-10.sql", "SELECT 1 AS one");
    write(place.path(), "good.sql", "SELECT count(*) AS n FROM pin");
    fs::write(place.path().join("bytes.sql"), b"SELECT '\xff'").unwrap();
    for (arguments, words) in [
        (&["explain", "nowhere.sql"][..], "there is no such file"),
        (&["explain", "empty.sql"], "is empty"),
        (&["explain", "large.sql"], "larger than 64 KiB"),
        (&["explain", "bytes.sql"], "not text in UTF-8"),
        (&["explain", "top-10.sql"], "cannot be the name"),
        (&["explain", "recordings"], "is not a file"),
        (&["try", "good.sql", "--tables", "nowhere"], "nowhere"),
        (&["try", "good.sql", "--tables", "gs://bucket/x"], "gs://"),
        (&["builtin", "nothing"], "no built-in question"),
    ] {
        let mut command = pinflow(["question"]);
        let found = stderr_of(command.args(arguments).current_dir(place.path()), 2);
        assert!(found.contains(words), "{arguments:?}: {found}");
    }
}
