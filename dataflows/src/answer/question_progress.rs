//! What a worker says of its questions while it runs: how far one is filled, and what each costs.

use serde::{Deserialize, Serialize};

use super::{AnswerChange, QuestionId};

/// How far a question that was added to a running graph is filled on one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillProgress {
    /// The question.
    pub question: QuestionId,
    /// How much of this worker's state its answer covers, in keys (`duplicates = "latest"`) or rows (`"keep"`).
    pub done: u64,
    /// How much there is. The question is complete on this worker in the first epoch with `done == total`.
    pub total: u64,
}

impl FillProgress {
    /// Whether the answer covers all of this worker's state, from the end of the epoch on.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.done == self.total
    }
}

/// A change of an answer, its end, or how far it is filled.
#[derive(Debug, Clone)]
pub enum AnswerUpdate {
    /// A row is added or removed.
    Change(AnswerChange),
    /// A question is dropped: its answer has no changes in this epoch and later ones.
    Drop(QuestionId),
    /// How far a question is filled on this worker.
    Fill(FillProgress),
}

/// What a question costs on one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionUsage {
    /// The question.
    pub question: QuestionId,
    /// Groups, partitions and keys of joins that are held.
    pub groups: u64,
    /// Rows, counted labels and values that are held.
    pub rows: u64,
    /// The size of these in memory with the values of extra columns that the question reads, bytes, approximately.
    pub bytes: u64,
    /// Text values that are held, approximately: in groups, rows and extra columns.
    pub texts: u64,
    /// Operations without a result so far.
    pub faults: u64,
    /// How often the question was evaluated for the rows of an `ind`. 0 for a question on the fast path.
    pub evaluated: u64,
    /// How long that took, nanoseconds: an estimate from one evaluation in 64. 0 without a clock.
    pub nanos: u64,
}

impl QuestionUsage {
    /// The usage of a question that holds nothing.
    #[must_use]
    pub fn none(question: QuestionId) -> QuestionUsage {
        QuestionUsage { question, groups: 0, rows: 0, bytes: 0, texts: 0, faults: 0, evaluated: 0, nanos: 0 }
    }
}

/// Adds what another worker holds. The question stays the same.
impl std::ops::AddAssign for QuestionUsage {
    fn add_assign(&mut self, other: QuestionUsage) {
        self.groups += other.groups;
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.texts += other.texts;
        self.faults += other.faults;
        self.evaluated += other.evaluated;
        self.nanos += other.nanos;
    }
}
