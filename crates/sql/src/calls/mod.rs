//! Calls of functions: from a name in any case and arguments of any types to an expression.
//!
//! [`build_call`] accepts the names of Spark, DuckDB, Postgres and SQLite, and inserts casts.
//!
//! - `resolve`: from a name and arguments to a call of the catalog's function;
//! - `special`: calls that are other expressions, such as `nullif`;
//! - `unsupported`: known functions that no question can have, with reasons;
//! - `interval`: texts such as `3 days`, and what is added to moments.

mod interval;
mod resolve;
mod special;
mod unsupported;

pub use interval::{CalendarInterval, add_interval, parse_interval, time_bucket};
pub use resolve::{FunctionCall, ResolveError, build_call, coerce, common_type, is_function, resolve, unify_types};
pub use special::{SpecialForm, date_part, special_forms};

#[cfg(test)]
pub(crate) mod test_sql;
#[cfg(test)]
mod tests;
