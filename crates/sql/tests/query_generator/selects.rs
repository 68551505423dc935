//! Random SELECTs: rows, groups, unions, with an order and a limit.

use pinflow_sql::datum::SqlType;

use super::template::in_dialects;
use super::{QueryBuilder, QueryScope, ScopeValue, SelectedColumn};

/// A SELECT without an order.
struct RandomSelect {
    sql: String,
    columns: Vec<SelectedColumn>,
    /// What an ORDER BY can read besides the columns.
    order_scope: QueryScope,
}

impl QueryBuilder<'_> {
    /// A whole query.
    pub(super) fn whole_query(&mut self) -> (String, Vec<SelectedColumn>) {
        let mut common = Vec::new();
        while common.len() < 2 && self.choices.chance(18) {
            let (sql, columns) = self.derived_query(1);
            let name = self.new_name("common");
            common.push(format!("{name} AS ({sql})"));
            self.common_tables.push((name, columns));
        }
        let with = if common.is_empty() { String::new() } else { format!("WITH {} ", common.join(", ")) };
        let select = self.select_or_union(2);
        let order = self.order_clause(&select, true);
        (format!("{with}{}{order}", select.sql), select.columns)
    }

    /// A query for a FROM clause.
    pub(super) fn derived_query(&mut self, depth: usize) -> (String, Vec<SelectedColumn>) {
        let select = self.select_or_union(depth);
        let order = if self.choices.chance(25) { self.order_clause(&select, false) } else { String::new() };
        (format!("{}{order}", select.sql), select.columns)
    }

    fn select_or_union(&mut self, depth: usize) -> RandomSelect {
        let mut select = if self.choices.chance(60) { self.grouped_select(depth) } else { self.row_select(depth) };
        if self.choices.chance(10) {
            let word = *self.choices.pick(&["UNION ALL", "UNION"]);
            let types: Vec<SqlType> = select.columns.iter().map(|column| column.ty).collect();
            let other = self.typed_select(&types);
            select.sql = format!("{} {word} {other}", select.sql);
            for column in &mut select.columns {
                column.exact = column.ty != SqlType::Double;
            }
            // Nothing but the columns is in both parts.
            select.order_scope = QueryScope::default();
        }
        select
    }

    fn new_column(&mut self, value: &ScopeValue, list: &mut Vec<String>) -> SelectedColumn {
        let name = self.new_name("c");
        list.push(format!("{} AS {name}", value.sql));
        SelectedColumn { name, ty: value.ty, exact: value.exact }
    }

    /// An expression as a column. A double is exact if all that it can read is.
    fn computed_value(&mut self, scope: &QueryScope, depth: usize) -> ScopeValue {
        let ty = self.scope_type(scope);
        let exact = ty != SqlType::Double || scope.values.iter().all(|value| value.exact);
        ScopeValue { sql: self.random_expression(scope, ty, depth), ty, exact }
    }

    fn row_select(&mut self, depth: usize) -> RandomSelect {
        let (from, scope) = self.source_clause(depth);
        let filter = self.where_clause(&scope);
        let distinct = if self.choices.chance(15) { "DISTINCT " } else { "" };
        let mut values = Vec::new();
        for _ in 0..=self.choices.below(3) {
            values.push(self.computed_value(&scope, 2));
        }
        if self.choices.chance(35) {
            self.add_window_values(&scope, &mut values);
        }
        let mut list = Vec::new();
        let columns = values.iter().map(|value| self.new_column(value, &mut list)).collect();
        let sql = format!("SELECT {distinct}{} {from}{filter}", list.join(", "));
        let order_scope = if distinct.is_empty() { scope } else { QueryScope::default() };
        RandomSelect { sql, columns, order_scope }
    }

    /// One or two window functions, and now and then an expression over one. Only one may tell equal rows apart: it would
    /// be open which of their numbers belong together otherwise.
    fn add_window_values(&mut self, scope: &QueryScope, values: &mut Vec<ScopeValue>) {
        let call = self.window_call(scope);
        values.push(call);
        if self.choices.chance(40) {
            let call = self.peer_call(scope);
            if self.choices.chance(50) {
                let only = QueryScope { values: vec![call], ..QueryScope::default() };
                values.push(self.computed_value(&only, 1));
            } else {
                values.push(call);
            }
        }
    }

    /// A SELECT of columns of these types.
    fn typed_select(&mut self, types: &[SqlType]) -> String {
        let (from, scope) = self.source_clause(0);
        let filter = self.where_clause(&scope);
        let values: Vec<String> = types.iter().map(|&ty| self.random_expression(&scope.exact_part(), ty, 1)).collect();
        format!("SELECT {} {from}{filter}", values.join(", "))
    }

    fn grouped_select(&mut self, depth: usize) -> RandomSelect {
        let (from, scope) = self.source_clause(depth);
        let filter = self.where_clause(&scope);
        let keys = self.group_keys(&scope);
        let mut values = keys.clone();
        for _ in 0..=self.choices.below(3) {
            values.push(self.random_aggregate(&scope));
        }
        let complete_key = keys.iter().map(|key| key.sql.clone()).collect();
        let groups = QueryScope { values: values.clone(), complete_key, inds: Vec::new() };
        if !keys.is_empty() && self.choices.chance(15) {
            values.remove(0);
        }
        if self.choices.chance(25) {
            values.push(self.computed_value(&groups, 1));
        }
        if self.choices.chance(25) {
            self.add_window_values(&groups, &mut values);
        }
        let having = if self.choices.chance(15) {
            format!(" HAVING {}", self.random_condition(&groups, 1))
        } else {
            String::new()
        };
        let mut list = Vec::new();
        let columns = values.iter().map(|value| self.new_column(value, &mut list)).collect();
        let keys: Vec<String> = keys.into_iter().map(|key| key.sql).collect();
        let group_by = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
        let sql = format!("SELECT {} {from}{filter}{group_by}{having}", list.join(", "));
        RandomSelect { sql, columns, order_scope: groups }
    }

    /// Up to two expressions to group by, each another one.
    fn group_keys(&mut self, scope: &QueryScope) -> Vec<ScopeValue> {
        let mut keys: Vec<ScopeValue> = Vec::new();
        for _ in 0..*self.choices.pick(&[1, 0, 1, 2]) {
            let (sql, ty) = self.key_expression(scope);
            if keys.iter().all(|key| key.sql != sql) {
                keys.push(ScopeValue { sql, ty, exact: ty != SqlType::Double });
            }
        }
        keys
    }

    /// An order and a limit. Ties are settled by all columns, ascending; for SQLite they are written out. The answer of a whole
    /// query is listed in this order also without ORDER BY.
    fn order_clause(&mut self, select: &RandomSelect, whole: bool) -> String {
        let mut keys = Vec::new();
        if !whole || self.choices.chance(60) {
            for _ in 0..=self.choices.below(2) {
                let column = self.choices.pick(&select.columns).name.clone();
                let hidden = !select.order_scope.values.is_empty() && self.choices.chance(20);
                let key = if hidden { self.key_expression(&select.order_scope).0 } else { column };
                keys.push(format!("{key}{}", self.sort_direction()));
            }
        }
        let ties: Vec<String> = select.columns.iter().map(|column| format!("{} NULLS LAST", column.name)).collect();
        let ties = ties.join(", ");
        if keys.is_empty() {
            return in_dialects("", &format!(" ORDER BY {ties}"));
        }
        let mut clause = format!(" ORDER BY {}{}", keys.join(", "), in_dialects("", &format!(", {ties}")));
        if !whole || self.choices.chance(45) {
            clause += &format!(" LIMIT {}", 1 + self.choices.below(4));
            if self.choices.chance(30) {
                clause += &format!(" OFFSET {}", self.choices.below(3));
            }
        }
        clause
    }
}
