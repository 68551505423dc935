//! Explains a question: its columns and order, its plan, and what it needs.

use serde::Serialize;

use super::memory_estimate::{MemoryEstimate, estimate_memory};
use super::render::type_name;
use crate::config::QuestionText;
use pinflow_sql::catalog::POSTS;
use pinflow_sql::plan::BoundQuestion;
use pinflow_sql::split::maintain_plan;

/// What a run would do for a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct QuestionExplanation {
    /// The name of the answer.
    pub(super) question: String,
    /// The columns of the answer.
    pub(super) columns: Vec<ExplainedColumn>,
    /// The order in which rows are listed, as columns with their directions. Ties are settled by all columns.
    pub(super) order: Vec<String>,
    /// The operators, one a line, with their inputs below them.
    pub(super) plan: Vec<String>,
    /// What is held in memory for each `ind`.
    pub(super) memory: MemoryEstimate,
    /// What a reader should know.
    pub(super) notes: Vec<String>,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ExplainedColumn {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) ty: &'static str,
    pub(super) nullable: bool,
}

/// Explains a bound question.
pub(super) fn explain_question(text: &QuestionText, bound: &BoundQuestion) -> QuestionExplanation {
    let printed = bound.explain(&POSTS);
    let maintained = maintain_plan(&bound.plan, &POSTS);
    let columns = bound.columns.iter().map(|column| ExplainedColumn {
        name: column.name.clone(),
        ty: type_name(column.ty),
        nullable: column.nullable,
    });
    let order = printed.lines().find_map(|line| line.strip_prefix("listed by "));
    let plan = printed.lines().skip_while(|line| *line != "plan").skip(1);
    QuestionExplanation {
        question: text.name.to_string(),
        columns: columns.collect(),
        order: order.map(|order| order.split(", ").map(str::to_owned).collect()).unwrap_or_default(),
        plan: plan.map_while(|line| line.strip_prefix("  ")).map(str::to_owned).collect(),
        memory: estimate_memory(&maintained.scans, &POSTS),
        notes: bound.notes.clone(),
    }
}
