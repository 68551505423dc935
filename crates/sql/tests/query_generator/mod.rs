//! A generator of random queries and tables.
//!
//! A query is made from a list of numbers, so that it can be repeated, and becomes smaller if proptest makes the list
//! smaller. Its text is accepted both by this crate and by SQLite: the few places at which the dialects differ are
//! written in both ways, see [`template`].
//!
//! Other tests include this module with `#[path]`. They run the same queries over other evaluators and histories:
//!
//! ```text
//! let mut choices = RandomChoices::new(numbers);
//! let tables = random_tables(&mut choices);
//! let query = random_query(&mut choices);
//! query.pinflow_sql()     query.sqlite_sql()
//! ```

// Each test that includes this module uses a part of it.
#![allow(dead_code, unreachable_pub, unused_imports)]

mod aggregates;
pub mod choices;
mod expressions;
mod selects;
mod sources;
pub mod tables;
pub mod template;
mod windows;

use pinflow_sql::datum::SqlType;

pub use self::choices::RandomChoices;
pub use self::tables::{random_row, random_tables};

/// A random query, in both dialects.
#[derive(Debug, Clone)]
pub struct RandomQuery {
    template: String,
    /// The types of the columns of the answer.
    pub types: Vec<SqlType>,
}

impl RandomQuery {
    /// The text for this crate.
    pub fn pinflow_sql(&self) -> String {
        template::render(&self.template, template::SqlDialect::Pinflow)
    }

    /// The text for SQLite. It has a complete ORDER BY: rows come in the listing order of the answer.
    pub fn sqlite_sql(&self) -> String {
        template::render(&self.template, template::SqlDialect::Sqlite)
    }
}

/// Makes a query.
pub fn random_query(choices: &mut RandomChoices) -> RandomQuery {
    let mut builder = QueryBuilder { choices, names: 0, common_tables: Vec::new() };
    let (template, columns) = builder.whole_query();
    RandomQuery { template, types: columns.iter().map(|column| column.ty).collect() }
}

/// A value that expressions can read: a column, or in a grouped SELECT a key or an aggregate.
#[derive(Debug, Clone)]
struct ScopeValue {
    sql: String,
    ty: SqlType,
    /// Whether it is a fraction of a power of two. Sums of other doubles are rounded differently by SQLite.
    exact: bool,
}

/// The values that expressions can read at a place of a query.
#[derive(Debug, Clone, Default)]
struct QueryScope {
    values: Vec<ScopeValue>,
    /// Values that tell all rows apart, or rows that are equal: for orders that must be complete.
    complete_key: Vec<String>,
    /// The `ind` columns of the tables, for correlated subqueries.
    inds: Vec<String>,
}

impl QueryScope {
    fn of_type(&self, ty: SqlType) -> Vec<&ScopeValue> {
        self.values.iter().filter(|value| value.ty == ty).collect()
    }

    /// The scope without values whose sums are rounded.
    fn exact_part(&self) -> QueryScope {
        QueryScope { values: self.values.iter().filter(|value| value.exact).cloned().collect(), ..self.clone() }
    }
}

/// A column of a SELECT.
#[derive(Debug, Clone)]
struct SelectedColumn {
    name: String,
    ty: SqlType,
    exact: bool,
}

/// What is known while a query is written.
struct QueryBuilder<'a> {
    choices: &'a mut RandomChoices,
    /// The number of names that were given: each is used once in a query.
    names: usize,
    /// The common table expressions that can be read.
    common_tables: Vec<(String, Vec<SelectedColumn>)>,
}

impl QueryBuilder<'_> {
    fn new_name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// Mostly a type of which the scope has values.
    fn scope_type(&mut self, scope: &QueryScope) -> SqlType {
        if scope.values.is_empty() || self.choices.chance(10) {
            return self.random_type();
        }
        self.choices.pick(&scope.values).ty
    }

    fn random_type(&mut self) -> SqlType {
        *self.choices.pick(&[SqlType::Long, SqlType::Text, SqlType::Double, SqlType::Bool, SqlType::Time])
    }
}
