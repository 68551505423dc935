//! One SELECT, from FROM to the selected columns.

use sqlparser::ast::{self, Distinct, GroupByExpr, Select};
use sqlparser::tokenizer::Span;

use crate::datum::{Datum, SqlType};
use crate::expr::{CompareOp, ExprKind, ScalarExpr};
use crate::optimize::optimize_plan;
use crate::places::LocatedNode;
use crate::plan::{AggregateFunction, QueryPlan, SortKey};
use crate::rewrite::{aggregate_exprs_mut, columns_read, literal_value, replace_columns};

use super::functions::fold_constant;
use super::grouping::{SelectGrouping, group_rows};
use super::items::{SelectItem, aliases};
use super::ordering::{OrderKey, order_column};
use super::query::{BoundQuery, NamedColumn, QueryRole, QueryTail, SubqueryCorrelation, listing_key};
use super::resolve::{ColumnLayout, DraftExpr, filtered, identity_columns, with_window};
use super::subqueries::reads_outer;
use super::windows::{WindowSite, row_number};
use super::{AGGREGATE_BASE, BindResult, ClauseKind, OUTER_BASE, QuestionBinder, ReportedProblem, SelectFrame};

/// The clauses of a SELECT, bound over its rows.
struct BoundClauses<'a> {
    items: Vec<SelectItem>,
    having: Option<DraftExpr>,
    qualify: Option<DraftExpr>,
    order: Vec<OrderKey<'a>>,
    distinct_on: Option<Vec<DraftExpr>>,
    grouping: Option<SelectGrouping>,
    correlation: SubqueryCorrelation,
}

impl<'a> QuestionBinder<'a> {
    pub(super) fn bind_select(
        &mut self,
        select: &'a Select,
        tail: QueryTail<'a>,
        role: QueryRole,
    ) -> BindResult<BoundQuery> {
        self.frames.push(SelectFrame::new(role == QueryRole::Subquery));
        let bound = self.bind_select_in_frame(select, tail, role);
        self.frames.pop();
        bound
    }

    fn bind_select_in_frame(
        &mut self,
        select: &'a Select,
        tail: QueryTail<'a>,
        role: QueryRole,
    ) -> BindResult<BoundQuery> {
        let problems = self.problems.len();
        let tail = self.check_select_parts(select, tail)?;
        self.bind_from(&select.from, &select.lateral_views);
        self.frame().aliases = aliases(&select.projection);
        self.frame().named_windows = &select.named_window;
        let correlation = self.bind_filter(select);
        let grouping = self.bind_group_by(&select.group_by, &select.projection);
        let items = self.bind_items(select);
        let columns = items.as_ref().map(|items| named_columns(items)).unwrap_or_default();
        let having =
            select.having.as_ref().map(|having| self.bind_condition_draft(having, ClauseKind::Having)).transpose();
        let qualify =
            select.qualify.as_ref().map(|qualify| self.bind_condition_draft(qualify, ClauseKind::Qualify)).transpose();
        let order = self.bind_order(tail.order, &columns);
        let distinct_on = self.bind_distinct_on(select);
        let clauses = (|| {
            Ok(BoundClauses {
                items: items?,
                having: having?,
                qualify: qualify?,
                order: order?,
                distinct_on: distinct_on?,
                grouping: grouping?,
                correlation: correlation?,
            })
        })();
        let bound = clauses.and_then(|clauses| self.assemble(select, clauses, tail, role));
        let is_broken = self.frame().broken_join;
        match bound {
            Ok(bound) if !is_broken => Ok(bound),
            Ok(_) => Ok(BoundQuery::broken(columns)),
            // The names are known, so that the query around this one can be checked.
            Err(ReportedProblem) if !columns.is_empty() && self.problems.len() > problems => {
                Ok(BoundQuery::broken(columns))
            }
            Err(reported) => Err(reported),
        }
    }

    fn check_select_parts(&mut self, select: &'a Select, mut tail: QueryTail<'a>) -> BindResult<QueryTail<'a>> {
        let span = select.select_token.0.span;
        let refused = [
            (select.into.is_some(), "SELECT INTO is not possible; a question only reads"),
            (!select.connect_by.is_empty(), "CONNECT BY is not possible"),
            (select.prewhere.is_some(), "PREWHERE is not possible; write WHERE"),
            (!select.cluster_by.is_empty(), "CLUSTER BY is not possible; write ORDER BY"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY is not possible; leave it out"),
            (!select.sort_by.is_empty(), "SORT BY is not possible; write ORDER BY"),
            (select.value_table_mode.is_some(), "SELECT AS STRUCT and AS VALUE are not possible; select columns"),
            (select.exclude.is_some(), "EXCLUDE belongs right after the *"),
        ];
        for (found, message) in refused {
            if found {
                self.report(span, message);
            }
        }
        if let Some(top) = &select.top {
            if top.percent || top.with_ties {
                return Err(self.report(
                    span,
                    "TOP takes a number of rows; for ties filter with QUALIFY rank() OVER (ORDER BY …) <= n",
                ));
            }
            tail.limit = match &top.quantity {
                Some(ast::TopQuantity::Constant(rows)) => Some(*rows),
                Some(ast::TopQuantity::Expr(rows)) => self.row_count(rows, "TOP")?,
                None => None,
            };
        }
        Ok(tail)
    }

    /// WHERE: what it says of the outer query is split off.
    fn bind_filter(&mut self, select: &'a Select) -> BindResult<SubqueryCorrelation> {
        let conditions = match &select.selection {
            Some(selection) => self.bind_where(selection),
            None => Vec::new(),
        };
        let mut correlation = SubqueryCorrelation::default();
        let mut local = Vec::new();
        for condition in conditions.into_iter().collect::<BindResult<Vec<ScalarExpr>>>()? {
            match correlated_pair(&condition) {
                Some((outer, inner)) => correlation.keys.push((outer, inner)),
                None if reads_outer(&condition) => correlation.conditions.push(condition),
                None => local.push(condition),
            }
        }
        correlation.outer.clone_from(&self.frame().outer);
        for (outer, _) in &mut correlation.keys {
            let exprs = &correlation.outer;
            replace_columns(outer, &mut |column, _| exprs[column - OUTER_BASE].clone());
        }
        let frame = self.frame();
        let plan = std::mem::replace(&mut frame.plan, super::from::null_row(&[]));
        frame.plan = filtered(plan, local);
        if !frame.scope.open {
            let plan = std::mem::replace(&mut frame.plan, super::from::null_row(&[]));
            self.frame().plan = optimize_plan(plan);
            let from = select.from.first().map_or(select.select_token.0.span, |from| from.relation.span());
            self.check_keys(from);
        }
        Ok(correlation)
    }

    fn bind_distinct_on(&mut self, select: &'a Select) -> BindResult<Option<Vec<DraftExpr>>> {
        let Some(Distinct::On(keys)) = &select.distinct else { return Ok(None) };
        let keys: Vec<BindResult<DraftExpr>> =
            keys.iter().map(|key| self.bind_draft(key, ClauseKind::OrderBy)).collect();
        keys.into_iter().collect::<BindResult<Vec<DraftExpr>>>().map(Some)
    }

    /// Puts the plan together, step by step.
    fn assemble(
        &mut self,
        select: &'a Select,
        mut clauses: BoundClauses<'a>,
        tail: QueryTail<'a>,
        role: QueryRole,
    ) -> BindResult<BoundQuery> {
        if matches!(select.group_by, GroupByExpr::All(_)) {
            clauses.grouping = Some(self.group_by_all(&clauses.items));
        }
        let has_groups = clauses.grouping.is_some();
        if clauses.having.is_some() || !self.frame().aggregates.is_empty() {
            clauses.grouping.get_or_insert(SelectGrouping::new(Vec::new(), vec![Vec::new()]));
        }
        self.check_correlation(&clauses, select, tail)?;
        let empty_row = (!has_groups && clauses.grouping.is_some() && clauses.having.is_none())
            .then(|| self.empty_values(&clauses.items));
        let mut correlation = std::mem::take(&mut clauses.correlation);
        let (mut plan, mut layout) = self.grouped_plan(&mut clauses, &correlation);
        let width = plan.types().len();
        layout.attached = width;
        plan = self.join_attached(plan, &layout)?;
        let width = width + self.frame().attached_width;
        if let Some(having) = &clauses.having {
            plan = filtered(plan, vec![self.place(having, &layout)?]);
        }
        plan = self.add_windows(plan, width, &mut layout)?;
        if let Some(qualify) = &clauses.qualify {
            plan = filtered(plan, vec![self.place(qualify, &layout)?]);
        }
        let bound = self.select_columns(plan, &clauses, &layout, &mut correlation, select)?;
        let (mut bound, order) = bound;
        bound.correlation = correlation;
        bound.empty_row = empty_row;
        Ok(self.finish_rows(bound, order, tail, role))
    }

    /// The selected values over no rows: counts are zero, other aggregates null.
    fn empty_values(&mut self, items: &[SelectItem]) -> Vec<ScalarExpr> {
        let counts: Vec<bool> = self.frame().aggregates.iter().map(|call| is_count(call.function)).collect();
        let drafts = items.iter().filter_map(|item| item.draft.as_ref().ok());
        let value = |draft: &DraftExpr| {
            let mut expr = draft.expr.clone();
            replace_columns(&mut expr, &mut |column, ty| match column.checked_sub(AGGREGATE_BASE) {
                Some(index) if counts.get(index) == Some(&true) => ScalarExpr::literal(Datum::Long(0)),
                _ => ScalarExpr::null(ty),
            });
            fold_all(&mut expr);
            expr
        };
        drafts.map(value).collect()
    }

    fn grouped_plan(
        &mut self,
        clauses: &mut BoundClauses<'a>,
        correlation: &SubqueryCorrelation,
    ) -> (QueryPlan, ColumnLayout) {
        let frame = self.frame();
        let input = std::mem::replace(&mut frame.plan, super::from::null_row(&[]));
        let calls = std::mem::take(&mut frame.grouping_calls);
        let Some(grouping) = &mut clauses.grouping else { return (input, ColumnLayout::default()) };
        grouping.add_calls(calls);
        // Each value of the outer columns has groups of its own.
        for (_, inner) in &correlation.keys {
            if !grouping.keys.contains(inner) {
                grouping.keys.push(inner.clone());
            }
            let index = grouping.keys.iter().position(|key| key == inner).unwrap_or(0);
            grouping.sets.iter_mut().for_each(|set| set.push(index));
        }
        let plan = group_rows(input, grouping, &self.frame().aggregates);
        (plan, ColumnLayout { keys: Some(grouping.keys.clone()), ..ColumnLayout::default() })
    }

    /// What a subquery that depends on the outer query may have.
    fn check_correlation(
        &mut self,
        clauses: &BoundClauses<'a>,
        select: &'a Select,
        tail: QueryTail<'a>,
    ) -> BindResult<()> {
        let span = select.select_token.0.span;
        if self.uses_outer_elsewhere(clauses) {
            return Err(self.report(span, "a subquery can use columns of the outer query in its WHERE only"));
        }
        let correlation = &clauses.correlation;
        if correlation.keys.is_empty() && correlation.conditions.is_empty() {
            return Ok(());
        }
        if tail.is_limited() || clauses.distinct_on.is_some() {
            return Err(self.report(span, "a subquery that depends on the outer query cannot have LIMIT; take max_by(value, time), or number the rows with row_number() in FROM"));
        }
        if !self.frame().windows.is_empty() {
            return Err(self.report(
                span,
                "a subquery that depends on the outer query cannot have window functions; join with it in FROM",
            ));
        }
        if clauses.grouping.is_some() && !correlation.conditions.is_empty() {
            return Err(self.report(span, "a subquery with aggregates can be tied to the outer query by = only"));
        }
        Ok(())
    }

    fn uses_outer_elsewhere(&mut self, clauses: &BoundClauses<'a>) -> bool {
        let items = clauses.items.iter().filter_map(|item| item.draft.as_ref().ok());
        let mut exprs: Vec<&ScalarExpr> = items.map(|draft| &draft.expr).collect();
        exprs.extend(clauses.having.iter().chain(&clauses.qualify).map(|draft| &draft.expr));
        exprs.extend(clauses.distinct_on.iter().flatten().map(|draft| &draft.expr));
        exprs.extend(clauses.grouping.iter().flat_map(|grouping| &grouping.keys));
        exprs.extend(clauses.order.iter().filter_map(|key| match key {
            OrderKey::Other(draft, _) => Some(&draft.expr),
            OrderKey::Output(_) => None,
        }));
        if exprs.into_iter().any(reads_outer) {
            return true;
        }
        let mut aggregates = self.frame().aggregates.clone();
        let mut windows = self.frame().windows.clone();
        let in_aggregates = aggregates.iter_mut().flat_map(aggregate_exprs_mut).any(|expr| reads_outer(expr));
        in_aggregates || windows.iter_mut().flat_map(WindowSite::exprs_mut).any(|expr| reads_outer(expr))
    }

    /// The selected columns, then those of the order and of the correlation.
    fn select_columns(
        &mut self,
        plan: QueryPlan,
        clauses: &BoundClauses<'a>,
        layout: &ColumnLayout,
        correlation: &mut SubqueryCorrelation,
        select: &'a Select,
    ) -> BindResult<(BoundQuery, Vec<crate::plan::ListingKey>)> {
        let placed: Vec<BindResult<ScalarExpr>> =
            clauses.items.iter().map(|item| item.draft.clone().and_then(|draft| self.place(&draft, layout))).collect();
        let mut order_exprs = Vec::new();
        for key in &clauses.order {
            order_exprs.push(match key {
                OrderKey::Output(_) => Ok(None),
                OrderKey::Other(draft, _) => self.place(draft, layout).map(Some),
            });
        }
        let mut columns = placed.into_iter().collect::<BindResult<Vec<ScalarExpr>>>()?;
        let order_exprs = order_exprs.into_iter().collect::<BindResult<Vec<Option<ScalarExpr>>>>()?;
        let mut named = named_columns(&clauses.items);
        for (column, expr) in named.iter_mut().zip(&columns) {
            column.ty = expr.ty;
        }
        self.correlated_columns(correlation, layout, &mut columns)?;
        let selected = columns.len();
        let mut listing = Vec::new();
        for (key, expr) in clauses.order.iter().zip(&order_exprs) {
            listing.push(match (key, expr) {
                (OrderKey::Other(_, key), Some(expr)) => listing_key(order_column(&mut columns, expr), key),
                (OrderKey::Output(listing), _) => *listing,
                (OrderKey::Other(..), None) => continue,
            });
        }
        let is_distinct = matches!(select.distinct, Some(Distinct::Distinct));
        if is_distinct && columns.len() > selected {
            let hidden = clauses.order.iter().find_map(|key| match key {
                OrderKey::Other(draft, _) => Some(draft.span),
                OrderKey::Output(_) => None,
            });
            let message = "with DISTINCT, ORDER BY can use selected columns only";
            return Err(self.report(hidden.unwrap_or(Span::empty()), message));
        }
        let mut plan = QueryPlan::Project { input: Box::new(plan), columns };
        if let Some(keys) = &clauses.distinct_on {
            plan = self.distinct_on(plan, keys, layout, &listing)?;
        }
        if is_distinct {
            plan = QueryPlan::Distinct { input: Box::new(plan) };
        }
        Ok((BoundQuery::plain(plan, named), listing))
    }

    /// Adds the columns that the outer query compares, and places the correlation over them.
    fn correlated_columns(
        &mut self,
        correlation: &mut SubqueryCorrelation,
        layout: &ColumnLayout,
        columns: &mut Vec<ScalarExpr>,
    ) -> BindResult<()> {
        for (_, inner) in &mut correlation.keys {
            let draft = DraftExpr { expr: inner.clone(), first_mention: 0, span: Span::empty() };
            let placed = self.place(&draft, layout)?;
            *inner = ScalarExpr::column(columns.len(), placed.ty);
            columns.push(placed);
        }
        for condition in &mut correlation.conditions {
            replace_columns(condition, &mut |column, ty| {
                if column >= OUTER_BASE {
                    return ScalarExpr::column(column, ty);
                }
                columns.push(ScalarExpr::column(column, ty));
                ScalarExpr::column(columns.len() - 1, ty)
            });
        }
        Ok(())
    }

    /// DISTINCT ON: the first row of each group in the order of ORDER BY.
    fn distinct_on(
        &mut self,
        plan: QueryPlan,
        keys: &[DraftExpr],
        layout: &ColumnLayout,
        listing: &[crate::plan::ListingKey],
    ) -> BindResult<QueryPlan> {
        let QueryPlan::Project { input, mut columns } = plan else { return Ok(plan) };
        let width = columns.len();
        let mut partition = Vec::new();
        for key in keys {
            let placed = self.place(key, layout)?;
            let position = order_column(&mut columns, &placed);
            partition.push(ScalarExpr::column(position, placed.ty));
        }
        self.note("DISTINCT ON: rows that ORDER BY leaves equal are taken in the order of all columns");
        let order = listing.iter().map(|key| SortKey {
            expr: ScalarExpr::column(key.column, columns[key.column].ty),
            descending: key.descending,
            nulls_first: key.nulls_first,
        });
        let order = order.collect();
        let types: Vec<SqlType> = columns.iter().map(|column| column.ty).collect();
        let numbered = with_window(QueryPlan::Project { input, columns }, partition, order, row_number());
        let number = Box::new(ScalarExpr::column(types.len(), SqlType::Long));
        let first = ExprKind::Compare(CompareOp::Equal, number, Box::new(ScalarExpr::literal(Datum::Long(1))));
        let kept = filtered(numbered, vec![ScalarExpr::condition(first)]);
        Ok(QueryPlan::Project { input: Box::new(kept), columns: identity_columns(&types[..width]) })
    }
}

fn named_columns(items: &[SelectItem]) -> Vec<NamedColumn> {
    let named = items.iter().map(|item| NamedColumn {
        name: item.name.clone(),
        ty: item.draft.as_ref().map_or(SqlType::Null, |draft| draft.expr.ty),
        span: item.span,
        broken: item.draft.is_err(),
    });
    named.collect()
}

/// `inner = outer`, as the outer and the inner side.
fn correlated_pair(condition: &ScalarExpr) -> Option<(ScalarExpr, ScalarExpr)> {
    let ExprKind::Compare(CompareOp::Equal, one, other) = &condition.kind else { return None };
    let side = |expr: &ScalarExpr| {
        let columns = columns_read(expr);
        let outer = columns.iter().filter(|column| **column >= OUTER_BASE).count();
        (outer == columns.len() && outer > 0, outer == 0 && !columns.is_empty())
    };
    match (side(one), side(other)) {
        ((true, _), (_, true)) => Some(((**one).clone(), (**other).clone())),
        ((_, true), (true, _)) => Some(((**other).clone(), (**one).clone())),
        _ => None,
    }
}

fn fold_all(expr: &mut ScalarExpr) {
    for operand in expr.operands_mut() {
        fold_all(operand);
    }
    if !expr.operands().is_empty() && expr.operands().into_iter().all(|operand| literal_value(operand).is_some()) {
        *expr = fold_constant(expr.clone());
    }
}

/// Whether an aggregate over no rows is zero.
fn is_count(function: AggregateFunction) -> bool {
    matches!(function, AggregateFunction::Count | AggregateFunction::CountRows)
}
