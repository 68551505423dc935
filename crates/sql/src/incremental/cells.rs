//! The accumulators of one group: cells, which aggregates share and read their results from.

use super::aggregates::{AggregateReader, AggregateSet, CellKind, CellSpec, ReaderSource};
use super::linear_cell::{LinearCell, MomentSums};
use super::pair_moments::PairSums;
use super::results;
use super::sorted::SortValue;
use super::state_usage::StateUsage;
use super::value_map::{CountedMap, PresenceChange, ValueMap};
use crate::datum::Datum;
use crate::eval::FaultCounter;

/// The state of one cell.
#[derive(Debug, Clone)]
pub(super) enum CellState {
    /// A count or a sum.
    Linear(LinearCell),
    /// The values, in order.
    Values(Box<ValueMap>),
    /// Texts in the order in which they are joined: the sort values, then the text.
    Texts(Box<CountedMap<Box<[SortValue]>>>),
    /// Pairs of `y` and `x`, for the `x` of the greatest or least `y`.
    Pairs(Box<CountedMap<(Datum, Datum)>>),
    /// A cell that counts equal values once.
    Distinct(Box<DistinctCell>),
}

/// The values that are there, and a cell that has each of them once.
#[derive(Debug, Clone)]
pub(super) struct DistinctCell {
    values: CountedMap<Datum>,
    /// The cell of the distinct values.
    pub(super) inner: CellState,
}

impl CellState {
    /// The cell over no rows.
    pub(super) fn new(spec: &CellSpec) -> CellState {
        let state = match spec.kind {
            CellKind::Count => CellState::Linear(LinearCell::Count(0)),
            CellKind::LongSum => CellState::Linear(LinearCell::LongSum { count: 0, high: 0, low: 0 }),
            CellKind::DoubleSum => CellState::Linear(LinearCell::DoubleSum { count: 0, sum: Default::default() }),
            CellKind::Moments => CellState::Linear(LinearCell::Moments(Box::<MomentSums>::default())),
            CellKind::PairMoments => CellState::Linear(LinearCell::PairMoments(Box::<PairSums>::default())),
            CellKind::Truth => CellState::Linear(LinearCell::Truth { yes: 0, no: 0 }),
            CellKind::Values => CellState::Values(Box::new(ValueMap::new(spec.percentiles.len(), spec.by_count))),
            CellKind::Texts => CellState::Texts(Box::default()),
            CellKind::Pairs => CellState::Pairs(Box::default()),
        };
        if spec.distinct {
            return CellState::Distinct(Box::new(DistinctCell { values: CountedMap::default(), inner: state }));
        }
        state
    }

    fn update(&mut self, spec: &CellSpec, row: &[Datum], diff: i64) {
        let value = row.get(spec.argument).unwrap_or(&Datum::Null);
        match self {
            CellState::Linear(LinearCell::PairMoments(sums)) => {
                sums.update(value, spec.second.and_then(|column| row.get(column)).unwrap_or(&Datum::Null), diff);
            }
            CellState::Linear(cell) => cell.update(value, diff),
            // The x of a pair can be null, its y cannot.
            CellState::Pairs(pairs) => {
                let order = spec.second.and_then(|column| row.get(column)).unwrap_or(&Datum::Null);
                if !order.is_null() {
                    pairs.update((order.clone(), value.clone()), diff);
                }
            }
            _ if value.is_null() => {}
            CellState::Values(values) => {
                values.update(value, diff);
            }
            CellState::Texts(texts) => {
                let keys = spec.order.iter().map(|(column, direction)| SortValue {
                    value: row.get(*column).cloned().unwrap_or(Datum::Null),
                    direction: *direction,
                });
                texts.update(keys.chain([SortValue::ascending(value.clone())]).collect(), diff);
            }
            CellState::Distinct(cell) => {
                let change = PresenceChange::of_count(cell.values.update(value.clone(), diff));
                match change {
                    PresenceChange::Appeared => cell.inner.update(spec, row, 1),
                    PresenceChange::Vanished => cell.inner.update(spec, row, -1),
                    PresenceChange::Unchanged => {}
                }
            }
        }
    }

    /// Moves the cursors of percentiles to their places. The counts must be positive.
    fn settle(&mut self, spec: &CellSpec) {
        match self {
            CellState::Values(values) if values.total() > 0 => {
                for (cursor, percentile) in spec.percentiles.iter().enumerate() {
                    values.move_cursor(cursor, percentile.place_among(values.total()).0);
                }
            }
            CellState::Distinct(cell) => cell.inner.settle(spec),
            _ => {}
        }
    }

    fn is_negative(&self) -> bool {
        match self {
            CellState::Linear(cell) => cell.is_negative(),
            CellState::Values(values) => values.is_negative(),
            CellState::Texts(texts) => texts.is_negative(),
            CellState::Pairs(pairs) => pairs.is_negative(),
            CellState::Distinct(cell) => cell.values.is_negative(),
        }
    }

    /// What is owned on the heap.
    fn usage(&self) -> StateUsage {
        let (own, mut usage) = match self {
            CellState::Linear(cell) => (0, StateUsage::of_bytes(cell.heap_bytes())),
            CellState::Values(values) => (size_of_val(&**values), values.usage()),
            CellState::Texts(texts) => (size_of_val(&**texts), texts.usage()),
            CellState::Pairs(pairs) => (size_of_val(&**pairs), pairs.usage()),
            CellState::Distinct(cell) => {
                let mut usage = cell.values.usage();
                usage.add(cell.inner.usage());
                (size_of_val(&**cell), usage)
            }
        };
        usage.bytes += own;
        usage
    }
}

/// The accumulators of all aggregates of one group.
#[derive(Debug, Clone)]
pub(super) struct GroupCells {
    /// The rows of the group.
    rows: i64,
    cells: Box<[CellState]>,
}

impl GroupCells {
    /// The cells over no rows.
    pub(super) fn new(set: &AggregateSet) -> GroupCells {
        GroupCells { rows: 0, cells: set.cells.iter().map(CellState::new).collect() }
    }

    /// The rows of the group.
    pub(super) fn rows(&self) -> i64 {
        self.rows
    }

    /// The row count and the cells.
    pub(super) fn into_parts(self) -> (i64, Box<[CellState]>) {
        (self.rows, self.cells)
    }

    /// Adds a row `diff` times.
    pub(super) fn update(&mut self, set: &AggregateSet, row: &[Datum], diff: i64) {
        self.rows = self.rows.saturating_add(diff);
        for (cell, spec) in self.cells.iter_mut().zip(&set.cells) {
            cell.update(spec, row, diff);
        }
    }

    /// Adds partial sums over some rows. All cells must be linear.
    pub(super) fn merge(&mut self, rows: i64, cells: &[LinearCell]) {
        self.rows = self.rows.saturating_add(rows);
        for (cell, added) in self.cells.iter_mut().zip(cells) {
            if let CellState::Linear(cell) = cell {
                cell.merge(added);
            }
        }
    }

    /// Makes the results of the current rows readable. Returns whether more was retracted than inserted: then there are
    /// no results.
    pub(super) fn settle(&mut self, set: &AggregateSet) -> bool {
        if self.rows < 0 || self.cells.iter().any(CellState::is_negative) {
            return true;
        }
        for (cell, spec) in self.cells.iter_mut().zip(&set.cells) {
            cell.settle(spec);
        }
        false
    }

    /// The results of all aggregates, after [`GroupCells::settle`].
    pub(super) fn results<'a>(
        &'a self,
        set: &'a AggregateSet,
        faults: &'a FaultCounter,
    ) -> impl Iterator<Item = Datum> + 'a {
        set.readers.iter().map(move |reader| self.result_of(reader, faults))
    }

    /// What is owned on the heap.
    pub(super) fn usage(&self) -> StateUsage {
        let mut usage = StateUsage::of_bytes(size_of_val(&*self.cells));
        self.cells.iter().for_each(|cell| usage.add(cell.usage()));
        usage
    }

    fn result_of(&self, reader: &AggregateReader, faults: &FaultCounter) -> Datum {
        match reader.source {
            ReaderSource::Rows => Datum::Long(self.rows),
            ReaderSource::Cell(index) => {
                self.cells.get(index).map_or(Datum::Null, |cell| results::read_cell(reader, cell, faults))
            }
        }
    }
}
