//! Random FROM and WHERE clauses.

use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::SqlType;

use super::{QueryBuilder, QueryScope, ScopeValue, SelectedColumn};

/// The columns that queries read, by relation. The others have a type that SQLite does not know, or no values of interest.
const READ_COLUMNS: [&[&str]; 3] = [
    &["ind", "follower_count", "category", "poster_name", "title", "is_image_or_video"],
    &["ind", "country", "timestamp"],
    &["ind", "age", "user_name", "date_joined"],
];

/// A part of a FROM clause with the values that it gives.
pub(super) struct FromTable {
    sql: String,
    scope: QueryScope,
}

impl QueryBuilder<'_> {
    /// A FROM clause. `depth` limits how deep derived tables nest.
    pub(super) fn source_clause(&mut self, depth: usize) -> (String, QueryScope) {
        let mut from = self.source_item(depth);
        for _ in 0..2 {
            if !self.choices.chance(45) {
                break;
            }
            let other = self.source_item(depth.min(1));
            from = self.join_items(from, other);
        }
        (format!("FROM {}", from.sql), from.scope)
    }

    fn source_item(&mut self, depth: usize) -> FromTable {
        if depth > 0 && self.choices.chance(30) {
            let (sql, columns) = self.derived_query(depth - 1);
            let name = self.new_name("d");
            return FromTable { sql: format!("({sql}) AS {name}"), scope: derived_scope(&name, &columns) };
        }
        if !self.common_tables.is_empty() && self.choices.chance(45) {
            let (table, columns) = self.choices.pick(&self.common_tables).clone();
            let name = self.new_name("w");
            return FromTable { sql: format!("{table} AS {name}"), scope: derived_scope(&name, &columns) };
        }
        let relation = self.choices.below(POSTS.relations.len());
        self.table_item(relation)
    }

    fn table_item(&mut self, relation: usize) -> FromTable {
        let relation_name = POSTS.relations[relation].name;
        let name = self.new_name(&relation_name[..1]);
        let value = |column: &&str| {
            let index = POSTS.relations[relation].column(column).expect("a column of the catalog");
            let ty = POSTS.relations[relation].columns[index].ty;
            ScopeValue { sql: format!("{name}.{column}"), ty, exact: true }
        };
        let values: Vec<ScopeValue> = READ_COLUMNS[relation].iter().map(value).collect();
        let complete_key = values.iter().map(|value| value.sql.clone()).collect();
        let scope = QueryScope { values, complete_key, inds: vec![format!("{name}.ind")] };
        FromTable { sql: format!("{relation_name} AS {name}"), scope }
    }

    /// A join on `ind`, or on columns of the same type if one of both is no table.
    fn join_items(&mut self, left: FromTable, right: FromTable) -> FromTable {
        let Some((left_key, right_key)) = self.join_key(&left.scope, &right.scope) else { return left };
        let kind = *self.choices.pick(&["JOIN", "LEFT JOIN", "JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let mut scope = left.scope;
        scope.values.extend(right.scope.values);
        scope.complete_key.extend(right.scope.complete_key);
        scope.inds.extend(right.scope.inds);
        let mut condition = format!("{left_key} = {right_key}");
        if self.choices.chance(25) {
            condition += &format!(" AND {}", self.random_condition(&scope, 1));
        }
        FromTable { sql: format!("{} {kind} {} ON {condition}", left.sql, right.sql), scope }
    }

    fn join_key(&mut self, left: &QueryScope, right: &QueryScope) -> Option<(String, String)> {
        if !left.inds.is_empty() && !right.inds.is_empty() {
            return Some((self.choices.pick(&left.inds).clone(), self.choices.pick(&right.inds).clone()));
        }
        let ty = [SqlType::Long, SqlType::Text, SqlType::Time, SqlType::Bool]
            .into_iter()
            .find(|&ty| !left.of_type(ty).is_empty() && !right.of_type(ty).is_empty())?;
        let left = self.choices.pick(&left.of_type(ty)).sql.clone();
        Some((left, self.choices.pick(&right.of_type(ty)).sql.clone()))
    }

    /// A WHERE clause, or nothing.
    pub(super) fn where_clause(&mut self, scope: &QueryScope) -> String {
        let mut conditions = Vec::new();
        if self.choices.chance(35) {
            conditions.push(self.random_condition(scope, 2));
        }
        if !scope.inds.is_empty() && self.choices.chance(20) {
            conditions.push(self.partner_condition(scope));
        }
        if self.choices.chance(10) {
            conditions.push(self.membership_condition(scope));
        }
        if self.choices.chance(12) {
            conditions.push(self.scalar_condition(scope));
        }
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
    }

    /// Whether another table has a row of the same `ind`: a semi or an anti join.
    fn partner_condition(&mut self, scope: &QueryScope) -> String {
        let ind = self.choices.pick(&scope.inds).clone();
        let relation = self.choices.below(POSTS.relations.len());
        let FromTable { sql, scope: partner } = self.table_item(relation);
        let partner_ind = &partner.inds[0];
        let not = *self.choices.pick(&["", "NOT "]);
        let filter = if self.choices.chance(50) { Some(self.random_condition(&partner, 1)) } else { None };
        if self.choices.chance(50) {
            let filter = filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"));
            return format!("{ind} {not}IN (SELECT {partner_ind} FROM {sql}{filter})");
        }
        let filter = filter.map_or_else(String::new, |filter| format!(" AND {filter}"));
        format!("{not}EXISTS (SELECT 1 FROM {sql} WHERE {partner_ind} = {ind}{filter})")
    }

    /// Whether a value is among those of a column of a table, which can be null. The value reads a column: a constant
    /// would be compared with every row.
    fn membership_condition(&mut self, scope: &QueryScope) -> String {
        let relation = self.choices.below(POSTS.relations.len());
        let FromTable { sql, scope: other } = self.table_item(relation);
        let (value, ty) = self.key_expression(scope);
        let members = other.of_type(ty);
        if members.is_empty() {
            return self.random_condition(scope, 1);
        }
        let member = self.choices.pick(&members).sql.clone();
        let not = *self.choices.pick(&["", "NOT "]);
        let filter = self.random_condition(&other, 1);
        format!("{value} {not}IN (SELECT {member} FROM {sql} WHERE {filter})")
    }

    /// A comparison with an aggregate of a table.
    fn scalar_condition(&mut self, scope: &QueryScope) -> String {
        let relation = self.choices.below(POSTS.relations.len());
        let FromTable { sql, scope: other } = self.table_item(relation);
        let aggregate = self.random_aggregate(&other);
        let value = self.random_expression(scope, aggregate.ty, 1);
        let compare = *self.choices.pick(&["<>", ">=", "<", "<>", ">=", "="]);
        format!("{value} {compare} (SELECT {} FROM {sql})", aggregate.sql)
    }
}

fn derived_scope(name: &str, columns: &[SelectedColumn]) -> QueryScope {
    let value = |column: &SelectedColumn| ScopeValue {
        sql: format!("{name}.{}", column.name),
        ty: column.ty,
        exact: column.exact,
    };
    let values: Vec<ScopeValue> = columns.iter().map(value).collect();
    let complete_key = values.iter().map(|value| value.sql.clone()).collect();
    QueryScope { values, complete_key, inds: Vec::new() }
}
