//! The scalar functions: their names, argument types, results and implementations.
//!
//! [`catalog()`] lists all of them. [`calls`](crate::calls) finds them by name. Where Spark, DuckDB, Postgres and SQLite
//! disagree, the description says which meaning counts: mostly DuckDB's.
//!
//! - `catalog/`: the table of functions, by subject;
//! - `signature`: what a function takes and gives;
//! - `text`, `patterns`, `numbers`, `lists`, `calendar`, `time`, `time_format`: the implementations;
//! - `cast`: conversions between types.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::datum::Datum;

mod arguments;
pub(crate) mod calendar;
pub(crate) mod cast;
pub(crate) mod catalog;
mod lists;
mod numbers;
pub(crate) mod patterns;
mod signature;
mod text;
mod time;
pub(crate) mod time_format;

pub use arguments::{CallArguments, FunctionResult, NoResult};
pub use cast::{can_cast, cast_value};
pub use catalog::catalog;
pub use signature::{FunctionSpec, ParameterType, ResultType};

/// The longest text that a function makes, bytes. A longer one gives null, and is counted, so that no question can
/// use up the memory by repeating texts.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// The most that a list which a function makes takes in memory, bytes. A greater one gives null, and is counted.
pub const MAX_LIST_BYTES: usize = 1 << 22;

/// A scalar function: an entry of [`catalog()`].
#[derive(Clone, Copy)]
pub struct ScalarFunction(pub(crate) &'static FunctionSpec);

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
