//! Typed scalar expressions over one row.
//!
//! The binder makes them: names are positions, types agree, and everything is defined for every input. An operation
//! that has no result (a division by zero, an overflow, a bad cast) gives null, and is counted while it is evaluated.

use crate::datum::{Datum, SqlType};
use crate::functions::ScalarFunction;

/// A typed expression. Equal expressions give equal values for equal rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScalarExpr {
    /// What is computed.
    pub kind: ExprKind,
    /// The type of the result.
    pub ty: SqlType,
}

/// The operations of expressions. Operands have the types that the operation needs: the binder inserts casts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ExprKind {
    /// The value at a position of the row.
    Column(usize),
    /// A constant.
    Literal(Datum),
    /// A comparison of two values of the same type. Null if one is null.
    Compare(CompareOp, Box<ScalarExpr>, Box<ScalarExpr>),
    /// Whether two values of the same type are equal, where nulls are equal to each other: `IS NOT DISTINCT FROM`.
    SameValue(Box<ScalarExpr>, Box<ScalarExpr>),
    /// False if one operand is false, else null if one is null. At least one operand.
    And(Vec<ScalarExpr>),
    /// True if one operand is true, else null if one is null. At least one operand.
    Or(Vec<ScalarExpr>),
    /// The opposite. Null stays null.
    Not(Box<ScalarExpr>),
    /// Whether the value is null.
    IsNull(Box<ScalarExpr>),
    /// Whether a condition is true, and neither false nor null.
    IsTrue(Box<ScalarExpr>),
    /// An arithmetic operation of two longs or two doubles.
    Arithmetic(ArithmeticOp, Box<ScalarExpr>, Box<ScalarExpr>),
    /// The negative number.
    Negate(Box<ScalarExpr>),
    /// Whether the value equals one of a list: null if it does not, and it or one of the list is null.
    In(Box<ScalarExpr>, Vec<ScalarExpr>),
    /// Whether a text matches a pattern.
    Like(Box<LikeExpr>),
    /// The result of the first branch whose condition is true, else `otherwise`. The binder turns `CASE x WHEN y` into
    /// comparisons, and `if`, `nullif` and the like into this.
    Case {
        /// Conditions with their results.
        branches: Vec<(ScalarExpr, ScalarExpr)>,
        /// The result if no condition is true.
        otherwise: Box<ScalarExpr>,
    },
    /// The first operand that is not null. At least one operand.
    Coalesce(Vec<ScalarExpr>),
    /// The value converted to the type of this expression. A text that is no such value gives null, and is counted.
    Cast(Box<ScalarExpr>),
    /// A function of the library.
    Call(ScalarFunction, Vec<ScalarExpr>),
}

/// `text LIKE pattern`, with `%` for any characters and `_` for one character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LikeExpr {
    /// The text.
    pub text: ScalarExpr,
    /// The pattern.
    pub pattern: ScalarExpr,
    /// The character that takes the special meaning from the next one.
    pub escape: Option<char>,
    /// Whether case is ignored (`ILIKE`).
    pub ignore_case: bool,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// An arithmetic operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`: the binder makes both operands doubles. Null for a divisor of zero.
    Divide,
    /// `//`: rounded towards zero, of two longs. Null for a divisor of zero.
    DivideWhole,
    /// `%`: the remainder, with the sign of the dividend. Null for a divisor of zero.
    Remainder,
}

impl ScalarExpr {
    /// The column at a position.
    #[must_use]
    pub fn column(index: usize, ty: SqlType) -> ScalarExpr {
        ScalarExpr { kind: ExprKind::Column(index), ty }
    }

    /// A constant.
    #[must_use]
    pub fn literal(value: Datum) -> ScalarExpr {
        let ty = value.sql_type();
        ScalarExpr { kind: ExprKind::Literal(value), ty }
    }

    /// A null of a type.
    #[must_use]
    pub fn null(ty: SqlType) -> ScalarExpr {
        ScalarExpr { kind: ExprKind::Literal(Datum::Null), ty }
    }

    /// A condition.
    #[must_use]
    pub fn condition(kind: ExprKind) -> ScalarExpr {
        ScalarExpr { kind, ty: SqlType::Bool }
    }

    /// The direct operands.
    #[must_use]
    pub fn operands(&self) -> Vec<&ScalarExpr> {
        match &self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) => Vec::new(),
            ExprKind::Compare(_, one, other)
            | ExprKind::SameValue(one, other)
            | ExprKind::Arithmetic(_, one, other) => vec![one, other],
            ExprKind::And(all) | ExprKind::Or(all) | ExprKind::Coalesce(all) | ExprKind::Call(_, all) => {
                all.iter().collect()
            }
            ExprKind::Not(one)
            | ExprKind::IsNull(one)
            | ExprKind::IsTrue(one)
            | ExprKind::Negate(one)
            | ExprKind::Cast(one) => vec![one],
            ExprKind::In(one, list) => std::iter::once(&**one).chain(list).collect(),
            ExprKind::Like(like) => vec![&like.text, &like.pattern],
            ExprKind::Case { branches, otherwise } => {
                let branches = branches.iter().flat_map(|(condition, result)| [condition, result]);
                branches.chain([&**otherwise]).collect()
            }
        }
    }

    /// The direct operands, to be changed.
    pub fn operands_mut(&mut self) -> Vec<&mut ScalarExpr> {
        match &mut self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) => Vec::new(),
            ExprKind::Compare(_, one, other)
            | ExprKind::SameValue(one, other)
            | ExprKind::Arithmetic(_, one, other) => vec![one, other],
            ExprKind::And(all) | ExprKind::Or(all) | ExprKind::Coalesce(all) | ExprKind::Call(_, all) => {
                all.iter_mut().collect()
            }
            ExprKind::Not(one)
            | ExprKind::IsNull(one)
            | ExprKind::IsTrue(one)
            | ExprKind::Negate(one)
            | ExprKind::Cast(one) => vec![one],
            ExprKind::In(one, list) => std::iter::once(&mut **one).chain(list).collect(),
            ExprKind::Like(like) => vec![&mut like.text, &mut like.pattern],
            ExprKind::Case { branches, otherwise } => {
                let branches = branches.iter_mut().flat_map(|(condition, result)| [condition, result]);
                branches.chain([&mut **otherwise]).collect()
            }
        }
    }

    /// Calls `visit` with the position of every column that is read.
    pub fn for_each_column(&self, visit: &mut impl FnMut(usize)) {
        if let ExprKind::Column(index) = self.kind {
            visit(index);
        }
        for operand in self.operands() {
            operand.for_each_column(visit);
        }
    }

    /// Replaces the positions of all columns.
    pub fn map_columns(&mut self, replace: &mut impl FnMut(usize) -> usize) {
        if let ExprKind::Column(index) = &mut self.kind {
            *index = replace(*index);
        }
        for operand in self.operands_mut() {
            operand.map_columns(replace);
        }
    }

    /// Whether no column is read.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        let mut constant = true;
        self.for_each_column(&mut |_| constant = false);
        constant
    }
}
