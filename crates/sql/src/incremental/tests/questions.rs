//! Random plans over random histories.

use std::collections::BTreeMap;

use super::histories::{ALL_KEYS, KeyedTables, RowsPerKey, random_epoch};
use super::plans::random_plan;
use super::runs::QuestionRun;
use super::texts::plans_of;
use super::{RandomDraws, case_count};
use crate::catalog::POSTS;
use crate::datum::{Datum, Row};
use crate::derive::derive_columns;
use crate::eval::FaultCounter;
use crate::incremental::StateUsage;
use crate::naive::evaluate;
use crate::plan::QueryPlan;
use crate::split::{split_at_leaves, split_plan};

const EPOCHS: usize = 8;

/// A random plan, and a history that is compared after each epoch.
fn check_history(seed: u64, check: impl Fn(&QueryPlan, &mut QuestionRun, &KeyedTables)) {
    let mut draws = RandomDraws::new(seed);
    let depth = 1 + draws.below(5);
    let plan = random_plan(&mut draws, &POSTS, depth);
    let rows_per_key = *draws.pick(&[RowsPerKey::Latest, RowsPerKey::Keep]);
    let program = if draws.once_in(2) {
        split_plan(&derive_columns(plan.clone(), &POSTS), &POSTS)
    } else if draws.once_in(3) {
        split_at_leaves(&plan, &POSTS, |plan, _| matches!(plan, QueryPlan::Scan { .. }))
    } else {
        split_plan(&plan, &POSTS)
    };
    let mut tables = KeyedTables::new(&POSTS);
    let mut run = QuestionRun::start(program, draws.once_in(2)).expect("an empty state");
    check(&plan, &mut run, &tables);
    for _ in 0..EPOCHS {
        let before = tables.clone();
        let keys = random_epoch(&mut draws, &mut tables, &POSTS, rows_per_key);
        run.apply(&before, &tables, &keys).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{plan:#?}"));
        check(&plan, &mut run, &tables);
    }
}

/// The answer of the naive evaluator.
pub(super) fn naive_answer(plan: &QueryPlan, tables: &KeyedTables) -> BTreeMap<Row, i64> {
    let rows = [0, 1, 2].map(|relation| tables.rows_of(relation));
    let mut answer = BTreeMap::new();
    for row in evaluate(plan, &rows, &FaultCounter::default()) {
        *answer.entry(row).or_insert(0) += 1;
    }
    answer
}

#[test]
fn answers_after_each_epoch_are_those_of_the_naive_evaluator() {
    for seed in 0..case_count() {
        check_history(seed, |plan, run, tables| {
            assert_eq!(run.answer, naive_answer(plan, tables), "seed {seed}: {plan:#?}");
        });
    }
}

#[test]
fn filled_answers_are_those_of_the_naive_evaluator_once_all_rows_are_emitted() {
    let mut steps = 0;
    for seed in 0..case_count() {
        let mut draws = RandomDraws::new(seed);
        let depth = 1 + draws.below(5);
        let plan = random_plan(&mut draws, &POSTS, depth);
        let program = split_plan(&plan, &POSTS);
        let mut run = QuestionRun::start_filled(program, draws.once_in(2)).expect("an empty state");
        let (first_emitted, budget) = (draws.below(EPOCHS), 1 + draws.below(6));
        let mut tables = KeyedTables::new(&POSTS);
        for epoch in 0..3 * EPOCHS {
            let before = tables.clone();
            let keys = random_epoch(&mut draws, &mut tables, &POSTS, RowsPerKey::Keep);
            run.budget = (epoch >= first_emitted).then_some(if epoch < 2 * EPOCHS { budget } else { usize::MAX });
            run.apply(&before, &tables, &keys).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{plan:#?}"));
            steps += usize::from(epoch > first_emitted && !run.is_filled());
            if run.is_filled() {
                assert_eq!(run.answer, naive_answer(&plan, &tables), "seed {seed} in epoch {epoch}: {plan:#?}");
            }
        }
        assert!(run.is_filled(), "seed {seed}: {plan:#?}");
    }
    assert!(steps as u64 > case_count() / 10, "only {steps} epochs left rows to later ones");
}

/// Rows come over many epochs, then the answer is emitted over some.
#[test]
fn filled_question_gives_each_row_on_once_and_as_many_in_an_epoch_as_it_may() {
    let ranked =
        "SELECT category, poster_name, n, rank() OVER (PARTITION BY category ORDER BY n DESC, poster_name) AS place
                  FROM (SELECT category, poster_name, count(*) AS n FROM pin GROUP BY 1, 2)";
    let limited = "SELECT poster_name, count(*) AS n FROM pin GROUP BY 1 ORDER BY n DESC LIMIT 150";
    let compared = "SELECT poster_name, n FROM (SELECT poster_name, count(*) AS n FROM pin GROUP BY 1)
                    WHERE n >= (SELECT max(n) / 2 FROM (SELECT poster_name, count(*) AS n FROM pin GROUP BY 1))";
    let nested =
        "SELECT n, count(*) AS posters FROM (SELECT poster_name, count(*) AS n FROM pin GROUP BY 1) GROUP BY n";
    for (text, most) in [(ranked, 16 + 70), (limited, 16), (compared, 256), (nested, 16)] {
        let (_, program) = plans_of(text);
        let mut run = QuestionRun::start_filled(program, true).expect("an empty state");
        let (mut tables, mut given) = (KeyedTables::new(&POSTS), 0);
        for epoch in 0..50_i64 {
            let before = tables.clone();
            let keys: Vec<i64> = (epoch * 40..(epoch + 1) * 40).collect();
            for key in &keys {
                tables.rows[0].entry(*key).or_default().insert(pin_row(*key), 1);
            }
            run.apply(&before, &tables, &keys).expect("only rows that are there go");
            assert_eq!((run.changes, run.answer.len()), (0, 0), "{text}");
        }
        run.budget = Some(16);
        while !run.is_filled() {
            run.apply(&tables, &tables, &[]).expect("no rows go");
            assert!(run.changes <= most, "{} changes in an epoch: {text}", run.changes);
            given += run.changes;
        }
        assert!(given == run.answer.len() && given > 4, "{given} changes for {} rows: {text}", run.answer.len());
    }
}

/// A pin of one of 30 categories and one of about 200 posters, of which some have many.
fn pin_row(key: i64) -> Row {
    let value = |column: &crate::catalog::CatalogColumn| match column.name {
        "ind" => Datum::Long(key),
        "category" => Datum::text(&format!("category {}", key % 30)),
        "poster_name" => Datum::text(&format!("poster {}", (key * key) % 397 % 199)),
        _ => Datum::Null,
    };
    POSTS.relations[0].columns.iter().map(value).collect()
}

#[test]
fn no_state_is_held_once_all_rows_are_gone() {
    for seed in 0..case_count() {
        let mut draws = RandomDraws::new(seed);
        let depth = 1 + draws.below(5);
        let program = split_plan(&random_plan(&mut draws, &POSTS, depth), &POSTS);
        let mut run = QuestionRun::start(program, false).expect("an empty state");
        let (empty, mut tables) = (run.usage(), KeyedTables::new(&POSTS));
        for _ in 0..EPOCHS {
            let before = tables.clone();
            let keys = random_epoch(&mut draws, &mut tables, &POSTS, RowsPerKey::Keep);
            run.apply(&before, &tables, &keys).expect("only rows that are there go");
        }
        run.apply(&tables, &KeyedTables::new(&POSTS), &ALL_KEYS).expect("only rows that are there go");
        let usage = run.usage();
        // Tables that are not empty keep free places.
        let free = if empty.bytes == 0 { 0 } else { 1024 };
        assert!((empty.bytes..=empty.bytes + free).contains(&usage.bytes), "seed {seed}: {usage:?}, {empty:?}");
        assert_eq!(StateUsage { bytes: empty.bytes, ..usage }, empty, "seed {seed}");
    }
}
