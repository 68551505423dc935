//! What readers see while a run writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinflow::dataflows::graph::GraphOptions;
use pinflow_testkit::batch::assert_answers_equal_batch;
use pinflow_testkit::postgres::{PostgresDatabase, PostgresServer};
use pinflow_testkit::{RunningProcess, wait_until};
use serde_json::Value;

use super::{
    ComparableRows, DatabaseSite, ShownCut, assert_shows_snapshot, built_in_names, comparable_row, shown_cut,
    skips_postgres,
};

/// The answers at an epoch, from the changes that a run wrote to stdout.
fn answers_at(changes: &[Value], epoch: u64) -> BTreeMap<String, ComparableRows> {
    let mut answers: BTreeMap<String, ComparableRows> =
        built_in_names().into_iter().map(|name| (name, ComparableRows::new())).collect();
    for change in changes.iter().filter(|change| change["epoch"].as_u64().unwrap() <= epoch) {
        let rows = answers.get_mut(change["answer"].as_str().unwrap()).unwrap();
        for (key, diff) in [("insert", 1), ("delete", -1)] {
            for row in change[key].as_array().unwrap() {
                *rows.entry(comparable_row(row)).or_default() += diff;
            }
        }
        rows.retain(|_, count| *count != 0);
    }
    answers
}

/// Polls the database until `done`. Returns every cut that it showed.
fn poll_cuts(shown: impl Fn() -> Option<ShownCut>, done: &AtomicBool) -> Vec<ShownCut> {
    let mut cuts: Vec<ShownCut> = Vec::new();
    while !done.load(SeqCst) {
        if let Some(cut) = shown()
            && cuts.last() != Some(&cut)
        {
            cuts.push(cut);
        }
        thread::sleep(Duration::from_millis(5));
    }
    cuts
}

/// The epoch of the database. `None` before the first write, which makes the tables.
fn epoch_shown(database: &PostgresDatabase<'_>) -> Option<String> {
    let rows = database.try_sql("SELECT epoch FROM pinflow.pinflow_cut").ok()?;
    rows.first()?.first()?.first()?.clone()
}

#[test]
fn every_cut_that_the_database_shows_equals_all_answers_at_its_epoch() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let site = DatabaseSite::new(&database, "");
    let (names, out, log) = (built_in_names(), site.path().join("changes"), site.path().join("log"));
    let mut command = site.command(&["--output", "changes"]);
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&log).unwrap());
    let mut running = RunningProcess::start(&mut command);
    let done = AtomicBool::new(false);
    let cuts = thread::scope(|scope| {
        let polling = scope.spawn(|| poll_cuts(|| shown_cut(&database, &names), &done));
        for step in 1..=12 {
            site.grow_to(f64::from(step) / 12.0);
            // Time to be written before the next posts come, also on a busy machine.
            let written = Instant::now();
            let shown = epoch_shown(&database);
            while epoch_shown(&database) == shown && written.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(50));
            }
        }
        let has_all = || database.value("SELECT sum(number_users_joined) FROM pinflow.users_joined_by_year");
        wait_until("it writes the last answers", || {
            let before = has_all();
            thread::sleep(Duration::from_millis(500));
            before.is_some() && before == has_all()
        });
        running.signal(Signal::SIGTERM);
        assert_eq!(running.wait().code(), Some(0), "{}", fs::read_to_string(&log).unwrap());
        done.store(true, SeqCst);
        polling.join().unwrap()
    });
    let text = fs::read_to_string(&out).unwrap();
    let changes: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cuts.len() > 5, "{} cuts were seen", cuts.len());
    assert!(cuts.is_sorted_by_key(|cut| cut.epoch));
    for cut in &cuts {
        let expected = answers_at(&changes, cut.epoch);
        assert!(cut.is_durable);
        assert_eq!(cut.answers, expected, "answers at epoch {}", cut.epoch);
        assert_eq!(cut.sums, expected, "changes up to epoch {}", cut.epoch);
    }
    let snapshot = site.run_to_end();
    assert_shows_snapshot(&database, &snapshot);
    assert_answers_equal_batch(&site.path().join("tables"), GraphOptions::default(), &snapshot);
    let log = fs::read_to_string(&log).unwrap();
    assert!(!log.contains("c%na/r:y"), "the password is in the log");
}

#[test]
fn cut_is_announced_and_tables_say_what_they_are() {
    if skips_postgres() {
        return;
    }
    let database = PostgresServer::shared().database();
    let site = DatabaseSite::new(&database, "");
    site.grow_to(1.0);
    let snapshot = site.run_to_end();
    assert_shows_snapshot(&database, &snapshot);
    let comment = database.value("SELECT obj_description('pinflow.users_joined_by_year'::regclass)").unwrap();
    assert!(comment.contains("answer of pinflow") && comment.contains("SELECT"), "{comment}");
    let types = "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) FROM \
                 information_schema.columns WHERE table_name = 'median_followers_by_join_year'";
    let found = database.value(types).unwrap();
    assert!(found.starts_with("_row bigint, post_year bigint, median_follower_count double precision"), "{found}");
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND connamespace = 'pinflow'::regnamespace";
    assert_eq!(database.value(keys).as_deref(), Some("25"), "22 tables of answers and three of pinflow");
    // A run without new posts writes no rows.
    let rows = "SELECT sum(n_tup_ins)::text FROM pg_stat_user_tables WHERE relname NOT LIKE 'pinflow%'";
    let before = database.value("SELECT max(_change)::text FROM pinflow.users_joined_by_year_changes");
    site.run_to_end();
    assert_eq!(database.value("SELECT max(_change)::text FROM pinflow.users_joined_by_year_changes"), before, "{rows}");
}
