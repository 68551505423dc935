//! Where the columns of a question's scans come from.

use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::Datum;
use pinflow_sql::expr::{ExprKind, ScalarExpr};
use pinflow_sql::split::MaintainedPlan;

use super::ExtraColumns;
use crate::joins::{HeldColumn, JoinedRow, column_or_year};
use crate::record::Ind;
use crate::version::ExtraValues;

/// Where the values of one column of a scan come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnSource {
    /// The `ind` itself.
    Key,
    /// A column that is held of every row.
    Held(HeldColumn),
    /// An extra column, by index.
    Extra(usize),
}

impl ColumnSource {
    /// The source of a column of a scan. Columns that are not held become extra columns.
    pub(super) fn of_column(relation: usize, column: &ScalarExpr, extra: &mut ExtraColumns) -> ColumnSource {
        if column.kind == ExprKind::Column(POSTS.relations[relation].key) {
            return ColumnSource::Key;
        }
        match held_column(relation, column) {
            Some(held) => ColumnSource::Held(held),
            None => ColumnSource::Extra(extra.add(relation, column)),
        }
    }

    /// The value of a row.
    pub(super) fn read(self, ind: Ind, row: &JoinedRow<'_>, extra: &ExtraValues) -> Datum {
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
                extra.as_ref().and_then(|extra| extra.get(index)).cloned().unwrap_or(Datum::Null)
            }
        }
    }
}

/// Every expression that a question reads and that is not held of every row, with its relation.
pub(crate) fn extra_exprs_of(program: &MaintainedPlan) -> impl Iterator<Item = (usize, &ScalarExpr)> {
    program.scans.iter().flat_map(|scan| {
        let is_held = |column: &ScalarExpr| {
            column.kind == ExprKind::Column(POSTS.relations[scan.relation].key)
                || held_column(scan.relation, column).is_some()
        };
        scan.columns.iter().filter(move |column| !is_held(column)).map(|column| (scan.relation, column))
    })
}

/// The held column that an expression over the columns of a relation reads as a whole.
fn held_column(relation: usize, expr: &ScalarExpr) -> Option<HeldColumn> {
    let (column, is_year) = column_or_year(expr)?;
    let name = POSTS.relations.get(relation)?.columns.get(column)?.name;
    HeldColumn::find(relation, name, is_year)
}
