//! Texts that no row uses are freed while the graph runs, and no answer changes.

mod batch_answers;
mod histories;
mod oracle;

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use batch_answers::{batch_answer, counting_rows};
use histories::live::{LIVE_EPOCHS, LivePace, LivePlan, PlannedQuestion, run_live_history};
use histories::{
    HistoryTexts, any_arrivals, any_options, any_pace, asked_questions, check_answers, check_random_histories,
    run_history,
};
use pinflow_dataflows::graph::{DuplicatePolicy, GraphOptions, WorkerGraph, WorkerPlacement};
use pinflow_dataflows::questions::{Question, QuestionOrigin, QuestionSet};
use pinflow_dataflows::record::{Geo, Lineage, Pin};
use pinflow_dataflows::symbol::{Symbol, SymbolSweep, held_texts, keep_freed_places};
use proptest::collection::btree_set;
use proptest::prelude::{ProptestConfig, prop_assert_eq};

/// Enough texts that most are freed and interned again. Some are too long to be stored inline.
const MANY_TEXTS: HistoryTexts = HistoryTexts {
    categories: &["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "a category of more than 24 bytes"],
    posters: &["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "a poster of more than 24 bytes", "c0"],
    countries: &["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "a country of more than 24 bytes", "c1"],
    names: &["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "a name of more than 24 bytes", "p1"],
};

/// Runs one test at a time: the interned texts belong to the process.
fn lock_texts(keeps_freed_places: bool) -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    keep_freed_places(keeps_freed_places);
    guard
}

/// Runs random histories with sweeps at random epochs, and compares every answer at every epoch with its SQL.
fn check_histories_with_sweeps(keeps_freed_places: bool) {
    let _alone = lock_texts(keeps_freed_places);
    let (sweeps, freed) = (Cell::new(0), Cell::new(0));
    let begins = btree_set(0..histories::EPOCHS, 1..5);
    let histories = (any_arrivals(MANY_TEXTS), any_options(), any_pace(), begins);
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    check_random_histories(config, &histories, |(arrivals, options, pace, begins)| {
        // Under `keep` every row counts for good: there is nothing to free.
        let options = GraphOptions { duplicates: DuplicatePolicy::Latest, ..options };
        let log =
            run_history(&arrivals, options, &asked_questions(options), pace, &begins.into_iter().collect::<Vec<_>>());
        sweeps.set(sweeps.get() + log.sweeps);
        freed.set(freed.get() + log.freed);
        check_answers(&arrivals, options, &log)
    });
    assert!(sweeps.get() >= 150 && freed.get() >= 300, "{} sweeps freed {} texts", sweeps.get(), freed.get());
}

/// Slots of freed texts are not reused, so every use of a freed symbol panics. A symbol that was kept outside the rows
/// would differ from the new symbol of its text.
#[test]
fn sweep_frees_no_symbol_that_is_used_later() {
    check_histories_with_sweeps(true);
}

/// Places are reused, as in production.
#[test]
fn answers_equal_sql_while_sweeps_reuse_places() {
    check_histories_with_sweeps(false);
}

/// Questions whose groups and rows have texts of rows.
const TEXT_QUESTIONS: [&str; 4] = [
    "SELECT poster_name, count(*) AS posts FROM pin GROUP BY poster_name",
    "SELECT country, category, max(poster_name) AS poster FROM pin JOIN geo USING (ind) GROUP BY country, category",
    "SELECT ind, user_name, title FROM user LEFT JOIN pin USING (ind) ORDER BY user_name LIMIT 3",
    "SELECT category, string_agg(poster_name, ',' ORDER BY poster_name) AS posters FROM pin GROUP BY category",
];

/// Questions are added, filled step by step from stored rows and dropped, while sweeps free the texts of other rows.
#[test]
fn sweep_frees_no_text_that_an_added_question_reads_later() {
    let _alone = lock_texts(true);
    let freed = Cell::new(0);
    let added = proptest::collection::vec((0..9_u64, proptest::option::of(1..8_u64)), TEXT_QUESTIONS.len());
    let sweeps = btree_set(0..LIVE_EPOCHS, 2..8);
    let histories = (any_arrivals(MANY_TEXTS), any_pace(), added, sweeps, 1..3_u32);
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    check_random_histories(config, &histories, |(mut arrivals, pace, added, sweeps, keys)| {
        arrivals.iter_mut().for_each(|arrival| arrival.epoch *= 2);
        let options = GraphOptions::default();
        let planned = TEXT_QUESTIONS.iter().zip(added).enumerate().map(|(number, (sql, (added, stays)))| {
            let name = format!("question_{number}").parse().expect("a valid name");
            let question = Question::compile(name, sql, options, QuestionOrigin::Configured).expect("compiles");
            let dropped = stays.map(|stays| added + stays);
            PlannedQuestion { question, added: Some(added), dropped, is_late: false, fills: vec![(0, 1), (1, 0)] }
        });
        let plan = Arc::new(LivePlan::new(&planned.collect::<Vec<_>>(), &arrivals, options.duplicates));
        let sweeps = sweeps.into_iter().collect();
        let workers = pace.workers;
        let pace = LivePace { pace, keys_per_epoch: vec![keys], is_first_late: false, sweeps };
        let log = run_live_history(&arrivals, options, &plan, &pace);
        freed.set(freed.get() + log.freed_texts);
        for (id, question, _, dropped) in &plan.questions {
            let Some(complete) = log.completed(*id, workers) else { continue };
            let mut answer = question.empty_table();
            for epoch in 0..dropped.unwrap_or(LIVE_EPOCHS) {
                let changes = log.changes.get(&epoch).into_iter().flatten().filter(|it| it.answer == *id);
                answer.apply(changes.map(|change| (&change.row, change.diff))).expect("changes fit");
                let rows: Vec<_> = answer.rows().map(|row| row.visible(question.columns()).to_vec()).collect();
                let tables = counting_rows(&arrivals, options.duplicates, epoch);
                if epoch >= complete {
                    prop_assert_eq!(rows, batch_answer(question, &tables), "{} at epoch {}", question.sql, epoch);
                }
            }
        }
        Ok(())
    });
    assert!(freed.get() >= 300, "{} texts were freed", freed.get());
}

/// Sends a pin and the geo post with the same key.
fn send_posts(graph: &mut WorkerGraph, version: i64, category: &str) {
    let lineage =
        Lineage { arrived_at: Some(version), source: Symbol::new("kafka/p/0"), position: 0_u64.into(), sub: 0 };
    let pin = Pin {
        ind: 1,
        unique_id: None,
        title: None,
        description: None,
        follower_count: Some(1),
        poster_name: None,
        tag_list: None,
        is_image_or_video: None,
        image_src: None,
        save_location: None,
        category: Some(category.into()),
    };
    graph.pin(lineage, &pin);
    graph.geo(lineage, &Geo { ind: 1, country: Some("Chad".into()), coordinates: None, timestamp: None });
}

#[test]
fn texts_of_replaced_rows_are_freed_and_their_places_reused() {
    const EPOCHS: i64 = 2_000;
    const ROWS: i64 = 50;
    let _alone = lock_texts(false);
    timely::execute_directly(|worker| {
        let mut graph = WorkerGraph::install(
            worker,
            WorkerPlacement::OneProcess,
            0,
            GraphOptions::default(),
            &QuestionSet::built_in(GraphOptions::default()),
            |_, _| {},
            |_, _, _| {},
        );
        let (texts_before, bytes_before) = held_texts();
        let mut under_way = None;
        let (mut sweeps, mut most_bytes) = (0, 0);
        for epoch in 0..EPOCHS {
            for row in 0..ROWS {
                let version = epoch * ROWS + row;
                send_posts(&mut graph, version, &format!("{version:01000}"));
            }
            if under_way.is_none() && SymbolSweep::is_due() {
                under_way = SymbolSweep::begin(1).map(|sweep| (epoch.unsigned_abs(), sweep));
                let (at, sweep) = under_way.clone().expect("no other graph is there");
                graph.mark_after(at, sweep);
            }
            graph.advance_to(epoch.unsigned_abs() + 1);
            while graph.frontier() <= epoch.unsigned_abs() {
                worker.step();
            }
            if let Some((_, sweep)) = under_way.take() {
                assert!(sweep.free_unmarked() > 0);
                sweeps += 1;
            }
            most_bytes = most_bytes.max(held_texts().1 - bytes_before);
        }
        // 100 MB of texts went by.
        assert!(sweeps >= 3, "{sweeps} sweeps");
        assert!(most_bytes < 40 << 20, "{most_bytes} bytes of texts were held at once");
        graph.advance_to(EPOCHS.unsigned_abs() + 1);
        let sweep = SymbolSweep::begin(1).expect("none is under way");
        graph.mark_after(EPOCHS.unsigned_abs() + 1, sweep.clone());
        graph.advance_to(EPOCHS.unsigned_abs() + 2);
        while graph.frontier() <= EPOCHS.unsigned_abs() + 1 {
            worker.step();
        }
        sweep.free_unmarked();
        assert!(held_texts().0 <= texts_before + 2, "the category and the country of the rows that count");
    });
}

#[test]
fn sweep_does_not_begin_during_another_sweep_or_with_another_graph() {
    let _alone = lock_texts(false);
    assert!(SymbolSweep::begin(1).is_none(), "there is no graph");
    timely::execute_directly(|worker| {
        let one = WorkerGraph::install(
            worker,
            WorkerPlacement::OneProcess,
            0,
            GraphOptions::default(),
            &QuestionSet::built_in(GraphOptions::default()),
            |_, _| {},
            |_, _, _| {},
        );
        let sweep = SymbolSweep::begin(1).expect("this is the only graph");
        assert!(SymbolSweep::begin(1).is_none(), "a sweep is under way");
        drop(sweep);
        let _other = WorkerGraph::install(
            worker,
            WorkerPlacement::OneProcess,
            0,
            GraphOptions::default(),
            &QuestionSet::built_in(GraphOptions::default()),
            |_, _| {},
            |_, _, _| {},
        );
        assert!(SymbolSweep::begin(1).is_none(), "the rows of the other graph would not be marked");
        drop(one);
    });
}
