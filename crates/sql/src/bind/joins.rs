//! Joins: their kinds, and what their conditions may be.

use sqlparser::ast::{self, JoinConstraint, JoinOperator};
use sqlparser::tokenizer::Span;

use crate::expr::{ExprKind, ScalarExpr};
use crate::places::LocatedNode;
use crate::plan::{JoinKind, QueryPlan};
use crate::rewrite::{all_of, is_single_row, make_equal};

use super::from::FromItem;
use super::scope::{NameLookup, NameScope, ScopeColumn};
use super::subqueries::reads_outer;
use super::{BindResult, ClauseKind, QuestionBinder, ReportedProblem};

impl<'a> QuestionBinder<'a> {
    pub(super) fn bind_join_operator(&mut self, left: FromItem, right: FromItem, join: &'a ast::Join) -> FromItem {
        let span = join.relation.span();
        let (kind, constraint, swapped) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) | JoinOperator::CrossJoin(constraint) => {
                (JoinKind::Inner, constraint, false)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinKind::Left, constraint, false),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (JoinKind::Right, constraint, false)
            }
            JoinOperator::FullOuter(constraint) => (JoinKind::Full, constraint, false),
            JoinOperator::Semi(constraint) | JoinOperator::LeftSemi(constraint) => (JoinKind::Semi, constraint, false),
            JoinOperator::Anti(constraint) | JoinOperator::LeftAnti(constraint) => (JoinKind::Anti, constraint, false),
            JoinOperator::RightSemi(constraint) => (JoinKind::Semi, constraint, true),
            JoinOperator::RightAnti(constraint) => (JoinKind::Anti, constraint, true),
            other => {
                let message = refused_join(other);
                self.report(span, message);
                return left;
            }
        };
        if !has_equality(constraint) {
            self.frame().unkeyed.push(span);
        }
        let (left, right) = if swapped { (right, left) } else { (left, right) };
        self.join_items(kind, left, right, constraint, span)
    }

    pub(super) fn join_items(
        &mut self,
        kind: JoinKind,
        left: FromItem,
        right: FromItem,
        constraint: &'a JoinConstraint,
        span: Span,
    ) -> FromItem {
        let is_twice = self.check_relation_names(&left.scope, &right.scope, span).is_err();
        let (left_scope, right_scope) = (left.scope.clone(), right.scope.clone());
        let mut both = left.scope.clone();
        both.append(right.scope, left.width);
        both.open |= is_twice;
        let mut scope = both.clone();
        let condition = match constraint {
            JoinConstraint::On(condition) => {
                self.bind_in_scope(&both, |binder| binder.bind_join_condition(condition)).ok()
            }
            JoinConstraint::Using(names) => {
                let names: Vec<(String, Span)> = names.iter().map(using_name).collect();
                self.merge_columns(kind, &names, &left_scope, &right_scope, left.width, &mut scope)
            }
            JoinConstraint::Natural => {
                let names = self.shared_names(&left_scope, &right_scope, span);
                self.merge_columns(kind, &names, &left_scope, &right_scope, left.width, &mut scope)
            }
            JoinConstraint::None => None,
        };
        let mut width = left.width + right.width;
        if matches!(kind, JoinKind::Semi | JoinKind::Anti) {
            scope = NameScope { open: scope.open, ..left_scope };
            width = left.width;
        }
        let (left, right) = (Box::new(left.plan), Box::new(right.plan));
        let condition = condition.and_then(|condition| all_of(vec![condition]));
        FromItem { plan: QueryPlan::Join { kind, left, right, keys: Vec::new(), condition }, scope, width }
    }

    fn bind_join_condition(&mut self, condition: &'a ast::Expr) -> BindResult<ScalarExpr> {
        let bound = self.bind_condition(condition, ClauseKind::On)?;
        if reads_outer(&bound) {
            return Err(
                self.report_at(condition, "a column of the outer query is not possible in ON; compare it in WHERE")
            );
        }
        Ok(bound)
    }

    fn check_relation_names(&mut self, left: &NameScope, right: &NameScope, span: Span) -> BindResult<()> {
        let twice = right.relations.iter().find(|name| !name.is_empty() && left.has_relation(name));
        match twice {
            Some(name) => {
                let message = format!("`{name}` is in this FROM twice; give one another name: {name} AS other");
                Err(self.report(span, message))
            }
            None => Ok(()),
        }
    }

    fn shared_names(&mut self, left: &NameScope, right: &NameScope, span: Span) -> Vec<(String, Span)> {
        let visible = |scope: &NameScope| -> Vec<String> {
            let columns = scope.columns.iter().filter(|column| !column.hidden && !column.merged);
            columns.map(|column| column.name.to_lowercase()).collect()
        };
        let right_names = visible(right);
        let mut shared: Vec<String> = visible(left).into_iter().filter(|name| right_names.contains(name)).collect();
        shared.dedup();
        if shared.is_empty() && !left.open && !right.open {
            self.report(span, "NATURAL JOIN needs columns of the same name on both sides; write JOIN … ON");
        }
        shared.into_iter().map(|name| (name, span)).collect()
    }

    /// The condition of USING. Its columns are named without a table from now on.
    fn merge_columns(
        &mut self,
        kind: JoinKind,
        names: &[(String, Span)],
        left: &NameScope,
        right: &NameScope,
        width: usize,
        scope: &mut NameScope,
    ) -> Option<ScalarExpr> {
        let mut equal = Vec::new();
        let mut merged = Vec::new();
        for (name, span) in names {
            let one = self.using_column(left, name, *span, "left");
            let other = self.using_column(right, name, *span, "right");
            let (Ok(one), Ok(mut other)) = (one, other) else { continue };
            other.map_columns(&mut |position| position + width);
            let Ok((one, other)) = self.unify_pair(one, other, *span, [name, name]) else { continue };
            let value = match kind {
                JoinKind::Right => other.clone(),
                JoinKind::Full => {
                    let ty = one.ty;
                    ScalarExpr { kind: ExprKind::Coalesce(vec![one.clone(), other.clone()]), ty }
                }
                _ => one.clone(),
            };
            equal.push(make_equal(one, other));
            merged.push((name.clone(), value));
        }
        for column in &mut scope.columns {
            column.merged |= merged.iter().any(|(name, _)| column.name.eq_ignore_ascii_case(name));
        }
        let new = merged.into_iter().map(|(name, value)| ScopeColumn {
            relation: String::new(),
            name,
            expr: Some(value),
            hidden: false,
            merged: false,
        });
        scope.columns.splice(0..0, new);
        all_of(equal)
    }

    fn using_column(&mut self, scope: &NameScope, name: &str, span: Span, side: &str) -> BindResult<ScalarExpr> {
        match scope.look_up(None, name) {
            NameLookup::Found(expr) => Ok(expr),
            NameLookup::Broken => Err(ReportedProblem),
            NameLookup::Missing => Err(self.report(
                span,
                format!("the {side} side of the join has no column `{name}`{}", scope.hint_for(None, name)),
            )),
            NameLookup::Ambiguous(_) => {
                Err(self
                    .report(span, format!("the {side} side of the join has several columns `{name}`; write JOIN … ON")))
            }
        }
    }

    /// Refuses joins of all rows with all rows.
    pub(super) fn check_keys(&mut self, from: Span) {
        if self.frame().broken_join || self.frame().scope.open || !has_unkeyed_join(&self.frame().plan) {
            return;
        }
        let span = self.frame().unkeyed.first().copied().unwrap_or(from);
        let message = "this joins every row with every row; join on equal values, for example ON pin.ind = geo.ind \
                       (a subquery of one row, and VALUES with at most 100 rows, need no condition)";
        self.report(span, message);
        self.frame().broken_join = true;
    }
}

fn using_name(name: &ast::ObjectName) -> (String, Span) {
    let ident = name.0.last().and_then(|part| part.as_ident());
    (ident.map_or_else(|| name.to_string(), |ident| ident.value.clone()), name.span())
}

/// Whether a join's condition may have keys.
fn has_equality(constraint: &JoinConstraint) -> bool {
    match constraint {
        JoinConstraint::On(condition) => condition.to_string().contains('='),
        JoinConstraint::Using(_) | JoinConstraint::Natural => true,
        JoinConstraint::None => false,
    }
}

/// The most constant rows with which all rows may be joined.
const MAX_CONSTANT_ROWS: usize = 100;

/// Whether a plan has so few rows that all rows may be joined with them: one, or constant ones.
fn has_few_rows(plan: &QueryPlan) -> bool {
    is_single_row(plan) || constant_rows(plan).is_some_and(|rows| rows <= MAX_CONSTANT_ROWS)
}

/// The number of rows of VALUES. `None` for other plans.
fn constant_rows(plan: &QueryPlan) -> Option<usize> {
    match plan {
        QueryPlan::OneRow { .. } => Some(1),
        QueryPlan::Project { input, .. } => constant_rows(input),
        QueryPlan::UnionAll { inputs } => inputs.iter().map(constant_rows).sum(),
        _ => None,
    }
}

/// Whether rows are joined with rows without keys.
fn has_unkeyed_join(plan: &QueryPlan) -> bool {
    let here = match plan {
        QueryPlan::Join { left, right, keys, .. } => keys.is_empty() && !has_few_rows(left) && !has_few_rows(right),
        _ => false,
    };
    here || plan.inputs().into_iter().any(has_unkeyed_join)
}

fn refused_join(operator: &JoinOperator) -> &'static str {
    match operator {
        JoinOperator::AsOf { .. } => "ASOF JOIN is not possible; join on equal values and take max_by(value, time)",
        JoinOperator::CrossApply | JoinOperator::OuterApply => {
            "APPLY is not possible; join with a subquery that groups"
        }
        _ => "this join is not possible; there are INNER, LEFT, RIGHT, FULL, SEMI and ANTI joins",
    }
}
