//! The answers that are written: all of one epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pinflow_core::position::Epoch;
use pinflow_dataflows::answer::AnswerRow;
use pinflow_dataflows::questions::{QuestionId, QuestionSet};

/// All answers as of one complete epoch.
pub trait AnswerCut: Send + Sync {
    /// The questions of the epoch.
    fn questions(&self) -> &QuestionSet;

    /// The epoch.
    fn epoch(&self) -> Epoch;

    /// When the epoch was closed.
    fn as_of(&self) -> Timestamp;

    /// Whether the rows that the answers are made of are committed to the tables of the run.
    fn is_durable(&self) -> bool;

    /// The epoch in which an answer changed last. Equal epochs of one run mean equal rows.
    fn changed_at(&self, question: QuestionId) -> Option<Epoch>;

    /// The rows of an answer without hidden cells, each with how often it is there.
    fn rows(&self, question: QuestionId) -> BTreeMap<AnswerRow, i64>;
}

/// Where the writer finds the answers.
pub trait AnswerSource: Send + Sync {
    /// The newest answers that may be written. `None` while they are rebuilt.
    fn current_cut(&self) -> Option<Arc<dyn AnswerCut>>;
}
