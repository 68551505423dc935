//! SQLite as the reference: random tables, and the results of queries over them.
//!
//! Aggregates and functions that SQLite lacks are registered, see [`functions`].

#![allow(dead_code, unreachable_pub)]

mod functions;

use pinflow_sql::catalog::{CatalogColumn, CatalogRelation, POSTS};
use pinflow_sql::datum::{Datum, Row, SqlType};
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

/// A database with the relations of the catalog.
pub struct SqliteOracle(Connection);

impl SqliteOracle {
    /// A database without rows.
    pub fn new() -> SqliteOracle {
        let connection = Connection::open_in_memory().expect("a database in memory");
        // LIKE ignores case unless it is told not to.
        connection.execute_batch("PRAGMA case_sensitive_like = ON").expect("a setting");
        functions::register_functions(&connection).expect("functions");
        for relation in POSTS.relations {
            // Columns without a type keep values as they are.
            let columns: Vec<String> =
                visible_columns(relation).map(|(_, column)| format!("\"{}\"", column.name)).collect();
            let create = format!("CREATE TABLE \"{}\" ({})", relation.name, columns.join(", "));
            connection.execute_batch(&create).expect("a table");
        }
        SqliteOracle(connection)
    }

    /// Replaces all rows by these, in the order of the catalog.
    pub fn set_tables(&self, tables: &[Vec<Row>]) {
        for (relation, rows) in POSTS.relations.iter().zip(tables) {
            self.0.execute(&format!("DELETE FROM \"{}\"", relation.name), []).expect("a table");
            let marks = vec!["?"; visible_columns(relation).count()].join(", ");
            let insert = format!("INSERT INTO \"{}\" VALUES ({marks})", relation.name);
            let mut insert = self.0.prepare_cached(&insert).expect("an insert");
            for row in rows {
                let values = visible_columns(relation).map(|(index, _)| to_sqlite(&row[index]));
                insert.execute(rusqlite::params_from_iter(values)).expect("a row");
            }
        }
    }

    /// The rows of a query in SQLite's order, as values of these types. The error says what SQLite refused.
    pub fn query_rows(&self, sql: &str, types: &[SqlType]) -> Result<Vec<Row>, String> {
        let mut statement = self.0.prepare(sql).map_err(|error| error.to_string())?;
        if statement.column_count() != types.len() {
            return Err(format!("{} columns instead of {}", statement.column_count(), types.len()));
        }
        let mut answer = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| error.to_string())? {
            let value = |(index, &ty): (usize, &SqlType)| {
                row.get_ref(index).map_err(|error| error.to_string()).and_then(|value| from_sqlite(value, ty))
            };
            answer.push(types.iter().enumerate().map(value).collect::<Result<Row, String>>()?);
        }
        Ok(answer)
    }
}

/// The columns of `SELECT *`, with their places. SQLite has no others: it cannot hide them.
fn visible_columns(relation: &CatalogRelation) -> impl Iterator<Item = (usize, &CatalogColumn)> {
    relation.columns.iter().enumerate().filter(|(_, column)| !column.hidden)
}

fn to_sqlite(value: &Datum) -> Value {
    match value {
        Datum::Bool(value) => Value::Integer(i64::from(*value)),
        Datum::Long(value) | Datum::Time(value) => Value::Integer(*value),
        Datum::Double(value) => Value::Real(*value),
        Datum::Text(text) => Value::Text(text.to_string()),
        Datum::List(list) => Value::Text(json_list(list)),
        Datum::Null => Value::Null,
    }
}

/// A list as JSON, which SQLite reads with `json_extract`.
fn json_list(list: &[Datum]) -> String {
    let element = |element: &Datum| match element {
        Datum::Double(value) => format!("{value:?}"),
        Datum::Text(text) => format!("{text:?}"),
        _ => "null".to_owned(),
    };
    format!("[{}]", list.iter().map(element).collect::<Vec<_>>().join(","))
}

/// SQLite has neither booleans nor moments, and whole numbers among doubles.
fn from_sqlite(value: ValueRef<'_>, ty: SqlType) -> Result<Datum, String> {
    match (value, ty) {
        (ValueRef::Null, _) => Ok(Datum::Null),
        (ValueRef::Integer(value), SqlType::Bool) if value == 0 || value == 1 => Ok(Datum::Bool(value == 1)),
        (ValueRef::Integer(value), SqlType::Long) => Ok(Datum::Long(value)),
        (ValueRef::Integer(value), SqlType::Time) => Ok(Datum::Time(value)),
        (ValueRef::Integer(value), SqlType::Double) => Ok(Datum::Double(value as f64)),
        (ValueRef::Real(value), SqlType::Double) => Datum::double(value).ok_or_else(|| format!("the double {value}")),
        (ValueRef::Text(text), SqlType::Text) => {
            std::str::from_utf8(text).map(Datum::text).map_err(|error| error.to_string())
        }
        (value, ty) => Err(format!("{value:?} in a column of type {ty}")),
    }
}
