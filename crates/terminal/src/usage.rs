//! Command lines that cannot be meant.

/// A command was called in a way that cannot work, whatever the outside world is like: the process exits with status 2,
/// as for an unknown flag. The text says what is wrong and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl UsageError {
    /// An error with this text.
    #[must_use]
    pub fn new(what: impl Into<String>) -> UsageError {
        UsageError(what.into())
    }
}
