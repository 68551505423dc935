//! Every answer of a question in SQL at every epoch equals a batch evaluation over the rows that count at that epoch: for
//! random histories, random and fixed questions, worker counts, epoch boundaries and both policies for duplicates.

#![allow(clippy::print_stdout, reason = "the tests say how much they compared")]

mod histories;
// The other tests of histories compare answers with SQLite.
mod oracle;
#[path = "../../crates/sql/tests/query_generator/mod.rs"]
mod query_generator;
mod sql_questions;

use std::cell::Cell;
use std::collections::BTreeMap;

use histories::{HistoryTexts, RowArrival, StreamPost, WorkerPace};
use histories::{answers_by_epoch, any_arrivals, any_options, any_pace, run_history};
use pinflow_dataflows::answer::AnswerCell;
use pinflow_dataflows::graph::{DuplicatePolicy, GraphOptions, QuestionSet};
use pinflow_dataflows::questions::{Question, QuestionOrigin, QuestionPath};
use pinflow_dataflows::record::{Ind, Lineage};
use pinflow_sql::catalog::{GEO_RELATION, PIN_RELATION, USER_RELATION};
use pinflow_sql::datum::{Datum, Row};
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::naive::{evaluate, list_answer};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::TestRunner;
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

/// The rows of pin, geo and user that count at the end of an epoch.
fn counting_rows(arrivals: &[RowArrival], duplicates: DuplicatePolicy, epoch: u64) -> [Vec<Row>; 3] {
    let mut tables = [const { Vec::new() }; 3];
    let mut latest = BTreeMap::new();
    for arrival in arrivals.iter().filter(|it| it.epoch <= epoch) {
        let (relation, ind, row) = catalog_row(&arrival.lineage, &arrival.post);
        if duplicates == DuplicatePolicy::Keep {
            tables[relation].push(row);
            continue;
        }
        let version = version_order(&arrival.lineage);
        let held = latest.entry((relation, ind)).or_insert((version.clone(), row.clone()));
        if version > held.0 {
            *held = (version, row);
        }
    }
    for ((relation, _), (_, row)) in latest {
        tables[relation].push(row);
    }
    tables
}

/// Versions by arrival, source, position and number in the message. A delivery without an arrival time is the oldest.
fn version_order(lineage: &Lineage) -> (Option<i64>, String, String, u32) {
    let Lineage { arrived_at, source, position, sub } = lineage;
    (*arrived_at, source.text().to_string(), format!("{position:020}"), *sub)
}

/// A row with all columns of its relation.
fn catalog_row(lineage: &Lineage, post: &StreamPost) -> (usize, Ind, Row) {
    let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map_or(Datum::Null, Datum::text);
    let long = |value: Option<i64>| value.map_or(Datum::Null, Datum::Long);
    let time = |value: Option<i64>| value.map_or(Datum::Null, Datum::Time);
    let (relation, ind, values) = match post {
        StreamPost::Pin(pin) => {
            let followers = long(pin.follower_count);
            let first = [text(&pin.unique_id), text(&pin.title), text(&pin.description), followers];
            let more = [&pin.poster_name, &pin.tag_list, &pin.is_image_or_video, &pin.image_src, &pin.save_location];
            let more = more.into_iter().chain([&pin.category]).map(text);
            (PIN_RELATION, pin.ind, first.into_iter().chain(more).collect::<Vec<_>>())
        }
        StreamPost::Geo(geo) => {
            let pair = |pair: [f64; 2]| Datum::List(pair.map(|it| Datum::double(it).expect("finite")).into());
            let values = [text(&geo.country), geo.coordinates.map_or(Datum::Null, pair), time(geo.timestamp)];
            (GEO_RELATION, geo.ind, values.into())
        }
        StreamPost::User(user) => {
            let values = [text(&user.user_name), long(user.age.map(i64::from)), time(user.date_joined)];
            (USER_RELATION, user.ind, values.into())
        }
    };
    let lineage = [Datum::text(&lineage.source.text()), time(lineage.arrived_at)];
    (relation, ind, [Datum::Long(ind.cast_signed())].into_iter().chain(values).chain(lineage).collect())
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
            let listed =
                list_answer(&question.bound, evaluate(&question.bound.plan, &tables, &FaultCounter::default()));
            let expected: Vec<Vec<_>> =
                listed.into_iter().map(|row| row.into_iter().map(AnswerCell::from).collect()).collect();
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
    let checked = TestRunner::new(config).run(&histories, |(arrivals, texts, options, pace)| {
        let (before, more) = (sum.get(), compare_answers(&arrivals, &texts, options, pace)?);
        sum.set(ComparedAnswers {
            answers: before.answers + more.answers,
            with_rows: before.with_rows + more.with_rows,
            changed: before.changed + more.changed,
        });
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
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
