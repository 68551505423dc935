//! Which columns of a plan are the key of the rows that they come from.

use crate::catalog::RelationCatalog;
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{JoinKind, QueryPlan};

/// What a column is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyColumn {
    /// Any value.
    Other,
    /// The key, or null.
    KeyOrNull,
    /// The key.
    Key,
}

/// What the columns are of a plan that is a function of the rows of one key: its result over all rows is that of each
/// key, added up. `None` for other plans.
///
/// A join is such a function if its keys have a pair of which both sides are the key or null: a null has no partner, and
/// a row of one key has none among the rows of another.
pub(crate) fn key_columns(plan: &QueryPlan, catalog: &RelationCatalog) -> Option<Vec<KeyColumn>> {
    match plan {
        QueryPlan::Scan { relation, columns } => {
            let key = catalog.relations.get(*relation)?.key;
            let is_key = |column: &ScalarExpr| {
                if column.kind == ExprKind::Column(key) { KeyColumn::Key } else { KeyColumn::Other }
            };
            Some(columns.iter().map(is_key).collect())
        }
        QueryPlan::Filter { input, .. } => key_columns(input, catalog),
        QueryPlan::Project { input, columns } => {
            let input = key_columns(input, catalog)?;
            Some(columns.iter().map(|column| key_of_expr(column, &input)).collect())
        }
        QueryPlan::Unnest { input, .. } => {
            let mut columns = key_columns(input, catalog)?;
            columns.push(KeyColumn::Other);
            Some(columns)
        }
        QueryPlan::Join { kind, left, right, keys, .. } => {
            joined_columns(*kind, key_columns(left, catalog)?, key_columns(right, catalog)?, keys)
        }
        QueryPlan::UnionAll { inputs } => {
            let mut columns = inputs.iter().map(|input| key_columns(input, catalog));
            let first = columns.next()??;
            columns.try_fold(first, |sum, next| {
                Some(sum.into_iter().zip(next?).map(|(one, other)| one.min(other)).collect())
            })
        }
        QueryPlan::Aggregate { .. }
        | QueryPlan::Distinct { .. }
        | QueryPlan::Window { .. }
        | QueryPlan::Limit { .. }
        | QueryPlan::OneRow { .. } => None,
    }
}

fn joined_columns(
    kind: JoinKind,
    mut left: Vec<KeyColumn>,
    mut right: Vec<KeyColumn>,
    keys: &[(ScalarExpr, ScalarExpr)],
) -> Option<Vec<KeyColumn>> {
    let is_key = |expr, columns: &[KeyColumn]| key_of_expr(expr, columns) != KeyColumn::Other;
    keys.iter().find(|(one, other)| is_key(one, &left) && is_key(other, &right))?;
    let extend_by_nulls = |columns: &mut Vec<KeyColumn>| {
        columns.iter_mut().for_each(|column| *column = (*column).min(KeyColumn::KeyOrNull));
    };
    if matches!(kind, JoinKind::Left | JoinKind::Full) {
        extend_by_nulls(&mut right);
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        extend_by_nulls(&mut left);
    }
    if !matches!(kind, JoinKind::Semi | JoinKind::Anti) {
        left.append(&mut right);
    }
    Some(left)
}

/// What the value of an expression is, over columns of these kinds.
pub(crate) fn key_of_expr(expr: &ScalarExpr, columns: &[KeyColumn]) -> KeyColumn {
    match &expr.kind {
        ExprKind::Column(index) => columns.get(*index).copied().unwrap_or(KeyColumn::Other),
        ExprKind::Literal(value) if value.is_null() => KeyColumn::KeyOrNull,
        ExprKind::Cast(operand) if operand.ty == expr.ty => key_of_expr(operand, columns),
        ExprKind::Coalesce(operands) => {
            let operands = operands.iter().map(|operand| key_of_expr(operand, columns));
            // One operand that is never null is enough for the whole, if all are the key.
            match operands.clone().min() {
                Some(KeyColumn::Other) | None => KeyColumn::Other,
                Some(_) => operands.max().unwrap_or(KeyColumn::Other),
            }
        }
        ExprKind::Case { branches, otherwise } => {
            let results = branches.iter().map(|(_, result)| result).chain([&**otherwise]);
            results.map(|result| key_of_expr(result, columns)).min().unwrap_or(KeyColumn::Other)
        }
        _ => KeyColumn::Other,
    }
}
