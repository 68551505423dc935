//! Aggregates: names, arguments and result types.

use sqlparser::ast::Expr as Ast;

use crate::calls::coerce as cast_to;
use crate::datum::{Datum, SqlType};
use crate::expr::{ExprKind, ScalarExpr};
use crate::plan::{AggregateCall, AggregateFunction as Function, PairFunction, SortKey};
use crate::rewrite::{literal_value, make_and, make_case, make_is_not_null};

use super::coerce::coerce_to;
use super::functions::CallParts;
use super::{AGGREGATE_BASE, BindResult, ClauseKind, QuestionBinder};

impl<'a> QuestionBinder<'a> {
    /// An aggregate of the SELECT's groups: a column that comes to be by grouping.
    pub(super) fn bind_aggregate_call(
        &mut self,
        call: &CallParts<'a>,
        canonical: &str,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        if !clause.is_after_grouping() {
            let hint = match clause {
                ClauseKind::Where => "; a condition on groups belongs into HAVING",
                ClauseKind::AggregateArgument => {
                    "; aggregate twice with a subquery: SELECT max(n) FROM (SELECT count(*) AS n … GROUP BY …)"
                }
                ClauseKind::GroupBy => "; group by it in a query around this one",
                _ => "; join with a subquery that has it as a column",
            };
            let message = format!("{} is an aggregate, which is not possible in {}{hint}", call.name, clause.name());
            return Err(self.report(call.span, message));
        }
        let bound = self.bind_aggregate(call, canonical, ClauseKind::AggregateArgument)?;
        Ok(self.add_aggregate(bound))
    }

    pub(super) fn add_aggregate(&mut self, call: AggregateCall) -> ScalarExpr {
        let ty = call.ty;
        let aggregates = &mut self.frame().aggregates;
        let index = aggregates.iter().position(|known| *known == call).unwrap_or_else(|| {
            aggregates.push(call);
            aggregates.len() - 1
        });
        ScalarExpr::column(AGGREGATE_BASE + index, ty)
    }

    /// Binds an aggregate; its arguments are bound as part of `clause`.
    pub(super) fn bind_aggregate(
        &mut self,
        call: &CallParts<'a>,
        canonical: &str,
        clause: ClauseKind,
    ) -> BindResult<AggregateCall> {
        let filter = call.filter.map(|filter| self.bind_condition(filter, clause)).transpose();
        let bound = match canonical {
            "count" => self.bind_count(call, clause),
            "count_if" => self.bind_count_if(call, clause),
            "count_distinct" => {
                self.bind_one(call, Function::Count, clause).map(|bound| AggregateCall { distinct: true, ..bound })
            }
            "percentile_cont" | "percentile_disc" | "median" => self.bind_percentile(call, canonical, clause),
            "mode" => self.bind_mode(call, clause),
            "string_agg" => self.bind_string_agg(call, clause),
            "arg_max" => self.bind_arg(call, Function::ArgMax, clause),
            "arg_min" => self.bind_arg(call, Function::ArgMin, clause),
            "any_value" => self.bind_any_value(call, clause),
            "min" => self.bind_one(call, Function::Min, clause),
            "max" => self.bind_one(call, Function::Max, clause),
            "bool_and" => self.bind_of_type(call, Function::BoolAnd, SqlType::Bool, clause),
            "bool_or" => self.bind_of_type(call, Function::BoolOr, SqlType::Bool, clause),
            "stddev_samp" => self.bind_of_type(call, Function::StddevSample, SqlType::Double, clause),
            "stddev_pop" => self.bind_of_type(call, Function::StddevPopulation, SqlType::Double, clause),
            "var_samp" => self.bind_of_type(call, Function::VarianceSample, SqlType::Double, clause),
            "var_pop" => self.bind_of_type(call, Function::VariancePopulation, SqlType::Double, clause),
            "regr_count" => self.bind_regression_count(call, clause),
            "regr_avgx" => self.bind_regression_mean(call, 1, clause),
            "regr_avgy" => self.bind_regression_mean(call, 0, clause),
            "sum" => self.bind_number_aggregate(call, Function::Sum, clause),
            name => match PairFunction::of_name(name) {
                Some(function) => self.bind_pair_aggregate(call, function, clause),
                None => self.bind_number_aggregate(call, Function::Avg, clause),
            },
        };
        let mut bound = bound?;
        if let Some(filter) = filter? {
            let both = bound.filter.take().into_iter().chain([filter]).collect();
            bound.filter = Some(make_and(both));
        }
        bound.distinct |= call.distinct;
        if matches!(
            bound.function,
            Function::Min | Function::Max | Function::ArgMax | Function::ArgMin | Function::BoolAnd | Function::BoolOr
        ) {
            bound.distinct = false;
        }
        if !call.within.is_empty()
            && !matches!(canonical, "percentile_cont" | "percentile_disc" | "mode" | "string_agg" | "median")
        {
            return Err(self.report(call.span, format!("{} takes no WITHIN GROUP", call.name)));
        }
        Ok(bound)
    }

    pub(super) fn make_call(function: Function, arguments: Vec<ScalarExpr>, ty: SqlType) -> AggregateCall {
        AggregateCall { function, arguments, distinct: false, filter: None, order: Vec::new(), ty }
    }

    fn bind_count(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<AggregateCall> {
        match (&call.arguments[..], call.star) {
            ([], true) | ([], false) if call.distinct => Err(self.report(
                call.span,
                "count(DISTINCT *) is not possible; count the rows of a subquery: SELECT count(*) FROM (SELECT DISTINCT …)",
            )),
            ([], _) => Ok(Self::make_call(Function::CountRows, Vec::new(), SqlType::Long)),
            ([Ast::Tuple(parts)], false) if call.distinct => {
                // A row is a value of its own, also with nulls in it.
                let parts: Vec<&'a Ast> = parts.iter().collect();
                let row = self.bind_row_value(&parts, call, clause)?.0;
                Ok(Self::make_call(Function::Count, vec![row], SqlType::Long))
            }
            ([argument], false) => {
                let argument = self.bind_expr(argument, clause)?;
                if !call.distinct && literal_value(&argument).is_some_and(|value| !value.is_null()) {
                    return Ok(Self::make_call(Function::CountRows, Vec::new(), SqlType::Long));
                }
                Ok(Self::make_call(Function::Count, vec![argument], SqlType::Long))
            }
            (_, false) if !call.distinct => {
                let mut present = Vec::new();
                for argument in &call.arguments {
                    present.push(make_is_not_null(self.bind_expr(argument, clause)?));
                }
                let bound = Self::make_call(Function::CountRows, Vec::new(), SqlType::Long);
                Ok(AggregateCall { filter: Some(make_and(present)), ..bound })
            }
            _ => {
                let (row, parts) = self.bind_row_value(&call.arguments, call, clause)?;
                let present = make_and(parts.into_iter().map(make_is_not_null).collect());
                let row = make_case(vec![(present, row)], ScalarExpr::null(SqlType::Texts));
                Ok(Self::make_call(Function::Count, vec![row], SqlType::Long))
            }
        }
    }

    /// Several values as one, which equals another exactly if all values do. Also returns the values.
    fn bind_row_value(
        &mut self,
        parts: &[&'a Ast],
        call: &CallParts<'a>,
        clause: ClauseKind,
    ) -> BindResult<(ScalarExpr, Vec<ScalarExpr>)> {
        let mut values = Vec::new();
        for part in parts {
            let value = self.bind_expr(part, clause)?;
            if value.ty.element().is_some() {
                let message = format!("{}(DISTINCT a, b) counts single values, and this is {}", call.name, value.ty);
                return Err(self.report_at(*part, message));
            }
            values.push(value);
        }
        // The texts of different values of one type differ.
        let texts = values.iter().map(|value| cast_to(value.clone(), SqlType::Text)).collect();
        Ok((self.call_function("list_value", texts, call.span)?, values))
    }

    fn bind_count_if(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<AggregateCall> {
        let argument = self.one_argument(call)?;
        let filter = self.bind_condition(argument, clause)?;
        let bound = Self::make_call(Function::CountRows, Vec::new(), SqlType::Long);
        Ok(AggregateCall { filter: Some(filter), ..bound })
    }

    fn one_argument(&mut self, call: &CallParts<'a>) -> BindResult<&'a Ast> {
        match call.arguments[..] {
            [argument] => Ok(argument),
            _ => {
                let message = format!("{} takes one argument, not {}", call.name, call.arguments.len());
                Err(self.report(call.span, message))
            }
        }
    }

    fn bind_one(&mut self, call: &CallParts<'a>, function: Function, clause: ClauseKind) -> BindResult<AggregateCall> {
        let argument = self.one_argument(call)?;
        let argument = self.bind_expr(argument, clause)?;
        let ty = if function == Function::Count { SqlType::Long } else { argument.ty };
        Ok(Self::make_call(function, vec![argument], ty))
    }

    fn bind_of_type(
        &mut self,
        call: &CallParts<'a>,
        function: Function,
        ty: SqlType,
        clause: ClauseKind,
    ) -> BindResult<AggregateCall> {
        let argument = self.one_argument(call)?;
        let bound = self.bind_expr(argument, clause)?;
        let found = bound.ty;
        let argument = match coerce_to(bound, ty) {
            Some(argument) => argument,
            None => return Err(self.report_at(argument, argument_message(&call.name, ty, found, argument))),
        };
        Ok(Self::make_call(function, vec![argument], ty))
    }

    /// `sum` and `avg`, also of conditions: how many, or which share of them, are true.
    fn bind_number_aggregate(
        &mut self,
        call: &CallParts<'a>,
        function: Function,
        clause: ClauseKind,
    ) -> BindResult<AggregateCall> {
        let argument = self.one_argument(call)?;
        let bound = self.bind_expr(argument, clause)?;
        let bound = match bound.ty {
            SqlType::Bool | SqlType::Null => cast_to(bound, SqlType::Long),
            SqlType::Long | SqlType::Double => bound,
            found => {
                return Err(self.report_at(argument, argument_message(&call.name, SqlType::Double, found, argument)));
            }
        };
        let ty = if function == Function::Avg { SqlType::Double } else { bound.ty };
        Ok(Self::make_call(function, vec![bound], ty))
    }

    /// `percentile_cont(p) WITHIN GROUP (ORDER BY x)`, `percentile(x, p)`, `median(x)`.
    fn bind_percentile(
        &mut self,
        call: &CallParts<'a>,
        canonical: &str,
        clause: ClauseKind,
    ) -> BindResult<AggregateCall> {
        let (value, share, descending) = match (&call.arguments[..], call.within) {
            ([value], []) if canonical == "median" => (*value, None, false),
            ([share], [order]) => (&order.expr, Some(*share), order.options.asc == Some(false)),
            // The third argument of percentile_approx is its accuracy; here it is exact.
            ([value, share] | [value, share, _], []) => (*value, Some(*share), false),
            _ => {
                let message = format!(
                    "{} is written as {}(x, 0.5) or {}(0.5) WITHIN GROUP (ORDER BY x)",
                    call.name, call.name, call.name
                );
                return Err(self.report(call.span, message));
            }
        };
        let bound_share = match share {
            Some(share) => self.bind_share(share, call, clause),
            None => Ok(0.5),
        };
        let bound = self.bind_expr(value, clause)?;
        let mut share = bound_share?;
        let continuous = canonical != "percentile_disc";
        if descending && !continuous {
            return Err(
                self.report_at(value, "percentile_disc with DESC is not possible; order ascending and take 1 − p")
            );
        }
        if descending {
            share = 1.0 - share;
        }
        let share = ScalarExpr::literal(Datum::double(share).unwrap_or(Datum::Null));
        if !continuous {
            let ty = bound.ty;
            return Ok(Self::make_call(Function::PercentileDisc, vec![bound, share], ty));
        }
        let found = bound.ty;
        let Some(bound) = coerce_to(bound, SqlType::Double) else {
            let message = match found {
                SqlType::Time => format!(
                    "{} takes a number, and {} is {found}; percentile_disc(0.5) WITHIN GROUP (ORDER BY t) takes any value",
                    call.name,
                    super::expr_text(value)
                ),
                _ => argument_message(&call.name, SqlType::Double, found, value),
            };
            return Err(self.report_at(value, message));
        };
        Ok(Self::make_call(Function::PercentileCont, vec![bound, share], SqlType::Double))
    }

    fn bind_share(&mut self, share: &'a Ast, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<f64> {
        let bound = self.bind_expr(share, clause)?;
        let number = coerce_to(bound, SqlType::Double);
        match number.as_ref().and_then(literal_value) {
            Some(Datum::Double(share)) if (0.0..=1.0).contains(share) => Ok(*share),
            _ => {
                let message = format!(
                    "{} takes one constant share between 0 and 1, for example 0.5; write one call for each",
                    call.name
                );
                Err(self.report_at(share, message))
            }
        }
    }

    fn bind_mode(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<AggregateCall> {
        let argument = match (&call.arguments[..], call.within) {
            ([argument], []) => *argument,
            ([], [order]) => &order.expr,
            _ => return Err(self.report(call.span, "mode is written as mode(x)")),
        };
        let argument = self.bind_expr(argument, clause)?;
        let ty = argument.ty;
        self.note("mode: of values that are equally frequent, the least is taken");
        Ok(Self::make_call(Function::Mode, vec![argument], ty))
    }

    fn bind_arg(&mut self, call: &CallParts<'a>, function: Function, clause: ClauseKind) -> BindResult<AggregateCall> {
        let [value, by] = call.arguments[..] else {
            return Err(self.report(
                call.span,
                format!("{} takes two arguments: what is taken, and of what the greatest or least decides", call.name),
            ));
        };
        let (value, by) = self.bind_pair(value, by, clause)?;
        let ty = value.ty;
        self.note(format!("{}: of rows with equal second arguments, the least first argument is taken", call.name));
        Ok(Self::make_call(function, vec![value, by], ty))
    }

    fn bind_any_value(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<AggregateCall> {
        if let [order] = call.order {
            return self.bind_ordered_value(call, order, clause);
        }
        // The second argument of Spark's `first` says whether nulls count; here they do not.
        let Some(argument) = call.arguments.first() else {
            return Err(self.report(call.span, format!("{} takes one argument", call.name)));
        };
        let argument = self.bind_expr(argument, clause)?;
        let ty = argument.ty;
        self.note(format!("{}: rows have no order of their own, so the least value is taken", call.name));
        Ok(Self::make_call(Function::Min, vec![argument], ty))
    }

    /// `first(x ORDER BY y)`: the x of the least y.
    fn bind_ordered_value(
        &mut self,
        call: &CallParts<'a>,
        order: &'a sqlparser::ast::OrderByExpr,
        clause: ClauseKind,
    ) -> BindResult<AggregateCall> {
        let value = self.one_argument(call)?;
        let (value, by) = self.bind_pair(value, &order.expr, clause)?;
        let greatest = (order.options.asc == Some(false)) != (call.name == "last");
        let ty = value.ty;
        let function = if greatest { Function::ArgMax } else { Function::ArgMin };
        Ok(Self::make_call(function, vec![value, by], ty))
    }

    /// `string_agg(x, ', ' ORDER BY y)`, `listagg(x, ', ') WITHIN GROUP (ORDER BY y)`, `group_concat(x SEPARATOR ', ')`.
    fn bind_string_agg(&mut self, call: &CallParts<'a>, clause: ClauseKind) -> BindResult<AggregateCall> {
        let Some(value) = call.arguments.first() else {
            return Err(self.report(call.span, format!("{} takes a text and a separator", call.name)));
        };
        let separator = match (call.arguments.get(1), call.separator) {
            (Some(separator), _) => self.bind_expr(separator, clause),
            (None, Some(separator)) => self.bind_value(separator),
            (None, None) if call.name == "listagg" => Ok(ScalarExpr::literal(Datum::text(""))),
            (None, None) => Ok(ScalarExpr::literal(Datum::text(","))),
        };
        let bound = self.bind_expr(value, clause)?;
        let separator = separator?;
        if !matches!(literal_value(&separator), Some(Datum::Text(_) | Datum::Null)) {
            return Err(self.report_at(*value, format!("the separator of {} is a constant text", call.name)));
        }
        let order = if call.order.is_empty() { call.within } else { call.order };
        self.joined_texts(bound, separator, order, call, value, clause)
    }

    fn joined_texts(
        &mut self,
        value: ScalarExpr,
        separator: ScalarExpr,
        order: &'a [sqlparser::ast::OrderByExpr],
        call: &CallParts<'a>,
        ast: &'a Ast,
        clause: ClauseKind,
    ) -> BindResult<AggregateCall> {
        let plain = value.clone();
        let value = match value.ty {
            ty if ty.element().is_some() => {
                return Err(self.report_at(ast, format!("{} takes text, and this is {ty}", call.name)));
            }
            _ => cast_to(value, SqlType::Text),
        };
        let order = self.bind_sort_keys(order, clause)?;
        if call.distinct && order.iter().any(|key| key.expr != value && key.expr != plain) {
            let message = format!("{}(DISTINCT x) can be ordered by x only", call.name);
            return Err(self.report(call.span, message));
        }
        let bound = Self::make_call(Function::StringAgg, vec![value, cast_to(separator, SqlType::Text)], SqlType::Text);
        Ok(AggregateCall { order, ..bound })
    }

    pub(super) fn bind_sort_keys(
        &mut self,
        order: &'a [sqlparser::ast::OrderByExpr],
        clause: ClauseKind,
    ) -> BindResult<Vec<SortKey>> {
        let keys: Vec<BindResult<SortKey>> = order
            .iter()
            .map(|key| {
                let expr = self.bind_expr(&key.expr, clause)?;
                let descending = key.options.asc == Some(false);
                Ok(SortKey { expr, descending, nulls_first: key.options.nulls_first.unwrap_or(false) })
            })
            .collect();
        keys.into_iter().collect()
    }
}

pub(super) fn argument_message(name: &str, wanted: SqlType, found: SqlType, argument: &Ast) -> String {
    let text = super::expr_text(argument);
    let wanted = match wanted {
        SqlType::Double | SqlType::Long => "a number",
        SqlType::Bool => "a condition",
        _ => "a text",
    };
    let hint = match (wanted, found) {
        ("a number", SqlType::Text) => format!("; count({text}) counts, length({text}) measures"),
        ("a number", SqlType::Time) => format!("; extract(epoch FROM {text}) gives the seconds since 1970"),
        ("a condition", _) => format!("; compare it, for example {text} > 0"),
        _ => String::new(),
    };
    format!("{name} takes {wanted}, and {text} is {found}{hint}")
}

/// Whether an expression is made of aggregates.
pub(super) fn has_aggregate(expr: &ScalarExpr) -> bool {
    let mut found = false;
    expr.for_each_column(&mut |column| found |= (AGGREGATE_BASE..super::ATTACHED_BASE).contains(&column));
    found || matches!(expr.kind, ExprKind::Column(column) if (AGGREGATE_BASE..super::ATTACHED_BASE).contains(&column))
}
