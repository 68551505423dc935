//! Leaves over exactly one row of each of their scans.

use super::leaf::LeafNode;
use super::leaf_join::LeafJoin;
use crate::datum::{Datum, SqlType};
use crate::eval::FaultCounter;
use crate::expr::{ExprKind, ScalarExpr};
use crate::rewrite::replace_columns;

/// What a leaf makes of one row of each of its scans: one row, or none.
///
/// Where only the latest row of a key counts, nearly every evaluation is of this kind. The operators of a leaf would copy
/// each value from row to row. Here the values that matter are read once, and conditions are checked over them in the
/// order in which the operators would.
#[derive(Debug, Clone, PartialEq)]
pub struct RowProgram {
    /// The values that are read: the scan, by its index, and the column of it.
    reads: Box<[(usize, usize)]>,
    checks: Box<[RowCheck]>,
    output: RowOutput,
}

/// What must hold of the values, or there is no row.
#[derive(Debug, Clone, PartialEq)]
enum RowCheck {
    /// A condition is true.
    IsTrue(ScalarExpr),
    /// The keys of a join are equal, and not null.
    SameKey(ScalarExpr, ScalarExpr),
}

/// How the row is made of the values.
#[derive(Debug, Clone, PartialEq)]
enum RowOutput {
    /// It is the first values, this many.
    First(usize),
    /// Its columns are computed.
    Computed(Box<[ScalarExpr]>),
}

impl RowProgram {
    /// The program of a leaf. `None` if a row of each scan can make several rows, or makes some without the others, or if
    /// values are computed below a join or a filter.
    pub(super) fn of_leaf(root: &LeafNode) -> Option<RowProgram> {
        let mut builder = RowBuilder::default();
        let (row, computed) = match root {
            LeafNode::Project(input, columns) => (builder.add_node(input)?, Some(columns)),
            _ => (builder.add_node(root)?, None),
        };
        let columns = match (computed, row) {
            (Some(columns), row) => columns.iter().map(|column| builder.resolve(column, &row)).collect(),
            (None, RowSource::Columns(columns)) => columns,
            // How many columns these have is not known here.
            (None, RowSource::Scan(_) | RowSource::Pair(..)) => return None,
        };
        Some(builder.finish(columns))
    }

    /// The values that it reads of the rows: the scan, by its index, and the column of it.
    #[must_use]
    pub fn reads(&self) -> &[(usize, usize)] {
        &self.reads
    }

    /// Makes the row in place of the values that were [read](RowProgram::reads). Returns whether there is one. `spare` is a
    /// buffer to reuse.
    pub fn make_row(&self, values: &mut Vec<Datum>, spare: &mut Vec<Datum>, faults: &FaultCounter) -> bool {
        let holds = |check: &RowCheck| match check {
            RowCheck::IsTrue(condition) => condition.eval(values, faults).is_true(),
            RowCheck::SameKey(one, other) => {
                let one = one.eval(values, faults);
                !one.is_null() && *one == *other.eval(values, faults)
            }
        };
        if !self.checks.iter().all(holds) {
            return false;
        }
        match &self.output {
            RowOutput::First(width) => values.truncate(*width),
            RowOutput::Computed(columns) => {
                spare.clear();
                spare.extend(columns.iter().map(|column| column.eval(values, faults).into_owned()));
                std::mem::swap(values, spare);
            }
        }
        true
    }
}

/// Where the columns of an operator's row come from.
enum RowSource {
    /// A scan.
    Scan(usize),
    /// Columns of scans and constants.
    Columns(Vec<ScalarExpr>),
    /// The left row, whose width is given, and the right one after it.
    Pair(Box<RowSource>, usize, Box<RowSource>),
}

#[derive(Default)]
struct RowBuilder {
    reads: Vec<(usize, usize)>,
    checks: Vec<RowCheck>,
}

impl RowBuilder {
    fn add_node(&mut self, node: &LeafNode) -> Option<RowSource> {
        match node {
            LeafNode::Scan(scan) => Some(RowSource::Scan(*scan)),
            LeafNode::Filter(input, condition) => {
                let row = self.add_node(input)?;
                let condition = self.resolve(condition, &row);
                self.checks.push(RowCheck::IsTrue(condition));
                Some(row)
            }
            LeafNode::Project(input, columns) => {
                let row = self.add_node(input)?;
                // What is computed would be computed again in each expression that reads it.
                let is_simple = |expr: &ScalarExpr| matches!(expr.kind, ExprKind::Column(_) | ExprKind::Literal(_));
                let columns = columns.iter().all(is_simple).then_some(columns)?;
                Some(RowSource::Columns(columns.iter().map(|column| self.resolve(column, &row)).collect()))
            }
            LeafNode::Join(join) if join.is_inner() => self.add_join(join),
            LeafNode::Join(_) | LeafNode::Unnest { .. } | LeafNode::UnionAll(_) => None,
        }
    }

    fn add_join(&mut self, join: &LeafJoin) -> Option<RowSource> {
        // The operator runs its right input first.
        let right = self.add_node(&join.right)?;
        let left = self.add_node(&join.left)?;
        for (one, other) in &join.keys {
            let check = RowCheck::SameKey(self.resolve(one, &left), self.resolve(other, &right));
            self.checks.push(check);
        }
        let pair = RowSource::Pair(Box::new(left), join.left_width, Box::new(right));
        if let Some(condition) = &join.condition {
            let condition = self.resolve(condition, &pair);
            self.checks.push(RowCheck::IsTrue(condition));
        }
        Some(pair)
    }

    /// An expression over the columns of a row as one over the values that are read.
    fn resolve(&mut self, expr: &ScalarExpr, row: &RowSource) -> ScalarExpr {
        let mut resolved = expr.clone();
        replace_columns(&mut resolved, &mut |column, ty| self.column_of(row, column, ty));
        resolved
    }

    fn column_of(&mut self, row: &RowSource, column: usize, ty: SqlType) -> ScalarExpr {
        match row {
            RowSource::Scan(scan) => ScalarExpr::column(self.read(*scan, column), ty),
            RowSource::Columns(columns) => columns.get(column).cloned().unwrap_or_else(|| ScalarExpr::null(ty)),
            RowSource::Pair(left, width, right) => match column.checked_sub(*width) {
                None => self.column_of(left, column, ty),
                Some(column) => self.column_of(right, column, ty),
            },
        }
    }

    /// The position among the values at which a column of a scan is read.
    fn read(&mut self, scan: usize, column: usize) -> usize {
        self.reads.iter().position(|read| *read == (scan, column)).unwrap_or_else(|| {
            self.reads.push((scan, column));
            self.reads.len() - 1
        })
    }

    fn finish(mut self, columns: Vec<ScalarExpr>) -> RowProgram {
        let Some(first) = distinct_columns(&columns) else {
            let output = RowOutput::Computed(columns.into());
            return RowProgram { reads: self.reads.into(), checks: self.checks.into(), output };
        };
        // The values of the row are read first, so that it need not be put together.
        let others = (0..self.reads.len()).filter(|read| !first.contains(read));
        let order: Vec<usize> = first.iter().copied().chain(others).collect();
        let place_of = |read: usize| order.iter().position(|other| *other == read).unwrap_or(read);
        for check in &mut self.checks {
            match check {
                RowCheck::IsTrue(condition) => condition.map_columns(&mut |read| place_of(read)),
                RowCheck::SameKey(one, other) => {
                    one.map_columns(&mut |read| place_of(read));
                    other.map_columns(&mut |read| place_of(read));
                }
            }
        }
        let reads = order.iter().map(|read| self.reads[*read]).collect();
        RowProgram { reads, checks: self.checks.into(), output: RowOutput::First(first.len()) }
    }
}

/// The columns that expressions read as a whole, if each is one and none is read twice.
fn distinct_columns(exprs: &[ScalarExpr]) -> Option<Vec<usize>> {
    let mut columns = Vec::with_capacity(exprs.len());
    for expr in exprs {
        match expr.kind {
            ExprKind::Column(column) if !columns.contains(&column) => columns.push(column),
            _ => return None,
        }
    }
    Some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::CompareOp;
    use crate::plan::JoinKind;

    fn column(index: usize) -> ScalarExpr {
        ScalarExpr::column(index, SqlType::Long)
    }

    fn join(kind: JoinKind, left: LeafNode, right: LeafNode, left_width: usize) -> LeafNode {
        let keys = vec![(column(0), column(1))];
        LeafNode::Join(Box::new(LeafJoin { kind, left, right, keys, condition: None, left_width, right_width: 2 }))
    }

    fn project(input: LeafNode, columns: Vec<ScalarExpr>) -> LeafNode {
        LeafNode::Project(Box::new(input), columns)
    }

    fn is_greater(one: usize, other: usize) -> ScalarExpr {
        let kind = ExprKind::Compare(CompareOp::Greater, Box::new(column(one)), Box::new(column(other)));
        ScalarExpr { kind, ty: SqlType::Bool }
    }

    /// The row of a program, where column `c` of scan `s` is `10 * s + c`, unless `values` says otherwise.
    fn row_of(program: &RowProgram, values: &[((usize, usize), Datum)]) -> Option<Vec<Datum>> {
        let value_of = |read: &(usize, usize)| {
            let given = values.iter().find(|(other, _)| other == read).map(|(_, value)| value.clone());
            given.unwrap_or(Datum::Long((10 * read.0 + read.1) as i64))
        };
        let mut row: Vec<Datum> = program.reads().iter().map(value_of).collect();
        program.make_row(&mut row, &mut Vec::new(), &FaultCounter::default()).then_some(row)
    }

    #[test]
    fn join_reads_the_values_of_its_row_first_and_checks_its_keys() {
        let renamed = project(LeafNode::Scan(2), vec![column(5), column(3)]);
        let joined = join(JoinKind::Inner, LeafNode::Scan(1), renamed, 4);
        // The columns of the pair: 1.0 to 1.3, 2.5, 2.3. The join compares 1.0 with 2.3.
        let leaf = project(LeafNode::Filter(Box::new(joined), is_greater(4, 1)), vec![column(4), column(2)]);
        let program = RowProgram::of_leaf(&leaf).expect("one row of each scan makes at most one");
        assert_eq!(program.output, RowOutput::First(2));
        assert_eq!(program.reads()[..2], [(2, 5), (1, 2)]);
        assert_eq!(row_of(&program, &[]), None, "10 is not 23");
        let same_key = ((1, 0), Datum::Long(23));
        assert_eq!(row_of(&program, std::slice::from_ref(&same_key)), Some(vec![Datum::Long(25), Datum::Long(12)]));
        assert_eq!(row_of(&program, &[same_key, ((1, 1), Datum::Long(90))]), None, "25 is not greater than 90");
        let nulls = [((1, 0), Datum::Null), ((2, 3), Datum::Null)];
        assert_eq!(row_of(&program, &nulls), None, "null is no key");
    }

    #[test]
    fn columns_that_are_repeated_or_computed_are_evaluated() {
        let leaf = project(LeafNode::Scan(0), vec![column(1), is_greater(1, 0), column(1)]);
        let program = RowProgram::of_leaf(&leaf).expect("a projection of a scan");
        let row = vec![Datum::Long(1), Datum::Bool(true), Datum::Long(1)];
        assert_eq!(row_of(&program, &[]), Some(row));
    }

    #[test]
    fn operators_that_make_other_than_one_row_of_one_row_have_no_program() {
        let scan = || LeafNode::Scan(0);
        let unnest = LeafNode::Unnest { input: Box::new(scan()), list: column(0), keep_empty: true };
        let computed = project(scan(), vec![is_greater(0, 1)]);
        let leaves = [
            scan(),
            project(unnest, vec![column(0)]),
            project(LeafNode::UnionAll(vec![scan(), scan()]), vec![column(0)]),
            project(join(JoinKind::Left, scan(), LeafNode::Scan(1), 2), vec![column(0)]),
            project(LeafNode::Filter(Box::new(computed), column(0)), vec![column(0)]),
        ];
        for leaf in leaves {
            assert_eq!(RowProgram::of_leaf(&leaf), None, "{leaf:?}");
        }
    }
}
