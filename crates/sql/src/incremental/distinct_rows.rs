//! Each distinct row once.

use hashbrown::HashMap;

use super::state_usage::free_if_empty;
use super::{RowUpdate, StateError, StateUsage, consolidate_rows};
use crate::datum::Row;
use crate::hash::RowHashState;

/// The counts of rows: a row is in the result as long as its count is positive. An update costs a hash look-up.
#[derive(Debug, Default)]
pub(super) struct DistinctRows {
    counts: HashMap<Row, i64, RowHashState>,
    /// The rows, and what they own.
    held: StateUsage,
}

impl DistinctRows {
    /// Applies the updates of one epoch, and gives those of the result.
    pub(super) fn apply(&mut self, mut updates: Vec<RowUpdate>) -> Result<Vec<RowUpdate>, StateError> {
        consolidate_rows(&mut updates);
        let mut changes = Vec::new();
        for (row, diff) in updates {
            let count = self.counts.entry_ref(&row).or_insert(0);
            let before = *count;
            *count = before.saturating_add(diff);
            let after = *count;
            if after < 0 {
                return Err(StateError::NegativeCount { operator: "SELECT DISTINCT" });
            }
            if after == 0 {
                self.counts.remove(&row);
            }
            if before == 0 && after > 0 {
                self.held.add(StateUsage::of_row(&row).as_row());
                changes.push((row, 1));
            } else if before > 0 && after == 0 {
                self.held.subtract(StateUsage::of_row(&row).as_row());
                changes.push((row, -1));
            }
        }
        free_if_empty(&mut self.counts);
        Ok(changes)
    }

    /// The size of the state.
    pub(super) fn usage(&self) -> StateUsage {
        let mut usage = self.held;
        usage.bytes += self.counts.allocation_size();
        usage
    }
}
