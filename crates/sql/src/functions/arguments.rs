//! The arguments of a call while it is evaluated.

use std::borrow::Cow;

use crate::datum::Datum;

/// The values of the arguments. Unless the function takes nulls, none is null.
///
/// The binder guarantees the types. A value of another type counts as no result rather than as a reason to panic.
#[derive(Clone, Copy)]
pub struct CallArguments<'a>(&'a [Cow<'a, Datum>]);

/// The result of a function. `Ok(Datum::Null)` is a result too: the value is unknown.
pub type FunctionResult = Result<Datum, NoResult>;

/// There is no result for these arguments: an overflow, a value outside the domain. The value is null, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoResult;

impl<'a> CallArguments<'a> {
    pub(super) fn new(values: &'a [Cow<'a, Datum>]) -> CallArguments<'a> {
        CallArguments(values)
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    pub(super) fn get(self, index: usize) -> Result<&'a Datum, NoResult> {
        self.0.get(index).map(|value| &**value).ok_or(NoResult)
    }

    pub(super) fn all(self) -> impl Iterator<Item = &'a Datum> {
        self.0.iter().map(|value| &**value)
    }

    pub(super) fn text(self, index: usize) -> Result<&'a str, NoResult> {
        match self.get(index)? {
            Datum::Text(text) => Ok(text),
            _ => Err(NoResult),
        }
    }

    pub(super) fn long(self, index: usize) -> Result<i64, NoResult> {
        match self.get(index)? {
            Datum::Long(value) => Ok(*value),
            _ => Err(NoResult),
        }
    }

    /// An argument that can be left out.
    pub(super) fn long_or(self, index: usize, default: i64) -> Result<i64, NoResult> {
        if index < self.len() { self.long(index) } else { Ok(default) }
    }

    pub(super) fn double(self, index: usize) -> Result<f64, NoResult> {
        match self.get(index)? {
            Datum::Double(value) => Ok(*value),
            _ => Err(NoResult),
        }
    }

    /// A moment, in microseconds since 1970 UTC.
    pub(super) fn time(self, index: usize) -> Result<i64, NoResult> {
        match self.get(index)? {
            Datum::Time(value) => Ok(*value),
            _ => Err(NoResult),
        }
    }

    pub(super) fn list(self, index: usize) -> Result<&'a [Datum], NoResult> {
        match self.get(index)? {
            Datum::List(list) => Ok(list),
            _ => Err(NoResult),
        }
    }
}
