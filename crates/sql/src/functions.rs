//! The scalar functions: their names, argument types and results.

/// A scalar function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScalarFunction {
    /// `lower(text)`: all letters in lower case.
    Lower,
}
