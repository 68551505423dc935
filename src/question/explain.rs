//! Explains a question: its columns and order, its plan, and what it needs.

use serde::Serialize;

use super::memory_estimate::{MemoryEstimate, estimate_memory, estimate_state};
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
    let path = match question.path {
        QuestionPath::Compact(_) => MaintenancePath::Fast,
        QuestionPath::General(_) => MaintenancePath::General,
    };
    let mut memory = estimate_memory(&maintained.scans, &POSTS);
    if path == MaintenancePath::General {
        memory.state = estimate_state(&maintained, &POSTS);
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
