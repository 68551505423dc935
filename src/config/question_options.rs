//! `[questions]`: the options of all questions, and what each of them may hold.

use pinflow_core::key_problem::KeyProblem;
use pinflow_dataflows::graph::{DuplicatePolicy, GraphOptions, MedianMethod, RankLimit, TieRule};
use pinflow_engine::QuestionLimits;
use serde::Deserialize;

use super::memory::ByteSize;

/// `[questions]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuestionOptions {
    /// Whether repeated deliveries of an `ind` count.
    pub duplicates: DuplicatePolicy,
    /// Which labels of equal value are listed.
    pub ties: TieRule,
    /// How many ranks of a group are listed.
    pub top: RankLimit,
    /// The median of an even number of values.
    pub median: MedianMethod,
    /// The most groups that a question may hold.
    pub groups_max: u64,
    /// The most rows that an answer may have.
    pub rows_max: u64,
    /// The most bytes that a question may hold, about.
    pub bytes_max: ByteSize,
    /// The most texts that a question may hold.
    pub texts_max: u64,
}

impl Default for QuestionOptions {
    fn default() -> QuestionOptions {
        let GraphOptions { duplicates, ties, top, median } = GraphOptions::default();
        let QuestionLimits { groups_max, rows_max, bytes_max, texts_max } = QuestionLimits::default();
        let bytes_max = ByteSize(bytes_max);
        QuestionOptions { duplicates, ties, top, median, groups_max, rows_max, bytes_max, texts_max }
    }
}

impl QuestionOptions {
    /// The options of the graph.
    #[must_use]
    pub fn graph_options(&self) -> GraphOptions {
        let QuestionOptions { duplicates, ties, top, median, .. } = *self;
        GraphOptions { duplicates, ties, top, median }
    }

    /// What each question may hold.
    #[must_use]
    pub fn limits(&self) -> QuestionLimits {
        let QuestionOptions { groups_max, rows_max, bytes_max: ByteSize(bytes_max), texts_max, .. } = *self;
        QuestionLimits { groups_max, rows_max, bytes_max, texts_max }
    }
}

/// The problems of limits that have the right type.
pub(super) fn limit_problems(limits: &QuestionLimits) -> Vec<KeyProblem> {
    let QuestionLimits { groups_max, rows_max, bytes_max, texts_max } = *limits;
    let given =
        [("groups_max", groups_max), ("rows_max", rows_max), ("bytes_max", bytes_max), ("texts_max", texts_max)];
    given.into_iter().filter(|(_, most)| *most == 0).map(|(key, _)| KeyProblem::range(key, "at least 1")).collect()
}
