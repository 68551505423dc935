//! Random plans over random histories.

use std::collections::BTreeMap;

use super::histories::{ALL_KEYS, KeyedTables, RowsPerKey, random_epoch};
use super::plans::random_plan;
use super::runs::QuestionRun;
use super::{RandomDraws, case_count};
use crate::catalog::POSTS;
use crate::datum::Row;
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
