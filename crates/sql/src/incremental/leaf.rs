//! Leaves: the parts of a question that are functions of the rows of one key.

use std::cell::RefCell;

use super::RowUpdate;
use super::consolidate_rows;
use super::leaf_join::LeafJoin;
use super::row_program::RowProgram;
use crate::datum::Datum;
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;

/// The rows of one scan that have one key, with their counts. To be reused: `clear` keeps its allocations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScannedRows {
    width: usize,
    values: Vec<Datum>,
    counts: Vec<i64>,
}

impl ScannedRows {
    /// Removes all rows.
    pub fn clear(&mut self) {
        self.values.clear();
        self.counts.clear();
    }

    /// Adds a row `count` times: the values of the scan's columns. All rows have equally many.
    pub fn push(&mut self, row: impl IntoIterator<Item = Datum>, count: i64) {
        let before = self.values.len();
        self.values.extend(row);
        self.width = self.values.len() - before;
        self.counts.push(count);
    }

    /// Moves all rows of another bag into this one. They are as wide as those that are there.
    pub fn append(&mut self, rows: &mut ScannedRows) {
        if self.is_empty() {
            // Many keys have one row.
            self.values.reserve_exact(rows.values.len());
            self.counts.reserve_exact(rows.counts.len());
        }
        self.width = rows.width;
        self.values.append(&mut rows.values);
        self.counts.append(&mut rows.counts);
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The number of rows, each counted once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// The rows with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&[Datum], i64)> {
        let rows = self.counts.iter().enumerate();
        rows.map(|(index, count)| (&self.values[index * self.width..][..self.width], *count))
    }

    /// Makes this the difference between two bags of rows.
    fn set_difference(&mut self, before: &ScannedRows, after: &ScannedRows) {
        self.clear();
        if before == after {
            return;
        }
        let negated = before.iter().map(|(row, count)| (row, count.saturating_neg()));
        if before.is_empty()
            || after.is_empty()
            || before.len() == 1 && after.len() == 1 && before.values != after.values
        {
            // Nothing cancels.
            after.iter().chain(negated).for_each(|(row, count)| self.push(row.iter().cloned(), count));
            return;
        }
        let mut sorted: Vec<(&[Datum], i64)> = after.iter().chain(negated).collect();
        sorted.sort_unstable_by_key(|(row, _)| *row);
        for group in sorted.chunk_by(|(one, _), (other, _)| one == other) {
            let count = group.iter().fold(0_i64, |sum, (_, count)| sum.saturating_add(*count));
            if count != 0 {
                self.push(group[0].0.iter().cloned(), count);
            }
        }
    }
}

/// The rows of one key: those of each scan of the question, by its index in
/// [`MaintainedPlan::scans`](crate::split::MaintainedPlan::scans).
#[derive(Debug, Clone, Default)]
pub struct KeyedInput {
    /// The rows by scan.
    pub scans: Vec<ScannedRows>,
}

impl KeyedInput {
    /// No rows, of this many scans.
    #[must_use]
    pub fn new(scans: usize) -> KeyedInput {
        KeyedInput { scans: vec![ScannedRows::default(); scans] }
    }

    /// Removes all rows of all scans.
    pub fn clear(&mut self) {
        self.scans.iter_mut().for_each(ScannedRows::clear);
    }
}

/// Buffers that evaluations reuse. One for each worker is enough, for all questions.
#[derive(Debug, Default)]
pub struct LeafScratch {
    buffers: RefCell<Vec<Vec<Datum>>>,
    bags: RefCell<Vec<ScannedRows>>,
}

impl LeafScratch {
    pub(super) fn take_buffer(&self) -> Vec<Datum> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn return_buffer(&self, mut buffer: Vec<Datum>) {
        buffer.clear();
        self.buffers.borrow_mut().push(buffer);
    }

    pub(super) fn take_rows(&self) -> ScannedRows {
        self.bags.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn return_rows(&self, mut rows: ScannedRows) {
        rows.clear();
        self.bags.borrow_mut().push(rows);
    }
}

/// What all operators of an evaluation share.
#[derive(Clone, Copy)]
pub(super) struct LeafContext<'a> {
    /// The rows by scan.
    pub(super) scans: &'a [&'a ScannedRows],
    pub(super) scratch: &'a LeafScratch,
    pub(super) faults: &'a FaultCounter,
}

/// An operator of a leaf.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LeafNode {
    /// The rows of a scan.
    Scan(usize),
    /// Those for which a condition is true.
    Filter(Box<LeafNode>, ScalarExpr),
    /// One row for each row.
    Project(Box<LeafNode>, Vec<ScalarExpr>),
    /// One row for each element of a list.
    Unnest {
        /// The input.
        input: Box<LeafNode>,
        /// The list.
        list: ScalarExpr,
        /// Whether a row without elements is kept once.
        keep_empty: bool,
    },
    /// Pairs of rows.
    Join(Box<LeafJoin>),
    /// The rows of all inputs.
    UnionAll(Vec<LeafNode>),
}

/// Where an operator's rows go, with their counts.
pub(super) type EmitRow<'a> = dyn FnMut(&[Datum], i64) + 'a;

impl LeafNode {
    /// Gives the rows of the operator to `emit`.
    pub(super) fn run(&self, context: LeafContext<'_>, emit: &mut EmitRow<'_>) {
        match self {
            LeafNode::Scan(scan) => {
                for (row, count) in context.scans[*scan].iter() {
                    emit(row, count);
                }
            }
            LeafNode::Filter(input, condition) => input.run(context, &mut |row, count| {
                if condition.eval(row, context.faults).is_true() {
                    emit(row, count);
                }
            }),
            LeafNode::Project(input, columns) => {
                let mut buffer = context.scratch.take_buffer();
                input.run(context, &mut |row, count| {
                    buffer.clear();
                    buffer.extend(columns.iter().map(|column| column.eval(row, context.faults).into_owned()));
                    emit(&buffer, count);
                });
                context.scratch.return_buffer(buffer);
            }
            LeafNode::Unnest { input, list, keep_empty } => {
                let mut buffer = context.scratch.take_buffer();
                input.run(context, &mut |row, count| {
                    unnest_row(row, list, *keep_empty, context.faults, &mut buffer, &mut |row| emit(row, count));
                });
                context.scratch.return_buffer(buffer);
            }
            LeafNode::Join(join) => join.run(context, emit),
            LeafNode::UnionAll(inputs) => inputs.iter().for_each(|input| input.run(context, emit)),
        }
    }

    /// Calls `visit` with each scan that is read, once for each time.
    fn for_each_scan(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            LeafNode::Scan(scan) => visit(*scan),
            LeafNode::Filter(input, _) | LeafNode::Project(input, _) | LeafNode::Unnest { input, .. } => {
                input.for_each_scan(visit);
            }
            LeafNode::Join(join) => {
                join.left.for_each_scan(visit);
                join.right.for_each_scan(visit);
            }
            LeafNode::UnionAll(inputs) => inputs.iter().for_each(|input| input.for_each_scan(visit)),
        }
    }

    /// Whether the result is a sum over the rows of each scan by itself.
    fn is_multilinear(&self) -> bool {
        match self {
            LeafNode::Scan(_) => true,
            LeafNode::Filter(input, _) | LeafNode::Project(input, _) | LeafNode::Unnest { input, .. } => {
                input.is_multilinear()
            }
            LeafNode::Join(join) => join.is_inner() && join.left.is_multilinear() && join.right.is_multilinear(),
            LeafNode::UnionAll(_) => false,
        }
    }
}

/// Calls `emit` with a row and each element of its list.
pub(super) fn unnest_row(
    row: &[Datum],
    list: &ScalarExpr,
    keep_empty: bool,
    faults: &FaultCounter,
    buffer: &mut Vec<Datum>,
    emit: &mut dyn FnMut(&[Datum]),
) {
    let list = list.eval(row, faults);
    let elements = match &*list {
        Datum::List(elements) => &**elements,
        _ => &[],
    };
    let missing = if elements.is_empty() && keep_empty { [Datum::Null].as_slice() } else { &[] };
    for element in elements.iter().chain(missing) {
        buffer.clear();
        buffer.extend_from_slice(row);
        buffer.push(element.clone());
        emit(buffer);
    }
}

/// A leaf: from the rows of one key to rows of the question.
///
/// It holds nothing. An evaluation costs what its operators cost for the rows of one key; a join compares all pairs of
/// them, which are few.
#[derive(Debug, Clone, PartialEq)]
pub struct LeafProgram {
    root: LeafNode,
    /// The scans that are read.
    scans: Vec<usize>,
    multilinear: bool,
    /// The same for one row of each scan.
    row_program: Option<RowProgram>,
}

impl LeafProgram {
    /// The operator whose rows are those of the leaf.
    pub(super) fn root(&self) -> &LeafNode {
        &self.root
    }

    pub(crate) fn new(root: LeafNode) -> LeafProgram {
        let mut scans = Vec::new();
        let mut repeated = false;
        root.for_each_scan(&mut |scan| {
            repeated |= scans.contains(&scan);
            scans.push(scan);
        });
        scans.sort_unstable();
        scans.dedup();
        let multilinear = !repeated && root.is_multilinear();
        let row_program = if multilinear { RowProgram::of_leaf(&root) } else { None };
        LeafProgram { root, scans, multilinear, row_program }
    }

    /// What it makes of exactly one row of each scan, without its operators. `None` if it has to be
    /// [evaluated](LeafProgram::evaluate). Without a row of one of the scans it then makes none.
    #[must_use]
    pub fn row_program(&self) -> Option<&RowProgram> {
        self.row_program.as_ref()
    }

    /// The scans that are read, by their indexes: a change of other rows changes nothing.
    #[must_use]
    pub fn scans(&self) -> &[usize] {
        &self.scans
    }

    /// Whether the change of one scan's rows needs only these, with all rows of the others: inner joins of different
    /// scans. Such a leaf can also be evaluated over negative counts.
    #[must_use]
    pub fn is_multilinear(&self) -> bool {
        self.multilinear
    }

    /// Gives the rows of a key to `emit`.
    pub fn evaluate(
        &self,
        rows: &KeyedInput,
        scratch: &LeafScratch,
        faults: &FaultCounter,
        emit: &mut dyn FnMut(&[Datum], i64),
    ) {
        let scans: Vec<&ScannedRows> = rows.scans.iter().collect();
        self.root.run(LeafContext { scans: &scans, scratch, faults }, emit);
    }

    /// Gives the changes of a key's rows to `emit`, from the input `before` to the input `after`. Changes that cancel
    /// may be among them.
    ///
    /// Faults are counted for the input `after`, and again for what it adds.
    pub fn changes(
        &self,
        before: &KeyedInput,
        after: &KeyedInput,
        scratch: &LeafScratch,
        faults: &FaultCounter,
        emit: &mut dyn FnMut(&[Datum], i64),
    ) {
        if self.multilinear {
            self.change_by_scan(before, after, scratch, faults, emit);
        } else if self.scans.iter().any(|scan| before.scans[*scan] != after.scans[*scan]) {
            self.change_by_subtraction(before, after, scratch, faults, emit);
        }
    }

    /// Changes the scans one after the other: `f(A', B') − f(A, B) = f(A' − A, B) + f(A', B' − B)`.
    fn change_by_scan(
        &self,
        before: &KeyedInput,
        after: &KeyedInput,
        scratch: &LeafScratch,
        faults: &FaultCounter,
        emit: &mut dyn FnMut(&[Datum], i64),
    ) {
        let mut scans: Vec<&ScannedRows> = before.scans.iter().collect();
        for scan in &self.scans {
            let (old, new) = (&before.scans[*scan], &after.scans[*scan]);
            if old.is_empty() {
                scans[*scan] = new;
                if !new.is_empty() {
                    self.root.run(LeafContext { scans: &scans, scratch, faults }, emit);
                }
            } else {
                let mut difference = scratch.take_rows();
                difference.set_difference(old, new);
                if !difference.is_empty() {
                    let mut changed = scans.clone();
                    changed[*scan] = &difference;
                    self.root.run(LeafContext { scans: &changed, scratch, faults }, emit);
                }
                scratch.return_rows(difference);
                scans[*scan] = new;
            }
        }
    }

    fn change_by_subtraction(
        &self,
        before: &KeyedInput,
        after: &KeyedInput,
        scratch: &LeafScratch,
        faults: &FaultCounter,
        emit: &mut dyn FnMut(&[Datum], i64),
    ) {
        let mut updates: Vec<RowUpdate> = Vec::new();
        self.evaluate(before, scratch, &FaultCounter::default(), &mut |row, count| updates.push((row.into(), -count)));
        self.evaluate(after, scratch, faults, &mut |row, count| updates.push((row.into(), count)));
        consolidate_rows(&mut updates);
        for (row, diff) in &updates {
            emit(row, *diff);
        }
    }
}
