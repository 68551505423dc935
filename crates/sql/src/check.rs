//! Whether a plan is consistent: expressions read columns that exist, of the types that these have.

use crate::datum::SqlType;
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{AggregateCall, QueryPlan, SortKey, WindowCall, WindowFunction};

/// Whether all expressions of a plan fit the columns that they are over. Scans fit what they read.
pub(crate) fn is_consistent(plan: &QueryPlan) -> bool {
    plan.inputs().into_iter().all(is_consistent) && is_consistent_operator(plan)
}

fn is_consistent_operator(plan: &QueryPlan) -> bool {
    let inputs: Vec<Vec<SqlType>> = plan.inputs().into_iter().map(QueryPlan::types).collect();
    let own = inputs.first().map_or(&[][..], Vec::as_slice);
    let fit = |exprs: &[ScalarExpr]| exprs.iter().all(|expr| fits(expr, own));
    match plan {
        QueryPlan::Scan { .. } | QueryPlan::Distinct { .. } => true,
        QueryPlan::OneRow { columns, types } => columns.len() == types.len(),
        QueryPlan::Filter { condition, .. } => fits(condition, own) && condition.ty == SqlType::Bool,
        QueryPlan::Project { columns, .. } => fit(columns),
        QueryPlan::Unnest { list, .. } => fits(list, own) && list.ty.element().is_some(),
        QueryPlan::Join { keys, condition, .. } => {
            let right = inputs.get(1).map_or(&[][..], Vec::as_slice);
            let keys = keys.iter().all(|(one, other)| fits(one, own) && fits(other, right) && one.ty == other.ty);
            let both = [own, right].concat();
            keys && condition.as_ref().is_none_or(|condition| fits(condition, &both))
        }
        QueryPlan::Aggregate { keys, aggregates, .. } => {
            fit(keys) && aggregates.iter().all(|call| fits_aggregate(call, own))
        }
        QueryPlan::Window { partition, order, functions, .. } => {
            fit(partition) && fits_order(order, own) && functions.iter().all(|call| fits_window(call, own))
        }
        QueryPlan::Limit { order, .. } => fits_order(order, own),
        QueryPlan::UnionAll { .. } => inputs.iter().all(|input| input == &inputs[0]),
    }
}

fn fits(expr: &ScalarExpr, columns: &[SqlType]) -> bool {
    match expr.kind {
        ExprKind::Column(column) => columns.get(column) == Some(&expr.ty),
        _ => expr.operands().into_iter().all(|operand| fits(operand, columns)),
    }
}

fn fits_order(order: &[SortKey], columns: &[SqlType]) -> bool {
    order.iter().all(|key| fits(&key.expr, columns))
}

fn fits_aggregate(call: &AggregateCall, columns: &[SqlType]) -> bool {
    call.arguments.iter().chain(&call.filter).all(|expr| fits(expr, columns)) && fits_order(&call.order, columns)
}

fn fits_window(call: &WindowCall, columns: &[SqlType]) -> bool {
    match &call.function {
        WindowFunction::Offset { value, default, .. } | WindowFunction::KnownOffset { value, default, .. } => {
            fits(value, columns) && fits(default, columns)
        }
        WindowFunction::KnownValue { value, .. }
        | WindowFunction::FirstValue(value, _)
        | WindowFunction::LastValue(value, _)
        | WindowFunction::NthValue(value, ..) => fits(value, columns),
        WindowFunction::Aggregate(call, _) => fits_aggregate(call, columns),
        _ => true,
    }
}
