//! The state of questions that are not live, for serving.

use std::sync::Arc;

use pinflow_core::position::Epoch;
use pinflow_dataflows::questions::{Question, QuestionId, QuestionName};

/// A question of the run that has no answer to show: it waits, fills or was stopped.
#[derive(Debug, Clone)]
pub struct QuestionState {
    /// Its name.
    pub name: QuestionName,
    /// Its id, with which it becomes live.
    pub id: QuestionId,
    /// The question.
    pub question: Arc<Question>,
    /// What it is doing.
    pub phase: QuestionPhase,
    /// The live question of the same name that it replaces once it is complete.
    pub replaces: Option<QuestionId>,
}

/// What a question that is not live is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuestionPhase {
    /// Another question fills first, or the answers are being rebuilt.
    Waiting,
    /// Its answer is being computed from the rows that were there before it.
    Filling {
        /// Rows and `ind`s that are done.
        done: u64,
        /// All of them, estimated. At least `done`; 0 while it is unknown.
        total: u64,
    },
    /// It was removed from the run, and holds nothing any more.
    Stopped {
        /// The first epoch without it.
        epoch: Epoch,
        /// Why.
        reason: Arc<str>,
    },
}
