//! Questions that are added, replaced and dropped while an engine runs. Every answer that the engine shows is compared with
//! the batch evaluation over the rows that count, at every epoch.

#![allow(clippy::print_stdout, reason = "a test says which seed fails")]

mod checked_run;
mod memory_sink;

use std::time::Duration;

use pinflow_connect::sink::NoTables;
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::questions::QuestionPath;
use pinflow_engine::{QuestionLimits, QuestionPhase, QuestionRefusal};
use tokio::time::sleep;

use checked_run::{CheckedRun, ComparedFrames, RunOptions, SeenQuestions};
use memory_sink::{MemorySink, SnapshotFault};

/// Reads columns that are held of every row.
const HELD: &str = "SELECT category, count(*) AS posts, sum(follower_count) AS followers FROM pin GROUP BY category";
/// Takes the fast path if the run starts with it.
const FAST: &str = "SELECT age, count(*) AS users FROM \"user\" WHERE age > 1 GROUP BY age";
/// Joins, and reads columns that are held.
const JOINED: &str =
    "SELECT country, max(follower_count) AS most FROM pin JOIN geo USING (ind) GROUP BY country ORDER BY most DESC";
/// Reads columns that are not held.
const MISSING: &str = "SELECT title, is_image_or_video AS kind, count(*) AS posts, avg(length(description)) AS length \
                       FROM pin GROUP BY 1, 2";

/// A stream of posts of a few `ind`s, many of them repeated.
struct PostStream(u64);

impl PostStream {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn next_line(&mut self) -> String {
        let (ind, any) = (self.below(60), self.below(7));
        match self.below(3) {
            0 => format!("{{\"ind\": {ind}, \"country\": \"country {any}\", \"latitude\": 1.5, \"longitude\": 2.5}}\n"),
            1 => format!("{{\"ind\": {ind}, \"first_name\": \"Ann\", \"last_name\": \"Lee\", \"age\": {any}}}\n"),
            _ => format!(
                "{{\"ind\": {ind}, \"unique_id\": \"id\", \"title\": \"title {any}\", \"description\": \"{}\", \
                 \"follower_count\": \"{}\", \"category\": \"category {}\", \"is_image_or_video\": \"image\"}}\n",
                "x".repeat(any as usize),
                self.below(9),
                self.below(4),
            ),
        }
    }

    /// Sends blocks of a few records to both partitions.
    async fn send_blocks(&mut self, run: &mut CheckedRun, blocks: u64) {
        for _ in 0..blocks {
            let records = self.below(5) + 1;
            let text = (0..records).map(|_| self.next_line()).collect();
            let partition = u32::try_from(self.below(2)).expect("0 or 1");
            run.send_lines(partition, text).await;
            if self.below(4) == 0 {
                sleep(Duration::from_millis(self.below(4))).await;
            }
        }
    }
}

fn keep() -> RunOptions {
    RunOptions { duplicates: DuplicatePolicy::Keep, ..RunOptions::default() }
}

/// Adds a question while records flow, and returns what was compared until the end.
async fn add_mid_stream(options: RunOptions, sql: &str, sink: MemorySink) -> ComparedFrames {
    let mut posts = PostStream(options.workers as u64);
    let mut run = CheckedRun::start(sink, options).await;
    posts.send_blocks(&mut run, 60).await;
    run.control.add(run.added("mine", sql)).await.expect("is accepted");
    posts.send_blocks(&mut run, 60).await;
    run.wait_until_live("mine").await;
    posts.send_blocks(&mut run, 60).await;
    let usage = run.metrics.question_usage();
    assert!(usage.iter().any(|usage| usage.groups > 0 && usage.evaluated > 0), "{usage:?}");
    let compared = run.finish().await;
    assert!(compared.answers["mine"] > 10, "{:?}", compared.answers);
    compared
}

#[tokio::test(flavor = "multi_thread")]
async fn question_added_mid_stream_equals_batch_at_every_epoch() {
    for (workers, sql) in [(1, HELD), (2, JOINED), (3, HELD)] {
        add_mid_stream(RunOptions { workers, ..RunOptions::default() }, sql, MemorySink::default()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn question_with_missing_columns_is_filled_from_the_sink() {
    for (workers, millis) in [(1, 0), (2, 20), (3, 5)] {
        let sink = MemorySink { commit_time: Duration::from_millis(millis), ..MemorySink::default() };
        add_mid_stream(RunOptions { workers, ..RunOptions::default() }, MISSING, sink).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn question_added_where_duplicates_are_kept_has_all_rows() {
    for (workers, sql) in [(1, HELD), (2, MISSING), (3, JOINED)] {
        let sink = MemorySink { commit_time: Duration::from_millis(10), ..MemorySink::default() };
        add_mid_stream(RunOptions { workers, ..keep() }, sql, sink).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn question_without_any_record_is_complete_at_once() {
    for options in [RunOptions::default(), keep()] {
        let mut run = CheckedRun::start(MemorySink::default(), options).await;
        run.control.add(run.added("mine", MISSING)).await.expect("is accepted");
        assert_eq!(run.wait_until_live("mine").await.rows["mine"], 0);
        run.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replacement_takes_the_place_in_one_epoch() {
    for options in [RunOptions::default(), keep()] {
        let (mut posts, mut run) = (PostStream(5), CheckedRun::start(MemorySink::default(), options).await);
        posts.send_blocks(&mut run, 40).await;
        let old = run.control.add(run.added("mine", HELD)).await.expect("is accepted");
        run.wait_until_live("mine").await;
        posts.send_blocks(&mut run, 10).await;
        let new = run.control.replace(run.added("mine", MISSING)).await.expect("is accepted");
        posts.send_blocks(&mut run, 40).await;
        run.wait_until("replaced", |seen| seen.states.is_empty()).await;
        posts.send_blocks(&mut run, 20).await;
        let compared = run.finish().await;
        assert_eq!(compared.ids["mine"], [old, new]);
        let epochs = &compared.epochs["mine"];
        assert!(
            epochs.windows(2).all(|pair| pair[1] - pair[0] <= 1),
            "there is an epoch without an answer: {epochs:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_question_is_gone_and_its_name_is_free() {
    let (mut posts, mut run) = (PostStream(6), CheckedRun::start(MemorySink::default(), RunOptions::default()).await);
    posts.send_blocks(&mut run, 30).await;
    for sql in [MISSING, HELD, MISSING] {
        run.control.add(run.added("mine", sql)).await.expect("is accepted");
        run.wait_until_live("mine").await;
        posts.send_blocks(&mut run, 20).await;
        run.control.drop("mine".parse().expect("a name")).await.expect("is accepted");
        run.wait_until("dropped", |seen| !seen.is_live("mine")).await;
        posts.send_blocks(&mut run, 20).await;
    }
    let compared = run.finish().await;
    assert_eq!(compared.ids["mine"].len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn question_of_an_earlier_run_is_replaced_and_dropped_whatever_its_path() {
    let stored = vec![("fast", FAST), ("slow", MISSING)];
    for options in [RunOptions { stored: stored.clone(), ..RunOptions::default() }, RunOptions { stored, ..keep() }] {
        let (mut posts, mut run) = (PostStream(12), CheckedRun::start(MemorySink::default(), options).await);
        assert!(matches!(run.added("fast", FAST).path, QuestionPath::Compact(_)));
        posts.send_blocks(&mut run, 30).await;
        for name in ["fast", "slow"] {
            run.control.replace(run.added(name, HELD)).await.expect("is accepted");
        }
        posts.send_blocks(&mut run, 30).await;
        let are_replaced = |seen: &SeenQuestions| seen.live.len() == 2 && seen.states.is_empty();
        run.wait_until("replaced", are_replaced).await;
        posts.send_blocks(&mut run, 30).await;
        run.control.drop("fast".parse().expect("a name")).await.expect("is accepted");
        posts.send_blocks(&mut run, 30).await;
        let compared = run.finish().await;
        assert_eq!((compared.ids["fast"].len(), compared.ids["slow"].len()), (2, 2));
    }
}

/// Adds, replaces and drops questions at random moments. Returns how many answers at an epoch were compared.
async fn change_questions_at_random(seed: u64) -> usize {
    let mut posts = PostStream(seed);
    let duplicates = if posts.below(2) == 0 { DuplicatePolicy::Latest } else { DuplicatePolicy::Keep };
    let workers = 1 + usize::try_from(posts.below(3)).expect("a small number");
    let stored = vec![("one", FAST), ("two", MISSING)];
    let sink = MemorySink { commit_time: Duration::from_millis(posts.below(8)), ..MemorySink::default() };
    let mut run = CheckedRun::start(sink, RunOptions { workers, duplicates, stored, ..RunOptions::default() }).await;
    for _ in 0..40 {
        let blocks = posts.below(8);
        posts.send_blocks(&mut run, blocks).await;
        let name = ["one", "two", "three"][posts.below(3) as usize];
        let sql = [FAST, HELD, JOINED, MISSING][posts.below(4) as usize];
        // Some are refused, for example because the name is in use.
        let _ = match posts.below(5) {
            0 | 1 => run.control.add(run.added(name, sql)).await,
            2 | 3 => run.control.replace(run.added(name, sql)).await,
            _ => run.control.drop(name.parse().expect("a name")).await,
        };
    }
    run.control.replace(run.added("one", MISSING)).await.ok();
    posts.send_blocks(&mut run, 5).await;
    run.wait_until("all are complete", |seen| seen.states.is_empty()).await;
    posts.send_blocks(&mut run, 5).await;
    run.finish().await.answers.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_equal_batch_while_questions_change_at_random() {
    let first = std::env::var("PINFLOW_LIVE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(100);
    let rounds = std::env::var("PINFLOW_LIVE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12);
    let mut compared = 0;
    for seed in first..first + rounds {
        println!("seed {seed}");
        compared += change_questions_at_random(seed).await;
    }
    assert!(compared as u64 > 100 * rounds, "only {compared} answers were compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_questions_are_filled_one_after_the_other() {
    let (mut posts, mut run) = (PostStream(7), CheckedRun::start(MemorySink::default(), RunOptions::default()).await);
    posts.send_blocks(&mut run, 40).await;
    for (name, sql) in [("one", MISSING), ("two", HELD), ("three", MISSING), ("four", JOINED)] {
        run.control.add(run.added(name, sql)).await.expect("is accepted");
    }
    run.control.drop("three".parse().expect("a name")).await.expect("is accepted");
    posts.send_blocks(&mut run, 40).await;
    // The third one can be complete before it is dropped.
    let is_settled =
        |seen: &SeenQuestions| ["one", "two", "four"].iter().all(|name| seen.is_live(name)) && !seen.is_live("three");
    run.wait_until("all live", is_settled).await;
    posts.send_blocks(&mut run, 20).await;
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn question_over_its_limit_is_stopped_and_others_go_on() {
    let limits = QuestionLimits { rows_max: 3, ..QuestionLimits::default() };
    let configured = vec![("total", "SELECT count(*) AS posts FROM pin")];
    let options = RunOptions { limits, configured, ..RunOptions::default() };
    let (mut posts, mut run) = (PostStream(8), CheckedRun::start(MemorySink::default(), options).await);
    run.control.add(run.added("grows", HELD)).await.expect("is accepted");
    run.wait_until_live("grows").await;
    posts.send_blocks(&mut run, 60).await;
    let seen = run.wait_until("stopped", |seen| seen.stop_reason("grows").is_some()).await;
    let reason = seen.stop_reason("grows").expect("stopped");
    assert!(reason.contains("rows in its answer") && reason.contains("rows_max is 3"), "{reason}");
    assert!(!seen.is_live("grows") && seen.is_live("total"));
    // Now that there are rows, it is over its limit before it is complete.
    run.control.replace(run.added("grows", MISSING)).await.expect("is accepted");
    let is_stopped_again = |seen: &SeenQuestions| {
        seen.states.iter().any(|state| state.replaces.is_none() && state.question.sql == MISSING)
            && seen.stop_reason("grows").is_some()
    };
    run.wait_until("stopped again", is_stopped_again).await;
    posts.send_blocks(&mut run, 10).await;
    let before = run.metrics.question_usage().len();
    assert_eq!(before, 1, "nothing is held of a stopped question");
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn question_whose_rows_cannot_be_read_is_stopped_and_the_run_goes_on() {
    let faults = [(SnapshotFault::MissingFile, "file 7 is gone"), (SnapshotFault::MissingRows, "rows were read of")];
    for ((fault, expected), options) in faults.into_iter().zip([RunOptions::default(), keep()]) {
        let sink = MemorySink { fault: Some(fault), ..MemorySink::default() };
        let (mut posts, mut run) = (PostStream(9), CheckedRun::start(sink, options).await);
        posts.send_blocks(&mut run, 30).await;
        run.control.add(run.added("mine", MISSING)).await.expect("is accepted");
        let seen = run.wait_until("stopped", |seen| seen.stop_reason("mine").is_some()).await;
        let reason = seen.stop_reason("mine").expect("stopped");
        assert!(reason.contains(expected), "{reason}");
        posts.send_blocks(&mut run, 30).await;
        assert!(run.finish().await.answers.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_ends_while_a_question_fills_and_refuses_requests_after_that() {
    let sink = MemorySink { fault: Some(SnapshotFault::Hangs), ..MemorySink::default() };
    let (mut posts, mut run) = (PostStream(10), CheckedRun::start(sink, RunOptions::default()).await);
    posts.send_blocks(&mut run, 30).await;
    run.control.add(run.added("mine", MISSING)).await.expect("is accepted");
    let is_filling = |seen: &SeenQuestions| {
        seen.states.iter().any(|state| matches!(state.phase, QuestionPhase::Filling { done: 1.., .. }))
    };
    run.wait_until("fills", is_filling).await;
    let (control, other) = (run.control.clone(), run.added("other", HELD));
    assert!(run.finish().await.answers.is_empty());
    assert_eq!(control.add(other).await, Err(QuestionRefusal::RunEnded));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_without_tables_fills_only_from_held_columns() {
    let mut run = CheckedRun::start(NoTables, RunOptions::default()).await;
    let mut posts = PostStream(11);
    posts.send_blocks(&mut run, 30).await;
    let refusal = run.control.add(run.added("mine", MISSING)).await.expect_err("is refused").to_string();
    assert!(refusal.contains("pin.title") && refusal.contains("[tables]"), "{refusal}");
    run.control.add(run.added("mine", JOINED)).await.expect("is accepted");
    run.wait_until_live("mine").await;
    posts.send_blocks(&mut run, 10).await;
    assert!(run.finish().await.answers["mine"] > 0);

    let run = CheckedRun::start(NoTables, keep()).await;
    let refusal = run.control.add(run.added("mine", HELD)).await.expect_err("is refused");
    assert_eq!(refusal, QuestionRefusal::NeedsTablesToKeep("mine".parse().expect("a name")));
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_questions_and_unknown_names_are_refused() {
    let options = RunOptions { configured: vec![("total", HELD)], ..RunOptions::default() };
    let run = CheckedRun::start(MemorySink::default(), options).await;
    let (total, other) = ("total".parse().expect("a name"), "other".parse().expect("a name"));
    let add = run.control.add(run.added("Total", HELD)).await.expect_err("is refused");
    assert!(matches!(add, QuestionRefusal::NameInUse(_)), "{add}");
    let replace = run.control.replace(run.added("total", HELD)).await;
    assert_eq!(replace, Err(QuestionRefusal::Configured("total".parse().expect("a name"))));
    assert_eq!(run.control.drop(total).await, Err(QuestionRefusal::Configured("total".parse().expect("a name"))));
    let replace = run.control.replace(run.added("other", HELD)).await;
    assert_eq!(replace, Err(QuestionRefusal::UnknownName("other".parse().expect("a name"))));
    assert!(run.control.drop(other).await.is_err());
    run.finish().await;
}
