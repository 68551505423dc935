//! Random questions in SQL, over random histories. `tests/sqlite.rs` compares the same ones with SQLite.

use super::histories::{KeyedTables, RowsPerKey, random_epoch};
use super::questions::naive_answer;
use super::runs::QuestionRun;
use super::texts::plans_of;
use super::{RandomDraws, case_count};
use crate::catalog::POSTS;
use query_generator::{RandomChoices, random_query};

#[path = "../../../tests/query_generator/mod.rs"]
mod query_generator;

const EPOCHS: usize = 8;

#[test]
fn answers_of_random_texts_after_each_epoch_are_those_of_the_naive_evaluator() {
    for seed in 0..case_count() {
        let mut draws = RandomDraws::new(seed);
        let numbers = (0..300).map(|_| draws.next_bits() as u32).collect();
        let text = random_query(&mut RandomChoices::new(numbers)).pinflow_sql();
        let (plan, maintained) = plans_of(&text);
        let rows_per_key = *draws.pick(&[RowsPerKey::Latest, RowsPerKey::Keep]);
        let mut run = QuestionRun::start(maintained, draws.once_in(2)).expect("an empty state");
        let mut tables = KeyedTables::new(&POSTS);
        assert_eq!(run.answer, naive_answer(&plan, &tables), "seed {seed}: {text}");
        for epoch in 0..EPOCHS {
            let before = tables.clone();
            let keys = random_epoch(&mut draws, &mut tables, &POSTS, rows_per_key);
            run.apply(&before, &tables, &keys).unwrap_or_else(|error| panic!("seed {seed}: {error}: {text}"));
            assert_eq!(run.answer, naive_answer(&plan, &tables), "seed {seed}, epoch {epoch}: {text}");
        }
    }
}
