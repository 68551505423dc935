//! The findings of `pinflow check`.

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It works.
    Passed(String),
    /// It works, but has a risk.
    Risk(String),
    /// It does not work. The text says what to do.
    Problem(String),
}
