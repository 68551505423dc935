//! The answers and tables of a cluster are those of one process.

use std::collections::BTreeMap;

use pinflow::dataflows::graph::{DuplicatePolicy, GraphOptions};
use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::ledger::{assert_each_line_once, places};
use pinflow_testkit::{last_snapshot, pinflow, succeed};
use serde_json::Value;

use super::{ClusterSite, ConfigLines};

const SNAPSHOTS: [&str; 2] = ["--output", "snapshots"];

/// Runs a cluster of this shape, and asserts that its answers and tables are those of one process with one worker.
fn assert_same_as_one_process(processes: usize, workers: &str, duplicates: DuplicatePolicy) {
    let own = "[[question]]\nname = \"pins_by_country\"\n\
               sql = \"SELECT country, category, count(*) AS pins, median(follower_count) AS middle FROM pin JOIN geo \
               USING (ind) GROUP BY 1, 2\"\n\
               [[question]]\nname = \"newest\"\nsql = \"SELECT ind, title FROM pin ORDER BY ind DESC LIMIT 20\"\n";
    let lines = ConfigLines { tables: "commit_rows_max = 2000", more: own, ..ConfigLines::default() };
    let site = ClusterSite::new(6_000, lines);
    let policy = duplicates.to_string();
    let flags = [&SNAPSHOTS[..], &["--duplicates", &policy, "--workers", workers]].concat();
    let cluster = site.cluster(processes);
    cluster.run_to_end(&flags);
    let answered = last_snapshot(&cluster.stdout(0));
    for process in 1..processes {
        assert!(cluster.stdout(process).is_empty(), "a follower prints nothing");
    }
    assert_eq!(answered.cut["epoch"], answered.cut["durable_epoch"], "the final snapshot is durable");
    assert_each_line_once(&site.recording(), &site.tables());
    let options = GraphOptions { duplicates, ..GraphOptions::default() };
    assert_answers_equal_batch(&site.tables(), options, &answered);
    let of_cluster = places(&site.tables());
    succeed(pinflow(["table"]).arg(site.tables()).args(["--verify", "--deep"]));
    // One process continues the same tables, and then reads everything again into others.
    let mut command = pinflow(["run"]);
    let again = succeed(command.arg(&site.config).args(SNAPSHOTS).args(["--duplicates", &policy]));
    assert_eq!(last_snapshot(&again.stdout).answers, answered.answers);
    let alone = site.path().join("alone");
    let mut command = pinflow(["run", "--workers", "1", "--duplicates", &policy, "--tables"]);
    let alone_run = succeed(command.arg(&alone).args(SNAPSHOTS).arg(&site.config));
    assert_eq!(last_snapshot(&alone_run.stdout).answers, answered.answers);
    assert_eq!(places(&alone), of_cluster);
}

#[test]
fn two_processes_give_the_results_of_one() {
    assert_same_as_one_process(2, "1", DuplicatePolicy::Latest);
}

#[test]
fn three_processes_with_two_workers_each_give_the_results_of_one() {
    assert_same_as_one_process(3, "2", DuplicatePolicy::Latest);
}

#[test]
fn processes_that_keep_all_rows_give_the_results_of_one() {
    assert_same_as_one_process(2, "2", DuplicatePolicy::Keep);
    assert_same_as_one_process(3, "1", DuplicatePolicy::Keep);
}

#[test]
fn every_epoch_of_a_cluster_is_consistent_with_the_changes_before_it() {
    let site = ClusterSite::new(3_000, ConfigLines { source: "rate_per_sec = 20000", ..ConfigLines::default() });
    let cluster = site.cluster(2);
    cluster.run_to_end(&["--output", "changes", "--workers", "1"]);
    let out = String::from_utf8(cluster.stdout(0)).unwrap();
    let lines = out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")));
    let changes: Vec<Value> = lines.filter(|line: &Value| line["answer"].is_string()).collect();
    let epochs: Vec<u64> = changes.iter().map(|change| change["epoch"].as_u64().unwrap()).collect();
    assert!(epochs.is_sorted() && epochs.len() > 100, "{} changes", epochs.len());
    let mut rows: BTreeMap<(String, String), i64> = BTreeMap::new();
    for of_epoch in changes.chunk_by(|one, next| one["epoch"] == next["epoch"]) {
        for change in of_epoch {
            for (key, diff) in [("insert", 1), ("delete", -1)] {
                for row in change[key].as_array().unwrap() {
                    *rows.entry((change["answer"].as_str().unwrap().to_owned(), row.to_string())).or_default() += diff;
                }
            }
        }
        let lacking: Vec<_> = rows.iter().filter(|(_, count)| **count < 0).collect();
        assert!(lacking.is_empty(), "removed at epoch {} but never there: {lacking:?}", of_epoch[0]["epoch"]);
        rows.retain(|_, count| *count != 0);
    }
    let alone = succeed(pinflow(["run"]).arg(&site.config).args(SNAPSHOTS));
    let mut expected: BTreeMap<(String, String), i64> = BTreeMap::new();
    for (answer, rows) in last_snapshot(&alone.stdout).answers {
        for row in rows {
            *expected.entry((answer.clone(), row.to_string())).or_default() += 1;
        }
    }
    assert_eq!(rows, expected);
}
