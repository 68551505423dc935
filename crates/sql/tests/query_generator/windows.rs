//! Random window functions.

use pinflow_sql::datum::SqlType;

use super::template::in_dialects;
use super::{QueryBuilder, QueryScope, ScopeValue};

impl QueryBuilder<'_> {
    /// A window function over the rows of a scope.
    pub(super) fn window_call(&mut self, scope: &QueryScope) -> ScopeValue {
        match self.choices.below(4) {
            0 => self.numbering_call(scope),
            1 => self.ranking_call(scope),
            2 => self.neighbour_call(scope),
            _ => self.framed_call(scope, false),
        }
    }

    /// A window function with equal results for equal rows.
    pub(super) fn peer_call(&mut self, scope: &QueryScope) -> ScopeValue {
        if self.choices.chance(50) { self.ranking_call(scope) } else { self.framed_call(scope, true) }
    }

    fn partition_clause(&mut self, scope: &QueryScope) -> String {
        match self.choices.below(3) {
            0 => String::new(),
            _ => format!("PARTITION BY {} ", self.key_expression(scope).0),
        }
    }

    /// An order with ties.
    fn tied_order(&mut self, scope: &QueryScope) -> String {
        let key = self.key_expression(scope).0;
        format!("ORDER BY {key}{}", self.sort_direction())
    }

    /// An order without ties, but for equal rows.
    fn complete_order(&mut self, scope: &QueryScope) -> String {
        let last = in_dialects("", " NULLS LAST");
        let mut order = self.tied_order(scope);
        for key in &scope.complete_key {
            order += &format!(", {key}{last}");
        }
        order
    }

    /// A direction and a place for nulls. Nulls are last by default; for SQLite that is written out.
    pub(super) fn sort_direction(&mut self) -> String {
        let direction = *self.choices.pick(&["", " ASC", " DESC"]);
        let nulls = match self.choices.below(4) {
            0 => " NULLS FIRST".to_owned(),
            1 => " NULLS LAST".to_owned(),
            _ => in_dialects("", " NULLS LAST"),
        };
        format!("{direction}{nulls}")
    }

    fn numbering_call(&mut self, scope: &QueryScope) -> ScopeValue {
        let call = match self.choices.below(2) {
            0 => "row_number()".to_owned(),
            _ => format!("ntile({})", 1 + self.choices.below(4)),
        };
        let (partition, order) = (self.partition_clause(scope), self.complete_order(scope));
        ScopeValue { sql: format!("{call} OVER ({partition}{order})"), ty: SqlType::Long, exact: true }
    }

    fn ranking_call(&mut self, scope: &QueryScope) -> ScopeValue {
        let (call, ty) = *self.choices.pick(&[
            ("rank()", SqlType::Long),
            ("dense_rank()", SqlType::Long),
            ("percent_rank()", SqlType::Double),
            ("cume_dist()", SqlType::Double),
        ]);
        let (partition, order) = (self.partition_clause(scope), self.tied_order(scope));
        ScopeValue { sql: format!("{call} OVER ({partition}{order})"), ty, exact: ty == SqlType::Long }
    }

    fn neighbour_call(&mut self, scope: &QueryScope) -> ScopeValue {
        let name = *self.choices.pick(&["lag", "lead"]);
        let ty = self.scope_type(scope);
        let value = self.random_expression(scope, ty, 1);
        let arguments = match self.choices.below(3) {
            0 => value,
            1 => format!("{value}, {}", self.choices.below(4)),
            _ => format!("{value}, 1, {}", self.random_literal(ty)),
        };
        let (partition, order) = (self.partition_clause(scope), self.complete_order(scope));
        ScopeValue { sql: format!("{name}({arguments}) OVER ({partition}{order})"), ty, exact: ty != SqlType::Double }
    }

    /// An aggregate or a value of a frame. With `whole_peers` it is an aggregate of a frame that does not part peers.
    fn framed_call(&mut self, scope: &QueryScope, whole_peers: bool) -> ScopeValue {
        let ty = self.scope_type(scope);
        let value = self.random_expression(scope, ty, 1);
        let (call, ty, exact) = match self.choices.below(if whole_peers { 5 } else { 7 }) {
            0 => ("count(*)".to_owned(), SqlType::Long, true),
            1 => (format!("count({value})"), SqlType::Long, true),
            2 => {
                (format!("sum({})", self.random_expression(&scope.exact_part(), SqlType::Long, 1)), SqlType::Long, true)
            }
            3 => (
                format!("avg({})", self.random_expression(&scope.exact_part(), SqlType::Long, 1)),
                SqlType::Double,
                false,
            ),
            4 => (format!("{}({value})", self.choices.pick(&["min", "max"])), ty, ty != SqlType::Double),
            5 => (format!("{}({value})", self.choices.pick(&["first_value", "last_value"])), ty, ty != SqlType::Double),
            _ => (format!("nth_value({value}, {})", 1 + self.choices.below(3)), ty, ty != SqlType::Double),
        };
        let aggregate = !call.contains("_value(");
        let window = self.framed_window(scope, aggregate, whole_peers);
        ScopeValue { sql: format!("{call} OVER ({window})"), ty, exact }
    }

    /// A window with a frame whose bounds are values of a number.
    fn distance_window(&mut self, scope: &QueryScope, partition: &str) -> String {
        let key = self.random_expression(&scope.exact_part(), SqlType::Long, 1);
        let direction = self.sort_direction();
        let frame = *self.choices.pick(&[
            "1 PRECEDING AND CURRENT ROW",
            "1 PRECEDING AND 1 FOLLOWING",
            "2 PRECEDING AND 1 PRECEDING",
            "1 FOLLOWING AND 30 FOLLOWING",
            "UNBOUNDED PRECEDING AND 1 PRECEDING",
            "1 FOLLOWING AND UNBOUNDED FOLLOWING",
            "30 PRECEDING AND UNBOUNDED FOLLOWING",
        ]);
        format!("{partition}ORDER BY {key}{direction} RANGE BETWEEN {frame}")
    }

    /// A window with a frame. Aggregates over all peers do not depend on the order of these.
    fn framed_window(&mut self, scope: &QueryScope, aggregate: bool, whole_peers: bool) -> String {
        let partition = self.partition_clause(scope);
        if aggregate && self.choices.chance(20) {
            return self.distance_window(scope, &partition);
        }
        let form = self.choices.below(if whole_peers { 3 } else { 5 });
        if form == 0 && aggregate {
            return partition;
        }
        let by_rows = form > 2;
        let order = if aggregate && !by_rows { self.tied_order(scope) } else { self.complete_order(scope) };
        match form {
            0 | 1 => format!("{partition}{order}"),
            2 => {
                let frame = *self.choices.pick(&[
                    "UNBOUNDED PRECEDING AND CURRENT ROW",
                    "CURRENT ROW AND UNBOUNDED FOLLOWING",
                    "UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
                    "CURRENT ROW AND CURRENT ROW",
                ]);
                format!("{partition}{order} RANGE BETWEEN {frame}")
            }
            _ => {
                let frame = *self.choices.pick(&[
                    "UNBOUNDED PRECEDING AND CURRENT ROW",
                    "1 PRECEDING AND 1 FOLLOWING",
                    "2 PRECEDING AND 1 PRECEDING",
                    "1 FOLLOWING AND 3 FOLLOWING",
                    "CURRENT ROW AND UNBOUNDED FOLLOWING",
                    "UNBOUNDED PRECEDING AND 1 PRECEDING",
                ]);
                format!("{partition}{order} ROWS BETWEEN {frame}")
            }
        }
    }
}
