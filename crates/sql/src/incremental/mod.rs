//! Incremental evaluation: from the changes of one epoch to the changes of the answer.
//!
//! [`crate::split`] turns a plan into *leaves*, which are functions of the rows of one key, and an *upper plan*:
//!
//! ```text
//! rows of a key ─► LeafProgram ─► PartialGroups  ─► GroupTable ─► UpperState ─► changes of the answer
//!                                 or RowCollector
//!                  on each worker  sending worker    by group      one worker
//! ```
//!
//! Everything is a state machine that is fed by its caller. Rows are changed by *updates*: a row with the number of
//! times that it is added, or removed if that is negative. Within an epoch updates may come in any order, since they
//! come from several workers. At its end nothing may have been removed that was not there: that is a [`StateError`],
//! and never a wrong answer.
//!
//! - [`LeafProgram`] evaluates the rows of one key, and holds nothing; [`RowProgram`] does it faster for one row of each scan;
//! - [`GroupTable`] holds groups with their accumulators, [`PartialGroups`] adds up counts and sums before they are sent,
//!   and [`RowCollector`] collects rows for other aggregates;
//! - [`UpperState`] holds what the operators above the leaves need;
//! - [`ExactSum`] is an exact sum of doubles.

mod aggregates;
mod big_uint;
mod cells;
mod distinct_rows;
mod exact_sum;
mod group_table;
mod join_delta;
mod join_state;
mod leaf;
mod leaf_join;
mod leaf_nodes;
mod linear_cell;
mod pair_moments;
mod partial_groups;
mod results;
mod row_bag;
mod row_block;
mod row_program;
mod sorted;
mod sorted_counts;
mod state_estimate;
mod state_usage;
mod top_rows;
mod upper;
mod value_map;
mod window_frames;
mod window_partitions;

#[cfg(test)]
mod tests;

pub use exact_sum::{ExactSum, exact_variance};
pub use group_table::{GroupSpec, GroupTable};
pub use join_state::JoinSpec;
pub use leaf::{KeyedInput, LeafProgram, LeafScratch, ScannedRows};
pub use partial_groups::{PartialGroup, PartialGroups};
pub use row_block::{GroupRows, RowBlock, RowCollector};
pub use row_program::RowProgram;
pub use state_estimate::{AnswerEstimate, CountBasis, PartEstimate, StateEstimate};
pub use state_usage::{StateUsage, tree_bytes};
pub use top_rows::{RowOrder, TopSpec};
pub use upper::{UpperOperator, UpperPlan, UpperState};
pub use window_partitions::WindowSpec;

pub(crate) use leaf::LeafNode;
pub(crate) use leaf_join::LeafJoin;
pub(crate) use leaf_nodes::{filter_node, project_node};
pub(crate) use state_estimate::estimate_state;

use crate::datum::Row;

/// A row and how many times it is added, or removed if that is negative.
pub type RowUpdate = (Row, i64);

/// Why a question cannot be maintained any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// More was removed than was there: the updates do not come from a history of rows.
    #[error("{operator} removed a row more often than it was added")]
    NegativeCount {
        /// What the operator does.
        operator: &'static str,
    },
    /// A row is there so often that its count does not fit in 64 bits.
    #[error("{operator} repeats a row more than 2^63 times")]
    CountOverflow {
        /// What the operator does.
        operator: &'static str,
    },
}

/// Adds up the updates of equal rows, and leaves out those that cancel. The rows are sorted afterwards.
pub fn consolidate_rows(updates: &mut Vec<RowUpdate>) {
    if updates.len() > 1 {
        updates.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        updates.dedup_by(|(row, diff), (kept, sum)| {
            let equal = row == kept;
            if equal {
                *sum = sum.saturating_add(*diff);
            }
            equal
        });
    }
    updates.retain(|(_, diff)| *diff != 0);
}
