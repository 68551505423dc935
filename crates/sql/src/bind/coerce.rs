//! Types that have to agree, and the casts that make them.

use crate::calls::coerce as cast_to;
use crate::datum::{Datum, SqlType};
use crate::expr::{ExprKind, ScalarExpr};
use crate::rewrite::literal_value;

/// The expression as a value of a type, if that loses nothing: null is of every type, whole numbers are doubles, and a
/// text constant is what it says.
pub(crate) fn coerce_to(expr: ScalarExpr, ty: SqlType) -> Option<ScalarExpr> {
    if expr.ty == ty {
        return Some(expr);
    }
    if matches!(expr.kind, ExprKind::Literal(Datum::Null)) {
        return Some(ScalarExpr::null(ty));
    }
    let is_text = matches!(expr.kind, ExprKind::Literal(Datum::Text(_)));
    match (expr.ty, ty) {
        (SqlType::Null, _) | (SqlType::Long, SqlType::Double) => Some(cast_to(expr, ty)),
        (SqlType::Text, SqlType::Long | SqlType::Double | SqlType::Time | SqlType::Bool) if is_text => {
            let cast = cast_to(expr, ty);
            literal_value(&cast).is_some_and(|value| !value.is_null()).then_some(cast)
        }
        // A list without elements has no type of its own.
        (SqlType::Texts, SqlType::Doubles) if matches!(&expr.kind, ExprKind::Literal(Datum::List(list)) if list.is_empty()) => {
            Some(ScalarExpr { kind: expr.kind, ty })
        }
        _ => None,
    }
}

/// The type that all of these can have. `None` if there is none.
pub(crate) fn common_type(exprs: &[&ScalarExpr]) -> Option<SqlType> {
    let is_text_literal = |expr: &ScalarExpr| matches!(expr.kind, ExprKind::Literal(Datum::Text(_)));
    let mut common = None;
    for expr in exprs {
        if expr.ty == SqlType::Null || is_text_literal(expr) {
            continue;
        }
        common = Some(match common {
            None => expr.ty,
            Some(ty) if ty == expr.ty => ty,
            Some(ty) if ty.is_number() && expr.ty.is_number() => SqlType::Double,
            Some(_) => return None,
        });
    }
    let has_text = exprs.iter().any(|expr| is_text_literal(expr));
    Some(common.unwrap_or(if has_text { SqlType::Text } else { SqlType::Null }))
}

/// All as values of their common type. On failure the indices of the first two that do not agree.
pub(crate) fn unify(exprs: Vec<ScalarExpr>) -> Result<Vec<ScalarExpr>, (usize, usize)> {
    let references: Vec<&ScalarExpr> = exprs.iter().collect();
    let Some(ty) = common_type(&references) else { return Err(disagreeing(&references)) };
    let mut unified = Vec::with_capacity(exprs.len());
    let typed = exprs.iter().position(|expr| expr.ty == ty).unwrap_or(0);
    for (index, expr) in exprs.into_iter().enumerate() {
        unified.push(coerce_to(expr, ty).ok_or((typed, index))?);
    }
    Ok(unified)
}

fn disagreeing(exprs: &[&ScalarExpr]) -> (usize, usize) {
    let typed = |index: &usize| {
        let expr = exprs[*index];
        expr.ty != SqlType::Null && !matches!(expr.kind, ExprKind::Literal(Datum::Text(_)))
    };
    let first = (0..exprs.len()).find(typed).unwrap_or(0);
    let second =
        (first + 1..exprs.len()).find(|index| typed(index) && common_type(&[exprs[first], exprs[*index]]).is_none());
    (first, second.unwrap_or(first))
}
