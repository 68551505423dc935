//! Derived columns: a question that reads a text only inside of an expression holds the expression's value.
//!
//! The graph holds what scans read of each row. For `count(*) FILTER (WHERE description IS NULL)` that need not be the
//! description: a boolean is enough, and it is made where the whole row is at hand. So the pass looks for the largest
//! expressions that read one scan alone, among its columns one that the graph does not hold anyway. If a column is read
//! in no other way, these expressions take its place in the scan.
//!
//! The values of a question do not change. Faults are counted for all rows of the relation, and not only for those
//! that a filter below the expression lets through.

mod rewrite;
#[cfg(test)]
mod tests;
mod uses;

use crate::catalog::RelationCatalog;
use crate::datum::Datum;
use crate::eval::FaultCounter;
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{JoinKind, QueryPlan};
use crate::rewrite::replace_columns;

/// Replaces columns that are not held by the expressions that read them, where that is possible.
///
/// Columns that are not read any more may remain in projections: prune the plan afterwards.
#[must_use]
pub fn derive_columns(plan: QueryPlan, catalog: &RelationCatalog) -> QueryPlan {
    let uses = uses::find_uses(&plan, catalog);
    if uses.has_derived() { rewrite::rewrite_plan(plan, &uses) } else { plan }
}

/// Where a column comes from: a column of a scan, unchanged.
#[derive(Debug, Clone)]
struct ColumnOrigin {
    /// The number of the scan, in the order of a walk through the plan.
    scan: usize,
    /// The position in the scan.
    position: usize,
    /// What the scan reads: an expression over the relation's columns.
    column: ScalarExpr,
    /// Whether the column is null in rows that an outer join made without a row of the scan.
    extended: bool,
}

/// The origins of an operator's columns. `None` for one that is computed.
type ColumnOrigins = Vec<Option<ColumnOrigin>>;

/// An expression over one scan.
struct ScanExpr {
    scan: usize,
    /// The positions in the scan that it reads.
    positions: Vec<usize>,
    /// The expression, over the relation's columns.
    expr: ScalarExpr,
    /// Its value in rows without a row of the scan, if that is not null.
    value_without_row: Option<Datum>,
}

/// An expression as one over a scan's relation, if it reads nothing else, and its value can take its place.
fn scan_expr(expr: &ScalarExpr, origins: &ColumnOrigins) -> Option<ScanExpr> {
    if matches!(expr.kind, ExprKind::Column(_) | ExprKind::Literal(_)) {
        return None;
    }
    let mut read: Vec<Option<&ColumnOrigin>> = Vec::new();
    expr.for_each_column(&mut |index| read.push(origins.get(index).and_then(Option::as_ref)));
    let read: Vec<&ColumnOrigin> = read.into_iter().collect::<Option<_>>()?;
    let scan = read.first()?.scan;
    if read.iter().any(|origin| origin.scan != scan) {
        return None;
    }
    let mut over_relation = expr.clone();
    let column_at = |index: usize| origins.get(index).and_then(Option::as_ref).map(|origin| origin.column.clone());
    replace_columns(&mut over_relation, &mut |index, ty| column_at(index).unwrap_or_else(|| ScalarExpr::null(ty)));
    let value_without_row = if read[0].extended { value_over_nulls(expr, &over_relation)? } else { None };
    let positions = read.iter().map(|origin| origin.position).collect();
    Some(ScanExpr { scan, positions, expr: over_relation, value_without_row })
}

/// The value of an expression in a row of nulls: `Some(None)` if that is null, too. `None` if a null could come from
/// such a row as well as from another, and the value is not null.
fn value_over_nulls(expr: &ScalarExpr, over_relation: &ScalarExpr) -> Option<Option<Datum>> {
    let mut columns = 0;
    over_relation.for_each_column(&mut |index| columns = columns.max(index + 1));
    let value = over_relation.eval(&vec![Datum::Null; columns], &FaultCounter::default()).into_owned();
    if value.is_null() {
        return Some(None);
    }
    let is_never_null = matches!(expr.kind, ExprKind::IsNull(_) | ExprKind::IsTrue(_) | ExprKind::SameValue(..));
    is_never_null.then_some(Some(value))
}

/// The origins of a projection's columns.
fn projected_origins(columns: &[ScalarExpr], input: &ColumnOrigins) -> ColumnOrigins {
    let origin = |column: &ScalarExpr| match column.kind {
        ExprKind::Column(index) => input.get(index).cloned().flatten(),
        _ => None,
    };
    columns.iter().map(origin).collect()
}

/// The origins of a join's columns.
fn joined_origins(kind: JoinKind, mut left: ColumnOrigins, mut right: ColumnOrigins) -> ColumnOrigins {
    let extend = |origins: &mut ColumnOrigins| origins.iter_mut().flatten().for_each(|origin| origin.extended = true);
    if matches!(kind, JoinKind::Left | JoinKind::Full) {
        extend(&mut right);
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        extend(&mut left);
    }
    if !matches!(kind, JoinKind::Semi | JoinKind::Anti) {
        left.append(&mut right);
    }
    left
}

/// The origins of a scan's columns.
fn scanned_origins(scan: usize, columns: &[ScalarExpr]) -> ColumnOrigins {
    let origins = columns.iter().enumerate().map(|(position, column)| ColumnOrigin {
        scan,
        position,
        column: column.clone(),
        extended: false,
    });
    origins.map(Some).collect()
}
