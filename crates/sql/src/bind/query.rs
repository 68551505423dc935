//! Queries: WITH, set operations, VALUES, and what comes after: ORDER BY and LIMIT.

use sqlparser::ast::{self, Expr as Ast, LimitClause, Query, SetExpr, SetOperator, SetQuantifier};
use sqlparser::tokenizer::Span;

use crate::datum::{Datum, SqlType};
use crate::expr::ScalarExpr;
use crate::plan::{AggregateCall, AggregateFunction, ListingKey, QueryPlan, SortKey};
use crate::rewrite::{literal_value, make_and, make_equal, make_not};

use super::coerce::{coerce_to, common_type};
use super::from::null_row;
use super::resolve::identity_columns;
use super::scope::QueryColumn;
use super::{BindResult, ClauseKind, CteBinding, QuestionBinder, ReportedProblem};

/// How many subqueries the expressions of one SELECT can have.
const MAX_SUBQUERIES: usize = 50;

/// What a query is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryRole {
    /// It is the question: its order is that of the answer.
    Question,
    /// Its rows are read by another query.
    Table,
    /// It is part of an expression, and can name columns of the enclosing query.
    Subquery,
}

/// A column of a query's result.
#[derive(Debug, Clone)]
pub(super) struct NamedColumn {
    pub(super) name: String,
    pub(super) ty: SqlType,
    pub(super) span: Span,
    /// Whether its definition has a problem, which has been recorded.
    pub(super) broken: bool,
}

/// How a subquery depends on the query around it.
#[derive(Debug, Clone, Default)]
pub(super) struct SubqueryCorrelation {
    /// Pairs that have to be equal: an expression of the outer query, and a column of the subquery.
    pub(super) keys: Vec<(ScalarExpr, ScalarExpr)>,
    /// Further conditions, over the columns of the subquery and those of the outer query.
    pub(super) conditions: Vec<ScalarExpr>,
    /// The expressions that the positions of outer columns in `conditions` stand for.
    pub(super) outer: Vec<ScalarExpr>,
}

/// A bound query. The columns of the plan are `columns`, then others that `listing` or `correlation` read.
#[derive(Debug, Clone)]
pub(super) struct BoundQuery {
    pub(super) plan: QueryPlan,
    pub(super) columns: Vec<NamedColumn>,
    pub(super) listing: Vec<ListingKey>,
    pub(super) correlation: SubqueryCorrelation,
    /// The row that it has over no rows, if it has exactly one for each value of the outer columns.
    pub(super) empty_row: Option<Vec<ScalarExpr>>,
}

impl BoundQuery {
    pub(super) fn plain(plan: QueryPlan, columns: Vec<NamedColumn>) -> BoundQuery {
        BoundQuery { plan, columns, listing: Vec::new(), correlation: SubqueryCorrelation::default(), empty_row: None }
    }

    /// A query with problems, of which only the names of the columns are known.
    pub(super) fn broken(mut columns: Vec<NamedColumn>) -> BoundQuery {
        for column in &mut columns {
            column.broken = true;
        }
        let types = vec![SqlType::Null; columns.len()];
        BoundQuery::plain(null_row(&types), columns)
    }

    /// The rows as a table for another query.
    pub(super) fn into_relation(self) -> (QueryPlan, Vec<QueryColumn>) {
        let columns = self.columns.into_iter().map(|column| QueryColumn {
            name: column.name,
            ty: (!column.broken).then_some(column.ty),
            hidden: false,
        });
        (self.plan, columns.collect())
    }
}

/// ORDER BY, LIMIT and OFFSET.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryTail<'a> {
    pub(super) order: Option<&'a ast::OrderBy>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

impl QueryTail<'_> {
    pub(super) fn is_limited(&self) -> bool {
        self.limit.is_some() || self.offset > 0
    }
}

impl<'a> QuestionBinder<'a> {
    pub(super) fn bind_query(&mut self, query: &'a Query, role: QueryRole) -> BindResult<BoundQuery> {
        self.check_query_parts(query);
        if role == QueryRole::Subquery {
            self.count_subquery(query)?;
        }
        let visible = self.ctes.len();
        if let Some(with) = &query.with {
            self.bind_with(with);
        }
        let bound = self.bind_tail(query).and_then(|tail| self.bind_body(&query.body, tail, role));
        self.ctes.truncate(visible);
        bound
    }

    /// Each subquery is joined to the rows of the SELECT around it: many of them make a deep plan.
    fn count_subquery(&mut self, query: &'a Query) -> BindResult<()> {
        let frame = self.frame();
        frame.subqueries += 1;
        if frame.subqueries <= MAX_SUBQUERIES {
            return Ok(());
        }
        let message = format!("a SELECT can have at most {MAX_SUBQUERIES} subqueries beside those in FROM");
        // Once is enough.
        Err(if frame.subqueries == MAX_SUBQUERIES + 1 { self.report_at(query, message) } else { ReportedProblem })
    }

    fn bind_body(&mut self, body: &'a SetExpr, tail: QueryTail<'a>, role: QueryRole) -> BindResult<BoundQuery> {
        let bound = match body {
            SetExpr::Select(select) => return self.bind_select(select, tail, role),
            SetExpr::Query(query) if tail.order.is_none() && !tail.is_limited() => return self.bind_query(query, role),
            SetExpr::Query(query) => self.bind_query(query, QueryRole::Table),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                self.bind_set(*op, *set_quantifier, left, right)
            }
            SetExpr::Values(values) => self.bind_values(values),
            other => Err(self.report_at(other, "a question is one SELECT; this is not possible")),
        };
        let bound = bound?;
        let order = self.bind_output_order(&bound.columns, tail.order);
        Ok(self.finish_rows(bound, order?, tail, role))
    }

    fn check_query_parts(&mut self, query: &'a Query) {
        let refused = [
            (!query.locks.is_empty(), "FOR UPDATE is not possible; a question only reads"),
            (query.for_clause.is_some(), "FOR XML and FOR JSON are not possible; the answer is served as JSON and CSV"),
            (query.settings.is_some(), "SETTINGS are not possible; leave them out"),
            (query.format_clause.is_some(), "FORMAT is not possible; the answer is served as JSON and CSV"),
            (!query.pipe_operators.is_empty(), "|> is not possible; write SELECT … FROM (SELECT …)"),
        ];
        for (found, message) in refused {
            if found {
                self.report_at(&*query.body, message);
            }
        }
    }

    fn bind_with(&mut self, with: &'a ast::With) {
        if with.recursive {
            self.report_at(with, "WITH RECURSIVE is not possible; a question has a fixed number of steps");
        }
        let first = self.ctes.len();
        for cte in &with.cte_tables {
            let name = cte.alias.name.value.clone();
            if self.ctes[first..].iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
                self.report(cte.alias.name.span, format!("there are two WITH queries named `{name}`"));
            }
            let relation = self.bind_query(&cte.query, QueryRole::Table).ok().map(BoundQuery::into_relation);
            let relation = relation.map(|(plan, columns)| (plan, self.renamed(columns, &cte.alias)));
            self.ctes.push(CteBinding { name, relation });
        }
    }

    fn renamed(&mut self, mut columns: Vec<QueryColumn>, alias: &ast::TableAlias) -> Vec<QueryColumn> {
        if let Some(extra) = alias.columns.get(columns.len()) {
            self.report(
                extra.name.span,
                format!("`{}` has {} columns, and more names are given", alias.name.value, columns.len()),
            );
        }
        for (column, name) in columns.iter_mut().zip(&alias.columns) {
            column.name.clone_from(&name.name.value);
        }
        columns
    }

    fn bind_tail(&mut self, query: &'a Query) -> BindResult<QueryTail<'a>> {
        let mut tail = QueryTail { order: query.order_by.as_ref(), limit: None, offset: 0 };
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                if let Some(first) = limit_by.first() {
                    self.report_at(
                        first,
                        "LIMIT BY is not possible; number the rows with row_number() and filter with QUALIFY",
                    );
                }
                tail.limit = limit.as_ref().map(|limit| self.row_count(limit, "LIMIT")).transpose()?.flatten();
                if let Some(offset) = offset {
                    tail.offset = self.row_count(&offset.value, "OFFSET")?.unwrap_or(0);
                }
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                tail.offset = self.row_count(offset, "OFFSET")?.unwrap_or(0);
                tail.limit = self.row_count(limit, "LIMIT")?;
            }
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties || fetch.percent {
                let message =
                    "FETCH takes a number of rows; for ties filter with QUALIFY rank() OVER (ORDER BY …) <= n";
                return Err(self.report_at(&*query.body, message));
            }
            tail.limit = match &fetch.quantity {
                Some(quantity) => self.row_count(quantity, "FETCH")?,
                None => Some(1),
            };
        }
        Ok(tail)
    }

    /// A constant number of rows. `None` for null, which is no limit.
    pub(super) fn row_count(&mut self, ast: &'a Ast, what: &str) -> BindResult<Option<u64>> {
        if matches!(ast, Ast::Identifier(name) if name.value.eq_ignore_ascii_case("all")) {
            return Ok(None);
        }
        if matches!(ast, Ast::Identifier(_) | Ast::CompoundIdentifier(_) | Ast::Subquery(_)) {
            return Err(self.report_at(ast, format!("{what} takes a constant whole number")));
        }
        self.frames.push(super::SelectFrame::new(false));
        let bound = self.bind_expr(ast, ClauseKind::Where);
        self.frames.pop();
        match literal_value(&bound?) {
            Some(Datum::Long(rows)) if *rows >= 0 => Ok(Some(rows.unsigned_abs())),
            Some(Datum::Null) => Ok(None),
            _ => Err(self.report_at(ast, format!("{what} takes a constant whole number"))),
        }
    }

    /// Applies ORDER BY and LIMIT. `order` are columns of the plan.
    pub(super) fn finish_rows(
        &mut self,
        mut bound: BoundQuery,
        order: Vec<ListingKey>,
        tail: QueryTail<'a>,
        role: QueryRole,
    ) -> BoundQuery {
        let types = bound.plan.types();
        if tail.is_limited() {
            if order.is_empty() {
                self.note("LIMIT without ORDER BY: the first rows in the order of all columns are taken");
            } else if (0..bound.columns.len()).any(|column| order.iter().all(|key| key.column != column)) {
                self.note("LIMIT: rows that ORDER BY leaves equal are taken in the order of all columns");
            }
            let keys = order.iter().map(|key| SortKey {
                expr: ScalarExpr::column(key.column, types.get(key.column).copied().unwrap_or(SqlType::Null)),
                descending: key.descending,
                nulls_first: key.nulls_first,
            });
            let order = keys.collect();
            bound.plan =
                QueryPlan::Limit { input: Box::new(bound.plan), order, offset: tail.offset, limit: tail.limit };
        } else if role != QueryRole::Question && !order.is_empty() {
            self.note("ORDER BY in a subquery without LIMIT has no effect");
        }
        if role == QueryRole::Question {
            bound.listing = order;
            return bound;
        }
        let kept = bound.columns.len() + bound.correlation.keys.len();
        if bound.correlation.conditions.is_empty() && types.len() > kept {
            let columns = identity_columns(&types[..kept]);
            bound.plan = QueryPlan::Project { input: Box::new(bound.plan), columns };
        }
        bound
    }

    fn bind_set(
        &mut self,
        op: SetOperator,
        quantifier: SetQuantifier,
        left: &'a SetExpr,
        right: &'a SetExpr,
    ) -> BindResult<BoundQuery> {
        let tail = QueryTail { order: None, limit: None, offset: 0 };
        let one = self.bind_body(left, tail, QueryRole::Table);
        let other = self.bind_body(right, tail, QueryRole::Table);
        let (one, other) = (one?, other?);
        if one.columns.len() != other.columns.len() {
            let message = format!(
                "{op} needs the same number of columns on both sides: {} and {}",
                one.columns.len(),
                other.columns.len()
            );
            return Err(self.report_at(right, message));
        }
        let other = match quantifier {
            SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => {
                self.by_name(&one, other, right)?
            }
            _ => other,
        };
        let (one, other) = self.unify_columns(one, other, right)?;
        let keeps_all = matches!(quantifier, SetQuantifier::All | SetQuantifier::AllByName);
        let columns = one.columns;
        let plan = match op {
            SetOperator::Union => {
                let plan = QueryPlan::UnionAll { inputs: vec![one.plan, other.plan] };
                if keeps_all { plan } else { QueryPlan::Distinct { input: Box::new(plan) } }
            }
            _ if keeps_all => {
                return Err(self.report_at(right, format!("{op} ALL is not possible; {op} without ALL is")));
            }
            SetOperator::Intersect => set_difference(true, one.plan, other.plan),
            SetOperator::Except | SetOperator::Minus => set_difference(false, one.plan, other.plan),
        };
        Ok(BoundQuery::plain(plan, columns))
    }

    /// The columns of the second query in the order of the first one's names.
    fn by_name(&mut self, one: &BoundQuery, other: BoundQuery, ast: &'a SetExpr) -> BindResult<BoundQuery> {
        let mut order = Vec::new();
        for column in &one.columns {
            let found = other.columns.iter().position(|known| known.name.eq_ignore_ascii_case(&column.name));
            order.push(found.ok_or_else(|| {
                self.report_at(ast, format!("UNION BY NAME: there is no column `{}` here", column.name))
            })?);
        }
        let columns = order.iter().map(|position| ScalarExpr::column(*position, other.columns[*position].ty)).collect();
        let named = order.iter().map(|position| other.columns[*position].clone()).collect();
        Ok(BoundQuery::plain(QueryPlan::Project { input: Box::new(other.plan), columns }, named))
    }

    /// Casts the columns of two queries to their common types.
    fn unify_columns(
        &mut self,
        mut one: BoundQuery,
        mut other: BoundQuery,
        ast: &'a SetExpr,
    ) -> BindResult<(BoundQuery, BoundQuery)> {
        let mut result = Ok(());
        let (mut left_columns, mut right_columns) = (Vec::new(), Vec::new());
        for position in 0..one.columns.len() {
            let (left, right) = (one.columns[position].ty, other.columns[position].ty);
            let (left, right) = (ScalarExpr::column(position, left), ScalarExpr::column(position, right));
            let Some(ty) = common_type(&[&left, &right]) else {
                let name = &one.columns[position].name;
                let message = format!(
                    "column `{name}` is {} in one SELECT and {} in the other; convert one with cast",
                    left.ty, right.ty
                );
                result = Err(self.report_at(ast, message));
                continue;
            };
            one.columns[position].broken |= other.columns[position].broken;
            one.columns[position].ty = ty;
            left_columns.push(coerce_to(left, ty).unwrap_or_else(|| ScalarExpr::null(ty)));
            right_columns.push(coerce_to(right, ty).unwrap_or_else(|| ScalarExpr::null(ty)));
        }
        result?;
        one.plan = QueryPlan::Project { input: Box::new(one.plan), columns: left_columns };
        other.plan = QueryPlan::Project { input: Box::new(other.plan), columns: right_columns };
        Ok((one, other))
    }

    /// `VALUES (1, 'a'), (2, 'b')`: constant rows.
    fn bind_values(&mut self, values: &'a ast::Values) -> BindResult<BoundQuery> {
        self.frames.push(super::SelectFrame::new(false));
        let rows: Vec<BindResult<Vec<ScalarExpr>>> =
            values.rows.iter().map(|row| self.bind_all(&row.content, ClauseKind::Where)).collect();
        self.frames.pop();
        let rows = rows.into_iter().collect::<BindResult<Vec<Vec<ScalarExpr>>>>()?;
        let width = rows.first().map_or(0, Vec::len);
        if rows.len() > 100 {
            return Err(self.report_at(&values.rows[100].content[0], "VALUES can have at most 100 rows"));
        }
        let mut types = Vec::new();
        for position in 0..width {
            let column: Vec<&ScalarExpr> = rows.iter().filter_map(|row| row.get(position)).collect();
            let ty = common_type(&column).filter(|_| column.len() == rows.len());
            types.push(ty.ok_or_else(|| {
                self.report_at(&values.rows[0].content[position], "the rows of VALUES need the same types")
            })?);
        }
        let mut inputs = Vec::new();
        for row in rows {
            let constant = |(value, ty): (ScalarExpr, &SqlType)| literal_value(&coerce_to(value, *ty)?).cloned();
            let columns: Option<Vec<Datum>> = row.into_iter().zip(&types).map(constant).collect();
            let Some(columns) = columns else {
                return Err(
                    self.report_at(&values.rows[0].content[0], "the rows of VALUES are constants of the same types")
                );
            };
            inputs.push(QueryPlan::OneRow { columns, types: types.clone() });
        }
        let named = types.iter().enumerate().map(|(position, ty)| NamedColumn {
            name: format!("column{}", position + 1),
            ty: *ty,
            span: Span::empty(),
            broken: false,
        });
        let columns = named.collect();
        let plan = if inputs.len() == 1 { inputs.swap_remove(0) } else { QueryPlan::UnionAll { inputs } };
        Ok(BoundQuery::plain(plan, columns))
    }

    /// ORDER BY over the result of a set operation.
    fn bind_output_order(
        &mut self,
        columns: &[NamedColumn],
        order: Option<&'a ast::OrderBy>,
    ) -> BindResult<Vec<ListingKey>> {
        let Some(order) = order else { return Ok(Vec::new()) };
        let ast::OrderByKind::Expressions(keys) = &order.kind else {
            let all = 0..columns.len();
            return Ok(all.map(|column| ListingKey { column, descending: false, nulls_first: false }).collect());
        };
        let mut listing = Vec::new();
        for key in keys {
            let column = self.output_position(columns, &key.expr);
            let column = match column {
                Some(column) => column?,
                None => {
                    return Err(self.report_at(
                        &key.expr,
                        "ORDER BY after UNION takes names or numbers of columns; put the UNION into a subquery",
                    ));
                }
            };
            listing.push(listing_key(column, key));
        }
        Ok(listing)
    }

    /// The output column that an ORDER BY key names or numbers.
    pub(super) fn output_position(&mut self, columns: &[NamedColumn], key: &'a Ast) -> Option<BindResult<usize>> {
        match key {
            Ast::Value(ast::ValueWithSpan { value: ast::Value::Number(number, _), span }) => {
                let position = number.parse::<usize>().ok().filter(|position| (1..=columns.len()).contains(position));
                Some(position.map(|position| position - 1).ok_or_else(|| {
                    self.report(*span, format!("there is no column number {number}; the SELECT has {}", columns.len()))
                }))
            }
            Ast::Identifier(name) => {
                columns.iter().position(|column| column.name.eq_ignore_ascii_case(&name.value)).map(Ok)
            }
            _ => None,
        }
    }
}

pub(super) fn listing_key(column: usize, key: &ast::OrderByExpr) -> ListingKey {
    ListingKey {
        column,
        descending: key.options.asc == Some(false),
        nulls_first: key.options.nulls_first.unwrap_or(false),
    }
}

/// EXCEPT and INTERSECT: the distinct rows of the left plan that are not, or also are, in the right one. All rows are
/// grouped, with the number of those from either side.
fn set_difference(keep_common: bool, left: QueryPlan, right: QueryPlan) -> QueryPlan {
    let types = left.types();
    let width = types.len();
    let tagged = |plan: QueryPlan, is_left: bool| {
        let mut columns = identity_columns(&types);
        columns.push(ScalarExpr::literal(Datum::Bool(is_left)));
        QueryPlan::Project { input: Box::new(plan), columns }
    };
    let count = |filter: ScalarExpr| AggregateCall {
        function: AggregateFunction::CountRows,
        arguments: Vec::new(),
        distinct: false,
        filter: Some(filter),
        order: Vec::new(),
        ty: SqlType::Long,
    };
    let is_left = ScalarExpr::column(width, SqlType::Bool);
    let input = Box::new(QueryPlan::UnionAll { inputs: vec![tagged(left, true), tagged(right, false)] });
    let aggregates = vec![count(is_left.clone()), count(make_not(is_left))];
    let grouped = QueryPlan::Aggregate { input, keys: identity_columns(&types), aggregates };
    let some =
        |column| make_not(make_equal(ScalarExpr::column(column, SqlType::Long), ScalarExpr::literal(Datum::Long(0))));
    let in_right = some(width + 1);
    let condition = make_and(vec![some(width), if keep_common { in_right } else { make_not(in_right) }]);
    let filtered = QueryPlan::Filter { input: Box::new(grouped), condition };
    QueryPlan::Project { input: Box::new(filtered), columns: identity_columns(&types) }
}
