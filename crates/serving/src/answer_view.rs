//! All answers as of one complete epoch.

use std::sync::Arc;

use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerChange, LiveAnswer};
use pinflow_dataflows::questions::{self, Question};

use pinflow_core::position::Epoch;
use pinflow_engine::{EpochFrame, SourceStatus};

/// All answers, with the epoch and the source positions that they are as of.
///
/// Changes are applied by whole epochs. A clone is cheap: it shares the tables until one of the two changes them.
#[derive(Clone)]
pub struct AnswerView {
    /// One table for each answer, in the order of [`questions::ALL`].
    tables: Vec<Arc<LiveAnswer>>,
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
    /// All answers with their questions.
    pub fn answers(&self) -> impl Iterator<Item = (&'static Question, &LiveAnswer)> {
        questions::ALL.iter().zip(self.tables.iter().map(Arc::as_ref))
    }

    /// One answer, by its index among all questions.
    #[must_use]
    pub fn answer(&self, index: usize) -> &LiveAnswer {
        &self.tables[index]
    }

    /// All rows of all answers as inserts.
    #[must_use]
    pub fn as_changes(&self) -> Vec<AnswerChange> {
        let tables = self.tables.iter().enumerate();
        tables
            .flat_map(|(answer, table)| table.rows().map(move |row| AnswerChange { answer, row: row.clone(), diff: 1 }))
            .collect()
    }

    /// Advances to the frame's epoch.
    ///
    /// # Panics
    /// If a change contradicts the answer (deletes a row that is not there). This is a bug of the dataflow, and no later
    /// answer could be trusted.
    pub fn apply(&mut self, frame: &EpochFrame) {
        self.apply_changes(frame.epoch, frame.as_of, &frame.changes);
        self.durable_epoch = frame.durable_epoch;
        self.sources = Arc::clone(&frame.sources);
        self.open = frame.open;
        self.complete = frame.complete;
    }

    /// Applies the changes of an epoch to the answers only.
    ///
    /// # Panics
    /// As [`AnswerView::apply`].
    pub(super) fn apply_changes(&mut self, epoch: Epoch, as_of: Timestamp, changes: &[AnswerChange]) {
        for (answer, table) in self.tables.iter_mut().enumerate() {
            let mut changes = changes.iter().filter(|change| change.answer == answer).peekable();
            if changes.peek().is_none() {
                continue;
            }
            // Copies the table only if a reader still holds it.
            let table = Arc::make_mut(table);
            if let Err(misfit) = table.apply(changes.map(|change| (&change.row, change.diff))) {
                panic!("{} at epoch {epoch}: {misfit}", questions::ALL[answer].name);
            }
        }
        (self.epoch, self.as_of) = (epoch, as_of);
    }
}
