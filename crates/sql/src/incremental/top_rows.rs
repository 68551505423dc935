//! The first rows in an order.

use super::sorted::{SortDirection, SortValue, SortedRow};
use super::sorted_counts::SortedCounts;
use super::{RowUpdate, StateError, StateUsage, consolidate_rows};
use crate::datum::Row;
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;
use crate::plan::SortKey;

/// An order of rows: by these values, then by all columns.
#[derive(Debug, Clone, PartialEq)]
pub struct RowOrder {
    keys: Vec<(ScalarExpr, SortDirection)>,
}

impl RowOrder {
    pub(crate) fn new(keys: &[SortKey]) -> RowOrder {
        RowOrder { keys: keys.iter().map(|key| (key.expr.clone(), SortDirection::of_key(key))).collect() }
    }

    /// The number of values that rows are ordered by first.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// A row with its place in the order.
    pub(super) fn sorted_row(&self, row: Row, faults: &FaultCounter) -> SortedRow {
        let keys = self
            .keys
            .iter()
            .map(|(expr, direction)| SortValue { value: expr.eval(&row, faults).into_owned(), direction: *direction });
        SortedRow { keys: keys.collect(), row }
    }
}

/// `LIMIT … OFFSET …`.
#[derive(Debug, Clone, PartialEq)]
pub struct TopSpec {
    pub(crate) order: RowOrder,
    pub(crate) offset: u64,
    pub(crate) limit: Option<u64>,
}

/// All rows in their order, of which the first ones are the result.
///
/// An update costs a logarithm of the number of rows. An epoch costs the first `offset + limit` rows, and nothing if all
/// of its updates come after them.
#[derive(Debug)]
pub(super) struct TopRows {
    spec: TopSpec,
    rows: SortedCounts<SortedRow>,
    /// The last row that counts, if there are as many as count.
    boundary: Option<SortedRow>,
    /// How many rows of the result are emitted while the others are held back. `None` if that is over.
    emitted: Option<u64>,
    /// How many rows have come since some were last emitted.
    came: u64,
    /// The rows, and what they own.
    held: StateUsage,
}

/// The row, and what it owns.
fn sorted_row_usage(row: &SortedRow) -> StateUsage {
    let mut usage = StateUsage::of_row(&row.row).as_row();
    usage.add(StateUsage::of_values(row.keys.iter().map(|key| &key.value)));
    usage.bytes += size_of_val(&*row.keys);
    usage
}

/// Adds a row `diff` times to an ordered bag, and what it owns to `held`.
pub(super) fn update_sorted(
    rows: &mut SortedCounts<SortedRow>,
    row: SortedRow,
    diff: i64,
    held: &mut StateUsage,
    operator: &'static str,
) -> Result<(), StateError> {
    let usage = sorted_row_usage(&row);
    let change = rows.update(row, diff);
    if change.before.checked_add(diff).is_none() {
        return Err(StateError::CountOverflow { operator });
    }
    if change.after < 0 {
        return Err(StateError::NegativeCount { operator });
    }
    held.track(change, || usage);
    Ok(())
}

impl TopRows {
    pub(super) fn new(spec: TopSpec) -> TopRows {
        let (rows, held) = (SortedCounts::default(), StateUsage::default());
        TopRows { spec, rows, boundary: None, emitted: None, came: 0, held }
    }

    /// Emits nothing until [`TopRows::emit_rows`] does.
    pub(super) fn hold_rows(&mut self) {
        self.emitted = Some(0);
    }

    pub(super) fn holds_rows(&self) -> bool {
        self.emitted.is_some()
    }

    /// Emits the next rows of the result, as many as the budget says, and as many as have come since the last time: it ends,
    /// however many come.
    pub(super) fn emit_rows(&mut self, budget: &mut usize, changes: &mut Vec<RowUpdate>) {
        let Some(emitted) = self.emitted.filter(|_| *budget > 0) else { return };
        let next = emitted.saturating_add(*budget as u64).saturating_add(std::mem::take(&mut self.came));
        let mut rows = 0_i64;
        let boundary = self.rows_between(emitted, next, &mut |row, count| {
            rows = rows.saturating_add(count);
            changes.push((row.row.clone(), count));
        });
        let is_last = boundary.is_none() || self.spec.limit.is_some_and(|limit| limit <= next);
        self.boundary = boundary.cloned();
        self.emitted = if is_last { None } else { Some(next) };
        *budget = budget.saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX));
    }

    /// Applies the updates of one epoch, and gives those of the result.
    pub(super) fn apply(
        &mut self,
        mut updates: Vec<RowUpdate>,
        faults: &FaultCounter,
    ) -> Result<Vec<RowUpdate>, StateError> {
        consolidate_rows(&mut updates);
        let updates = updates.into_iter().map(|(row, diff)| (self.spec.order.sorted_row(row, faults), diff));
        let updates: Vec<(SortedRow, i64)> = updates.collect();
        let beyond = |row: &SortedRow| self.boundary.as_ref().is_some_and(|boundary| row > boundary);
        let unchanged = self.emitted == Some(0) || updates.iter().all(|(row, _)| beyond(row));
        let mut changes = Vec::new();
        if !unchanged {
            self.first_rows(&mut |row, count| changes.push((row.row.clone(), -count)));
        }
        let has_emitted = self.emitted.is_some_and(|emitted| emitted > 0);
        for (row, diff) in updates {
            self.came += if has_emitted { u64::try_from(diff).unwrap_or(0) } else { 0 };
            update_sorted(&mut self.rows, row, diff, &mut self.held, "LIMIT")?;
        }
        if !unchanged {
            self.boundary = self.first_rows(&mut |row, count| changes.push((row.row.clone(), count))).cloned();
            consolidate_rows(&mut changes);
        }
        Ok(changes)
    }

    /// The size of the state.
    pub(super) fn usage(&self) -> StateUsage {
        let mut usage = self.held;
        usage.bytes += self.rows.heap_bytes();
        usage
    }

    /// Gives the rows of the result that are not held back to `emit`. Returns the last row that counts, if there are as
    /// many as count.
    fn first_rows(&self, emit: &mut dyn FnMut(&SortedRow, i64)) -> Option<&SortedRow> {
        self.rows_between(0, self.emitted.unwrap_or(u64::MAX), emit)
    }

    /// Gives the rows of the result from one place to before another one to `emit`. Returns the last row before that place,
    /// or of the result, if there are as many.
    fn rows_between(&self, from: u64, to: u64, emit: &mut dyn FnMut(&SortedRow, i64)) -> Option<&SortedRow> {
        let place = |place: u64| i64::try_from(place).unwrap_or(i64::MAX);
        let offset = place(self.spec.offset);
        let start = offset.saturating_add(place(from));
        let end = offset.saturating_add(place(to.min(self.spec.limit.unwrap_or(u64::MAX))));
        let mut passed = 0_i64;
        for (row, count) in self.rows.iter() {
            let next = passed.saturating_add(count);
            let shown = next.min(end) - passed.max(start);
            if shown > 0 {
                emit(row, shown);
            }
            if next >= end {
                return Some(row);
            }
            passed = next;
        }
        None
    }
}
