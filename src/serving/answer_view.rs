//! The answers as of the last passed epoch.

use std::sync::Arc;

use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerChange, LiveAnswer};
use pinflow_dataflows::questions::{self, Question};

use crate::engine::{EpochFrame, SourceStatus};
use crate::position::Epoch;

/// All answers, and the cut they are as of. Changes are applied whole epochs at a time. A clone shares the tables until
/// one of the two moves on.
#[derive(Clone)]
pub struct AnswerView {
    /// One table an answer, in the order of [`questions::ALL`].
    tables: Vec<Arc<LiveAnswer>>,
    /// The epoch they are as of.
    pub epoch: Epoch,
    /// When it was closed.
    pub as_of: Timestamp,
    /// The last committed epoch, if there are tables.
    pub durable_epoch: Option<Epoch>,
    /// How far each source was read.
    pub sources: Arc<[SourceStatus]>,
    /// Whether answers may be shown.
    pub open: bool,
    /// Whether everything has been read that was there when the run started.
    pub complete: bool,
}

impl Default for AnswerView {
    fn default() -> AnswerView {
        AnswerView {
            tables: questions::ALL.iter().map(|question| Arc::new(question.empty_table())).collect(),
            epoch: 0,
            as_of: Timestamp::UNIX_EPOCH,
            durable_epoch: None,
            sources: Arc::new([]),
            open: false,
            complete: false,
        }
    }
}

impl AnswerView {
    /// Every answer with its question.
    pub fn answers(&self) -> impl Iterator<Item = (&'static Question, &LiveAnswer)> {
        questions::ALL.iter().zip(self.tables.iter().map(Arc::as_ref))
    }

    /// One answer, by its index among all questions.
    #[must_use]
    pub fn answer(&self, index: usize) -> &LiveAnswer {
        &self.tables[index]
    }

    /// All rows of all answers, as changes from nothing.
    #[must_use]
    pub fn as_changes(&self) -> Vec<AnswerChange> {
        let tables = self.tables.iter().enumerate();
        tables
            .flat_map(|(answer, table)| table.rows().map(move |row| AnswerChange { answer, row: row.clone(), diff: 1 }))
            .collect()
    }

    /// Moves on to the frame's epoch.
    ///
    /// # Panics
    /// If a change does not fit the answer it changes: the graph is at fault, and nothing it said could be trusted.
    pub fn apply(&mut self, frame: &EpochFrame) {
        self.apply_changes(frame.epoch, frame.as_of, &frame.changes);
        self.durable_epoch = frame.durable_epoch;
        self.sources = Arc::clone(&frame.sources);
        self.open = frame.open;
        self.complete = frame.complete;
    }

    /// Moves the answers on, and nothing else.
    ///
    /// # Panics
    /// As [`AnswerView::apply`].
    pub(super) fn apply_changes(&mut self, epoch: Epoch, as_of: Timestamp, changes: &[AnswerChange]) {
        for (answer, table) in self.tables.iter_mut().enumerate() {
            let mut changes = changes.iter().filter(|change| change.answer == answer).peekable();
            if changes.peek().is_none() {
                continue;
            }
            // Copied only if somebody still reads the last one.
            let table = Arc::make_mut(table);
            if let Err(misfit) = table.apply(changes.map(|change| (&change.row, change.diff))) {
                panic!("{} at epoch {epoch}: {misfit}", questions::ALL[answer].name);
            }
        }
        (self.epoch, self.as_of) = (epoch, as_of);
    }
}
