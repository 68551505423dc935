//! The general path: questions of any shape, over rows of [`Datum`](pinflow_sql::datum::Datum)s.
//!
//! ```text
//! rows of an ind ──► leaves ──► sums or rows ──► groups ──► upper plan ──► changes of the answer
//!                    (joins)    for groups      (exchanged   (one worker
//!                              (each worker)     by group)    per question)
//! ```
//!
//! The operators of a plan are state machines of `pinflow_sql::incremental`. This module holds them in the dataflow.
//! Questions are added to the operators and dropped from them while the graph runs.
//!
//! - `extra_columns`: the columns that questions read besides those that are held anyway;
//! - `scan_columns`: where the columns of a question's scans come from;
//! - `question_commands`: what the operators are told of questions that come and go;
//! - `question_costs`: what a question costs;
//! - `question_leaves`: evaluates a question for the changed rows of an `ind`; `single_rows`: where at most one row of each
//!   relation counts; `leaf_output`: what a leaf makes of them;
//! - `leaves`: the same for all questions, and the fill of those that were added;
//! - `group_fills`: how far questions that are filled are on a worker;
//! - `kept_rows`: the same where every delivery counts;
//! - `fill_plan`: what a question that is added needs of rows of the tables;
//! - `updates`: what is sent between the operators;
//! - `operators`: the operators of groups and of upper plans; `leaf_groups` and `upper_plans`: their states.

mod extra_columns;
mod fill_plan;
mod group_fills;
mod kept_rows;
mod leaf_groups;
mod leaf_output;
mod leaves;
mod operators;
mod question_commands;
mod question_costs;
mod question_leaves;
mod scan_columns;
mod single_rows;
mod updates;
mod upper_plans;

pub(crate) use extra_columns::{ColumnLease, ExtraColumns, RelationColumns};
pub(crate) use fill_plan::FillPlan;
pub(crate) use kept_rows::{KeptInput, evaluate_kept_rows};
pub(crate) use leaves::GeneralLeaves;
pub(crate) use operators::{WorkerShare, maintain_general};
pub(crate) use question_commands::{AddedQuestion, CommandLog, FillStart, QuestionCommand};
pub(crate) use question_costs::{QuestionCosts, SampleClock};
pub(crate) use scan_columns::{extra_exprs_of, held_columns};

use std::rc::Rc;
use std::sync::Arc;

use pinflow_sql::split::MaintainedPlan;

use self::scan_columns::QuestionScan;
use crate::answer::QuestionId;

/// A question of the general path, on one worker.
#[derive(Debug, Clone)]
pub(crate) struct GeneralQuestion {
    pub(crate) id: QuestionId,
    /// The name of its answer.
    pub(crate) name: Arc<str>,
    pub(crate) program: Arc<MaintainedPlan>,
    /// Where the columns of the program's scans come from.
    pub(crate) scans: Rc<[QuestionScan]>,
    pub(crate) costs: Rc<QuestionCosts>,
}
