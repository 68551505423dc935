//! Random expressions.

use super::RandomDraws;
use super::histories::random_value;
use crate::datum::SqlType;
use crate::expr::{ArithmeticOp, CompareOp, ExprKind, ScalarExpr};

/// A random expression of a type, over columns of these types.
pub(super) fn random_expr(draws: &mut RandomDraws, columns: &[SqlType], ty: SqlType, depth: usize) -> ScalarExpr {
    let fitting: Vec<usize> = (0..columns.len()).filter(|index| columns[*index] == ty).collect();
    if !fitting.is_empty() && (depth == 0 || draws.once_in(2)) {
        return ScalarExpr::column(*draws.pick(&fitting), ty);
    }
    if depth == 0 || draws.once_in(6) {
        let value = random_value(draws, ty);
        return ScalarExpr { kind: ExprKind::Literal(value), ty };
    }
    let operand = |draws: &mut RandomDraws, ty| Box::new(random_expr(draws, columns, ty, depth - 1));
    let kind = match (ty, draws.below(3)) {
        (SqlType::Bool, _) => random_condition(draws, columns, depth),
        (SqlType::Long, 0) => {
            let op = *draws.pick(&[ArithmeticOp::Add, ArithmeticOp::Subtract, ArithmeticOp::Remainder]);
            ExprKind::Arithmetic(op, operand(draws, ty), operand(draws, ty))
        }
        (SqlType::Double, 0) => ExprKind::Cast(operand(draws, SqlType::Long)),
        (SqlType::Double, 1) => {
            let op = *draws.pick(&[ArithmeticOp::Add, ArithmeticOp::Multiply, ArithmeticOp::Divide]);
            ExprKind::Arithmetic(op, operand(draws, ty), operand(draws, ty))
        }
        (_, 1) => ExprKind::Coalesce(vec![*operand(draws, ty), *operand(draws, ty)]),
        _ => {
            let branches = vec![(*operand(draws, SqlType::Bool), *operand(draws, ty))];
            ExprKind::Case { branches, otherwise: operand(draws, ty) }
        }
    };
    ScalarExpr { kind, ty }
}

fn random_condition(draws: &mut RandomDraws, columns: &[SqlType], depth: usize) -> ExprKind {
    let compared = *draws.pick(&[SqlType::Long, SqlType::Text, SqlType::Double, SqlType::Time]);
    let operand = |draws: &mut RandomDraws, ty| random_expr(draws, columns, ty, depth - 1);
    match draws.below(8) {
        0 => ExprKind::And(vec![operand(draws, SqlType::Bool), operand(draws, SqlType::Bool)]),
        1 => ExprKind::Or(vec![operand(draws, SqlType::Bool), operand(draws, SqlType::Bool)]),
        2 => ExprKind::Not(Box::new(operand(draws, SqlType::Bool))),
        3 => ExprKind::IsNull(Box::new(operand(draws, compared))),
        4 => ExprKind::IsTrue(Box::new(operand(draws, SqlType::Bool))),
        5 => ExprKind::SameValue(Box::new(operand(draws, compared)), Box::new(operand(draws, compared))),
        _ => {
            let op = *draws.pick(&[
                CompareOp::Equal,
                CompareOp::NotEqual,
                CompareOp::Less,
                CompareOp::LessOrEqual,
                CompareOp::Greater,
                CompareOp::GreaterOrEqual,
            ]);
            ExprKind::Compare(op, Box::new(operand(draws, compared)), Box::new(operand(draws, compared)))
        }
    }
}
