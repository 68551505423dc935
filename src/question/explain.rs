//! Explains a question: its columns and order, its plan, and what it needs.

use serde::Serialize;

use super::memory_estimate::{MemoryEstimate, MemoryTotal, estimate_memory, estimate_state, estimate_total};
use super::render::type_name;
use pinflow_dataflows::questions::{Question, QuestionPath};
use pinflow_sql::catalog::POSTS;
use pinflow_sql::split::maintain_plan;

/// What a run would do for a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct QuestionExplanation {
    /// The name of the answer.
    pub(super) question: String,
    /// The columns of the answer.
    pub(super) columns: Vec<ExplainedColumn>,
    /// The order in which rows are listed, as columns with their directions. Ties are settled by all columns.
    pub(super) order: Vec<String>,
    /// The operators, one a line, with their inputs below them.
    pub(super) plan: Vec<String>,
    /// How a run keeps the answer up to date.
    pub(super) path: MaintenancePath,
    /// What is held in memory.
    pub(super) memory: MemoryEstimate,
    /// What a reader should know.
    pub(super) notes: Vec<String>,
}

impl QuestionExplanation {
    /// Adds an estimate of what is held in all for this many `ind`, and groups: as many if that is not given.
    pub(super) fn estimate_total(&mut self, question: &Question, inds: u64, groups: Option<u64>) {
        let maintained = maintain_plan(&question.bound.plan, &POSTS);
        let estimate = estimate_state(&maintained, &POSTS);
        self.memory.total = Some(estimate_total(&self.memory, &estimate, inds, groups.unwrap_or(inds)));
        if self.path == MaintenancePath::Fast {
            self.notes
                .push("the fast path takes less than this estimate of the general one; --tables measures it".into());
        }
    }

    /// Adds what was measured over tables.
    pub(super) fn set_measured(&mut self, total: MemoryTotal) {
        self.memory.total = Some(total);
    }
}

/// How a run keeps an answer up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MaintenancePath {
    /// By closures over joined rows and the aggregates of the built-in questions.
    Fast,
    /// By the operators of the plan.
    General,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ExplainedColumn {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) ty: &'static str,
    pub(super) nullable: bool,
}

/// Explains a question.
pub(crate) fn explain_question(question: &Question) -> QuestionExplanation {
    let bound = &question.bound;
    let printed = bound.explain(&POSTS);
    let maintained = maintain_plan(&bound.plan, &POSTS);
    let estimate = estimate_state(&maintained, &POSTS);
    let path = match question.path {
        QuestionPath::Compact(_) => MaintenancePath::Fast,
        QuestionPath::General(_) => MaintenancePath::General,
    };
    let mut memory = estimate_memory(&maintained.scans, &POSTS);
    memory.add_state(&estimate);
    if path == MaintenancePath::Fast {
        // It has other operators.
        memory.state.clear();
    }
    let columns = bound.columns.iter().map(|column| ExplainedColumn {
        name: column.name.clone(),
        ty: type_name(column.ty),
        nullable: column.nullable,
    });
    let order = printed.lines().find_map(|line| line.strip_prefix("listed by "));
    QuestionExplanation {
        question: question.name.to_string(),
        columns: columns.collect(),
        order: order.map(|order| order.split(", ").map(str::to_owned).collect()).unwrap_or_default(),
        plan: question.explain_plan(),
        path,
        memory,
        notes: bound.notes.clone(),
    }
}
