//! `x > ANY (SELECT y …)` and `x > ALL (SELECT y …)`: the least or the greatest y decides.

use sqlparser::ast::{BinaryOperator, Expr as Ast, Query};
use sqlparser::tokenizer::Span;

use crate::datum::{Datum, SqlType};
use crate::expr::{CompareOp, ScalarExpr};
use crate::places::LocatedNode;
use crate::plan::{AggregateCall, AggregateFunction, QueryPlan};
use crate::rewrite::{make_and, make_case, make_is_null, make_not, make_or};

use super::subqueries::{MembershipTest, compare_longs, count_rows, grouping_keys, or_zero};
use super::{BindResult, ClauseKind, QuestionBinder};

impl<'a> QuestionBinder<'a> {
    /// `x op ALL (SELECT y …)`: not the case that the opposite holds for any y.
    pub(super) fn bind_all_of(
        &mut self,
        ast: &'a Ast,
        left: &'a Ast,
        op: &BinaryOperator,
        right: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let Ast::Subquery(query) = right else {
            return Err(
                self.report_at(ast, "ALL takes a subquery, not a list; compare with list_min(list) or list_max(list)")
            );
        };
        match compare_op(op) {
            Some(CompareOp::NotEqual) => self.bind_in_subquery(left, query, true, clause),
            Some(op) => self.bind_some(left, negated(op), query, clause).map(make_not),
            None => Err(self.report_unknown_operator(ast, "ALL")),
        }
    }

    /// `x op ANY (SELECT y …)`.
    pub(super) fn bind_any_of(
        &mut self,
        ast: &'a Ast,
        left: &'a Ast,
        op: &BinaryOperator,
        query: &'a Query,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        match compare_op(op) {
            Some(op) => self.bind_some(left, op, query, clause),
            None => Err(self.report_unknown_operator(ast, "ANY")),
        }
    }

    fn report_unknown_operator(&mut self, ast: &'a Ast, word: &str) -> super::ReportedProblem {
        self.report_at(ast, format!("{word} is possible after =, <>, <, <=, > and >="))
    }

    /// Whether a comparison holds for any y, with all three truth values: null if it does for none, and x or a y is null.
    fn bind_some(
        &mut self,
        subject: &'a Ast,
        op: CompareOp,
        query: &'a Query,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        if op == CompareOp::Equal {
            return self.bind_in_subquery(subject, query, false, clause);
        }
        let of = self.bind_membership(subject, query, clause)?;
        let summary = self.attach_extremes(&of, clause, query.span())?;
        let compare = |extreme: &ScalarExpr| compare_longs(op, of.value.clone(), extreme.clone());
        let holds = match op {
            CompareOp::Less | CompareOp::LessOrEqual => compare(&summary.greatest),
            CompareOp::Greater | CompareOp::GreaterOrEqual => compare(&summary.least),
            // Another value than x is the least or the greatest one.
            _ => make_or(vec![compare(&summary.least), compare(&summary.greatest)]),
        };
        let truth = |value| ScalarExpr::literal(Datum::Bool(value));
        let mut branches = vec![(holds, truth(true))];
        if of.has_nulls {
            let some = compare_longs(CompareOp::Greater, summary.rows.clone(), ScalarExpr::literal(Datum::Long(0)));
            let missing = compare_longs(CompareOp::Less, summary.present, summary.rows);
            let unknown = make_and(vec![some, make_or(vec![make_is_null(of.value), missing])]);
            branches.push((unknown, ScalarExpr::null(SqlType::Bool)));
        }
        Ok(make_case(branches, truth(false)))
    }

    fn attach_extremes(&mut self, of: &MembershipTest, clause: ClauseKind, span: Span) -> BindResult<MemberSummary> {
        let (inner, pairs) = grouping_keys(&of.keys);
        let ty = of.member.ty;
        let call = |function, ty| AggregateCall { function, arguments: vec![of.member.clone()], ty, ..count_rows() };
        let aggregates = vec![
            call(AggregateFunction::Min, ty),
            call(AggregateFunction::Max, ty),
            count_rows(),
            call(AggregateFunction::Count, SqlType::Long),
        ];
        let width = inner.len();
        let plan = QueryPlan::Aggregate { input: Box::new(of.plan.clone()), keys: inner, aggregates };
        let first = self.attach(plan, pairs, clause, span)? + width;
        Ok(MemberSummary {
            least: ScalarExpr::column(first, ty),
            greatest: ScalarExpr::column(first + 1, ty),
            rows: or_zero(ScalarExpr::column(first + 2, SqlType::Long)),
            present: or_zero(ScalarExpr::column(first + 3, SqlType::Long)),
        })
    }
}

/// What is known of the values of a subquery.
struct MemberSummary {
    least: ScalarExpr,
    greatest: ScalarExpr,
    rows: ScalarExpr,
    /// The number of those that are not null.
    present: ScalarExpr,
}

fn compare_op(op: &BinaryOperator) -> Option<CompareOp> {
    Some(match op {
        BinaryOperator::Eq => CompareOp::Equal,
        BinaryOperator::NotEq => CompareOp::NotEqual,
        BinaryOperator::Lt => CompareOp::Less,
        BinaryOperator::LtEq => CompareOp::LessOrEqual,
        BinaryOperator::Gt => CompareOp::Greater,
        BinaryOperator::GtEq => CompareOp::GreaterOrEqual,
        _ => return None,
    })
}

/// The comparison that is true where this one is false.
fn negated(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Equal => CompareOp::NotEqual,
        CompareOp::NotEqual => CompareOp::Equal,
        CompareOp::Less => CompareOp::GreaterOrEqual,
        CompareOp::LessOrEqual => CompareOp::Greater,
        CompareOp::Greater => CompareOp::LessOrEqual,
        CompareOp::GreaterOrEqual => CompareOp::Less,
    }
}
