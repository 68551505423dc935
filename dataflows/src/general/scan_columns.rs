//! Where the columns of a question's scans come from.

use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::Datum;
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::expr::{ExprKind, ScalarExpr};
use pinflow_sql::split::MaintainedPlan;

use crate::joins::{HeldColumn, JoinedRow, RelationSet, column_or_year};
use crate::record::Ind;
use crate::version::ExtraValues;

/// What a question reads of a relation.
#[derive(Debug)]
pub(crate) struct QuestionScan {
    /// The relation alone.
    pub(super) relation: RelationSet,
    /// Where the columns come from.
    sources: Box<[ColumnSource]>,
}

impl QuestionScan {
    /// The scan of a relation, by its index in the catalog.
    pub(super) fn new(relation: usize, sources: Box<[ColumnSource]>) -> QuestionScan {
        QuestionScan { relation: RelationSet::of(&[relation]), sources }
    }

    /// The index of the relation in the catalog.
    pub(super) fn relation_index(&self) -> usize {
        self.relation.only_index()
    }

    /// Where the columns come from.
    pub(super) fn sources(&self) -> &[ColumnSource] {
        &self.sources
    }

    /// The values of a row of the relation.
    pub(super) fn values(&self, ind: Ind, row: &JoinedRow<'_>, extra: &ExtraValues) -> impl Iterator<Item = Datum> {
        self.sources.iter().map(move |source| source.read(ind, row, extra))
    }
}

/// Where the values of one column of a scan come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ColumnSource {
    /// The `ind` itself.
    Key,
    /// A column that is held of every row.
    Held(HeldColumn),
    /// An extra column, by index.
    Extra(usize),
    /// The same value for all rows.
    Constant(Datum),
}

impl ColumnSource {
    /// The source of a column of a scan. `extra_index` gives the index of a column that is not held.
    pub(super) fn of_column(
        relation: usize,
        column: &ScalarExpr,
        extra_index: &mut dyn FnMut(&ScalarExpr) -> usize,
    ) -> ColumnSource {
        if column.kind == ExprKind::Column(POSTS.relations[relation].key) {
            return ColumnSource::Key;
        }
        match held_column(relation, column) {
            Some(held) => ColumnSource::Held(held),
            None if is_constant(column) => {
                ColumnSource::Constant(column.eval(&[], &FaultCounter::default()).into_owned())
            }
            None => ColumnSource::Extra(extra_index(column)),
        }
    }

    /// The value of a row.
    pub(super) fn read(&self, ind: Ind, row: &JoinedRow<'_>, extra: &ExtraValues) -> Datum {
        match self {
            ColumnSource::Key => Datum::Long(ind.cast_signed()),
            ColumnSource::Held(column) => {
                if let Some(text) = column.text() {
                    text(row).map_or(Datum::Null, |symbol| Datum::text(&symbol.text()))
                } else {
                    column.long().and_then(|long| long(row)).map_or(Datum::Null, Datum::Long)
                }
            }
            ColumnSource::Extra(index) => {
                extra.as_ref().and_then(|extra| extra.get(*index)).cloned().unwrap_or(Datum::Null)
            }
            ColumnSource::Constant(value) => value.clone(),
        }
    }
}

/// Every expression that a question reads and that is not held of every row, with its relation.
pub(crate) fn extra_exprs_of(program: &MaintainedPlan) -> impl Iterator<Item = (usize, &ScalarExpr)> {
    program.scans.iter().flat_map(|scan| {
        let is_held = |column: &ScalarExpr| {
            column.kind == ExprKind::Column(POSTS.relations[scan.relation].key)
                || held_column(scan.relation, column).is_some()
                || is_constant(column)
        };
        scan.columns.iter().filter(move |column| !is_held(column)).map(|column| (scan.relation, column))
    })
}

/// The columns of a relation, by name, from which something is held of every row.
pub(crate) fn held_columns(relation: usize) -> impl Iterator<Item = &'static str> {
    let names = POSTS.relations[relation].columns.iter().map(|column| column.name);
    names.filter(move |name| [false, true].iter().any(|is_year| HeldColumn::find(relation, name, *is_year).is_some()))
}

/// Whether an expression reads no column.
fn is_constant(expr: &ScalarExpr) -> bool {
    let mut reads_column = false;
    expr.for_each_column(&mut |_| reads_column = true);
    !reads_column
}

/// The held column that an expression over the columns of a relation reads as a whole.
fn held_column(relation: usize, expr: &ScalarExpr) -> Option<HeldColumn> {
    let (column, is_year) = column_or_year(expr)?;
    let name = POSTS.relations.get(relation)?.columns.get(column)?.name;
    HeldColumn::find(relation, name, is_year)
}
