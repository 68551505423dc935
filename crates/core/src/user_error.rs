//! Errors that end a command: the exit code of the process, and what the user can do.
//!
//! Each crate defines the exit codes of its errors. The program matches on its commands' errors and uses these codes, so
//! that no error type has to be guessed from a chain of causes.

use std::error::Error;

use super::error_text::error_text;

/// The exit code of the process, as `docs/reference/exit-codes.md` lists them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done, or stopped gracefully by a signal.
    #[default]
    Success = 0,
    /// Something failed, or a check found a problem. A restart can help.
    Failed = 1,
    /// The command line or the configuration is wrong. A restart does not help.
    BadUsage = 2,
    /// The answers could not be verified. Nothing is known about them.
    Unverified = 3,
    /// Another process of the cluster was lost, or has ended. A restart of all processes resumes.
    PeerLost = 70,
    /// Another pinflow has taken over the tables.
    Fenced = 75,
}

impl ExitStatus {
    /// The number that the caller of the process gets.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// An error that can end a command.
pub trait UserError: Error {
    /// The exit code of a process that ends with this error.
    fn exit_code(&self) -> ExitStatus {
        ExitStatus::Failed
    }

    /// What to do about it, as the end of a sentence, if the message does not say so itself.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The error, its causes and its hint, each once.
#[must_use]
pub fn user_error_text(error: &(impl UserError + 'static)) -> String {
    let text = error_text(error);
    match error.hint() {
        Some(hint) if !text.contains(&hint) => format!("{text}; {hint}"),
        _ => text,
    }
}

/// A command was called in a way that can never work. The text says what is wrong and
/// what to write.
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

impl UserError for UsageError {
    fn exit_code(&self) -> ExitStatus {
        ExitStatus::BadUsage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no topic{0}")]
    struct MissingTopic(&'static str);

    impl UserError for MissingTopic {
        fn hint(&self) -> Option<String> {
            Some("create it".to_owned())
        }
    }

    #[test]
    fn hint_follows_the_message_once() {
        assert_eq!(user_error_text(&MissingTopic("")), "no topic; create it");
        assert_eq!(user_error_text(&MissingTopic("; create it")), "no topic; create it");
        assert_eq!(MissingTopic("").exit_code(), ExitStatus::Failed);
        assert_eq!(user_error_text(&UsageError::new("wrong")), "wrong");
    }
}
