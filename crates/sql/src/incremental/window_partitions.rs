//! Window functions.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::sorted::SortedRow;
use super::sorted_counts::SortedCounts;
use super::state_usage::free_if_empty;
use super::top_rows::{RowOrder, update_sorted};
use super::window_frames::{RankBound, WindowColumn, reads_only_before, window_rows};
use super::{RowUpdate, StateError, StateUsage, consolidate_rows};
use crate::datum::Row;
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;
use crate::hash::RowHashState;
use crate::plan::{SortKey, WindowCall};

/// Window functions over the same partitions and order.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSpec {
    pub(crate) partition: Vec<ScalarExpr>,
    pub(crate) order: RowOrder,
    pub(crate) columns: Vec<WindowColumn>,
    /// Which rows are read by what is above: all if there is none.
    pub(crate) bound: Option<RankBound>,
}

impl WindowSpec {
    pub(crate) fn new(partition: &[ScalarExpr], order: &[SortKey], functions: &[WindowCall]) -> WindowSpec {
        let columns = functions.iter().map(|call| WindowColumn::new(&call.function)).collect();
        WindowSpec { partition: partition.to_vec(), order: RowOrder::new(order), columns, bound: None }
    }

    /// The same window, of which only rows up to a rank are read: `bounds` are functions, by index, with their greatest
    /// value that is read. The result may still have other rows.
    pub(crate) fn bounded_by(mut self, functions: &[WindowCall], bounds: &[(usize, i64)]) -> WindowSpec {
        if functions.iter().all(|call| reads_only_before(&call.function)) {
            let mut ranks =
                bounds.iter().filter_map(|(index, most)| RankBound::new(&functions.get(*index)?.function, *most));
            self.bound = ranks.next();
        }
        self
    }
}

/// The rows of all partitions in their order.
///
/// An update costs a logarithm of its partition's rows. An epoch costs all rows of each touched partition, twice: they
/// are evaluated before and after, and only the difference is emitted. If only the first ranks are read, as in
/// `row_number() … <= 3`, it costs only the rows that have them.
#[derive(Debug)]
pub(super) struct WindowPartitions {
    spec: WindowSpec,
    partitions: HashMap<Row, SortedCounts<SortedRow>, RowHashState>,
    /// The partitions with their rows, and what these own.
    held: StateUsage,
    /// The partitions whose rows are held back. `None` if that is over.
    hidden: Option<BTreeSet<Row>>,
    /// Whether some of them were emitted.
    has_emitted: bool,
}

impl WindowPartitions {
    pub(super) fn new(spec: WindowSpec) -> WindowPartitions {
        let (partitions, held) = (HashMap::default(), StateUsage::default());
        WindowPartitions { spec, partitions, held, hidden: None, has_emitted: false }
    }

    /// Emits nothing until [`WindowPartitions::emit_rows`] does.
    pub(super) fn hold_rows(&mut self) {
        self.hidden = Some(BTreeSet::new());
    }

    pub(super) fn holds_rows(&self) -> bool {
        self.hidden.is_some()
    }

    /// Emits whole partitions until the budget is used up.
    pub(super) fn emit_rows(&mut self, budget: &mut usize, faults: &FaultCounter, changes: &mut Vec<RowUpdate>) {
        let Some(hidden) = &mut self.hidden else { return };
        self.has_emitted = true;
        while *budget > 0
            && let Some(key) = hidden.pop_first()
        {
            let before = changes.len();
            if let Some(rows) = self.partitions.get(&key) {
                window_rows(&self.spec.columns, self.spec.bound, rows, faults, &mut |row| changes.push((row, 1)));
            }
            *budget = budget.saturating_sub((changes.len() - before).max(1));
        }
        if hidden.is_empty() {
            self.hidden = None;
        }
    }

    /// Whether the rows of a partition are held back. Those that begin later than the first is emitted are not, so that it
    /// ends, however many begin.
    fn is_hidden(&mut self, key: &Row, begins: bool) -> bool {
        let Some(hidden) = &mut self.hidden else { return false };
        if begins && !self.has_emitted { hidden.insert(key.clone()) } else { hidden.contains(key) }
    }

    /// Applies the updates of one epoch, and gives those of the result.
    pub(super) fn apply(
        &mut self,
        mut updates: Vec<RowUpdate>,
        faults: &FaultCounter,
    ) -> Result<Vec<RowUpdate>, StateError> {
        consolidate_rows(&mut updates);
        let mut by_partition: HashMap<Row, Vec<RowUpdate>, RowHashState> = HashMap::default();
        for (row, diff) in updates {
            let key = self.spec.partition.iter().map(|expr| expr.eval(&row, faults).into_owned()).collect();
            by_partition.entry(key).or_default().push((row, diff));
        }
        let mut changes = Vec::new();
        for (key, updates) in by_partition {
            let mut rows = self.take_partition(&key);
            let is_hidden = self.is_hidden(&key, rows.is_empty());
            if !is_hidden {
                window_rows(&self.spec.columns, self.spec.bound, &rows, &FaultCounter::default(), &mut |row| {
                    changes.push((row, -1));
                });
            }
            self.update_partition(&mut rows, updates, faults)?;
            if !is_hidden {
                window_rows(&self.spec.columns, self.spec.bound, &rows, faults, &mut |row| changes.push((row, 1)));
            }
            if !rows.is_empty() {
                self.held.add(partition_usage(&key, &rows));
                self.partitions.insert(key, rows);
            } else if let Some(hidden) = &mut self.hidden {
                hidden.remove(&key);
            }
        }
        free_if_empty(&mut self.partitions);
        consolidate_rows(&mut changes);
        Ok(changes)
    }

    /// The size of the state.
    pub(super) fn usage(&self) -> StateUsage {
        let mut usage = self.held;
        usage.bytes += self.partitions.allocation_size();
        usage
    }

    fn take_partition(&mut self, key: &Row) -> SortedCounts<SortedRow> {
        let Some(rows) = self.partitions.remove(key) else { return SortedCounts::default() };
        self.held.subtract(partition_usage(key, &rows));
        rows
    }

    fn update_partition(
        &mut self,
        rows: &mut SortedCounts<SortedRow>,
        updates: Vec<RowUpdate>,
        faults: &FaultCounter,
    ) -> Result<(), StateError> {
        for (row, diff) in updates {
            let row = self.spec.order.sorted_row(row, faults);
            update_sorted(rows, row, diff, &mut self.held, "a window function")?;
        }
        Ok(())
    }
}

/// A partition with its list or tree, without what the rows own.
fn partition_usage(key: &Row, rows: &SortedCounts<SortedRow>) -> StateUsage {
    let mut usage = StateUsage::of_row(key).as_group();
    usage.bytes += rows.heap_bytes();
    usage
}
