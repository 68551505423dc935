//! Calls of functions: which kind a name is, its arguments, and the scalar functions.

use sqlparser::ast::{
    self, DuplicateTreatment, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    NullTreatment, OrderByExpr,
};
use sqlparser::tokenizer::Span;

use crate::calls::{build_call, is_function};
use crate::expr::ScalarExpr;
use crate::places::LocatedNode;
use crate::rewrite::literal_value;

use super::collected::{AGGREGATE_NAMES, aggregate_name};
use super::subqueries::reads_outer;
use super::windows::{WINDOW_NAMES, is_window_name, span_or};
use super::{BindResult, ClauseKind, QuestionBinder, ReportedProblem};

/// The parts of a call.
#[derive(Debug)]
pub(super) struct CallParts<'a> {
    /// The name in lower case.
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) arguments: Vec<&'a Ast>,
    /// Whether the argument is `*`.
    pub(super) star: bool,
    pub(super) distinct: bool,
    pub(super) order: &'a [OrderByExpr],
    pub(super) within: &'a [OrderByExpr],
    pub(super) separator: Option<&'a ast::ValueWithSpan>,
    pub(super) filter: Option<&'a Ast>,
    pub(super) over: Option<&'a ast::WindowType>,
    pub(super) ignore_nulls: bool,
}

impl<'a> QuestionBinder<'a> {
    pub(super) fn bind_function(&mut self, function: &'a ast::Function, clause: ClauseKind) -> BindResult<ScalarExpr> {
        let call = self.call_parts(function)?;
        let name = call.name.as_str();
        if let Some(message) = refused_function(name) {
            return Err(self.report(call.span, message));
        }
        if is_window_name(name) || (call.over.is_some() && aggregate_name(name).is_some()) {
            return self.bind_window_call(&call, clause);
        }
        if call.over.is_some() {
            return Err(self.report(call.span, format!("{name} is no window function, so it takes no OVER")));
        }
        if let Some(bound) = self.bind_collected(&call, clause) {
            return bound;
        }
        if let Some(canonical) = aggregate_name(name) {
            return self.bind_aggregate_call(&call, canonical, clause);
        }
        if call.distinct || call.filter.is_some() || !call.within.is_empty() || !call.order.is_empty() {
            let message = format!("{name} is no aggregate, so it takes no DISTINCT, FILTER or ORDER BY");
            return Err(self.report(call.span, message));
        }
        match name {
            "unnest" | "explode" | "explode_outer" => self.bind_unnest_call(&call, clause),
            "grouping" | "grouping_id" => self.bind_grouping_call(&call, clause),
            _ => self.bind_scalar_call(&call, clause),
        }
    }

    pub(super) fn call_parts(&mut self, function: &'a ast::Function) -> BindResult<CallParts<'a>> {
        let span = function.name.span();
        let name = match &function.name.0[..] {
            [part] => part.to_string(),
            _ => function.name.to_string(),
        };
        let mut call = CallParts {
            name: name.trim_matches(['"', '`']).to_lowercase(),
            span,
            arguments: Vec::new(),
            star: false,
            distinct: false,
            order: &[],
            within: &function.within_group,
            separator: None,
            filter: function.filter.as_deref(),
            over: function.over.as_ref(),
            ignore_nulls: function.null_treatment == Some(NullTreatment::IgnoreNulls),
        };
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) => {
                return Err(self.report(span, "a subquery as an argument needs parentheses of its own"));
            }
            FunctionArguments::List(list) => self.argument_list(list, &mut call)?,
        }
        Ok(call)
    }

    fn argument_list(&mut self, list: &'a ast::FunctionArgumentList, call: &mut CallParts<'a>) -> BindResult<()> {
        call.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => call.arguments.push(expr),
                FunctionArg::Unnamed(_) => call.star = true,
                FunctionArg::Named { name, .. } => {
                    return Err(self.report(name.span, "arguments have no names here; write the values in their order"));
                }
                FunctionArg::ExprNamed { name, .. } => {
                    return Err(self.report_at(name, "arguments have no names here; write the values in their order"));
                }
            }
        }
        for part in &list.clauses {
            match part {
                FunctionArgumentClause::OrderBy(order) => call.order = order,
                FunctionArgumentClause::Separator(separator) => call.separator = Some(separator),
                FunctionArgumentClause::IgnoreOrRespectNulls(NullTreatment::IgnoreNulls) => call.ignore_nulls = true,
                FunctionArgumentClause::IgnoreOrRespectNulls(_) | FunctionArgumentClause::OnOverflow(_) => {}
                other => {
                    return Err(self
                        .report(call.span, format!("`{other}` is not possible among the arguments of {}", call.name)));
                }
            }
        }
        Ok(())
    }

    /// `unnest(list)` in the SELECT list: its elements become rows.
    fn bind_unnest_call(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<ScalarExpr> {
        if matches!(
            clause,
            ClauseKind::Where | ClauseKind::On | ClauseKind::Having | ClauseKind::Qualify | ClauseKind::WindowPart
        ) {
            let message =
                format!("{} is not possible in {}; use it in the FROM of a subquery", call.name, clause.name());
            return Err(self.report(call.span, message));
        }
        let [argument] = call.arguments[..] else {
            return Err(self.report(call.span, format!("{} takes one list", call.name)));
        };
        // Rows are made before they are grouped.
        let list = self.bind_expr(argument, ClauseKind::AggregateArgument)?;
        self.attach_unnest(list, call.name == "explode_outer", call.span)
    }

    pub(super) fn attach_unnest(&mut self, list: ScalarExpr, keep_empty: bool, span: Span) -> BindResult<ScalarExpr> {
        let Some(element) = list.ty.element() else {
            let message =
                format!("unnest takes a list, and this is {}; split(text, ',') makes a list of a text", list.ty);
            return Err(self.report(span, message));
        };
        self.check_own_list(&list, span)?;
        let frame = self.frame();
        if let Some((_, column)) = frame.unnested.iter().find(|(known, _)| *known == list) {
            return Ok(column.clone());
        }
        if !frame.unnested.is_empty() {
            return Err(
                self.report(span, "one SELECT can unnest one list; unnest the second one in a query around this one")
            );
        }
        let column = ScalarExpr::column(frame.width, element);
        let input =
            Box::new(std::mem::replace(&mut frame.plan, crate::plan::QueryPlan::UnionAll { inputs: Vec::new() }));
        frame.plan = crate::plan::QueryPlan::Unnest { input, list: list.clone(), keep_empty };
        frame.width += 1;
        frame.unnested.push((list, column.clone()));
        Ok(column)
    }

    /// Refuses to make rows of a list of the query around this one.
    pub(super) fn check_own_list(&mut self, list: &ScalarExpr, span: Span) -> BindResult<()> {
        if !reads_outer(list) {
            return Ok(());
        }
        let message =
            "a subquery cannot make rows of a list of the outer query; list_contains(list, value) looks into it";
        Err(self.report(span, message))
    }

    fn bind_scalar_call(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<ScalarExpr> {
        if let Some(bound) = self.bind_interval_call(call, clause) {
            return bound;
        }
        if !is_function(&call.name) {
            return Err(self.report_unknown_function(call));
        }
        if call.arguments.iter().any(|argument| matches!(argument, Ast::Lambda(_))) {
            return Err(self.report_unknown_function(call));
        }
        if call.star {
            return Err(self.report(call.span, format!("{}(*) is not possible; name a column", call.name)));
        }
        let arguments: Vec<BindResult<ScalarExpr>> =
            call.arguments.iter().map(|argument| self.bind_expr(argument, clause)).collect();
        let arguments = arguments.into_iter().collect::<BindResult<Vec<ScalarExpr>>>()?;
        self.call_with_places(&call.name, arguments, call.span, &call.arguments)
    }

    fn report_unknown_function(&mut self, call: &CallParts<'a>) -> ReportedProblem {
        let near = |known: &&str| strsim::damerau_levenshtein(known, &call.name) <= 2.min(call.name.len() / 2);
        let known = AGGREGATE_NAMES.iter().chain(&WINDOW_NAMES).copied();
        let nearest =
            known.filter(|known| near(known)).min_by_key(|known| strsim::damerau_levenshtein(known, &call.name));
        let message = match nearest {
            Some(nearest) => format!("there is no function `{}`; did you mean `{nearest}`?", call.name),
            None => match build_call(&call.name, Vec::new()) {
                Err(error) => error.message(""),
                Ok(_) => format!("{} takes no function here; make rows of the list with unnest", call.name),
            },
        };
        self.report(call.span, message)
    }

    /// A call of a scalar function.
    pub(super) fn call_function(
        &mut self,
        name: &str,
        arguments: Vec<ScalarExpr>,
        span: Span,
    ) -> BindResult<ScalarExpr> {
        self.call_with_places(name, arguments, span, &[])
    }

    /// A call of a scalar function; a wrong argument is marked where it stands.
    fn call_with_places(
        &mut self,
        name: &str,
        arguments: Vec<ScalarExpr>,
        span: Span,
        places: &[&'a Ast],
    ) -> BindResult<ScalarExpr> {
        build_call(name, arguments).map(fold_constant).map_err(|error| {
            let place = error.argument.and_then(|index| places.get(index));
            match place {
                Some(place) => self.report(span_or(*place, span), error.message(&super::expr_text(place))),
                None => self.report(span, error.to_string()),
            }
        })
    }
}

/// Why a function is not possible, and what is, as far as the library of functions does not say it.
fn refused_function(name: &str) -> Option<String> {
    let message = match name {
        "posexplode" | "posexplode_outer" | "generate_subscripts" => {
            format!("{name} is not possible, because positions are not kept; use explode")
        }
        "stack" => format!("{name} is not possible; write one SELECT for each row, with UNION ALL"),
        "columns" => format!("{name} is not possible; name the columns, or leave some out with * EXCLUDE (…)"),
        _ => return None,
    };
    Some(message)
}

/// An operation over constants as its value.
pub(super) fn fold_constant(expr: ScalarExpr) -> ScalarExpr {
    let operands = expr.operands();
    if !operands.is_empty() && operands.into_iter().all(|operand| literal_value(operand).is_some()) {
        return expr.fold();
    }
    expr
}
