//! Questions are added to a running graph and dropped from it. From the epoch in which an answer is complete, it equals
//! a batch evaluation at every epoch: for random histories and questions, added at random epochs, filled in random steps
//! from what the graph holds and from rows of the tables, and dropped at random epochs.

#![allow(clippy::print_stdout, reason = "the tests say how much they compared")]

mod batch_answers;
mod histories;
// The other tests of histories compare answers with SQLite.
mod oracle;
#[path = "../../crates/sql/tests/query_generator/mod.rs"]
mod query_generator;
mod sql_questions;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use batch_answers::{batch_answer, counting_rows};
use histories::live::{LIVE_EPOCHS, LiveLog, LivePace, LivePlan, PlannedQuestion, run_live_history};
use histories::{HistoryTexts, RowArrival, any_arrivals, any_options, any_pace, check_random_histories};
use pinflow_dataflows::graph::{DuplicatePolicy, FillProgress, GraphOptions};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionOrigin};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
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
    set.unwrap_or(if cfg!(debug_assertions) { 150 } else { 4_000 })
}

fn compile(name: &str, text: &str, options: GraphOptions) -> Question {
    let name = name.parse().expect("a valid name");
    Question::compile(name, text, options, QuestionOrigin::Configured).unwrap_or_else(|error| panic!("{error}"))
}

/// A question before it is compiled: its text, when it is added and dropped, and how it is filled.
type DraftQuestion = (String, Option<u64>, Option<u64>, bool, Vec<(usize, u64)>);

fn any_text() -> impl Strategy<Value = String> {
    let random =
        vec(any::<u32>(), 50..300).prop_map(|numbers| random_query(&mut RandomChoices::new(numbers)).pinflow_sql());
    prop_oneof![select(QUESTIONS.to_vec()).prop_map(str::to_owned), random]
}

fn any_draft() -> impl Strategy<Value = DraftQuestion> {
    let added = option::weighted(0.8, 0..11_u64);
    let fills = vec((0..3_usize, 0..4_u64), 1..8);
    (any_text(), added, option::weighted(0.5, 0..10_u64), any::<bool>(), fills).prop_map(
        |(text, added, stays, is_late, fills)| {
            (text, added, stays.map(|stays| added.unwrap_or(0) + stays), is_late, fills)
        },
    )
}

fn compile_drafts(drafts: &[DraftQuestion], options: GraphOptions) -> Vec<PlannedQuestion> {
    let planned = drafts.iter().enumerate().map(|(number, (text, added, dropped, is_late, fills))| PlannedQuestion {
        question: compile(&format!("question_{number}"), text, options),
        added: *added,
        dropped: *dropped,
        is_late: *is_late,
        fills: fills.clone(),
    });
    planned.collect()
}

fn any_live_pace() -> impl Strategy<Value = LivePace> {
    (any_pace(), vec(1..4_u32, 1..5), prop::bool::weighted(0.25)).prop_map(|(pace, keys_per_epoch, is_first_late)| {
        LivePace { pace, keys_per_epoch, is_first_late, sweeps: Vec::new() }
    })
}

/// Rows come in the first twelve epochs.
fn any_live_arrivals() -> impl Strategy<Value = Vec<RowArrival>> {
    any_arrivals(TEXTS).prop_map(|arrivals| {
        let spread = |(index, it): (usize, RowArrival)| RowArrival { epoch: 2 * it.epoch + index as u64 % 2, ..it };
        arrivals.into_iter().enumerate().map(spread).collect()
    })
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default)]
struct ComparedLiveAnswers {
    /// Answers at an epoch.
    answers: usize,
    /// Those with rows.
    with_rows: usize,
    /// Questions that were added, and those of them that were completed.
    added: usize,
    completed: usize,
    /// Questions that were filled over more than one epoch.
    in_steps: usize,
}

impl ComparedLiveAnswers {
    fn add(self, other: ComparedLiveAnswers) -> ComparedLiveAnswers {
        ComparedLiveAnswers {
            answers: self.answers + other.answers,
            with_rows: self.with_rows + other.with_rows,
            added: self.added + other.added,
            completed: self.completed + other.completed,
            in_steps: self.in_steps + other.in_steps,
        }
    }
}

/// Compares the answers of all questions at every epoch from which on they are complete.
fn check_live_answers(
    arrivals: &[RowArrival],
    options: GraphOptions,
    plan: &LivePlan,
    (log, workers): (&LiveLog, usize),
) -> Result<ComparedLiveAnswers, TestCaseError> {
    let mut compared = ComparedLiveAnswers::default();
    let mut tables_by_epoch = BTreeMap::new();
    for (id, question, added, dropped) in &plan.questions {
        let is_first = plan.first.get(*id).is_some();
        let complete = if is_first { Some(0) } else { log.completed(*id, workers) };
        let end = dropped.unwrap_or(LIVE_EPOCHS);
        check_progress(log, (*id, workers), (*added, end))?;
        compared.added += usize::from(!is_first);
        compared.completed += usize::from(!is_first && complete.is_some());
        compared.in_steps += usize::from(!is_first && complete.is_some_and(|complete| complete > added + 1));
        prop_assert!(complete.is_some() || end < LIVE_EPOCHS, "{} is not complete in the end", question.sql);
        let mut answer = question.empty_table();
        for epoch in 0..LIVE_EPOCHS {
            let changes: Vec<_> = log.changes.get(&epoch).into_iter().flatten().filter(|it| it.answer == *id).collect();
            prop_assert!(
                changes.is_empty() || (*added..end).contains(&epoch),
                "{} changes at epoch {epoch}, but is there in {added}..{end}",
                question.sql
            );
            answer.apply(changes.iter().map(|change| (&change.row, change.diff))).expect("changes fit");
            if complete.is_none_or(|complete| complete > epoch) || epoch >= end {
                continue;
            }
            let tables =
                tables_by_epoch.entry(epoch).or_insert_with(|| counting_rows(arrivals, options.duplicates, epoch));
            let visible: Vec<_> = answer.rows().map(|row| row.visible(question.columns()).to_vec()).collect();
            prop_assert_eq!(
                &visible,
                &batch_answer(question, tables),
                "added at epoch {}, complete at {:?}, at epoch {} with {:?}, in the graph and in batch: {}",
                added,
                complete,
                epoch,
                options,
                question.sql
            );
            compared.answers += 1;
            compared.with_rows += usize::from(!visible.is_empty());
        }
    }
    Ok(compared)
}

/// The progress of a question grows with each epoch until it is complete, and is given no more then.
fn check_progress(
    log: &LiveLog,
    (id, workers): (QuestionId, usize),
    (added, end): (u64, u64),
) -> Result<(), TestCaseError> {
    for worker in 0..workers {
        let calls = log.fills.iter().filter(|(at, _, it)| *at == worker && it.question == id);
        let calls: Vec<(u64, FillProgress)> = calls.map(|(_, epoch, progress)| (*epoch, *progress)).collect();
        for (index, (epoch, progress)) in calls.iter().enumerate() {
            prop_assert!((added..end).contains(epoch), "{progress:?} at epoch {epoch}");
            prop_assert_eq!(progress.is_complete(), progress.done >= progress.total);
            let Some((next_epoch, next)) = calls.get(index + 1) else { continue };
            prop_assert!(!progress.is_complete(), "{:?} after {:?}", next, progress);
            prop_assert_eq!(*next_epoch, epoch + 1);
            prop_assert!(next.done >= progress.done && next.total >= progress.total, "{next:?} after {progress:?}");
        }
    }
    Ok(())
}

/// Runs random histories with questions that come and go, and compares their answers.
fn check_live_histories(duplicates: DuplicatePolicy) {
    let histories = (any_live_arrivals(), vec(any_draft(), 1..7), any_options(), any_live_pace());
    let config = ProptestConfig {
        cases: history_count(),
        failure_persistence: None,
        max_shrink_iters: 5_000,
        max_shrink_time: 30_000,
        ..ProptestConfig::default()
    };
    let sum = Cell::new(ComparedLiveAnswers::default());
    check_random_histories(config, &histories, |(arrivals, drafts, options, pace)| {
        let options = GraphOptions { duplicates, ..options };
        let plan = Arc::new(LivePlan::new(&compile_drafts(&drafts, options), &arrivals, duplicates));
        let log = run_live_history(&arrivals, options, &plan, &pace);
        let workers = pace.pace.workers;
        sum.set(sum.get().add(check_live_answers(&arrivals, options, &plan, (&log, workers))?));
        Ok(())
    });
    let compared = sum.get();
    println!("{duplicates}: {} histories, {compared:?}", history_count());
    assert!(compared.with_rows > compared.answers / 4 && compared.completed > compared.added / 2, "{compared:?}");
    assert!(compared.in_steps > compared.added / 10, "{compared:?}");
}

#[test]
fn added_questions_equal_a_batch_evaluation_from_the_epoch_in_which_they_are_complete() {
    check_live_histories(DuplicatePolicy::Latest);
}

#[test]
fn added_questions_equal_a_batch_evaluation_where_every_delivery_counts() {
    check_live_histories(DuplicatePolicy::Keep);
}
