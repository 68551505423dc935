//! FROM: tables, WITH queries, derived tables and lists that become rows.

use sqlparser::ast::{
    self, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, JoinConstraint, JoinOperator, ObjectName,
    TableFactor, TableWithJoins,
};
use sqlparser::tokenizer::Span;

use crate::datum::SqlType;
use crate::expr::ScalarExpr;
use crate::places::LocatedNode;
use crate::plan::{JoinKind, QueryPlan};

use super::query::QueryRole;
use super::scope::{NameScope, QueryColumn, ScopeColumn, closest_name, join_words};
use super::{BindResult, ClauseKind, QuestionBinder, ReportedProblem};

/// How many tables, subqueries and lists one SELECT can join.
const MAX_FROM_ITEMS: usize = 50;

/// A part of FROM: rows, and the names of their columns.
#[derive(Debug)]
pub(super) struct FromItem {
    pub(super) plan: QueryPlan,
    pub(super) scope: NameScope,
    pub(super) width: usize,
}

impl FromItem {
    /// Rows of which nothing is known, because of a problem that has been recorded.
    fn open(relation: &str) -> FromItem {
        let scope = NameScope { columns: Vec::new(), relations: vec![relation.to_owned()], open: true };
        FromItem { plan: QueryPlan::OneRow { columns: Vec::new(), types: Vec::new() }, scope, width: 0 }
    }
}

/// A list in FROM that becomes rows.
struct UnnestItem<'a> {
    list: &'a Ast,
    relation: String,
    column: String,
    keep_empty: bool,
    span: Span,
}

impl<'a> QuestionBinder<'a> {
    /// Binds FROM, and makes its columns those of the SELECT.
    pub(super) fn bind_from(&mut self, from: &'a [TableWithJoins], views: &'a [ast::LateralView]) {
        let problems = self.problems.len();
        let count = from.iter().map(|part| 1 + part.joins.len()).sum::<usize>() + views.len();
        if count > MAX_FROM_ITEMS {
            let message = format!("FROM joins {count} tables, and at most {MAX_FROM_ITEMS} are possible in one SELECT");
            self.report(from.first().map_or(Span::empty(), |part| part.relation.span()), message);
            let frame = self.frame();
            frame.broken_join = true;
            frame.scope = FromItem::open("").scope;
            return;
        }
        let mut all: Option<FromItem> = None;
        for part in from {
            all = Some(self.bind_from_part(part, all));
        }
        let mut all = all.unwrap_or_else(|| {
            let plan = QueryPlan::OneRow { columns: Vec::new(), types: Vec::new() };
            FromItem { plan, scope: NameScope::default(), width: 0 }
        });
        for view in views {
            all = self.bind_lateral_view(view, all);
        }
        let broken_join = self.problems.len() > problems;
        let frame = self.frame();
        frame.broken_join = broken_join;
        frame.plan = all.plan;
        frame.width = all.width;
        frame.scope = all.scope;
    }

    fn bind_from_part(&mut self, part: &'a TableWithJoins, before: Option<FromItem>) -> FromItem {
        let mut item = match (before, unnest_item(&part.relation)) {
            (before, Some(unnest)) => self.bind_unnest(before, unnest),
            (None, None) => self.bind_factor(&part.relation),
            (Some(before), None) => {
                // Joins bind closer than commas: those of this part come first.
                let right = self.bind_joined(&part.relation, &part.joins);
                let span = part.relation.span();
                self.frame().unkeyed.push(span);
                return self.join_items(JoinKind::Inner, before, right, &JoinConstraint::None, span);
            }
        };
        for join in &part.joins {
            item = self.bind_join(item, join);
        }
        item
    }

    fn bind_joined(&mut self, factor: &'a TableFactor, joins: &'a [ast::Join]) -> FromItem {
        let mut item = self.bind_factor(factor);
        for join in joins {
            item = self.bind_join(item, join);
        }
        item
    }

    fn bind_join(&mut self, left: FromItem, join: &'a ast::Join) -> FromItem {
        if let Some(mut unnest) = unnest_item(&join.relation) {
            let constraint = match &join.join_operator {
                JoinOperator::CrossJoin(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::Join(constraint) => constraint,
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                    unnest.keep_empty = true;
                    constraint
                }
                _ => {
                    self.report(
                        unnest.span,
                        "a list can be joined with CROSS JOIN, JOIN … ON true or LEFT JOIN … ON true",
                    );
                    return left;
                }
            };
            if !is_always_true(constraint) {
                self.report(unnest.span, "a list is joined ON true; filter its elements in WHERE");
            }
            return self.bind_unnest(Some(left), unnest);
        }
        let right = self.bind_factor(&join.relation);
        self.bind_join_operator(left, right, join)
    }

    /// Makes rows of the elements of a list of the rows before it.
    fn bind_unnest(&mut self, before: Option<FromItem>, unnest: UnnestItem<'a>) -> FromItem {
        let mut item = before.unwrap_or_else(|| {
            let plan = QueryPlan::OneRow { columns: Vec::new(), types: Vec::new() };
            FromItem { plan, scope: NameScope::default(), width: 0 }
        });
        let list = self.bind_in_scope(&item.scope, |binder| binder.bind_expr(unnest.list, ClauseKind::On));
        let list = list.and_then(|list| self.check_own_list(&list, unnest.span).map(|()| list));
        let element = list.and_then(|list| match list.ty.element() {
            Some(element) => Ok((list, element)),
            None => {
                let message =
                    format!("unnest takes a list, and this is {}; split(text, ',') makes a list of a text", list.ty);
                Err(self.report(unnest.span, message))
            }
        });
        let expr = match element {
            Ok((list, element)) => {
                item.plan = QueryPlan::Unnest { input: Box::new(item.plan), list, keep_empty: unnest.keep_empty };
                item.width += 1;
                Some(ScalarExpr::column(item.width - 1, element))
            }
            Err(ReportedProblem) => None,
        };
        let column =
            ScopeColumn { relation: unnest.relation.clone(), name: unnest.column, expr, hidden: false, merged: false };
        item.scope.columns.push(column);
        item.scope.relations.push(unnest.relation);
        item
    }

    /// Binds something whose names are those of a scope.
    pub(super) fn bind_in_scope<T>(&mut self, scope: &NameScope, bind: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.frame().scope, scope.clone());
        let bound = bind(self);
        self.frame().scope = before;
        bound
    }

    fn bind_lateral_view(&mut self, view: &'a ast::LateralView, before: FromItem) -> FromItem {
        let name = view.lateral_view_name.to_string();
        let call = match &view.lateral_view {
            Ast::Function(function) => unnest_call(&function.name, &function.args),
            _ => None,
        };
        let Some((list, outer)) = call else {
            self.report_at(&view.lateral_view, "LATERAL VIEW is possible with explode(list) only");
            return before;
        };
        let column = view.lateral_col_alias.first().map_or(name.clone(), |alias| alias.value.clone());
        let keep_empty = outer || view.outer;
        self.bind_unnest(
            Some(before),
            UnnestItem { list, relation: name, column, keep_empty, span: view.lateral_view.span() },
        )
    }

    pub(super) fn bind_factor(&mut self, factor: &'a TableFactor) -> FromItem {
        match factor {
            TableFactor::Table { name, alias, args: None, version: None, sample: None, .. } => {
                self.bind_table(name, alias.as_ref())
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                let bound = self.bind_query(subquery, QueryRole::Table);
                let name = alias.as_ref().map_or("", |alias| alias.name.value.as_str());
                match bound {
                    Ok(bound) => {
                        let (plan, columns) = bound.into_relation();
                        self.relation_item(plan, &columns, name, alias.as_ref())
                    }
                    Err(ReportedProblem) => FromItem::open(name),
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.bind_joined(&table_with_joins.relation, &table_with_joins.joins)
            }
            other => {
                let message = refused_factor(other);
                let span = other.span();
                self.report(span, message);
                FromItem::open("")
            }
        }
    }

    fn bind_table(&mut self, name: &'a ObjectName, alias: Option<&'a ast::TableAlias>) -> FromItem {
        let table = name.0.last().and_then(|part| part.as_ident()).map_or("", |ident| ident.value.as_str());
        let shown = alias.map_or(table, |alias| alias.name.value.as_str());
        if name.0.len() == 1
            && let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name.eq_ignore_ascii_case(table))
        {
            let Some((plan, columns)) = cte.relation.clone() else { return FromItem::open(shown) };
            if self.check_plan_size(&plan, name.span()).is_err() {
                return FromItem::open(shown);
            }
            return self.relation_item(plan, &columns, shown, alias);
        }
        let Some(relation) = self.catalog.find(table) else {
            let message = self.missing_table_message(table);
            self.report_at(name, message);
            return FromItem::open(shown);
        };
        let (plan, columns) = self.scan(relation);
        self.relation_item(plan, &columns, shown, alias)
    }

    fn scan(&self, relation: usize) -> (QueryPlan, Vec<QueryColumn>) {
        let columns = self.catalog.relations[relation].columns;
        let exprs = columns.iter().enumerate().map(|(position, column)| ScalarExpr::column(position, column.ty));
        let plan = QueryPlan::Scan { relation, columns: exprs.collect() };
        let named = columns.iter().map(|column| QueryColumn {
            name: column.name.to_owned(),
            ty: Some(column.ty),
            hidden: column.hidden,
        });
        (plan, named.collect())
    }

    fn missing_table_message(&self, table: &str) -> String {
        let mut known: Vec<&str> = self.catalog.relations.iter().map(|relation| relation.name).collect();
        known.extend(self.ctes.iter().map(|cte| cte.name.as_str()));
        match closest_name(table, known.iter().copied()) {
            Some(similar) => format!("there is no table `{table}`; do you mean `{similar}`?"),
            None => format!("there is no table `{table}`; there are {}", join_words(&known)),
        }
    }

    /// Names the columns of rows.
    fn relation_item(
        &mut self,
        plan: QueryPlan,
        columns: &[QueryColumn],
        relation: &str,
        alias: Option<&'a ast::TableAlias>,
    ) -> FromItem {
        let renamed = alias.map_or(&[][..], |alias| &alias.columns);
        if let Some(extra) = renamed.get(columns.len()) {
            self.report(
                extra.name.span,
                format!("`{relation}` has {} columns, and more names are given", columns.len()),
            );
        }
        let named = columns.iter().enumerate().map(|(position, column)| ScopeColumn {
            relation: relation.to_owned(),
            name: renamed.get(position).map_or(&column.name, |renamed| &renamed.name.value).clone(),
            expr: column.ty.map(|ty| ScalarExpr::column(position, ty)),
            hidden: column.hidden,
            merged: false,
        });
        let scope = NameScope { columns: named.collect(), relations: vec![relation.to_owned()], open: false };
        FromItem { width: columns.len(), plan, scope }
    }

    /// Refuses a plan with too many operators.
    pub(super) fn check_plan_size(&mut self, plan: &QueryPlan, span: Span) -> BindResult<()> {
        self.expressions += crate::rewrite::plan_size(plan);
        self.count_expression(span)?;
        if crate::rewrite::plan_size(plan) <= super::MAX_OPERATORS {
            return Ok(());
        }
        if !self.too_large {
            self.too_large = true;
            self.report(
                span,
                format!("the question is too large: its plan has more than {} operators", super::MAX_OPERATORS),
            );
        }
        Err(ReportedProblem)
    }
}

fn is_always_true(constraint: &JoinConstraint) -> bool {
    match constraint {
        JoinConstraint::None => true,
        JoinConstraint::On(Ast::Value(value)) => value.value == ast::Value::Boolean(true),
        _ => false,
    }
}

/// A list that becomes rows, in one of its forms.
fn unnest_item(factor: &TableFactor) -> Option<UnnestItem<'_>> {
    let (call, alias) = match factor {
        TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality: false, .. } => {
            let [list] = &array_exprs[..] else { return None };
            (Some((list, false)), alias)
        }
        TableFactor::Function { name, args, with_ordinality: false, alias, .. } => {
            (unnest_arguments(name, args), alias)
        }
        TableFactor::Table { name, alias, args: Some(args), with_ordinality: false, .. } => {
            (unnest_arguments(name, &args.args), alias)
        }
        TableFactor::TableFunction { expr: Ast::Function(function), alias } => {
            (unnest_call(&function.name, &function.args), alias)
        }
        TableFactor::Derived { lateral: true, subquery, alias, sample: None } => {
            let ((list, keep_empty), name) = lateral_list(subquery)?;
            let (relation, column) = unnest_names(alias.as_ref(), name);
            return Some(UnnestItem { list, relation, column, keep_empty, span: factor.span() });
        }
        _ => return None,
    };
    let (list, keep_empty) = call?;
    let (relation, column) = unnest_names(alias.as_ref(), None);
    Some(UnnestItem { list, relation, column, keep_empty, span: factor.span() })
}

/// The names of a list in FROM: of its alias, else that of its column, else `unnest`.
fn unnest_names(alias: Option<&ast::TableAlias>, column: Option<&ast::Ident>) -> (String, String) {
    let own = column.map(|column| column.value.clone());
    let relation = alias.map(|alias| alias.name.value.clone());
    let renamed = alias.and_then(|alias| alias.columns.first()).map(|column| column.name.value.clone());
    let unnamed = || "unnest".to_owned();
    let column = renamed.or_else(|| own.clone()).or_else(|| relation.clone()).unwrap_or_else(unnamed);
    (relation.or(own).unwrap_or_else(unnamed), column)
}

/// The list of `LATERAL (SELECT unnest(list) AS name)`, and the name.
fn lateral_list(query: &ast::Query) -> Option<((&Ast, bool), Option<&ast::Ident>)> {
    let ast::SetExpr::Select(select) = &*query.body else { return None };
    let is_plain_query = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
    let has_rows_only = select.from.is_empty()
        && select.lateral_views.is_empty()
        && select.selection.is_none()
        && select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && matches!(&select.group_by, ast::GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !(is_plain_query && has_rows_only) {
        return None;
    }
    let (expr, name) = match &select.projection[..] {
        [ast::SelectItem::UnnamedExpr(expr)] => (expr, None),
        [ast::SelectItem::ExprWithAlias { expr, alias }] => (expr, Some(alias)),
        _ => return None,
    };
    let Ast::Function(function) = expr else { return None };
    Some((unnest_call(&function.name, &function.args)?, name))
}

fn unnest_call<'e>(name: &ObjectName, arguments: &'e FunctionArguments) -> Option<(&'e Ast, bool)> {
    match arguments {
        FunctionArguments::List(list) => unnest_arguments(name, &list.args),
        _ => None,
    }
}

fn unnest_arguments<'e>(name: &ObjectName, arguments: &'e [FunctionArg]) -> Option<(&'e Ast, bool)> {
    let outer = match name.to_string().to_lowercase().as_str() {
        "unnest" | "explode" => false,
        "explode_outer" => true,
        _ => return None,
    };
    match arguments {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(list))] => Some((list, outer)),
        _ => None,
    }
}

fn refused_factor(factor: &TableFactor) -> String {
    match factor {
        TableFactor::Table { version: Some(_), .. } => "a question reads the rows that count now; a version of a table is not possible".to_owned(),
        TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
            "a sample is not possible, because an answer must follow from the rows; filter with ind % 10 = 0".to_owned()
        }
        TableFactor::Derived { lateral: true, .. } => {
            "a LATERAL subquery can be (SELECT unnest(list) AS name) only; join with a subquery that groups, or number its rows with row_number()".to_owned()
        }
        TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
            format!("`{name}` cannot be read in FROM; name pin, geo, user, a subquery or unnest(list)")
        }
        TableFactor::UNNEST { .. } => {
            "unnest takes one list, and gives no positions; list[1] is the first element, and list_position(list, x) finds one".to_owned()
        }
        TableFactor::Pivot { .. } => "PIVOT is not possible; write one aggregate with FILTER for each column".to_owned(),
        TableFactor::Unpivot { .. } => "UNPIVOT is not possible; write one SELECT for each column, with UNION ALL".to_owned(),
        TableFactor::NestedJoin { .. } => "joins in parentheses take no alias; write (SELECT * FROM …) AS name".to_owned(),
        _ => "this cannot be read in FROM; name pin, geo, user, a subquery or unnest(list)".to_owned(),
    }
}

/// The null of each type: the columns of rows that are not there.
pub(super) fn null_row(types: &[SqlType]) -> QueryPlan {
    QueryPlan::OneRow { columns: vec![crate::datum::Datum::Null; types.len()], types: types.to_vec() }
}
