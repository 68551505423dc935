//! Bags of rows.

use hashbrown::HashMap;

use super::RowUpdate;
use super::sorted_counts::CountChange;
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

    /// The bytes of the list or map, without what the rows own.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            RowBag::Few(rows) => rows.capacity() * size_of::<RowUpdate>(),
            RowBag::Many(rows) => rows.allocation_size(),
        }
    }

    /// Adds a row `diff` times.
    pub(super) fn update(&mut self, row: &Row, diff: i64) -> CountChange {
        let change = match self {
            RowBag::Few(rows) => update_list(rows, row, diff),
            RowBag::Many(rows) => {
                let count = rows.entry_ref(row).or_insert(0);
                let before = *count;
                *count = before.saturating_add(diff);
                let after = *count;
                if after == 0 {
                    rows.remove(row);
                }
                CountChange { before, after }
            }
        };
        if let RowBag::Few(rows) = self
            && rows.len() > FEW_ROWS
        {
            *self = RowBag::Many(std::mem::take(rows).into_iter().collect());
        }
        change
    }
}

fn update_list(rows: &mut Vec<RowUpdate>, row: &Row, diff: i64) -> CountChange {
    match rows.iter().position(|(other, _)| other == row) {
        Some(index) => {
            let before = rows[index].1;
            rows[index].1 = before.saturating_add(diff);
            let after = rows[index].1;
            if after == 0 {
                rows.swap_remove(index);
            }
            CountChange { before, after }
        }
        None if diff == 0 => CountChange { before: 0, after: 0 },
        None => {
            if rows.is_empty() {
                // Many keys have one row.
                rows.reserve_exact(1);
            }
            rows.push((row.clone(), diff));
            CountChange { before: 0, after: diff }
        }
    }
}
