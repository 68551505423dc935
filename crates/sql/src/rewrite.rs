//! Walking over expressions and plans, and making conditions simpler while they are made.

use crate::datum::{Datum, SqlType};
use crate::expr::{CompareOp, Expr, ExprKind};
use crate::plan::{AggregateCall, Plan, SortKey, WindowCall, WindowFunction};

/// Replaces each column by what `replace` makes of its position.
pub(crate) fn replace_columns(expr: &mut Expr, replace: &mut impl FnMut(usize, SqlType) -> Expr) {
    if let ExprKind::Column(index) = expr.kind {
        *expr = replace(index, expr.ty);
        return;
    }
    for operand in expr.operands_mut() {
        replace_columns(operand, replace);
    }
}

/// The number of nodes.
pub(crate) fn expression_size(expr: &Expr) -> usize {
    1 + expr.operands().into_iter().map(expression_size).sum::<usize>()
}

/// The positions that are read, in order, once each.
pub(crate) fn columns_read(expr: &Expr) -> Vec<usize> {
    let mut columns = Vec::new();
    expr.for_each_column(&mut |column| columns.push(column));
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Whether all columns are in a range.
pub(crate) fn reads_only(expr: &Expr, range: &std::ops::Range<usize>) -> bool {
    let mut inside = true;
    expr.for_each_column(&mut |column| inside &= range.contains(&column));
    inside
}

/// Adds to (or, negative, takes from) the positions of all columns.
pub(crate) fn shift_columns(expr: &mut Expr, distance: isize) {
    expr.map_columns(&mut |column| column.saturating_add_signed(distance));
}

/// The conjuncts of a condition.
pub(crate) fn conjuncts(condition: Expr) -> Vec<Expr> {
    match condition.kind {
        ExprKind::And(all) => all.into_iter().flat_map(conjuncts).collect(),
        _ => vec![condition],
    }
}

/// All conditions at once, without those that are always true. `None` if nothing is left.
pub(crate) fn all_of(conditions: Vec<Expr>) -> Option<Expr> {
    let mut all: Vec<Expr> = Vec::new();
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
        _ => Some(Expr::condition(ExprKind::And(all))),
    }
}

/// `AND` of operands.
pub(crate) fn make_and(operands: Vec<Expr>) -> Expr {
    all_of(operands).unwrap_or_else(|| Expr::literal(Datum::Bool(true)))
}

/// `OR` of operands.
pub(crate) fn make_or(operands: Vec<Expr>) -> Expr {
    let mut any: Vec<Expr> = Vec::new();
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
        0 => Expr::literal(Datum::Bool(false)),
        1 => any.swap_remove(0),
        _ => Expr::condition(ExprKind::Or(any)),
    }
}

/// `NOT`, moved into comparisons of constants and double negations.
pub(crate) fn make_not(operand: Expr) -> Expr {
    match operand.kind {
        ExprKind::Literal(Datum::Bool(value)) => Expr::literal(Datum::Bool(!value)),
        ExprKind::Not(inner) => *inner,
        ExprKind::Compare(op, one, other) => Expr::condition(ExprKind::Compare(opposite(op), one, other)),
        _ => Expr::condition(ExprKind::Not(Box::new(operand))),
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
pub(crate) fn make_is_null(operand: Expr) -> Expr {
    match &operand.kind {
        ExprKind::Literal(value) => Expr::literal(Datum::Bool(value.is_null())),
        _ => Expr::condition(ExprKind::IsNull(Box::new(operand))),
    }
}

/// `IS NOT NULL`.
pub(crate) fn make_is_not_null(operand: Expr) -> Expr {
    make_not(make_is_null(operand))
}

/// `one = other`.
pub(crate) fn make_equal(one: Expr, other: Expr) -> Expr {
    Expr::condition(ExprKind::Compare(CompareOp::Equal, Box::new(one), Box::new(other)))
}

/// `CASE`, without branches that are never taken.
pub(crate) fn make_case(branches: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
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
    Expr { kind: ExprKind::Case { branches: kept, otherwise: Box::new(otherwise) }, ty }
}

/// Whether an expression is this constant.
pub(crate) fn is_literal_bool(expr: &Expr, value: bool) -> bool {
    matches!(expr.kind, ExprKind::Literal(Datum::Bool(it)) if it == value)
}

/// The value of a constant.
pub(crate) fn literal_value(expr: &Expr) -> Option<&Datum> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

/// All expressions of an aggregate, to be changed.
pub(crate) fn aggregate_exprs_mut(call: &mut AggregateCall) -> Vec<&mut Expr> {
    let order = call.order.iter_mut().map(|key| &mut key.expr);
    call.arguments.iter_mut().chain(&mut call.filter).chain(order).collect()
}

/// All expressions of a window function, to be changed.
pub(crate) fn window_exprs_mut(call: &mut WindowCall) -> Vec<&mut Expr> {
    match &mut call.function {
        WindowFunction::Offset { value, default, .. } => vec![value, default],
        WindowFunction::FirstValue(value, _)
        | WindowFunction::LastValue(value, _)
        | WindowFunction::NthValue(value, ..) => vec![value],
        WindowFunction::Aggregate(call, _) => aggregate_exprs_mut(call),
        _ => Vec::new(),
    }
}

/// The expressions of an order, to be changed.
pub(crate) fn order_exprs_mut(order: &mut [SortKey]) -> impl Iterator<Item = &mut Expr> {
    order.iter_mut().map(|key| &mut key.expr)
}

/// The number of operators.
pub(crate) fn plan_size(plan: &Plan) -> usize {
    1 + plan.inputs().into_iter().map(plan_size).sum::<usize>()
}

/// Whether a plan has at most one row, whatever its tables hold.
pub(crate) fn is_single_row(plan: &Plan) -> bool {
    match plan {
        Plan::OneRow { .. } => true,
        Plan::Aggregate { keys, .. } => keys.is_empty(),
        Plan::Limit { input, limit, .. } => limit.is_some_and(|limit| limit <= 1) || is_single_row(input),
        Plan::Filter { input, .. }
        | Plan::Project { input, .. }
        | Plan::Distinct { input }
        | Plan::Window { input, .. } => is_single_row(input),
        Plan::Join { left, right, kind, .. } => {
            use crate::plan::JoinKind::{Anti, Full, Semi};
            is_single_row(left) && (matches!(kind, Semi | Anti) || (is_single_row(right) && *kind != Full))
        }
        Plan::UnionAll { inputs } => matches!(&inputs[..], [only] if is_single_row(only)),
        Plan::Scan { .. } | Plan::Unnest { .. } => false,
    }
}
