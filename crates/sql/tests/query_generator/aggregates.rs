//! Random aggregates.

use pinflow_sql::datum::SqlType;

use super::template::in_dialects;
use super::{QueryBuilder, QueryScope, ScopeValue};

impl QueryBuilder<'_> {
    /// An aggregate over the rows of a scope.
    pub(super) fn random_aggregate(&mut self, scope: &QueryScope) -> ScopeValue {
        let filter = if self.choices.chance(25) {
            format!(" FILTER (WHERE {})", self.random_condition(scope, 1))
        } else {
            String::new()
        };
        let (sql, ty, exact) = match self.choices.below(12) {
            0 | 1 => ("count(*)".to_owned(), SqlType::Long, true),
            2 => self.count_aggregate(scope),
            3 | 4 => self.sum_aggregate(scope),
            5 | 6 => self.extreme_aggregate(scope),
            7 => self.percentile_aggregate(scope),
            8 => self.spread_aggregate(scope),
            9 => self.text_aggregate(scope),
            10 => self.arg_aggregate(scope),
            _ => self.bool_aggregate(scope),
        };
        ScopeValue { sql: sql + &filter, ty, exact }
    }

    fn distinct_word(&mut self) -> &'static str {
        if self.choices.chance(25) { "DISTINCT " } else { "" }
    }

    fn count_aggregate(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        let (distinct, ty) = (self.distinct_word(), self.scope_type(scope));
        if !distinct.is_empty() && self.choices.chance(40) {
            return self.count_of_pairs(scope);
        }
        let value = self.random_expression(scope, ty, 1);
        (format!("count({distinct}{value})"), SqlType::Long, true)
    }

    /// `count(DISTINCT a, b)`, which SQLite does not have: there both are put into one text.
    fn count_of_pairs(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        let mut of_type = |ty| self.random_expression(&scope.exact_part(), ty, 1);
        let (one, other) = (of_type(SqlType::Text), of_type(SqlType::Long));
        let pinflow = format!("count(DISTINCT {one}, {other})");
        let sqlite = format!("count(DISTINCT ({one}) || '~' || ({other}))");
        (in_dialects(&pinflow, &sqlite), SqlType::Long, true)
    }

    fn sum_aggregate(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        let (distinct, average) = (self.distinct_word(), self.choices.chance(35));
        let ty = if self.choices.chance(30) { SqlType::Double } else { SqlType::Long };
        // Only exact values: SQLite rounds after each addition.
        let value = self.random_expression(&scope.exact_part(), ty, 1);
        match average {
            true => (format!("avg({distinct}{value})"), SqlType::Double, false),
            false => (format!("sum({distinct}{value})"), ty, true),
        }
    }

    fn extreme_aggregate(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        let name = *self.choices.pick(&["max", "min", "mode"]);
        let ty = self.scope_type(scope);
        let value = self.random_expression(scope, ty, 1);
        (format!("{name}({value})"), ty, ty != SqlType::Double)
    }

    fn percentile_aggregate(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        let share = *self.choices.pick(&["0.5", "0.25", "0.9", "0.0", "1.0"]);
        let ty = if self.choices.chance(30) { SqlType::Double } else { SqlType::Long };
        let value = self.random_expression(&scope.exact_part(), ty, 1);
        match self.choices.below(3) {
            0 => (format!("median({value})"), SqlType::Double, false),
            1 => (ordered_set("percentile_cont", share, &value), SqlType::Double, false),
            _ => (ordered_set("percentile_disc", share, &value), ty, true),
        }
    }

    fn spread_aggregate(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        if self.choices.chance(50) {
            return self.pair_aggregate(scope);
        }
        let name = *self.choices.pick(&["stddev_samp", "stddev_pop", "var_samp", "var_pop"]);
        let value = self.random_expression(&scope.exact_part(), SqlType::Long, 1);
        (format!("{name}({value})"), SqlType::Double, false)
    }

    fn pair_aggregate(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        // The results of corr and regr_r2 are rounded otherwise in the oracle.
        let names = ["covar_pop", "covar_samp", "regr_slope", "regr_intercept", "regr_sxx", "regr_syy", "regr_sxy"];
        let name = *self.choices.pick(&names);
        let mut number = || self.random_expression(&scope.exact_part(), SqlType::Long, 1);
        let (y, x) = (number(), number());
        (format!("{name}({y}, {x})"), SqlType::Double, false)
    }

    fn text_aggregate(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        let value = self.random_expression(scope, SqlType::Text, 1);
        let direction = *self.choices.pick(&["ASC", "DESC"]);
        let sql = if self.choices.chance(40) {
            // SQLite takes one argument after DISTINCT; its separator is a comma then.
            in_dialects(
                &format!("string_agg(DISTINCT {value}, ',' ORDER BY {value} {direction})"),
                &format!("group_concat(DISTINCT {value} ORDER BY {value} {direction})"),
            )
        } else {
            let (key, _) = self.key_expression(scope);
            let last = in_dialects("", " NULLS LAST");
            format!(
                "string_agg({value}, '+' ORDER BY {key} {direction}{last}{})",
                in_dialects("", &format!(", {value}"))
            )
        };
        (sql, SqlType::Text, true)
    }

    fn arg_aggregate(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        let name = *self.choices.pick(&["arg_max", "arg_min"]);
        let (ty, by) = (*self.choices.pick(&[SqlType::Long, SqlType::Text]), self.scope_type(scope));
        let (value, compared) = (self.random_expression(scope, ty, 1), self.random_expression(scope, by, 1));
        (format!("{name}({value}, {compared})"), ty, true)
    }

    fn bool_aggregate(&mut self, scope: &QueryScope) -> (String, SqlType, bool) {
        let condition = self.random_condition(scope, 1);
        let (name, sqlite) = *self.choices.pick(&[("bool_and", "min"), ("bool_or", "max")]);
        (format!("{}({condition})", in_dialects(name, sqlite)), SqlType::Bool, true)
    }
}

/// A percentile: SQLite has functions of two arguments, registered by the tests.
fn ordered_set(name: &str, share: &str, value: &str) -> String {
    in_dialects(&format!("{name}({share}) WITHIN GROUP (ORDER BY {value})"), &format!("{name}({value}, {share})"))
}
