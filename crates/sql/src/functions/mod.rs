//! The scalar functions: their names, argument types, results and implementations.
//!
//! [`catalog()`] lists all of them. [`build_call`] makes a call from a name in any case and arguments of any types: it
//! accepts the names of Spark, DuckDB, Postgres and SQLite, and inserts casts. Where these systems disagree, the
//! description says which meaning counts: mostly DuckDB's.
//!
//! - `catalog/`: the table of functions, by subject;
//! - `signature`: what a function takes and gives;
//! - `resolve`: from a name and arguments to a call; `special`: calls that are other expressions, such as `nullif`;
//! - `unsupported`: known functions that no question can have, with reasons;
//! - `text`, `patterns`, `numbers`, `lists`, `calendar`, `time`, `time_format`: the implementations;
//! - `cast`: conversions between types; `interval`: texts such as `3 days`.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::datum::Datum;

mod arguments;
mod calendar;
mod cast;
mod catalog;
mod interval;
mod lists;
mod numbers;
mod patterns;
mod resolve;
mod signature;
mod special;
mod text;
mod time;
mod time_format;
mod unsupported;

pub use arguments::{CallArguments, FunctionResult, NoResult};
pub use cast::{can_cast, cast_value};
pub use catalog::catalog;
pub use interval::{CalendarInterval, add_interval, parse_interval, time_bucket};
pub use resolve::{FunctionCall, ResolveError, build_call, coerce, common_type, is_function, resolve, unify_types};
pub use signature::{FunctionSpec, ParameterType, ResultType};
pub use special::{SpecialForm, date_part, special_forms};

/// The longest text that a function makes, bytes. A longer one gives null, and is counted, so that no question can
/// use up the memory by repeating texts.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// A scalar function: an entry of [`catalog()`].
#[derive(Clone, Copy)]
pub struct ScalarFunction(&'static FunctionSpec);

impl ScalarFunction {
    /// What the catalog says about it.
    #[must_use]
    pub fn spec(self) -> &'static FunctionSpec {
        self.0
    }

    /// Whether the result is null if an argument is.
    #[must_use]
    pub fn propagates_nulls(self) -> bool {
        !self.0.takes_nulls
    }

    /// The result for arguments of the types that the function takes.
    ///
    /// # Errors
    ///
    /// If there is no result, such as for a logarithm of zero. The value is null then.
    pub fn compute(self, arguments: &[Cow<'_, Datum>]) -> FunctionResult {
        if !self.0.takes_nulls && arguments.iter().any(|argument| argument.is_null()) {
            return Ok(Datum::Null);
        }
        match (self.0.implementation)(CallArguments::new(arguments))? {
            Datum::Text(text) if text.len() > MAX_TEXT_BYTES => Err(NoResult),
            Datum::Double(value) => Datum::double(value).ok_or(NoResult),
            result => Ok(result),
        }
    }
}

impl PartialEq for ScalarFunction {
    fn eq(&self, other: &ScalarFunction) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for ScalarFunction {}

impl Hash for ScalarFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for ScalarFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for ScalarFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name)
    }
}

#[cfg(test)]
pub(crate) mod test_sql;
#[cfg(test)]
mod tests;
