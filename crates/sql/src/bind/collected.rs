//! Names of aggregates, those that are refused, and lists of values that need not be made.

use sqlparser::ast::{self, Expr as Ast, FunctionArguments};

use crate::expr::ScalarExpr;

use super::functions::CallParts;
use super::{BindResult, ClauseKind, QuestionBinder};

/// The names that are suggested for a misspelt one.
pub(super) const AGGREGATE_NAMES: [&str; 23] = [
    "count",
    "count_if",
    "sum",
    "avg",
    "min",
    "max",
    "median",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    "mode",
    "stddev",
    "variance",
    "bool_and",
    "bool_or",
    "string_agg",
    "arg_max",
    "arg_min",
    "any_value",
    "covar_pop",
    "covar_samp",
    "regr_slope",
    "regr_intercept",
];

/// The one name that this project uses for an aggregate of several names. `None` if it is no aggregate.
pub(super) fn aggregate_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "count" | "count_star" => "count",
        "count_if" | "countif" => "count_if",
        "count_distinct" | "approx_count_distinct" | "approx_distinct" => "count_distinct",
        "sum" | "fsum" | "kahan_sum" | "try_sum" => "sum",
        "avg" | "mean" | "favg" | "try_avg" => "avg",
        "min" => "min",
        "max" => "max",
        "median" => "median",
        "percentile" | "percentile_cont" | "quantile_cont" | "approx_quantile" => "percentile_cont",
        "percentile_disc" | "quantile_disc" | "quantile" | "percentile_approx" | "approx_percentile" => {
            "percentile_disc"
        }
        "mode" => "mode",
        "stddev" | "stddev_samp" | "std" => "stddev_samp",
        "stddev_pop" => "stddev_pop",
        "variance" | "var_samp" | "var" => "var_samp",
        "var_pop" => "var_pop",
        "bool_and" | "every" | "logical_and" | "booland_agg" => "bool_and",
        "bool_or" | "any" | "some" | "logical_or" | "boolor_agg" => "bool_or",
        "string_agg" | "group_concat" | "listagg" | "wm_concat" => "string_agg",
        "arg_max" | "max_by" | "argmax" => "arg_max",
        "arg_min" | "min_by" | "argmin" => "arg_min",
        "any_value" | "first" | "last" | "arbitrary" | "some_value" => "any_value",
        "corr" => "corr",
        "covar_pop" => "covar_pop",
        "covar_samp" => "covar_samp",
        "regr_slope" => "regr_slope",
        "regr_intercept" => "regr_intercept",
        "regr_r2" => "regr_r2",
        "regr_sxx" => "regr_sxx",
        "regr_syy" => "regr_syy",
        "regr_sxy" => "regr_sxy",
        "regr_count" => "regr_count",
        "regr_avgx" => "regr_avgx",
        "regr_avgy" => "regr_avgy",
        _ => return None,
    })
}

/// Aggregates that exist elsewhere and are not maintained here, with what is.
fn refused_aggregate(name: &str) -> Option<String> {
    let message = match name {
        "collect_list" | "collect_set" | "array_agg" | "list" | "array_concat_agg" => {
            format!("{name} makes a list, and an answer has single values; string_agg(x, ', ') joins texts")
        }
        "product" => format!("{name} is not maintained; of positive numbers it is exp(sum(ln(x)))"),
        "geomean" | "geometric_mean" => format!("{name} is not maintained; it is exp(avg(ln(x)))"),
        "histogram" | "histogram_numeric" | "approx_top_k" => format!(
            "{name} makes a list, and an answer has single values; count rows by value: SELECT x, count(*) … GROUP BY x"
        ),
        "kurtosis" | "skewness" | "entropy" | "mad" | "bit_and" | "bit_or" | "bit_xor" | "checksum"
        | "reservoir_quantile" => {
            format!(
                "{name} is not maintained; there are count, sum, avg, min, max, median, percentile_cont, mode, stddev and variance"
            )
        }
        "json_agg" | "jsonb_agg" | "json_group_array" | "map_agg" | "json_object_agg" | "group_array" => {
            format!("{name} makes JSON, and an answer has single values; string_agg(x, ', ') joins texts")
        }
        _ => return None,
    };
    Some(message)
}

impl<'a> QuestionBinder<'a> {
    /// `array_join(collect_set(x), ', ')` and `size(collect_set(x))`, which need no list.
    pub(super) fn bind_collected(
        &mut self,
        call: &CallParts<'a>,
        clause: ClauseKind,
    ) -> Option<BindResult<ScalarExpr>> {
        if let Some(message) = refused_aggregate(&call.name) {
            return Some(Err(self.report(call.span, message)));
        }
        let joins = matches!(call.name.as_str(), "array_join" | "array_to_string" | "list_aggr" | "concat_ws");
        let counts = matches!(call.name.as_str(), "size" | "len" | "cardinality" | "array_length" | "array_size");
        let list = call.arguments.iter().find_map(|argument| collecting_call(argument))?;
        if !(joins || counts) {
            return None;
        }
        Some(self.bind_collecting(call, list, counts, clause))
    }

    fn bind_collecting(
        &mut self,
        call: &CallParts<'a>,
        list: &'a ast::Function,
        counts: bool,
        clause: ClauseKind,
    ) -> BindResult<ScalarExpr> {
        if !clause.is_after_grouping() {
            return Err(self.report(call.span, format!("an aggregate is not possible in {}", clause.name())));
        }
        let mut inner = self.call_parts(list)?;
        inner.distinct |= inner.name == "collect_set";
        if counts {
            let bound = self.bind_aggregate(&inner, "count", ClauseKind::AggregateArgument)?;
            return Ok(self.add_aggregate(bound));
        }
        let separator = call.arguments.iter().find(|argument| collecting_call(argument).is_none());
        inner.arguments.extend(separator);
        let bound = self.bind_aggregate(&inner, "string_agg", ClauseKind::AggregateArgument)?;
        Ok(self.add_aggregate(bound))
    }
}

/// The call of `collect_set` and the like, also with a sort around it.
fn collecting_call(ast: &Ast) -> Option<&ast::Function> {
    let Ast::Function(function) = ast else { return None };
    let name = function.name.to_string().to_lowercase();
    match name.as_str() {
        "collect_set" | "collect_list" | "array_agg" | "list" => Some(function),
        "sort_array" | "array_sort" | "list_sort" | "array_distinct" => match &function.args {
            FunctionArguments::List(list) => list.args.iter().find_map(|argument| match argument {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(inner)) => collecting_call(inner),
                _ => None,
            }),
            _ => None,
        },
        _ => None,
    }
}
