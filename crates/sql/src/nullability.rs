//! Which columns of a plan can be null.

use crate::catalog::Catalog;
use crate::expr::{Expr, ExprKind};
use crate::plan::{AggregateFunction, JoinKind, Plan, WindowFunction};

/// Whether each column can be null.
pub(crate) fn nullable_columns(plan: &Plan, catalog: &Catalog) -> Vec<bool> {
    let of = |exprs: &[Expr], input: &[bool]| exprs.iter().map(|expr| is_nullable(expr, input)).collect::<Vec<bool>>();
    match plan {
        Plan::Scan { relation, columns } => {
            let known = catalog.relations.get(*relation).map_or(&[][..], |relation| relation.columns);
            let input: Vec<bool> = known.iter().map(|column| column.nullable).collect();
            of(columns, &input)
        }
        Plan::Filter { input, condition } => {
            let mut nullable = nullable_columns(input, catalog);
            mark_present(condition, &mut nullable);
            nullable
        }
        Plan::Distinct { input } | Plan::Limit { input, .. } => nullable_columns(input, catalog),
        Plan::Project { input, columns } => of(columns, &nullable_columns(input, catalog)),
        Plan::Unnest { input, .. } => {
            let mut nullable = nullable_columns(input, catalog);
            nullable.push(true);
            nullable
        }
        Plan::Join { kind, left, right, keys, .. } => joined_columns(*kind, left, right, keys, catalog),
        Plan::Aggregate { input, keys, aggregates } => {
            let mut nullable = of(keys, &nullable_columns(input, catalog));
            nullable.extend(aggregates.iter().map(|call| !is_count(call.function)));
            nullable
        }
        Plan::Window { input, functions, .. } => {
            let mut nullable = nullable_columns(input, catalog);
            nullable.extend(functions.iter().map(|call| is_nullable_window(&call.function)));
            nullable
        }
        Plan::UnionAll { inputs } => {
            let mut all = vec![false; plan.types().len()];
            for input in inputs {
                for (any, one) in all.iter_mut().zip(nullable_columns(input, catalog)) {
                    *any |= one;
                }
            }
            all
        }
        Plan::OneRow { columns, .. } => columns.iter().map(crate::datum::Datum::is_null).collect(),
    }
}

fn joined_columns(kind: JoinKind, left: &Plan, right: &Plan, keys: &[(Expr, Expr)], catalog: &Catalog) -> Vec<bool> {
    let mut one = nullable_columns(left, catalog);
    let mut other = nullable_columns(right, catalog);
    // A key that is null has no partner.
    for (left_key, right_key) in keys {
        if let (ExprKind::Column(column), JoinKind::Inner | JoinKind::Right | JoinKind::Semi) = (&left_key.kind, kind) {
            one[*column] = false;
        }
        if let (ExprKind::Column(column), JoinKind::Inner | JoinKind::Left) = (&right_key.kind, kind) {
            other[*column] = false;
        }
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        one.fill(true);
    }
    if matches!(kind, JoinKind::Left | JoinKind::Full) {
        other.fill(true);
    }
    if !matches!(kind, JoinKind::Semi | JoinKind::Anti) {
        one.extend(other);
    }
    one
}

/// Columns that a condition compares are not null in the rows that it keeps.
fn mark_present(condition: &Expr, nullable: &mut [bool]) {
    let mut mark = |expr: &Expr| {
        if let ExprKind::Column(column) = expr.kind
            && let Some(nullable) = nullable.get_mut(column)
        {
            *nullable = false;
        }
    };
    match &condition.kind {
        ExprKind::And(all) => all.iter().for_each(|one| mark_present(one, nullable)),
        ExprKind::Compare(_, one, other) => {
            mark(one);
            mark(other);
        }
        ExprKind::In(subject, _) => mark(subject),
        ExprKind::Not(inner) => {
            if let ExprKind::IsNull(tested) = &inner.kind {
                mark(tested);
            }
        }
        _ => {}
    }
}

fn is_nullable(expr: &Expr, input: &[bool]) -> bool {
    let any = |exprs: &[&Expr]| exprs.iter().any(|expr| is_nullable(expr, input));
    match &expr.kind {
        ExprKind::Column(column) => input.get(*column).copied().unwrap_or(true),
        ExprKind::Literal(value) => value.is_null(),
        ExprKind::SameValue(..) | ExprKind::IsNull(_) | ExprKind::IsTrue(_) => false,
        ExprKind::Compare(..)
        | ExprKind::And(_)
        | ExprKind::Or(_)
        | ExprKind::Not(_)
        | ExprKind::In(..)
        | ExprKind::Like(_) => any(&expr.operands()),
        ExprKind::Case { branches, otherwise } => {
            branches.iter().any(|(_, result)| is_nullable(result, input)) || is_nullable(otherwise, input)
        }
        ExprKind::Coalesce(all) => all.iter().all(|one| is_nullable(one, input)),
        // These can have no result: overflow, division by zero, a text that is no number.
        ExprKind::Arithmetic(..) | ExprKind::Negate(_) | ExprKind::Cast(_) | ExprKind::Call(..) => true,
    }
}

fn is_count(function: AggregateFunction) -> bool {
    matches!(function, AggregateFunction::Count | AggregateFunction::CountRows)
}

fn is_nullable_window(function: &WindowFunction) -> bool {
    match function {
        WindowFunction::RowNumber
        | WindowFunction::Rank
        | WindowFunction::DenseRank
        | WindowFunction::PercentRank
        | WindowFunction::CumeDist
        | WindowFunction::Ntile(_) => false,
        WindowFunction::Aggregate(call, _) => !is_count(call.function),
        WindowFunction::Offset { .. }
        | WindowFunction::FirstValue(..)
        | WindowFunction::LastValue(..)
        | WindowFunction::NthValue(..) => true,
    }
}
