//! Subqueries in expressions, as joins.
//!
//! - A condition of WHERE that is `EXISTS` or `IN` is a semi join, or an anti join.
//! - Everywhere else the subquery is joined so that each row keeps exactly one partner or none, and the value is an
//!   expression over the joined columns.
//!
//! `x IN (SELECT y …)` is true if a y equals x; else null if x is null, or a y is, and there are rows; else false.

use sqlparser::ast::{Expr as Ast, Query, UnaryOperator};
use sqlparser::tokenizer::Span;

use crate::datum::{Datum, SqlType};
use crate::expr::{CompareOp, ExprKind, ScalarExpr};
use crate::nullability::is_nullable_over;
use crate::places::LocatedNode;
use crate::plan::{AggregateCall, AggregateFunction, JoinKind, QueryPlan};
use crate::rewrite::{
    all_of, is_single_row, make_and, make_case, make_is_not_null, make_is_null, make_or, replace_columns,
};

use super::expr::if_present;
use super::from::null_row;
use super::predicates::negate_if;
use super::query::{BoundQuery, QueryRole};
use super::{ATTACHED_BASE, BindResult, ClauseKind, OUTER_BASE, QuestionBinder, ReportedProblem, expr_text};

/// A subquery whose columns are added to the rows: each row has at most one partner.
#[derive(Debug)]
pub(super) struct AttachedJoin {
    pub(super) plan: QueryPlan,
    /// Pairs that have to be equal: an expression over the rows, and one over the subquery's columns.
    pub(super) keys: Vec<(ScalarExpr, ScalarExpr)>,
    pub(super) span: Span,
}

/// `x IN (SELECT y …)`, bound.
pub(super) struct MembershipTest {
    pub(super) plan: QueryPlan,
    /// How the subquery is tied to the outer query.
    pub(super) keys: Vec<(ScalarExpr, ScalarExpr)>,
    pub(super) value: ScalarExpr,
    pub(super) member: ScalarExpr,
    /// Whether x or a y can be null.
    pub(super) has_nulls: bool,
}

impl<'a> QuestionBinder<'a> {
    /// Binds WHERE: its conditions, with semi and anti joins already added to the rows.
    pub(super) fn bind_where(&mut self, selection: &'a Ast) -> Vec<BindResult<ScalarExpr>> {
        let mut conditions = Vec::new();
        let mut rest = vec![selection];
        while let Some(next) = rest.pop() {
            match next {
                Ast::BinaryOp { left, op: sqlparser::ast::BinaryOperator::And, right } => {
                    rest.push(right);
                    rest.push(left);
                }
                Ast::Nested(inner) => rest.push(inner),
                condition => match self.bind_semi_join(condition, false) {
                    Some(Ok(rest)) => conditions.extend(rest.map(Ok)),
                    Some(Err(reported)) => conditions.push(Err(reported)),
                    None => conditions.push(self.bind_condition(condition, ClauseKind::Where)),
                },
            }
        }
        conditions
    }

    /// A condition of WHERE that is a join, and perhaps a further condition. `None` if it is another one.
    fn bind_semi_join(&mut self, condition: &'a Ast, negated: bool) -> Option<BindResult<Option<ScalarExpr>>> {
        match condition {
            Ast::Nested(inner) => self.bind_semi_join(inner, negated),
            Ast::UnaryOp { op: UnaryOperator::Not, expr } => self.bind_semi_join(expr, !negated),
            Ast::Exists { subquery, negated: not } => Some(self.join_exists(subquery, *not != negated).map(|()| None)),
            Ast::InSubquery { expr, subquery, negated: not } if *not == negated => {
                Some(self.join_in(expr, subquery).map(|()| None))
            }
            Ast::InSubquery { expr, subquery, .. } if !matches!(**expr, Ast::Tuple(_)) => {
                Some(self.join_not_in(expr, subquery))
            }
            _ => None,
        }
    }

    fn join_exists(&mut self, query: &'a Query, negated: bool) -> BindResult<()> {
        let bound = self.bind_query(query, QueryRole::Subquery)?;
        let mut right = bound.plan;
        let keys = self.outer_keys(bound.correlation.keys, query.span())?;
        if keys.is_empty() {
            if !bound.correlation.conditions.is_empty() {
                return Err(self.report_at(
                    query,
                    "EXISTS needs an equality with a column of the outer query, for example geo.ind = pin.ind",
                ));
            }
            right = any_row(right);
        }
        self.add_semi_join(right, keys, bound.correlation.conditions, &bound.correlation.outer, negated, query.span())
    }

    /// `x IN (SELECT y …)` as a condition of WHERE: a row whose x is null, or has no partner, is left out.
    fn join_in(&mut self, subject: &'a Ast, query: &'a Query) -> BindResult<()> {
        let subjects: Vec<&'a Ast> = match subject {
            Ast::Tuple(parts) => parts.iter().collect(),
            one => vec![one],
        };
        let values: Vec<BindResult<ScalarExpr>> =
            subjects.iter().map(|one| self.bind_expr(one, ClauseKind::Where)).collect();
        let bound = self.bind_query(query, QueryRole::Subquery)?;
        let values = values.into_iter().collect::<BindResult<Vec<ScalarExpr>>>()?;
        if bound.columns.len() != values.len() {
            let message = format!(
                "IN compares {}, and this subquery has {}",
                count_of(values.len(), "value"),
                count_of(bound.columns.len(), "column")
            );
            return Err(self.report_at(query, message));
        }
        let mut keys = self.outer_keys(bound.correlation.keys.clone(), query.span())?;
        for (position, value) in values.into_iter().enumerate() {
            if bound.columns[position].broken {
                return Err(ReportedProblem);
            }
            let column = ScalarExpr::column(position, bound.columns[position].ty);
            let span = subject.span().union(&query.span());
            let texts = [expr_text(subjects[position]), bound.columns[position].name.clone()];
            keys.push(self.unify_pair(value, column, span, [&texts[0], &texts[1]])?);
        }
        let correlation = bound.correlation;
        self.add_semi_join(bound.plan, keys, correlation.conditions, &correlation.outer, false, query.span())
    }

    fn add_semi_join(
        &mut self,
        right: QueryPlan,
        keys: Vec<(ScalarExpr, ScalarExpr)>,
        conditions: Vec<ScalarExpr>,
        outer: &[ScalarExpr],
        negated: bool,
        span: Span,
    ) -> BindResult<()> {
        let width = self.frame().width;
        let mut placed = Vec::new();
        for mut condition in conditions {
            replace_columns(&mut condition, &mut |column, ty| match column.checked_sub(OUTER_BASE) {
                Some(index) => outer[index].clone(),
                None => ScalarExpr::column(column + width, ty),
            });
            placed.push(condition);
        }
        if placed.iter().any(reads_outer) || keys.iter().any(|(outer, _)| reads_outer(outer)) {
            return Err(self.report_deep_reference(span));
        }
        let kind = if negated { JoinKind::Anti } else { JoinKind::Semi };
        let frame = self.frame();
        let left = Box::new(std::mem::replace(&mut frame.plan, null_row(&[])));
        frame.plan = QueryPlan::Join { kind, left, right: Box::new(right), keys, condition: all_of(placed) };
        Ok(())
    }

    /// The keys of a correlation; they must be of the query right around the subquery.
    fn outer_keys(
        &mut self,
        keys: Vec<(ScalarExpr, ScalarExpr)>,
        span: Span,
    ) -> BindResult<Vec<(ScalarExpr, ScalarExpr)>> {
        if keys.iter().any(|(outer, _)| reads_outer(outer)) {
            return Err(self.report_deep_reference(span));
        }
        Ok(keys)
    }

    fn report_deep_reference(&mut self, span: Span) -> ReportedProblem {
        self.report(span, "a subquery can use columns of the query right around it only, not of one further out")
    }

    /// Joins a subquery to the rows of a clause. Returns the position of its first column.
    pub(super) fn attach(
        &mut self,
        plan: QueryPlan,
        keys: Vec<(ScalarExpr, ScalarExpr)>,
        clause: ClauseKind,
        span: Span,
    ) -> BindResult<usize> {
        if clause == ClauseKind::On {
            return Err(self.report(span, "a subquery is not possible in ON; join with it in FROM"));
        }
        if keys.iter().any(|(outer, _)| reads_outer(outer)) {
            return Err(self.report_deep_reference(span));
        }
        let width = plan.types().len();
        let frame = self.frame();
        if clause.is_after_grouping() {
            let first = ATTACHED_BASE + frame.attached_width;
            frame.attached_width += width;
            frame.attached.push(AttachedJoin { plan, keys, span });
            return Ok(first);
        }
        let first = frame.width;
        frame.width += width;
        let left = Box::new(std::mem::replace(&mut frame.plan, null_row(&[])));
        frame.plan = QueryPlan::Join { kind: JoinKind::Left, left, right: Box::new(plan), keys, condition: None };
        Ok(first)
    }

    /// `EXISTS (SELECT …)` as a value.
    pub(super) fn bind_exists(
        &mut self,
        query: &'a Query,
        negated: bool,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let bound = self.bind_query(query, QueryRole::Subquery)?;
        if !bound.correlation.conditions.is_empty() {
            return Err(self.report_at(query, "here EXISTS can be tied to the outer query by = only"));
        }
        let keys = self.outer_keys(bound.correlation.keys, query.span())?;
        let (inner, pairs) = grouping_keys(&keys);
        let counted =
            QueryPlan::Aggregate { input: Box::new(bound.plan), keys: inner.clone(), aggregates: vec![count_rows()] };
        let first = self.attach(counted, pairs, clause, query.span())?;
        let count = ScalarExpr::column(first + inner.len(), SqlType::Long);
        let exists = if inner.is_empty() {
            ScalarExpr::condition(ExprKind::Compare(
                CompareOp::Greater,
                Box::new(count),
                Box::new(ScalarExpr::literal(Datum::Long(0))),
            ))
        } else {
            make_is_not_null(count)
        };
        Ok(negate_if(exists, negated))
    }

    /// Binds `x IN (SELECT y …)`.
    pub(super) fn bind_membership(
        &mut self,
        subject: &'a Ast,
        query: &'a Query,
        clause: ClauseKind,
    ) -> BindResult<MembershipTest> {
        if matches!(subject, Ast::Tuple(_)) {
            return Err(self.report_at(
                subject,
                "a list in parentheses before IN (SELECT …) is possible as a condition of WHERE only; write EXISTS",
            ));
        }
        let value = self.bind_expr(subject, clause);
        let bound = self.bind_query(query, QueryRole::Subquery)?;
        let value = value?;
        let [column] = &bound.columns[..] else {
            let message =
                format!("IN compares 1 value, and this subquery has {}", count_of(bound.columns.len(), "column"));
            return Err(self.report_at(query, message));
        };
        if column.broken {
            return Err(ReportedProblem);
        }
        if !bound.correlation.conditions.is_empty() {
            let message = "here IN can be tied to the outer query by = only; write EXISTS as a condition of WHERE";
            return Err(self.report_at(query, message));
        }
        let keys = self.outer_keys(bound.correlation.keys, query.span())?;
        let span = subject.span().union(&query.span());
        let texts = [expr_text(subject), column.name.clone()];
        let (value, member) = self.unify_pair(value, ScalarExpr::column(0, column.ty), span, [&texts[0], &texts[1]])?;
        let catalog = self.catalog;
        let value_nullable = clause.is_after_grouping() || is_nullable_over(&value, &self.frame().plan, catalog);
        let member_nullable = is_nullable_over(&member, &bound.plan, catalog);
        Ok(MembershipTest { plan: bound.plan, keys, value, member, has_nulls: value_nullable || member_nullable })
    }

    /// The numbers of rows of the subquery, and of those that are not null.
    fn attach_counts(
        &mut self,
        of: &MembershipTest,
        clause: ClauseKind,
        span: Span,
    ) -> BindResult<(ScalarExpr, ScalarExpr)> {
        let (inner, pairs) = grouping_keys(&of.keys);
        let arguments = vec![of.member.clone()];
        let members = AggregateCall { function: AggregateFunction::Count, arguments, ..count_rows() };
        let (input, width) = (Box::new(of.plan.clone()), inner.len());
        let counts = QueryPlan::Aggregate { input, keys: inner, aggregates: vec![count_rows(), members] };
        let first = self.attach(counts, pairs, clause, span)? + width;
        let count = |column| or_zero(ScalarExpr::column(column, SqlType::Long));
        Ok((count(first), count(first + 1)))
    }

    /// `x NOT IN (SELECT y …)` as a condition of WHERE: an anti join. Where there are nulls, only rows for which the
    /// subquery has no rows, or neither x nor a y is null, are kept.
    fn join_not_in(&mut self, subject: &'a Ast, query: &'a Query) -> BindResult<Option<ScalarExpr>> {
        let of = self.bind_membership(subject, query, ClauseKind::Where)?;
        let mut known = None;
        if of.has_nulls {
            let (rows, present) = self.attach_counts(&of, ClauseKind::Where, query.span())?;
            let is_empty = compare_longs(CompareOp::Equal, rows.clone(), ScalarExpr::literal(Datum::Long(0)));
            let all_present = compare_longs(CompareOp::Equal, present, rows);
            known = Some(make_or(vec![is_empty, make_and(vec![make_is_not_null(of.value.clone()), all_present])]));
        }
        let mut keys = of.keys;
        keys.push((of.value, of.member));
        self.add_semi_join(of.plan, keys, Vec::new(), &[], true, query.span())?;
        Ok(known)
    }

    /// `x IN (SELECT y …)` as a value, with all three truth values.
    pub(super) fn bind_in_subquery(
        &mut self,
        subject: &'a Ast,
        query: &'a Query,
        negated: bool,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        let of = self.bind_membership(subject, query, clause)?;
        let counts = if of.has_nulls { Some(self.attach_counts(&of, clause, query.span())?) } else { None };
        // Each distinct member once.
        let (mut all, mut pairs) = grouping_keys(&of.keys);
        let first = all.len();
        pairs.push((of.value.clone(), ScalarExpr::column(first, of.member.ty)));
        all.push(of.member.clone());
        let distinct = QueryPlan::Aggregate { input: Box::new(of.plan), keys: all, aggregates: Vec::new() };
        let first = self.attach(distinct, pairs, clause, query.span())? + first;
        let found = make_is_not_null(ScalarExpr::column(first, of.member.ty));
        let truth = |value| ScalarExpr::literal(Datum::Bool(value));
        let mut branches = vec![(found, truth(!negated))];
        if let Some((rows, present)) = counts {
            let is_empty = compare_longs(CompareOp::Equal, rows.clone(), ScalarExpr::literal(Datum::Long(0)));
            let unknown = make_or(vec![make_is_null(of.value), compare_longs(CompareOp::Less, present, rows)]);
            branches.extend([(is_empty, truth(negated)), (unknown, ScalarExpr::null(SqlType::Bool))]);
        }
        Ok(make_case(branches, truth(negated)))
    }

    /// `(SELECT max(x) FROM …)` as a value.
    pub(super) fn bind_scalar_subquery(&mut self, query: &'a Query, clause: ClauseKind) -> BindResult<ScalarExpr> {
        let bound = self.bind_query(query, QueryRole::Subquery)?;
        let [column] = &bound.columns[..] else {
            let message = format!("a subquery that is a value has one column; this one has {}", bound.columns.len());
            return Err(self.report_at(query, message));
        };
        if column.broken {
            return Err(ReportedProblem);
        }
        let ty = column.ty;
        if bound.correlation.keys.is_empty() && bound.correlation.conditions.is_empty() {
            return self.attach_single(bound, ty, query, clause);
        }
        let Some(empty_row) = bound.empty_row else {
            return Err(self.report_at(query, "this subquery can have several rows for a row of the outer query; take one with max(…) or max_by(value, time)"));
        };
        let keys = self.outer_keys(bound.correlation.keys, query.span())?;
        let types = bound.plan.types();
        let first = self.attach(bound.plan, keys.clone(), clause, query.span())?;
        let value = ScalarExpr::column(first, ty);
        let default = empty_row.first().cloned().unwrap_or_else(|| ScalarExpr::null(ty));
        let present = keys.first().map(|(_, inner)| inner.clone());
        match present {
            Some(ScalarExpr { kind: ExprKind::Column(position), .. })
                if !matches!(default.kind, ExprKind::Literal(Datum::Null)) =>
            {
                Ok(if_present(&ScalarExpr::column(first + position, types[position]), value, default))
            }
            _ => Ok(value),
        }
    }

    fn attach_single(
        &mut self,
        bound: BoundQuery,
        ty: SqlType,
        query: &'a Query,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        if !is_single_row(&bound.plan) {
            let message =
                "a subquery that is a value must have one row; take max(…), count(*) or the like, or add LIMIT 1";
            return Err(self.report_at(query, message));
        }
        let first = self.attach(bound.plan, Vec::new(), clause, query.span())?;
        Ok(ScalarExpr::column(first, ty))
    }
}

fn count_of(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

pub(super) fn reads_outer(expr: &ScalarExpr) -> bool {
    let mut found = false;
    expr.for_each_column(&mut |column| found |= column >= OUTER_BASE);
    found
}

pub(super) fn count_rows() -> AggregateCall {
    AggregateCall {
        function: AggregateFunction::CountRows,
        arguments: Vec::new(),
        distinct: false,
        filter: None,
        order: Vec::new(),
        ty: SqlType::Long,
    }
}

pub(super) fn compare_longs(op: CompareOp, one: ScalarExpr, other: ScalarExpr) -> ScalarExpr {
    ScalarExpr::condition(ExprKind::Compare(op, Box::new(one), Box::new(other)))
}

pub(super) fn or_zero(count: ScalarExpr) -> ScalarExpr {
    ScalarExpr { kind: ExprKind::Coalesce(vec![count, ScalarExpr::literal(Datum::Long(0))]), ty: SqlType::Long }
}

/// The inner sides of keys, to be grouped by, and the keys over the groups.
pub(super) fn grouping_keys(keys: &[(ScalarExpr, ScalarExpr)]) -> (Vec<ScalarExpr>, Vec<(ScalarExpr, ScalarExpr)>) {
    let inner: Vec<ScalarExpr> = keys.iter().map(|(_, inner)| inner.clone()).collect();
    let pairs = keys.iter().enumerate();
    let pairs =
        pairs.map(|(position, (outer, inner))| (outer.clone(), ScalarExpr::column(position, inner.ty))).collect();
    (inner, pairs)
}

/// One row if there are any, else none.
fn any_row(plan: QueryPlan) -> QueryPlan {
    let counted = QueryPlan::Aggregate { input: Box::new(plan), keys: Vec::new(), aggregates: vec![count_rows()] };
    let some =
        compare_longs(CompareOp::Greater, ScalarExpr::column(0, SqlType::Long), ScalarExpr::literal(Datum::Long(0)));
    QueryPlan::Filter { input: Box::new(counted), condition: make_and(vec![some]) }
}
