//! Which columns of a plan can be null.

use crate::catalog::RelationCatalog;
use crate::datum::{Datum, SqlType};
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{AggregateCall, AggregateFunction, JoinKind, QueryPlan, WindowFunction};
use crate::rewrite::shift_columns;

/// Whether each column can be null.
pub(crate) fn nullable_columns(plan: &QueryPlan, catalog: &RelationCatalog) -> Vec<bool> {
    null_facts(plan, catalog).nullable
}

/// Whether an expression over the columns of a plan can be null.
pub(crate) fn is_nullable_over(expr: &ScalarExpr, plan: &QueryPlan, catalog: &RelationCatalog) -> bool {
    null_facts(plan, catalog).is_nullable(expr)
}

/// What is known of the nulls in the rows of a plan.
#[derive(Debug, Default)]
struct NullFacts {
    /// Whether each column can be null.
    nullable: Vec<bool>,
    /// Expressions over the columns that are not null.
    present: Vec<ScalarExpr>,
}

fn null_facts(plan: &QueryPlan, catalog: &RelationCatalog) -> NullFacts {
    let columns = |nullable| NullFacts { nullable, present: Vec::new() };
    match plan {
        QueryPlan::Scan { relation, columns: exprs } => {
            let known = catalog.relations.get(*relation).map_or(&[][..], |relation| relation.columns);
            let input = columns(known.iter().map(|column| column.nullable).collect());
            columns(exprs.iter().map(|expr| input.is_nullable(expr)).collect())
        }
        QueryPlan::Filter { input, condition } => {
            let mut facts = null_facts(input, catalog);
            facts.add_condition(condition);
            facts
        }
        QueryPlan::Distinct { input } | QueryPlan::Limit { input, .. } => null_facts(input, catalog),
        QueryPlan::Project { input, columns: exprs } => {
            let input = null_facts(input, catalog);
            columns(exprs.iter().map(|expr| input.is_nullable(expr)).collect())
        }
        QueryPlan::Unnest { input, .. } => {
            let mut facts = null_facts(input, catalog);
            facts.nullable.push(true);
            facts
        }
        QueryPlan::Join { kind, left, right, keys, .. } => {
            joined_facts(*kind, null_facts(left, catalog), null_facts(right, catalog), keys)
        }
        QueryPlan::Aggregate { input, keys, aggregates } => {
            let input = null_facts(input, catalog);
            let mut nullable: Vec<bool> = keys.iter().map(|key| input.is_nullable(key)).collect();
            nullable.extend(aggregates.iter().map(|call| is_nullable_aggregate(call, !keys.is_empty(), &input)));
            columns(nullable)
        }
        QueryPlan::Window { input, functions, .. } => {
            let mut facts = null_facts(input, catalog);
            facts.nullable.extend(functions.iter().map(|call| is_nullable_window(&call.function)));
            facts
        }
        QueryPlan::UnionAll { inputs } => {
            let mut all = vec![false; plan.types().len()];
            for input in inputs {
                for (any, one) in all.iter_mut().zip(nullable_columns(input, catalog)) {
                    *any |= one;
                }
            }
            columns(all)
        }
        QueryPlan::OneRow { columns: values, .. } => columns(values.iter().map(Datum::is_null).collect()),
    }
}

fn joined_facts(
    kind: JoinKind,
    mut left: NullFacts,
    mut right: NullFacts,
    keys: &[(ScalarExpr, ScalarExpr)],
) -> NullFacts {
    // A key that is null has no partner.
    for (one, other) in keys {
        if matches!(kind, JoinKind::Inner | JoinKind::Right | JoinKind::Semi) {
            left.add_present(one);
        }
        if matches!(kind, JoinKind::Inner | JoinKind::Left) {
            right.add_present(other);
        }
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        left.forget();
    }
    if matches!(kind, JoinKind::Left | JoinKind::Full) {
        right.forget();
    }
    if !matches!(kind, JoinKind::Semi | JoinKind::Anti) {
        let width = left.nullable.len().cast_signed();
        left.nullable.extend(right.nullable);
        left.present.extend(right.present.into_iter().map(|mut expr| {
            shift_columns(&mut expr, width);
            expr
        }));
    }
    left
}

impl NullFacts {
    /// The rows are also extended with nulls.
    fn forget(&mut self) {
        self.nullable.fill(true);
        self.present.clear();
    }

    fn add_present(&mut self, expr: &ScalarExpr) {
        match expr.kind {
            ExprKind::Column(column) => {
                if let Some(nullable) = self.nullable.get_mut(column) {
                    *nullable = false;
                }
            }
            _ => self.present.push(expr.clone()),
        }
    }

    /// What a condition compares is not null in the rows for which it is true.
    fn add_condition(&mut self, condition: &ScalarExpr) {
        match &condition.kind {
            ExprKind::And(all) => all.iter().for_each(|one| self.add_condition(one)),
            ExprKind::Compare(_, one, other) => {
                self.add_present(one);
                self.add_present(other);
            }
            ExprKind::In(subject, _) => self.add_present(subject),
            ExprKind::Not(inner) => {
                if let ExprKind::IsNull(tested) = &inner.kind {
                    self.add_present(tested);
                }
            }
            _ => {}
        }
    }

    fn is_nullable(&self, expr: &ScalarExpr) -> bool {
        if self.present.contains(expr) {
            return false;
        }
        let any = |exprs: &[&ScalarExpr]| exprs.iter().any(|expr| self.is_nullable(expr));
        match &expr.kind {
            ExprKind::Column(column) => self.nullable.get(*column).copied().unwrap_or(true),
            ExprKind::Literal(value) => value.is_null(),
            ExprKind::SameValue(..) | ExprKind::IsNull(_) | ExprKind::IsTrue(_) => false,
            ExprKind::Compare(..)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Not(_)
            | ExprKind::In(..)
            | ExprKind::Like(_) => any(&expr.operands()),
            ExprKind::Case { branches, otherwise } => {
                branches.iter().any(|(_, result)| self.is_nullable(result)) || self.is_nullable(otherwise)
            }
            ExprKind::Coalesce(all) => all.iter().all(|one| self.is_nullable(one)),
            ExprKind::Cast(operand) if widens(operand.ty, expr.ty) => self.is_nullable(operand),
            // These can have no result: overflow, division by zero, a text that is no number.
            ExprKind::Arithmetic(..) | ExprKind::Negate(_) | ExprKind::Cast(_) | ExprKind::Call(..) => true,
        }
    }
}

/// Whether a cast always has a result.
fn widens(from: SqlType, to: SqlType) -> bool {
    matches!(
        (from, to),
        (SqlType::Long | SqlType::Bool, SqlType::Double | SqlType::Text) | (SqlType::Bool, SqlType::Long)
    )
}

fn is_count(function: AggregateFunction) -> bool {
    matches!(function, AggregateFunction::Count | AggregateFunction::CountRows)
}

fn is_cast_long(expr: &ScalarExpr) -> bool {
    matches!(&expr.kind, ExprKind::Cast(operand) if operand.ty == SqlType::Long)
}

/// A group has rows, so an aggregate of what is never null has a result; but for sums, which can be too great.
fn is_nullable_aggregate(call: &AggregateCall, has_keys: bool, input: &NullFacts) -> bool {
    use AggregateFunction as F;
    match call.function {
        F::Count | F::CountRows => false,
        F::Sum | F::StddevSample | F::StddevPopulation | F::VarianceSample | F::VariancePopulation | F::OfPairs(_) => {
            true
        }
        // The difference of two doubles can be too great, that of two longs cannot.
        F::PercentileCont if !call.arguments.first().is_some_and(is_cast_long) => true,
        F::Avg
        | F::Min
        | F::Max
        | F::PercentileCont
        | F::PercentileDisc
        | F::Mode
        | F::BoolAnd
        | F::BoolOr
        | F::ArgMax
        | F::ArgMin
        | F::StringAgg => {
            !has_keys || call.filter.is_some() || call.arguments.iter().any(|argument| input.is_nullable(argument))
        }
    }
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
        | WindowFunction::KnownOffset { .. }
        | WindowFunction::KnownValue { .. }
        | WindowFunction::FirstValue(..)
        | WindowFunction::LastValue(..)
        | WindowFunction::NthValue(..) => true,
    }
}
