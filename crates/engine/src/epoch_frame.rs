//! Frames: the result of an epoch, for serving.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerChange, LiveAnswer};
use pinflow_dataflows::questions::{QuestionId, QuestionSet};

use super::QuestionState;
use pinflow_core::position::Epoch;

/// A passed epoch, for serving: all its answer changes, and the positions of the sources at its end.
/// When the durable epoch advances, the last epoch is sent again without changes.
#[derive(Debug, Clone)]
pub struct EpochFrame {
    /// Its number.
    pub epoch: Epoch,
    /// When it was closed.
    pub as_of: Timestamp,
    /// The last epoch whose rows are committed. `None` without tables.
    pub durable_epoch: Option<Epoch>,
    /// Whether it is the last epoch of a window: once durable, everything up to it is, and nothing after it.
    pub ends_window: bool,
    /// The questions at the end of the epoch. A question that the frame before did not have starts with its answer in
    /// `first_answers`, or else without rows.
    pub questions: QuestionSet,
    /// The questions that have no answer to show at the end of the epoch: they wait, fill or were stopped.
    pub question_states: Arc<[QuestionState]>,
    /// The answers that are complete since this epoch, of questions that were added while the run goes on. Their rows are
    /// not among the changes.
    pub first_answers: Arc<[(QuestionId, LiveAnswer)]>,
    /// What changed.
    pub changes: Arc<Vec<AnswerChange>>,
    /// When the engine took the epoch's first record; `None` for an epoch without records, and in a frame that is sent again.
    pub first_record_at: Option<Instant>,
    /// How far each source was read at the end of the epoch.
    pub sources: Arc<[SourceStatus]>,
    /// Whether the answers may be shown: `false` while they are rebuilt from the tables.
    pub open: bool,
    /// Whether everything has been read that was there when the run started.
    pub complete: bool,
    /// Whether no other frame follows.
    pub last: bool,
}

impl EpochFrame {
    /// What changed, with all rows of answers that are complete since this epoch.
    #[must_use]
    pub fn all_changes(&self) -> Arc<Vec<AnswerChange>> {
        if self.first_answers.is_empty() {
            return Arc::clone(&self.changes);
        }
        let first = self.first_answers.iter().flat_map(|(answer, rows)| {
            rows.counted_rows().map(|(row, diff)| AnswerChange { answer: *answer, row: row.clone(), diff })
        });
        Arc::new(self.changes.iter().cloned().chain(first).collect())
    }
}

/// How far a source was read at the end of an epoch. The counts are of this run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SourceStatus {
    /// The partition, as the `_source` column has it.
    pub source: String,
    /// The next position to read.
    pub position: String,
    /// The position after the source's last record, if the source knows.
    pub end: Option<String>,
    /// Remaining records, if the source knows.
    pub lag: Option<u64>,
    /// How old the last record read was when the epoch closed, milliseconds, where there is more to read; else 0.
    pub lag_ms: Option<u64>,
    /// Rows read, rejections and exact redeliveries included.
    pub read: u64,
    /// Rows that went to their table.
    pub written: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Rows that were read again after a crash although a table already had them.
    pub redelivered: u64,
    /// Rows read in all runs: the count stored with the position when this run started, plus `read`.
    #[serde(skip)]
    pub read_all_time: u64,
}
