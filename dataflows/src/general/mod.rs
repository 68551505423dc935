//! The general path: questions of any shape, over rows of [`Datum`](pinflow_sql::datum::Datum)s.
//!
//! ```text
//! rows of an ind ──► leaves ──► partial groups ──► groups ──► upper plan ──► changes of the answer
//!                    (joins)    (each worker)   (exchanged   (one worker
//!                                                by group)    per question)
//! ```
//!
//! The operators of a plan are state machines of `pinflow_sql::incremental`. This module holds them in the dataflow:
//!
//! - `extra_columns`: the columns that questions read besides those that are held anyway;
//! - `scan_columns`: where the columns of a question's scans come from;
//! - `leaves`: evaluates the questions for the changed rows of an `ind`;
//! - `kept_rows`: the same where every delivery counts;
//! - `updates`: what is sent between the operators;
//! - `operators`: the operators of groups and of upper plans.

mod extra_columns;
mod kept_rows;
mod leaves;
mod operators;
mod scan_columns;
mod updates;

pub(crate) use extra_columns::{ExtraColumns, RelationColumns};
pub(crate) use kept_rows::evaluate_kept_rows;
pub(crate) use leaves::GeneralLeaves;
pub(crate) use operators::{GeneralState, GraphStart, maintain_general};
pub(crate) use scan_columns::extra_exprs_of;
pub(crate) use updates::LeafUpdate;

use std::rc::Rc;
use std::sync::Arc;

use pinflow_sql::eval::FaultCounter;
use pinflow_sql::split::MaintainedPlan;

use crate::answer::QuestionId;

/// A question of the general path, on one worker.
#[derive(Debug, Clone)]
pub(crate) struct GeneralQuestion {
    pub(crate) id: QuestionId,
    /// The name of its answer.
    pub(crate) name: Arc<str>,
    pub(crate) program: Arc<MaintainedPlan>,
    /// The operations without a result on this worker.
    pub(crate) faults: Rc<FaultCounter>,
}
