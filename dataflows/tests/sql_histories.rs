//! Every answer of a question in SQL at every epoch equals a batch evaluation over the rows that count at that epoch: for
//! random histories, random and fixed questions, worker counts, epoch boundaries and both policies for duplicates.

#![allow(clippy::print_stdout, reason = "the tests say how much they compared")]

mod batch_answers;
mod histories;
// The other tests of histories compare answers with SQLite.
mod oracle;
#[path = "../../crates/sql/tests/query_generator/mod.rs"]
mod query_generator;
mod sql_questions;

use std::cell::Cell;

use batch_answers::{batch_answer, counting_rows};
use histories::{HistoryTexts, RowArrival, WorkerPace};
use histories::{answers_by_epoch, any_arrivals, any_options, any_pace, check_random_histories, run_history};
use pinflow_dataflows::graph::{GraphOptions, QuestionSet};
use pinflow_dataflows::questions::{Question, QuestionOrigin, QuestionPath};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use query_generator::{RandomChoices, random_query};
use sql_questions::QUESTIONS;

/// The texts that the generator of queries compares with.
const TEXTS: HistoryTexts = HistoryTexts {
    categories: &["art", "christmas", "travel", "Art"],
    posters: &["ann", "Bob", "bob", "art"],
    countries: &["Peru", "bob", "Åland"],
    names: &["ann", "Bob", "bob", "art"],
};

/// The random histories of each test: `PINFLOW_SQL_CASES`, or what takes less than a minute.
fn history_count() -> u32 {
    let set = std::env::var("PINFLOW_SQL_CASES").ok().and_then(|count| count.parse().ok());
    set.unwrap_or(if cfg!(debug_assertions) { 150 } else { 8_000 })
}

/// The questions of these texts, and those on the fast path again on the general path.
fn compile_questions(texts: &[String], options: GraphOptions) -> QuestionSet {
    let mut set = QuestionSet::default();
    for (number, text) in texts.iter().enumerate() {
        let name = format!("question_{number}").parse().expect("a valid name");
        let question = Question::compile(name, text, options, QuestionOrigin::Configured);
        let question = question.unwrap_or_else(|error| panic!("{error}"));
        if let QuestionPath::Compact(_) = question.path {
            let name = format!("general_{number}").parse().expect("a valid name");
            (set, _) = set.with_question(Question { name, ..question.on_general_path() }).expect("another name");
        }
        (set, _) = set.with_question(question).expect("another name");
    }
    set
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default)]
struct ComparedAnswers {
    /// Answers at an epoch.
    answers: usize,
    /// Those with rows.
    with_rows: usize,
    /// Those that are not the same as at the epoch before.
    changed: usize,
}

/// Runs a history and compares all answers at every epoch.
fn compare_answers(
    arrivals: &[RowArrival],
    texts: &[String],
    options: GraphOptions,
    pace: WorkerPace,
) -> Result<ComparedAnswers, TestCaseError> {
    let questions = compile_questions(texts, options);
    let mut compared = ComparedAnswers::default();
    let mut before = vec![Vec::new(); questions.len()];
    let log = run_history(arrivals, options, &questions, pace, &[]);
    for (epoch, answers) in (0..).zip(answers_by_epoch(&questions, &log)) {
        let tables = counting_rows(arrivals, options.duplicates, epoch);
        for ((_, question), (rows, before)) in questions.iter().zip(answers.into_iter().zip(&mut before)) {
            let expected = batch_answer(question, &tables);
            let visible: Vec<_> = rows.iter().map(|row| row.visible(question.columns()).to_vec()).collect();
            prop_assert_eq!(
                &visible,
                &expected,
                "{} at epoch {} with {:?}, in the graph and in batch: {}",
                question.name,
                epoch,
                options,
                question.sql
            );
            compared.answers += 1;
            compared.with_rows += usize::from(!visible.is_empty());
            compared.changed += usize::from(*before != visible);
            *before = visible;
        }
    }
    Ok(compared)
}

/// Compares the answers of random histories, each with the questions of a strategy.
fn check_histories(name: &str, texts: impl Strategy<Value = Vec<String>>) {
    let histories = (any_arrivals(TEXTS), texts, any_options(), any_pace());
    let config = ProptestConfig {
        cases: history_count(),
        failure_persistence: None,
        max_shrink_iters: 5_000,
        max_shrink_time: 20_000,
        ..ProptestConfig::default()
    };
    let sum = Cell::new(ComparedAnswers::default());
    check_random_histories(config, &histories, |(arrivals, texts, options, pace)| {
        let (before, more) = (sum.get(), compare_answers(&arrivals, &texts, options, pace)?);
        sum.set(ComparedAnswers {
            answers: before.answers + more.answers,
            with_rows: before.with_rows + more.with_rows,
            changed: before.changed + more.changed,
        });
        Ok(())
    });
    let compared = sum.get();
    println!("{name}: {} histories, {compared:?}", history_count());
    let few = compared.answers / 4;
    assert!(compared.with_rows > few && compared.changed > few, "{compared:?}");
}

#[test]
fn answers_of_random_questions_at_every_epoch_equal_a_batch_evaluation() {
    let text =
        vec(any::<u32>(), 50..300).prop_map(|numbers| random_query(&mut RandomChoices::new(numbers)).pinflow_sql());
    check_histories("random questions", vec(text, 1..=6));
}

#[test]
fn answers_of_fixed_questions_at_every_epoch_equal_a_batch_evaluation() {
    let texts = subsequence(QUESTIONS.to_vec(), 1..=10);
    let texts = texts.prop_map(|texts| texts.into_iter().map(str::to_owned).collect());
    check_histories("fixed questions", texts);
}

#[test]
fn fixed_questions_take_both_paths() {
    let texts = QUESTIONS.map(str::to_owned);
    let questions = compile_questions(&texts, GraphOptions::default());
    let compact = questions.iter().filter(|(_, it)| matches!(it.path, QuestionPath::Compact(_))).count();
    assert!(compact >= 7, "{compact} questions are on the fast path");
    assert!(questions.len() - 2 * compact >= 40, "the others need the general path");
}
