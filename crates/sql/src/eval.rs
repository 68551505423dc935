//! Evaluation of expressions over one row, and folding of constants.
//!
//! Evaluation recurses over the expression. It cannot exhaust the stack: the parser limits how deep a text nests, and
//! the binder refuses expressions deeper than [`MAX_EXPR_DEPTH`], which also bounds chains such as `a + b + c + …`.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use crate::datum::Datum;
use crate::expr::{ArithmeticOp, CompareOp, ExprKind, ScalarExpr};
use crate::functions::{FunctionResult, NoResult, ScalarFunction, cast_value};
use crate::like::{is_comparable, matches_like};

/// The greatest depth of an expression that is evaluated: see [`ScalarExpr::depth`].
pub const MAX_EXPR_DEPTH: usize = 250;

/// How many operations had no result while expressions were evaluated: their values are null.
#[derive(Debug, Default)]
pub struct FaultCounter(Cell<u64>);

impl FaultCounter {
    /// The number so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.get()
    }

    /// The number so far, which starts at zero again.
    pub fn take(&self) -> u64 {
        self.0.take()
    }

    /// The result, or null, which is counted.
    pub(crate) fn value_of(&self, result: FunctionResult) -> Datum {
        result.unwrap_or_else(|NoResult| {
            self.0.set(self.0.get().saturating_add(1));
            Datum::Null
        })
    }
}

impl ScalarExpr {
    /// The value for a row.
    ///
    /// Operands are evaluated from left to right, and only as far as needed: a branch that is not taken, or a condition
    /// after one that settles the result, counts no faults.
    pub fn eval<'a>(&'a self, row: &'a [Datum], faults: &FaultCounter) -> Cow<'a, Datum> {
        match &self.kind {
            ExprKind::Column(index) => row.get(*index).map_or(Cow::Owned(Datum::Null), Cow::Borrowed),
            ExprKind::Literal(value) => Cow::Borrowed(value),
            ExprKind::Case { branches, otherwise } => {
                let taken = branches.iter().find(|(condition, _)| condition.eval_condition(row, faults) == Some(true));
                taken.map_or(&**otherwise, |(_, result)| result).eval(row, faults)
            }
            ExprKind::Coalesce(all) => first_known(all, row, faults),
            ExprKind::Cast(operand) => {
                let value = operand.eval(row, faults);
                if operand.ty == self.ty || value.is_null() {
                    return value;
                }
                Cow::Owned(faults.value_of(cast_value(&value, self.ty)))
            }
            ExprKind::Call(function, arguments) => {
                Cow::Owned(faults.value_of(compute_call(*function, arguments, row, faults)))
            }
            ExprKind::Arithmetic(op, one, other) => {
                let (one, other) = (one.eval(row, faults), other.eval(row, faults));
                Cow::Owned(faults.value_of(compute_arithmetic(*op, &one, &other)))
            }
            ExprKind::Negate(operand) => Cow::Owned(faults.value_of(negate(&operand.eval(row, faults)))),
            ExprKind::Compare(..)
            | ExprKind::SameValue(..)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Not(_)
            | ExprKind::IsNull(_)
            | ExprKind::IsTrue(_)
            | ExprKind::In(..)
            | ExprKind::Like(_) => Cow::Owned(self.eval_condition(row, faults).map_or(Datum::Null, Datum::Bool)),
        }
    }

    /// Whether the condition is true for a row: `None` if that is unknown.
    pub fn eval_condition(&self, row: &[Datum], faults: &FaultCounter) -> Option<bool> {
        match &self.kind {
            ExprKind::Compare(op, one, other) => {
                let (one, other) = (one.eval(row, faults), other.eval(row, faults));
                (!one.is_null() && !other.is_null()).then(|| op.holds(one.cmp(&other)))
            }
            ExprKind::SameValue(one, other) => Some(one.eval(row, faults) == other.eval(row, faults)),
            ExprKind::And(all) => eval_chain(all, false, row, faults),
            ExprKind::Or(all) => eval_chain(all, true, row, faults),
            ExprKind::Not(operand) => operand.eval_condition(row, faults).map(|truth| !truth),
            ExprKind::IsNull(operand) => Some(operand.eval(row, faults).is_null()),
            ExprKind::IsTrue(operand) => Some(operand.eval_condition(row, faults) == Some(true)),
            ExprKind::In(operand, list) => eval_in(operand, list, row, faults),
            ExprKind::Like(like) => {
                let (text, pattern) = (like.text.eval(row, faults), like.pattern.eval(row, faults));
                match (&*text, &*pattern) {
                    (Datum::Text(text), Datum::Text(pattern)) if !is_comparable(text, pattern, like.escape) => {
                        faults.value_of(Err(NoResult));
                        None
                    }
                    (Datum::Text(text), Datum::Text(pattern)) => {
                        Some(matches_like(text, pattern, like.escape, like.ignore_case))
                    }
                    _ => None,
                }
            }
            _ => match &*self.eval(row, faults) {
                Datum::Bool(truth) => Some(*truth),
                _ => None,
            },
        }
    }

    /// The number of operations on the longest way from here to a column or a constant.
    ///
    /// Needs stack in proportion, as evaluation does: the binder adds up depths while it makes an expression.
    #[must_use]
    pub fn depth(&self) -> usize {
        1 + self.operands().into_iter().map(ScalarExpr::depth).max().unwrap_or(0)
    }

    /// The same expression, with all constant parts evaluated.
    ///
    /// A part that has no result stays as it is, so that each evaluation counts the fault; so does one with a large result. Branches that are never
    /// taken, and conditions that settle a chain, are cut.
    #[must_use]
    pub fn fold(mut self) -> ScalarExpr {
        for operand in self.operands_mut() {
            let taken = std::mem::replace(operand, ScalarExpr::literal(Datum::Null));
            *operand = taken.fold();
        }
        self = self.cut_branches();
        let is_leaf = matches!(self.kind, ExprKind::Column(_) | ExprKind::Literal(_));
        if is_leaf || !self.operands().iter().all(|operand| matches!(operand.kind, ExprKind::Literal(_))) {
            return self;
        }
        let faults = FaultCounter::default();
        let value = self.eval(&[], &faults).into_owned();
        let is_large = value.allocated_bytes() > self.largest_constant();
        if is_large || faults.count() > 0 { self } else { ScalarExpr { kind: ExprKind::Literal(value), ty: self.ty } }
    }

    /// The greatest size of a constant that takes the place of this expression of constants, bytes. `repeat('a', 1000000)`
    /// is short and its value is not: a plan is not to be much larger than the text of its question.
    fn largest_constant(&self) -> usize {
        const SMALL_CONSTANT: usize = 4096;
        let operands = self.operands().into_iter().filter_map(ScalarExpr::constant);
        SMALL_CONSTANT.max(2 * operands.map(Datum::allocated_bytes).sum::<usize>())
    }

    fn constant(&self) -> Option<&Datum> {
        match &self.kind {
            ExprKind::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Leaves out what constants decide.
    fn cut_branches(self) -> ScalarExpr {
        let ScalarExpr { kind, ty } = self;
        match kind {
            ExprKind::And(all) => cut_chain(all, false, ty),
            ExprKind::Or(all) => cut_chain(all, true, ty),
            ExprKind::Case { branches, otherwise } => cut_case(branches, otherwise, ty),
            kind => ScalarExpr { kind, ty },
        }
    }
}

/// A chain of ANDs (`settles` is false) or ORs (true).
fn cut_chain(mut all: Vec<ScalarExpr>, settles: bool, ty: crate::datum::SqlType) -> ScalarExpr {
    if let Some(index) = all.iter().position(|one| one.constant() == Some(&Datum::Bool(settles))) {
        // Those before it may count faults, but their results do not matter.
        return all.swap_remove(index);
    }
    if all.iter().any(|one| one.constant() != Some(&Datum::Bool(!settles))) {
        all.retain(|one| one.constant() != Some(&Datum::Bool(!settles)));
    } else {
        all.truncate(1);
    }
    let kind = if settles { ExprKind::Or(all) } else { ExprKind::And(all) };
    ScalarExpr { kind, ty }
}

fn cut_case(
    branches: Vec<(ScalarExpr, ScalarExpr)>,
    mut otherwise: Box<ScalarExpr>,
    ty: crate::datum::SqlType,
) -> ScalarExpr {
    let mut kept = Vec::with_capacity(branches.len());
    for (condition, result) in branches {
        match condition.constant() {
            None => kept.push((condition, result)),
            Some(Datum::Bool(true)) => {
                otherwise = Box::new(result);
                break;
            }
            Some(_) => {}
        }
    }
    if kept.is_empty() {
        return *otherwise;
    }
    ScalarExpr { kind: ExprKind::Case { branches: kept, otherwise }, ty }
}

fn first_known<'a>(all: &'a [ScalarExpr], row: &'a [Datum], faults: &FaultCounter) -> Cow<'a, Datum> {
    let mut values = all.iter().map(|one| one.eval(row, faults));
    values.find(|value| !value.is_null()).unwrap_or(Cow::Owned(Datum::Null))
}

/// A chain of conditions of which one with the truth `settles` decides; without one, an unknown one does.
fn eval_chain(all: &[ScalarExpr], settles: bool, row: &[Datum], faults: &FaultCounter) -> Option<bool> {
    let mut result = Some(!settles);
    for condition in all {
        match condition.eval_condition(row, faults) {
            Some(truth) if truth == settles => return Some(settles),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn eval_in(operand: &ScalarExpr, list: &[ScalarExpr], row: &[Datum], faults: &FaultCounter) -> Option<bool> {
    let value = operand.eval(row, faults);
    if value.is_null() {
        return list.is_empty().then_some(false);
    }
    let mut unknown = false;
    for one in list {
        let one = one.eval(row, faults);
        if one == value {
            return Some(true);
        }
        unknown |= one.is_null();
    }
    (!unknown).then_some(false)
}

/// Evaluates the arguments without an allocation for the usual numbers of them.
fn compute_call(
    function: ScalarFunction,
    arguments: &[ScalarExpr],
    row: &[Datum],
    faults: &FaultCounter,
) -> FunctionResult {
    let value = |argument: &'_ ScalarExpr| argument.eval(row, faults).into_owned();
    match arguments {
        [] => function.compute(&[]),
        [one] => function.compute(&[one.eval(row, faults)]),
        [one, other] => function.compute(&[one.eval(row, faults), other.eval(row, faults)]),
        [one, other, third] => {
            function.compute(&[one.eval(row, faults), other.eval(row, faults), third.eval(row, faults)])
        }
        all => function.compute(&all.iter().map(|argument| Cow::Owned(value(argument))).collect::<Vec<_>>()),
    }
}

fn compute_arithmetic(op: ArithmeticOp, one: &Datum, other: &Datum) -> FunctionResult {
    match (one, other) {
        (Datum::Long(one), Datum::Long(other)) => op.of_longs(*one, *other).map(Datum::Long).ok_or(NoResult),
        (Datum::Double(one), Datum::Double(other)) => Datum::double(op.of_doubles(*one, *other)).ok_or(NoResult),
        _ => Ok(Datum::Null),
    }
}

fn negate(value: &Datum) -> FunctionResult {
    match value {
        Datum::Long(value) => value.checked_neg().map(Datum::Long).ok_or(NoResult),
        Datum::Double(value) => Datum::double(-value).ok_or(NoResult),
        _ => Ok(Datum::Null),
    }
}

impl ArithmeticOp {
    fn of_longs(self, one: i64, other: i64) -> Option<i64> {
        match self {
            ArithmeticOp::Add => one.checked_add(other),
            ArithmeticOp::Subtract => one.checked_sub(other),
            ArithmeticOp::Multiply => one.checked_mul(other),
            ArithmeticOp::Divide | ArithmeticOp::DivideWhole => one.checked_div(other),
            // The remainder of the least number by -1 is 0: `checked_rem` calls it an overflow.
            ArithmeticOp::Remainder if other == -1 => Some(0),
            ArithmeticOp::Remainder => one.checked_rem(other),
        }
    }

    /// NaN or infinite if there is no result.
    fn of_doubles(self, one: f64, other: f64) -> f64 {
        match self {
            ArithmeticOp::Add => one + other,
            ArithmeticOp::Subtract => one - other,
            ArithmeticOp::Multiply => one * other,
            ArithmeticOp::Divide => one / other,
            ArithmeticOp::DivideWhole => (one / other).trunc(),
            ArithmeticOp::Remainder => one % other,
        }
    }
}

impl CompareOp {
    /// Whether the comparison holds for values in this order.
    #[must_use]
    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            CompareOp::Equal => ordering.is_eq(),
            CompareOp::NotEqual => ordering.is_ne(),
            CompareOp::Less => ordering.is_lt(),
            CompareOp::LessOrEqual => ordering.is_le(),
            CompareOp::Greater => ordering.is_gt(),
            CompareOp::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

#[cfg(test)]
mod tests;
