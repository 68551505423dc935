//! All answers as of one complete epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerChange, LiveAnswer};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionSet};

use pinflow_core::position::Epoch;
use pinflow_engine::{EpochFrame, QuestionState, SourceStatus};

/// All answers, with the epoch and the source positions that they are as of.
///
/// The questions are part of the view: a later view may have more or fewer. Changes are applied by whole epochs. A clone is cheap: it shares the tables until one of the two changes them.
#[derive(Clone)]
pub struct AnswerView {
    questions: QuestionSet,
    /// One table for each question, in the order of `questions`.
    tables: Vec<Arc<LiveAnswer>>,
    /// The epoch in which each question was first answered, in the same order. `None` for those of the start.
    since: Vec<Option<Epoch>>,
    /// The epoch in which each answer changed last, in the same order.
    changed: Vec<Option<Epoch>>,
    /// Questions that have no answer to show: they wait, fill or were stopped.
    pub question_states: Arc<[QuestionState]>,
    /// The epoch they are as of.
    pub epoch: Epoch,
    /// When the epoch was closed.
    pub as_of: Timestamp,
    /// The last committed epoch. `None` without tables.
    pub durable_epoch: Option<Epoch>,
    /// Position and counts of each partition.
    pub sources: Arc<[SourceStatus]>,
    /// Whether the answers may be shown: not while they are rebuilt from the tables.
    pub open: bool,
    /// Whether all records that existed at the start of the run are included.
    pub complete: bool,
}

impl AnswerView {
    /// The answers to these questions before any epoch: without rows.
    #[must_use]
    pub fn new(questions: QuestionSet) -> AnswerView {
        AnswerView {
            tables: questions.iter().map(|(_, question)| Arc::new(question.empty_table())).collect(),
            since: vec![None; questions.len()],
            changed: vec![None; questions.len()],
            question_states: Arc::new([]),
            questions,
            epoch: 0,
            as_of: Timestamp::UNIX_EPOCH,
            durable_epoch: None,
            sources: Arc::new([]),
            open: false,
            complete: false,
        }
    }

    /// The questions that the view has answers to.
    #[must_use]
    pub fn questions(&self) -> &QuestionSet {
        &self.questions
    }

    /// All answers with their questions, in order.
    pub fn answers(&self) -> impl ExactSizeIterator<Item = (&Arc<Question>, &LiveAnswer)> {
        self.questions.iter().map(|(_, question)| question).zip(self.tables.iter().map(Arc::as_ref))
    }

    /// One answer with its question. `None` if the view does not have the question.
    #[must_use]
    pub fn answer(&self, id: QuestionId) -> Option<(&Arc<Question>, &LiveAnswer)> {
        let index = self.questions.index_of(id)?;
        Some((self.questions.get(id)?, self.tables[index].as_ref()))
    }

    /// The epoch in which a question was first answered. `None` if it was there from the start.
    pub(super) fn live_since(&self, id: QuestionId) -> Option<Epoch> {
        self.since[self.questions.index_of(id)?]
    }

    /// The epoch in which an answer changed last. `None` if it has had no rows in this run.
    #[must_use]
    pub fn changed_at(&self, id: QuestionId) -> Option<Epoch> {
        self.changed[self.questions.index_of(id)?]
    }

    /// The number of rows of one answer, or of all.
    pub(super) fn row_count(&self, id: Option<QuestionId>) -> usize {
        match id {
            Some(id) => self.answer(id).map_or(0, |(_, table)| table.row_count()),
            None => self.tables.iter().map(|table| table.row_count()).sum(),
        }
    }

    /// All rows of all answers as inserts.
    #[must_use]
    pub fn as_changes(&self) -> Vec<AnswerChange> {
        let tables = self.questions.iter().map(|(answer, _)| answer).zip(&self.tables);
        let rows = tables.flat_map(|(answer, table)| table.counted_rows().map(move |(row, diff)| (answer, row, diff)));
        rows.map(|(answer, row, diff)| AnswerChange { answer, row: row.clone(), diff }).collect()
    }

    /// Advances to the frame's epoch.
    ///
    /// # Panics
    /// If a change contradicts the answer (deletes a row that is not there). This is a bug of the dataflow, and no later
    /// answer could be trusted.
    pub fn apply(&mut self, frame: &EpochFrame) {
        self.adopt_questions(&frame.questions, frame.epoch);
        self.question_states = Arc::clone(&frame.question_states);
        self.adopt_answers(frame.epoch, &frame.first_answers);
        self.apply_changes(frame.epoch, frame.as_of, &frame.changes);
        self.durable_epoch = frame.durable_epoch;
        self.sources = Arc::clone(&frame.sources);
        self.open = frame.open;
        self.complete = frame.complete;
    }

    /// Takes over the set of questions of an epoch: new ones are added without rows, and those that are not in it are
    /// removed.
    pub(super) fn adopt_questions(&mut self, questions: &QuestionSet, epoch: Epoch) {
        if self.questions.has_same_ids(questions) {
            return;
        }
        let before = std::mem::take(&mut self.tables);
        let table = |(id, question): (QuestionId, &Arc<Question>)| match self.questions.index_of(id) {
            Some(index) => Arc::clone(&before[index]),
            None => Arc::new(question.empty_table()),
        };
        self.tables = questions.iter().map(table).collect();
        free_in_background(before);
        let since = |id| self.questions.index_of(id).map_or(Some(epoch), |index| self.since[index]);
        self.since = questions.iter().map(|(id, _)| since(id)).collect();
        self.changed = questions.iter().map(|(id, _)| self.changed_at(id)).collect();
        self.questions = questions.clone();
    }

    /// Takes over answers that are complete since an epoch. Those of questions that the view does not have are ignored.
    pub(super) fn adopt_answers(&mut self, epoch: Epoch, answers: &[(QuestionId, LiveAnswer)]) {
        for (id, answer) in answers {
            if let Some(index) = self.questions.index_of(*id) {
                self.tables[index] = Arc::new(answer.clone());
                self.changed[index] = Some(epoch).filter(|_| answer.row_count() > 0);
            }
        }
    }

    /// Applies the changes of an epoch to the answers only. Changes of questions that the view does not have are ignored.
    ///
    /// # Panics
    /// As [`AnswerView::apply`].
    pub(super) fn apply_changes(&mut self, epoch: Epoch, as_of: Timestamp, changes: &[AnswerChange]) {
        let mut by_answer: BTreeMap<QuestionId, Vec<&AnswerChange>> = BTreeMap::new();
        for change in changes {
            by_answer.entry(change.answer).or_default().push(change);
        }
        for (answer, changes) in by_answer {
            let Some((index, question)) = self.questions.index_of(answer).zip(self.questions.get(answer)) else {
                continue;
            };
            // Copies the list of chunks only if a reader still holds it.
            let table = Arc::make_mut(&mut self.tables[index]);
            self.changed[index] = Some(epoch);
            if let Err(misfit) = table.apply(changes.into_iter().map(|change| (&change.row, change.diff))) {
                panic!("{} at epoch {epoch}: {misfit}", question.name);
            }
        }
        (self.epoch, self.as_of) = (epoch, as_of);
    }
}

/// Answers with more rows than this take longer to free than an epoch may wait.
const MANY_ROWS: usize = 10_000;

/// Frees tables on a thread of their own if that takes long.
fn free_in_background(tables: Vec<Arc<LiveAnswer>>) {
    let is_freed = |table: &Arc<LiveAnswer>| Arc::strong_count(table) == 1 && table.row_count() > MANY_ROWS;
    if tables.iter().any(is_freed) {
        // If no thread can be started, the closure is dropped here, and the tables with it.
        let _ = std::thread::Builder::new().name("free answer".to_owned()).spawn(move || drop(tables));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::answer::{AnswerCell, AnswerRow};

    use pinflow_dataflows::graph::GraphOptions;

    use super::*;

    #[test]
    fn view_adopts_the_questions_of_its_frame_and_keeps_the_rows_of_the_others() {
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (first, question) = built_in.iter().next().unwrap();
        let copy = Question { name: "mine".parse().unwrap(), ..Question::clone(question) };
        let (more, added) = built_in.with_question(copy).unwrap();
        let row = AnswerRow::new([AnswerCell::text("fr"), AnswerCell::Long(7)]);
        let change = |answer, diff| AnswerChange { answer, row: row.clone(), diff };

        let mut view = AnswerView::new(built_in.clone());
        view.apply_changes(1, Timestamp::UNIX_EPOCH, &[change(first, 2)]);
        let before = view.clone();
        view.adopt_questions(&more, 2);
        view.apply_changes(2, Timestamp::UNIX_EPOCH, &[change(added, 1)]);
        assert_eq!((view.row_count(Some(first)), view.row_count(Some(added)), view.answers().len()), (2, 1, 12));
        assert!(before.answer(added).is_none() && before.row_count(None) == 2);
        assert_eq!(view.as_changes(), [change(first, 2), change(added, 1)]);
        assert_eq!((view.live_since(first), view.live_since(added)), (None, Some(2)));
        assert_eq!((view.changed_at(first), view.changed_at(added)), (Some(1), Some(2)));

        view.adopt_questions(&more.without_question(first), 3);
        view.apply_changes(3, Timestamp::UNIX_EPOCH, &[change(added, -1)]);
        assert_eq!((view.answers().len(), view.row_count(None), view.live_since(added)), (11, 0, Some(2)));
        assert!(view.answer(first).is_none());
        assert_eq!((view.changed_at(first), view.changed_at(added)), (None, Some(3)));
    }

    #[test]
    fn view_takes_over_whole_answers_and_applies_later_changes_to_them() {
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (_, question) = built_in.iter().next().unwrap();
        let copy = Question { name: "mine".parse().unwrap(), ..Question::clone(question) };
        let (more, added) = built_in.with_question(copy).unwrap();
        let row = AnswerRow::new([AnswerCell::text("fr"), AnswerCell::Long(7)]);
        let mut answer = question.empty_table();
        answer.apply([(&row, 3)]).unwrap();
        let mut view = AnswerView::new(built_in);
        // A view without the question ignores its answer.
        view.adopt_answers(1, &[(added, answer.clone())]);
        assert_eq!(view.row_count(None), 0);
        view.adopt_questions(&more, 2);
        view.adopt_answers(2, &[(added, answer.clone())]);
        view.apply_changes(3, Timestamp::UNIX_EPOCH, &[AnswerChange { answer: added, row, diff: -1 }]);
        assert_eq!((view.row_count(Some(added)), answer.row_count(), view.changed_at(added)), (2, 3, Some(3)));
    }
}
