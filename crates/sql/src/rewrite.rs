//! Walking over expressions and plans, and making conditions simpler while they are made.

use crate::datum::{Datum, SqlType};
use crate::expr::{CompareOp, ExprKind, ScalarExpr};
use crate::plan::{AggregateCall, QueryPlan, SortKey, WindowCall, WindowFunction};

/// Replaces each column by what `replace` makes of its position.
pub(crate) fn replace_columns(expr: &mut ScalarExpr, replace: &mut impl FnMut(usize, SqlType) -> ScalarExpr) {
    if let ExprKind::Column(index) = expr.kind {
        *expr = replace(index, expr.ty);
        return;
    }
    for operand in expr.operands_mut() {
        replace_columns(operand, replace);
    }
}

/// The number of nodes.
pub(crate) fn expression_size(expr: &ScalarExpr) -> usize {
    1 + expr.operands().into_iter().map(expression_size).sum::<usize>()
}

/// The positions that are read, in order, once each.
pub(crate) fn columns_read(expr: &ScalarExpr) -> Vec<usize> {
    let mut columns = Vec::new();
    expr.for_each_column(&mut |column| columns.push(column));
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Whether all columns are in a range.
pub(crate) fn reads_only(expr: &ScalarExpr, range: &std::ops::Range<usize>) -> bool {
    let mut inside = true;
    expr.for_each_column(&mut |column| inside &= range.contains(&column));
    inside
}

/// Adds to (or, negative, takes from) the positions of all columns.
pub(crate) fn shift_columns(expr: &mut ScalarExpr, distance: isize) {
    expr.map_columns(&mut |column| column.saturating_add_signed(distance));
}

/// The conjuncts of a condition.
pub(crate) fn conjuncts(condition: ScalarExpr) -> Vec<ScalarExpr> {
    match condition.kind {
        ExprKind::And(all) => all.into_iter().flat_map(conjuncts).collect(),
        _ => vec![condition],
    }
}

/// All conditions at once, without those that are always true. `None` if nothing is left.
pub(crate) fn all_of(conditions: Vec<ScalarExpr>) -> Option<ScalarExpr> {
    let mut all: Vec<ScalarExpr> = Vec::new();
    for condition in conditions.into_iter().flat_map(conjuncts) {
        if !is_literal_bool(&condition, true) && !all.contains(&condition) {
            all.push(condition);
        }
    }
    if let Some(never) = all.iter().position(|condition| is_literal_bool(condition, false)) {
        return Some(all.swap_remove(never));
    }
    match all.len() {
        0 | 1 => all.pop(),
        _ => Some(ScalarExpr::condition(ExprKind::And(all))),
    }
}

/// `AND` of operands.
pub(crate) fn make_and(operands: Vec<ScalarExpr>) -> ScalarExpr {
    all_of(operands).unwrap_or_else(|| ScalarExpr::literal(Datum::Bool(true)))
}

/// `OR` of operands.
pub(crate) fn make_or(operands: Vec<ScalarExpr>) -> ScalarExpr {
    let mut any: Vec<ScalarExpr> = Vec::new();
    for operand in operands {
        match operand.kind {
            ExprKind::Or(inner) => any.extend(inner),
            _ => any.push(operand),
        }
    }
    any.retain(|operand| !is_literal_bool(operand, false));
    if let Some(always) = any.iter().position(|operand| is_literal_bool(operand, true)) {
        return any.swap_remove(always);
    }
    match any.len() {
        0 => ScalarExpr::literal(Datum::Bool(false)),
        1 => any.swap_remove(0),
        _ => ScalarExpr::condition(ExprKind::Or(any)),
    }
}

/// `NOT`, moved into comparisons of constants and double negations.
pub(crate) fn make_not(operand: ScalarExpr) -> ScalarExpr {
    match operand.kind {
        ExprKind::Literal(Datum::Bool(value)) => ScalarExpr::literal(Datum::Bool(!value)),
        ExprKind::Not(inner) => *inner,
        ExprKind::Compare(op, one, other) => ScalarExpr::condition(ExprKind::Compare(opposite(op), one, other)),
        _ => ScalarExpr::condition(ExprKind::Not(Box::new(operand))),
    }
}

/// The comparison that is true where this one is false; both are null where one side is.
fn opposite(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Equal => CompareOp::NotEqual,
        CompareOp::NotEqual => CompareOp::Equal,
        CompareOp::Less => CompareOp::GreaterOrEqual,
        CompareOp::LessOrEqual => CompareOp::Greater,
        CompareOp::Greater => CompareOp::LessOrEqual,
        CompareOp::GreaterOrEqual => CompareOp::Less,
    }
}

/// `IS NULL`.
pub(crate) fn make_is_null(operand: ScalarExpr) -> ScalarExpr {
    match &operand.kind {
        ExprKind::Literal(value) => ScalarExpr::literal(Datum::Bool(value.is_null())),
        _ => ScalarExpr::condition(ExprKind::IsNull(Box::new(operand))),
    }
}

/// `IS NOT NULL`.
pub(crate) fn make_is_not_null(operand: ScalarExpr) -> ScalarExpr {
    make_not(make_is_null(operand))
}

/// `one = other`.
pub(crate) fn make_equal(one: ScalarExpr, other: ScalarExpr) -> ScalarExpr {
    ScalarExpr::condition(ExprKind::Compare(CompareOp::Equal, Box::new(one), Box::new(other)))
}

/// `CASE`, without branches that are never taken.
pub(crate) fn make_case(branches: Vec<(ScalarExpr, ScalarExpr)>, otherwise: ScalarExpr) -> ScalarExpr {
    let mut kept = Vec::new();
    let mut otherwise = otherwise;
    for (condition, result) in branches {
        match &condition.kind {
            ExprKind::Literal(Datum::Bool(true)) => {
                otherwise = result;
                break;
            }
            ExprKind::Literal(_) => {}
            _ => kept.push((condition, result)),
        }
    }
    if kept.is_empty() {
        return otherwise;
    }
    let ty = otherwise.ty;
    ScalarExpr { kind: ExprKind::Case { branches: kept, otherwise: Box::new(otherwise) }, ty }
}

/// Whether an expression is this constant.
pub(crate) fn is_literal_bool(expr: &ScalarExpr, value: bool) -> bool {
    matches!(expr.kind, ExprKind::Literal(Datum::Bool(it)) if it == value)
}

/// The value of a constant.
pub(crate) fn literal_value(expr: &ScalarExpr) -> Option<&Datum> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

/// All expressions of an aggregate, to be changed.
pub(crate) fn aggregate_exprs_mut(call: &mut AggregateCall) -> Vec<&mut ScalarExpr> {
    let order = call.order.iter_mut().map(|key| &mut key.expr);
    call.arguments.iter_mut().chain(&mut call.filter).chain(order).collect()
}

/// All expressions of a window function, to be changed.
pub(crate) fn window_exprs_mut(call: &mut WindowCall) -> Vec<&mut ScalarExpr> {
    match &mut call.function {
        WindowFunction::Offset { value, default, .. } | WindowFunction::KnownOffset { value, default, .. } => {
            vec![value, default]
        }
        WindowFunction::KnownValue { value, .. }
        | WindowFunction::FirstValue(value, _)
        | WindowFunction::LastValue(value, _)
        | WindowFunction::NthValue(value, ..) => vec![value],
        WindowFunction::Aggregate(call, _) => aggregate_exprs_mut(call),
        _ => Vec::new(),
    }
}

/// The expressions of an order, to be changed.
pub(crate) fn order_exprs_mut(order: &mut [SortKey]) -> impl Iterator<Item = &mut ScalarExpr> {
    order.iter_mut().map(|key| &mut key.expr)
}

/// The number of operators.
pub(crate) fn plan_size(plan: &QueryPlan) -> usize {
    1 + plan.inputs().into_iter().map(plan_size).sum::<usize>()
}

/// Whether a plan has at most one row, whatever its tables hold.
pub(crate) fn is_single_row(plan: &QueryPlan) -> bool {
    match plan {
        QueryPlan::OneRow { .. } => true,
        QueryPlan::Aggregate { keys, .. } => keys.is_empty(),
        QueryPlan::Limit { input, limit, .. } => limit.is_some_and(|limit| limit <= 1) || is_single_row(input),
        QueryPlan::Filter { input, .. }
        | QueryPlan::Project { input, .. }
        | QueryPlan::Distinct { input }
        | QueryPlan::Window { input, .. } => is_single_row(input),
        QueryPlan::Join { left, right, kind, .. } => {
            use crate::plan::JoinKind::{Anti, Full, Semi};
            is_single_row(left) && (matches!(kind, Semi | Anti) || (is_single_row(right) && *kind != Full))
        }
        QueryPlan::UnionAll { inputs } => matches!(&inputs[..], [only] if is_single_row(only)),
        QueryPlan::Scan { .. } | QueryPlan::Unnest { .. } => false,
    }
}
