//! Window functions.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::sorted::SortedRow;
use super::top_rows::{RowOrder, update_sorted};
use super::window_frames::{RankBound, WindowColumn, reads_only_before, window_rows};
use super::{RowUpdate, StateError, StateUsage, consolidate_rows, row_bytes};
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
/// are evaluated before and after, and only the difference is given on. If only the first ranks are read, as in
/// `row_number() … <= 3`, it costs only the rows that have them.
#[derive(Debug)]
pub(super) struct WindowPartitions {
    spec: WindowSpec,
    partitions: HashMap<Row, BTreeMap<SortedRow, i64>, RowHashState>,
    rows: usize,
    bytes: usize,
}

impl WindowPartitions {
    pub(super) fn new(spec: WindowSpec) -> WindowPartitions {
        WindowPartitions { spec, partitions: HashMap::default(), rows: 0, bytes: 0 }
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
            let mut rows = match self.partitions.remove(&key) {
                Some(rows) => rows,
                None => {
                    self.bytes += row_bytes(&key);
                    BTreeMap::new()
                }
            };
            window_rows(&self.spec.columns, self.spec.bound, &rows, &FaultCounter::default(), &mut |row| {
                changes.push((row, -1));
            });
            self.update_partition(&mut rows, updates, faults)?;
            window_rows(&self.spec.columns, self.spec.bound, &rows, faults, &mut |row| changes.push((row, 1)));
            if rows.is_empty() {
                self.bytes -= row_bytes(&key);
            } else {
                self.partitions.insert(key, rows);
            }
        }
        consolidate_rows(&mut changes);
        Ok(changes)
    }

    /// The size of the state.
    pub(super) fn usage(&self) -> StateUsage {
        StateUsage { groups: self.partitions.len(), rows: self.rows, bytes: self.bytes }
    }

    fn update_partition(
        &mut self,
        rows: &mut BTreeMap<SortedRow, i64>,
        updates: Vec<RowUpdate>,
        faults: &FaultCounter,
    ) -> Result<(), StateError> {
        for (row, diff) in updates {
            let row = self.spec.order.sorted_row(row, faults);
            let grown = update_sorted(rows, row, diff, "a window function")?;
            self.bytes = self.bytes.saturating_add_signed(grown);
            self.rows = self.rows.saturating_add_signed(grown.signum());
        }
        Ok(())
    }
}
