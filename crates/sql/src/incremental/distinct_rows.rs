//! Each distinct row once.

use hashbrown::HashMap;

use super::{RowUpdate, StateError, StateUsage, consolidate_rows, row_bytes};
use crate::datum::Row;
use crate::hash::RowHashState;

/// The counts of rows: a row is in the result as long as its count is positive. An update costs a hash look-up.
#[derive(Debug, Default)]
pub(super) struct DistinctRows {
    counts: HashMap<Row, i64, RowHashState>,
    bytes: usize,
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
            let bytes = row_bytes(&row) + size_of::<i64>();
            if after == 0 {
                self.counts.remove(&row);
            }
            if before == 0 && after > 0 {
                self.bytes += bytes;
                changes.push((row, 1));
            } else if before > 0 && after == 0 {
                self.bytes -= bytes;
                changes.push((row, -1));
            }
        }
        Ok(changes)
    }

    /// The size of the state.
    pub(super) fn usage(&self) -> StateUsage {
        StateUsage { groups: 0, rows: self.counts.len(), bytes: self.bytes }
    }
}
