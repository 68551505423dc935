//! An estimate of the state of a question, from the layout of what its operators hold.

use super::aggregates::{AggregateReader, AggregateSet, CellKind, CellSpec, ReaderSource};
use super::cells::{CellState, DistinctCell};
use super::group_table::{GroupSpec, HashedSlot, HeldGroup};
use super::join_state::JoinedBags;
use super::leaf::{LeafNode, LeafProgram};
use super::linear_cell::MomentSums;
use super::pair_moments::PairSums;
use super::sorted::{SortValue, SortedRow};
use super::sorted_counts::SortedCounts;
use super::state_usage::tree_bytes;
use super::upper::{UpperOperator, UpperPlan};
use super::value_map::{CountedMap, FrequencySet, PlaceCursor, ValueMap};
use crate::datum::{Datum, Row};
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::AggregateFunction;

/// What the operators of a question hold, and the size of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct StateEstimate {
    /// The operators that hold anything, each after its inputs.
    pub parts: Vec<PartEstimate>,
    /// The rows of the answer.
    pub answer: AnswerEstimate,
}

/// The rows of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerEstimate {
    /// What a row owns: its values with what they have on the heap, bytes.
    pub row_bytes: usize,
    /// As many as what there are.
    pub count: CountBasis,
    /// The most rows that LIMIT leaves.
    pub rows_max: Option<u64>,
}

impl AnswerEstimate {
    /// How many there are of this many groups and rows.
    #[must_use]
    pub fn rows(&self, groups: usize, rows: usize) -> usize {
        let most = self.rows_max.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        self.count.among(groups, rows).min(most)
    }
}

/// As many as what the rows of an operator are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountBasis {
    /// There is one.
    One,
    /// One for each group.
    Groups,
    /// One for each row.
    #[default]
    Rows,
}

impl CountBasis {
    fn among(self, groups: usize, rows: usize) -> usize {
        match self {
            CountBasis::One => 1,
            CountBasis::Groups => groups,
            CountBasis::Rows => rows,
        }
    }

    /// The groups by these keys: without keys there is one.
    fn of_groups(keys: usize) -> CountBasis {
        if keys == 0 { CountBasis::One } else { CountBasis::Groups }
    }
}

/// What one operator holds.
#[derive(Debug, Clone, PartialEq)]
pub struct PartEstimate {
    /// What it holds, as one says it: `groups`, `distinct rows`, `joined rows`, `ordered rows`, `partitions`.
    pub operator: &'static str,
    /// Bytes of each group, partition or key, without its values or rows.
    pub group_bytes: usize,
    /// How many groups, partitions or keys there are.
    pub groups: CountBasis,
    /// What is held of each row within its group: one entry for each list or tree that has it.
    entries: Vec<EntrySize>,
}

/// An entry of an ordered list or tree, or of a list of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct EntrySize {
    /// The place in the list or node.
    place: usize,
    /// What the entry owns.
    owned: usize,
    /// Whether even one entry takes a tree.
    is_tree: bool,
    /// How many there are.
    count: CountBasis,
}

impl EntrySize {
    fn new(place: usize, owned: usize) -> EntrySize {
        EntrySize { place, owned, is_tree: false, count: CountBasis::Rows }
    }

    /// The bytes of a list or tree with this many entries, without what they own.
    fn list_bytes(self, entries: usize) -> usize {
        match entries {
            _ if self.is_tree => tree_bytes(entries, self.place),
            0 | 1 => entries * self.place,
            2..=4 => 4 * self.place,
            5..=16 => entries.next_power_of_two() * self.place,
            _ => tree_bytes(entries, self.place),
        }
    }
}

impl PartEstimate {
    /// Bytes of each row in a large group, or of each different value that aggregates hold there.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        const MANY: usize = 1_000;
        self.entries.iter().map(|entry| entry.list_bytes(MANY) / MANY + entry.owned).sum()
    }

    /// Bytes for this many groups, with this many rows in all: different ones, of different values.
    #[must_use]
    pub fn bytes(&self, groups: usize, rows: usize) -> usize {
        let own = self.groups.among(groups, rows);
        let lists = self.entries.iter().map(|entry| {
            let rows = entry.count.among(groups, rows);
            let groups = own;
            let each = rows as f64 / groups.max(1) as f64;
            let (few, more) = (each.floor() as usize, each - each.floor());
            let (list, longer) = (entry.list_bytes(few) as f64, entry.list_bytes(few + 1) as f64);
            let list = list * (1.0 - more) + longer * more;
            (list * groups as f64) as usize + rows * entry.owned
        });
        own * self.group_bytes + lists.sum::<usize>()
    }
}

impl StateEstimate {
    /// Bytes, if each operator has this many groups and rows.
    #[must_use]
    pub fn bytes(&self, groups: usize, rows: usize) -> usize {
        self.parts.iter().map(|part| part.bytes(groups, rows)).sum()
    }
}

/// The bytes of an entry of a hash table, whose places are between 7/16 and 7/8 full, and of its control byte.
fn table_bytes(entry: usize) -> usize {
    (entry + 1) * 8 / 5
}

/// What values of columns own on the heap, by position.
type OwnedBytes = Vec<usize>;

/// What is known of the rows of an operator.
#[derive(Debug, Clone, Default)]
struct RowShape {
    owned: OwnedBytes,
    /// How many there are.
    count: CountBasis,
    /// The most that LIMIT leaves.
    rows_max: Option<u64>,
}

impl RowShape {
    fn new(owned: OwnedBytes, count: CountBasis) -> RowShape {
        RowShape { owned, count, rows_max: None }
    }
}

/// Estimates the state of a plan: of each leaf with its group, and of the operators above. `scans` says what the values
/// of each scan's columns own.
pub(crate) fn estimate_state<'a>(
    scans: &[OwnedBytes],
    leaves: impl Iterator<Item = (&'a LeafProgram, Option<&'a GroupSpec>)>,
    upper: &UpperPlan,
) -> StateEstimate {
    let mut parts = Vec::new();
    let leaves = leaves.map(|(program, group)| {
        let owned = leaf_columns(program.root(), scans);
        let Some(spec) = group else { return RowShape::new(owned, CountBasis::Rows) };
        // The leaf gives projected rows.
        parts.push(group_part(spec, &owned, CountBasis::Rows));
        RowShape::new(group_columns(spec, &owned), CountBasis::of_groups(spec.key_len()))
    });
    let leaves: Vec<RowShape> = leaves.collect();
    let mut shapes: Vec<RowShape> = Vec::new();
    for (operator, inputs) in upper.operators() {
        let inputs: Vec<&RowShape> = inputs.iter().filter_map(|input| shapes.get(*input)).collect();
        parts.extend(operator_part(operator, &inputs));
        let shape = operator_shape(operator, &inputs, &leaves);
        shapes.push(shape);
    }
    let root = shapes.get(upper.root()).cloned().unwrap_or_default();
    let answer = AnswerEstimate { row_bytes: row_owned(&root.owned), count: root.count, rows_max: root.rows_max };
    StateEstimate { parts, answer }
}

/// The rows of an operator above the leaves.
fn operator_shape(operator: &UpperOperator, inputs: &[&RowShape], leaves: &[RowShape]) -> RowShape {
    let first = inputs.first().copied().cloned().unwrap_or_default();
    let owned = |owned: OwnedBytes| RowShape { owned, ..first.clone() };
    match operator {
        UpperOperator::Leaf(leaf) => leaves.get(*leaf).cloned().unwrap_or_default(),
        UpperOperator::Aggregate(spec) => {
            let columns = group_columns(spec, &owned_of(spec.inputs(), &first.owned));
            RowShape::new(columns, CountBasis::of_groups(spec.key_len()))
        }
        UpperOperator::OneRow(row) => RowShape::new(vec![0; row.len()], CountBasis::One),
        UpperOperator::Project(exprs) => owned(owned_of(exprs, &first.owned)),
        UpperOperator::Unnest { .. } => RowShape::new([&*first.owned, &[0]].concat(), CountBasis::Rows),
        UpperOperator::Join(spec) if spec.emits_pairs() => {
            let columns = inputs.iter().flat_map(|input| input.owned.clone()).collect();
            RowShape::new(columns, inputs.iter().map(|input| input.count).max().unwrap_or_default())
        }
        UpperOperator::UnionAll => {
            RowShape::new(first.owned.clone(), inputs.iter().map(|input| input.count).max().unwrap_or_default())
        }
        UpperOperator::Window(spec) => owned([&*first.owned, &*vec![0; spec.columns.len()]].concat()),
        UpperOperator::Limit(spec) => RowShape { rows_max: spec.limit.or(first.rows_max), ..first },
        _ => first,
    }
}

fn leaf_columns(node: &LeafNode, scans: &[OwnedBytes]) -> OwnedBytes {
    match node {
        LeafNode::Scan(scan) => scans.get(*scan).cloned().unwrap_or_default(),
        LeafNode::Filter(input, _) => leaf_columns(input, scans),
        LeafNode::Project(input, exprs) => owned_of(exprs, &leaf_columns(input, scans)),
        LeafNode::Unnest { input, .. } => [leaf_columns(input, scans), vec![0]].concat(),
        LeafNode::Join(join) => [leaf_columns(&join.left, scans), leaf_columns(&join.right, scans)].concat(),
        LeafNode::UnionAll(inputs) => inputs.first().map(|input| leaf_columns(input, scans)).unwrap_or_default(),
    }
}

/// What results own: a column what it owns. Computed texts are taken to be short.
fn owned_of(exprs: &[ScalarExpr], columns: &[usize]) -> OwnedBytes {
    let owned = |expr: &ScalarExpr| match expr.kind {
        ExprKind::Column(index) => columns.get(index).copied().unwrap_or(0),
        _ => 0,
    };
    exprs.iter().map(owned).collect()
}

fn row_owned(columns: &[usize]) -> usize {
    columns.len() * size_of::<Datum>() + columns.iter().sum::<usize>()
}

fn group_columns(spec: &GroupSpec, projected: &[usize]) -> OwnedBytes {
    let keys = projected.iter().take(spec.key_len()).copied();
    keys.chain(spec.set.readers.iter().map(|reader| result_owned(reader, &spec.set, projected))).collect()
}

/// What the result of an aggregate owns: one of its values owns what its column does. How long the texts are that
/// `string_agg` joins is not known without the rows.
fn result_owned(reader: &AggregateReader, set: &AggregateSet, projected: &[usize]) -> usize {
    let ReaderSource::Cell(cell) = reader.source else { return 0 };
    match set.cells.get(cell) {
        Some(cell) if matches!(cell.kind, CellKind::Values | CellKind::Pairs) && is_value(reader.function) => {
            projected.get(cell.argument).copied().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Whether the result of an aggregate is one of the values of its column.
fn is_value(function: AggregateFunction) -> bool {
    use AggregateFunction::{ArgMax, ArgMin, Max, Min, Mode};
    matches!(function, ArgMax | ArgMin | Max | Min | Mode)
}

fn group_part(spec: &GroupSpec, projected: &[usize], rows: CountBasis) -> PartEstimate {
    let set: &AggregateSet = &spec.set;
    // The list of groups has some free places.
    let slot = size_of::<Option<HeldGroup>>() * 17 / 16 + table_bytes(size_of::<HashedSlot>());
    let cells: usize = set.cells.iter().map(|cell| size_of::<CellState>() + cell_bytes(cell)).sum();
    let key = &projected[..spec.key_len().min(projected.len())];
    let entries = set.cells.iter().flat_map(|cell| cell_entries(cell, projected));
    let entries = entries.map(|entry| EntrySize { count: rows, ..entry }).collect();
    let groups = CountBasis::of_groups(spec.key_len());
    PartEstimate { operator: "groups", group_bytes: slot + row_owned(key) + cells, groups, entries }
}

/// What a cell has on the heap without values.
fn cell_bytes(cell: &CellSpec) -> usize {
    let distinct = if cell.distinct { size_of::<DistinctCell>() } else { 0 };
    distinct
        + match cell.kind {
            CellKind::Count | CellKind::LongSum | CellKind::DoubleSum | CellKind::Truth => 0,
            CellKind::Moments => size_of::<MomentSums>(),
            CellKind::PairMoments => size_of::<PairSums>(),
            CellKind::Values => {
                let mode = if cell.by_count { size_of::<FrequencySet>() } else { 0 };
                size_of::<ValueMap>() + cell.percentiles.len() * size_of::<PlaceCursor>() + mode
            }
            CellKind::Texts => size_of::<CountedMap<Box<[SortValue]>>>(),
            CellKind::Pairs => size_of::<CountedMap<(Datum, Datum)>>(),
        }
}

/// What a cell holds of each value.
fn cell_entries(cell: &CellSpec, projected: &[usize]) -> Vec<EntrySize> {
    let owned = |column: usize| projected.get(column).copied().unwrap_or(0);
    let value = EntrySize::new(size_of::<(Datum, i64)>(), owned(cell.argument));
    let mut entries = if cell.distinct { vec![value] } else { Vec::new() };
    match cell.kind {
        CellKind::Values => {
            entries.push(value);
            if cell.by_count {
                entries.push(EntrySize { is_tree: true, ..value });
            }
        }
        CellKind::Texts => {
            let keys = cell.order.iter().map(|(column, _)| owned(*column)).sum::<usize>();
            let owned = (cell.order.len() + 1) * size_of::<SortValue>() + keys + value.owned;
            entries.push(EntrySize::new(size_of::<(Box<[SortValue]>, i64)>(), owned));
        }
        CellKind::Pairs => {
            let owned = value.owned + cell.second.map_or(0, owned);
            entries.push(EntrySize::new(size_of::<((Datum, Datum), i64)>(), owned));
        }
        CellKind::Count
        | CellKind::LongSum
        | CellKind::DoubleSum
        | CellKind::Moments
        | CellKind::PairMoments
        | CellKind::Truth => {}
    }
    entries
}

/// What an operator above the leaves holds.
fn operator_part(operator: &UpperOperator, inputs: &[&RowShape]) -> Option<PartEstimate> {
    let own = inputs.first().map_or(&[][..], |input| &input.owned);
    let entry_of = |place: usize, input: &RowShape, more: usize| EntrySize {
        count: input.count,
        ..EntrySize::new(place, row_owned(&input.owned) + more)
    };
    let entries = |place: usize, more: usize| inputs.iter().map(|input| entry_of(place, input, more)).collect();
    let part = |operator, group_bytes, groups, entries| Some(PartEstimate { operator, group_bytes, groups, entries });
    let sorted = size_of::<(SortedRow, i64)>();
    match operator {
        UpperOperator::Aggregate(spec) => {
            let rows = inputs.first().map_or(CountBasis::Rows, |input| input.count);
            Some(group_part(spec, &owned_of(spec.inputs(), own), rows))
        }
        UpperOperator::Distinct => {
            part("distinct rows", 0, CountBasis::One, entries(0, table_bytes(size_of::<(Row, i64)>())))
        }
        UpperOperator::Limit(spec) => {
            part("ordered rows", 0, CountBasis::One, entries(sorted, spec.order.len() * size_of::<SortValue>()))
        }
        UpperOperator::Window(spec) => {
            let key = row_owned(&owned_of(&spec.partition, own));
            let entry = table_bytes(size_of::<(Row, SortedCounts<SortedRow>)>());
            part(
                "partitions",
                entry + key,
                CountBasis::of_groups(spec.partition.len()),
                entries(sorted, spec.order.len() * size_of::<SortValue>()),
            )
        }
        UpperOperator::Join(spec) => {
            let left_keys: Vec<ScalarExpr> = spec.keys.iter().map(|(left, _)| left.clone()).collect();
            let key = row_owned(&owned_of(&left_keys, own));
            let entry = table_bytes(size_of::<(Row, JoinedBags)>());
            part(
                "joined rows",
                entry + key,
                CountBasis::of_groups(spec.keys.len()),
                entries(size_of::<(Row, i64)>(), 0),
            )
        }
        _ => None,
    }
}
