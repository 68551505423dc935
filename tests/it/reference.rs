//! Reproduces the published answers of public notebooks over the same posts, and replays the emulator's stream.
//!
//! The posts are stored next to a checkout and are never part of it. Without them these tests print so and end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use pinflow_testkit::{ProcessOutput, create_temp_dir, find_real_posts, last_snapshot, pinflow, succeed};

/// A row in a comparable form: numbers in one format, and the oldest age group with pinflow's label.
fn comparable(cells: &[Value]) -> Vec<String> {
    let number = |text: &str| text.parse::<f64>().map(|n| n.to_string());
    cells
        .iter()
        .map(|cell| match cell {
            Value::String(text) if text == "+50" => "50+".to_owned(),
            Value::String(text) => number(text).unwrap_or_else(|_| text.clone()),
            other => number(&other.to_string()).unwrap_or_else(|_| other.to_string()),
        })
        .collect()
}

/// Maps a notebook's column to pinflow's.
fn our_column<'a>(answer: &str, theirs: &'a str) -> &'a str {
    match theirs {
        "year_joined" | "join_year" => "post_year",
        "number_of_users_joined" | "numbers_users_joined" if answer.contains("joined_by_year") => "number_users_joined",
        other => other,
    }
}

/// The answer that corresponds to a published table, and the option that it needs.
fn our_answer(table: &str, matched_by: &str) -> Option<(&'static str, [&'static str; 2])> {
    let rule = matched_by.split('/').next()?;
    let ranked = match rule {
        "all" => ["--top", "all"],
        _ => ["--ties", "all"],
    };
    let median = match rule {
        "2way exact" => ["--median", "exact"],
        "2way approx" => ["--median", "lower"],
        _ => ["", ""],
    };
    Some(match (table, rule) {
        ("T4", _) => ("popular_category_by_country", ranked),
        ("T5", _) => ("popular_category_by_year", ranked),
        ("T6", "one user_name") => ("most_followed_user_by_country", ranked),
        ("T7", _) => ("popular_category_by_age_group", ranked),
        ("T8", "2way exact" | "2way approx") => ("median_followers_by_age_group", median),
        ("T9", "distinct user_name") => ("user_names_joined_by_year", ["--ties", "first"]),
        ("T9", "distinct ind") => ("users_joined_by_year", ["--ties", "first"]),
        ("T10", "2way exact" | "2way approx") => ("median_followers_by_join_year", median),
        ("T11", "2way exact" | "2way approx") => ("median_followers_by_join_year_and_age_group", median),
        _ => return None,
    })
}

fn answers(folder: &Path, options: &[&str]) -> ProcessOutput {
    last_snapshot(&succeed(pinflow(["run"]).arg(folder).args(options)).stdout)
}

/// Compares a published table under one of the rules that it is known to follow.
fn compare(case: &str, folder: &Path, table: &str, published: &Value, matched_by: &str) {
    let (answer, options) = our_answer(table, matched_by).expect("a rule with an answer");
    let columns: Vec<&str> =
        published["columns"].as_array().expect("columns").iter().filter_map(Value::as_str).collect();
    let ours: BTreeSet<Vec<String>> = answers(folder, &options).answers[answer]
        .iter()
        .map(|row| {
            comparable(&columns.iter().map(|theirs| row[our_column(answer, theirs)].clone()).collect::<Vec<_>>())
        })
        .collect();
    let theirs: BTreeSet<Vec<String>> = published["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| comparable(row.as_array().expect("cells")))
        .collect();
    let what = format!("{case} {table} ({matched_by}) as {answer} {options:?}");
    let missing: Vec<_> = theirs.difference(&ours).collect();
    assert!(missing.is_empty(), "{what}: published and not answered: {missing:?}");
    if options == ["--ties", "all"] {
        // A notebook shows at least one of the tied rows of every group.
        let group =
            columns.iter().position(|name| matches!(*name, "country" | "post_year" | "year_joined" | "age_group"));
        let group = group.expect("a grouping column");
        let groups = |rows: &BTreeSet<Vec<String>>| rows.iter().map(|row| row[group].clone()).collect::<BTreeSet<_>>();
        assert_eq!(groups(&theirs), groups(&ours), "{what}: groups");
    } else {
        assert_eq!(theirs, ours, "{what}");
    }
}

#[test]
fn published_answers_are_reproduced() {
    let Some(posts) = find_real_posts() else {
        eprintln!("the shared posts are not beside this checkout: nothing to compare with");
        return;
    };
    let mut compared = 0;
    for case in ["dedup316", "first105", "first224", "snapshot149"] {
        let folder = posts.join("reference").join(case);
        let expected = std::fs::read(folder.join("expected.json")).expect("expected.json");
        let expected: Value = serde_json::from_slice(&expected).expect("JSON");
        for (table, published) in expected["answers"].as_object().expect("answers") {
            let rules = published["matched_by"].as_array().expect("rules").iter().filter_map(Value::as_str);
            let known: Vec<_> = rules.filter(|rule| our_answer(table, rule).is_some()).collect();
            assert!(!known.is_empty(), "{case} {table}: none of its rules is ours");
            for rule in known {
                compare(case, &folder, table, published, rule);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 27, "every published table, under each of its rules that is ours");
}

/// The first draws of the unmodified emulator, as its three streams.
fn draws(posts: &Path, count: usize) -> BTreeMap<&'static str, Vec<String>> {
    let order = std::fs::read_to_string(posts.join("emulator_order.csv")).expect("the order of draws");
    let drawn: Vec<u64> = order
        .lines()
        .skip(1)
        .take(count)
        .map(|line| line.split(',').nth(1).and_then(|ind| ind.parse().ok()).expect("an ind"))
        .collect();
    assert_eq!(drawn.len(), count);
    ["pin", "geo", "user"]
        .into_iter()
        .map(|stream| {
            let mut rows = BTreeMap::new();
            for folder in [posts.to_owned(), posts.join("recovered")] {
                let text = std::fs::read_to_string(folder.join(format!("{stream}.jsonl"))).expect("posts");
                for line in text.lines() {
                    let row: Value = serde_json::from_str(line).expect("a row");
                    let ind = row["ind"].as_u64().or(row["index"].as_u64()).expect("a key");
                    rows.entry(ind).or_insert_with(|| line.to_owned());
                }
            }
            (stream, drawn.iter().map(|ind| rows[ind].clone()).collect())
        })
        .collect()
}

fn record(folder: &Path, streams: &BTreeMap<&str, Vec<String>>, range: std::ops::Range<usize>) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (stream, rows) in streams {
        let text: String = rows[range.clone()].iter().flat_map(|row| [row.as_str(), "\n"]).collect();
        std::fs::write(folder.join(format!("{stream}.jsonl")), text).expect("written");
    }
}

#[test]
fn emulator_stream_gives_the_same_answers_in_any_order() {
    const DRAWS: usize = 2_560;
    let Some(posts) = find_real_posts() else {
        eprintln!("the shared posts are not beside this checkout: nothing to replay");
        return;
    };
    let place = create_temp_dir();
    let streams = draws(&posts, DRAWS);
    for duplicates in [["--duplicates", "latest"], ["--duplicates", "keep"]] {
        let whole = place.path().join(format!("whole-{}", duplicates[1]));
        record(&whole, &streams, 0..DRAWS);
        let once = answers(&whole, &duplicates);
        assert_eq!(once.answers.len(), 11);
        assert!(once.answers.values().all(|rows| !rows.is_empty()), "every answer has rows");

        // Each stream in a different order.
        let mut shuffled = streams.clone();
        for (step, rows) in shuffled.values_mut().enumerate() {
            let stride = [577, 1_021, 1_999][step];
            *rows = (0..DRAWS).map(|n| rows[(n * stride + 13) % DRAWS].clone()).collect();
        }
        let folder = place.path().join(format!("shuffled-{}", duplicates[1]));
        record(&folder, &shuffled, 0..DRAWS);
        assert_eq!(once.answers, answers(&folder, &duplicates).answers, "shuffled");

        // Stop at several positions, and resume from the tables.
        for stop in [1, 276, 277, 1_300, DRAWS - 1] {
            let folder = place.path().join(format!("restarted-{}-{stop}", duplicates[1]));
            let tables = folder.join("tables");
            let tables = ["--tables", tables.to_str().expect("a path in UTF-8")];
            record(&folder, &streams, 0..stop);
            answers(&folder, &[duplicates, tables].concat());
            record(&folder, &streams, 0..DRAWS);
            let restarted = answers(&folder, &[duplicates, tables].concat());
            assert_eq!(once.answers, restarted.answers, "stopped after {stop} draws");
        }
    }
}
