//! Bags of rows.

use hashbrown::HashMap;

use super::{RowUpdate, row_bytes};
use crate::datum::Row;
use crate::hash::RowHashState;

/// A bag of rows with their counts: a list as long as it is short, then a hash map.
#[derive(Debug)]
pub(super) enum RowBag {
    /// At most [`FEW_ROWS`] different rows.
    Few(Vec<RowUpdate>),
    /// More rows.
    Many(HashMap<Row, i64, RowHashState>),
}

/// Up to this many rows comparing all of them is as fast as hashing.
const FEW_ROWS: usize = 8;

impl Default for RowBag {
    fn default() -> RowBag {
        RowBag::Few(Vec::new())
    }
}

impl RowBag {
    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            RowBag::Few(rows) => rows.is_empty(),
            RowBag::Many(rows) => rows.is_empty(),
        }
    }

    /// Calls `visit` with each row and its count, until it fails.
    pub(super) fn try_for_each<E>(&self, mut visit: impl FnMut(&Row, i64) -> Result<(), E>) -> Result<(), E> {
        match self {
            RowBag::Few(rows) => rows.iter().try_for_each(|(row, count)| visit(row, *count)),
            RowBag::Many(rows) => rows.iter().try_for_each(|(row, count)| visit(row, *count)),
        }
    }

    /// Adds a row `diff` times. Returns the count after it, and the bytes by which the bag grew.
    pub(super) fn update(&mut self, row: &Row, diff: i64) -> (i64, isize) {
        let (before, after) = match self {
            RowBag::Few(rows) => update_list(rows, row, diff),
            RowBag::Many(rows) => {
                let count = rows.entry_ref(row).or_insert(0);
                let before = *count;
                *count = before.saturating_add(diff);
                let after = *count;
                if after == 0 {
                    rows.remove(row);
                }
                (before, after)
            }
        };
        if let RowBag::Few(rows) = self
            && rows.len() > FEW_ROWS
        {
            *self = RowBag::Many(std::mem::take(rows).into_iter().collect());
        }
        let bytes = (row_bytes(row) + size_of::<i64>()) as isize;
        (after, bytes * (isize::from(after != 0) - isize::from(before != 0)))
    }
}

fn update_list(rows: &mut Vec<RowUpdate>, row: &Row, diff: i64) -> (i64, i64) {
    match rows.iter().position(|(other, _)| other == row) {
        Some(index) => {
            let before = rows[index].1;
            rows[index].1 = before.saturating_add(diff);
            let after = rows[index].1;
            if after == 0 {
                rows.swap_remove(index);
            }
            (before, after)
        }
        None if diff == 0 => (0, 0),
        None => {
            rows.push((row.clone(), diff));
            (0, diff)
        }
    }
}
