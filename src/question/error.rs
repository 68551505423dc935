//! Why `pinflow question` failed.

use std::io;

use crate::config::QuestionFileError;
use crate::query::QueryError;
use crate::table_location::TableLocationError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_delta::DeltaError;
use pinflow_sql::diagnostics::QuestionError;

/// Why `pinflow question` failed.
#[derive(Debug, thiserror::Error)]
pub enum QuestionCommandError {
    /// A file cannot be used as a question.
    #[error(transparent)]
    File(#[from] QuestionFileError),
    /// The texts of questions are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong(Vec<QuestionError>),
    /// There is no such question.
    #[error("{0}")]
    Unknown(String),
    /// The running pinflow finds the text wrong.
    #[error("{0}")]
    Refused(String),
    /// The running pinflow has stopped the question while it filled.
    #[error("question `{name}` was stopped: {reason}")]
    Stopped {
        #[allow(missing_docs)]
        name: String,
        #[allow(missing_docs)]
        reason: String,
    },
    /// The question was dropped while it filled.
    #[error("question `{0}` was dropped before it was complete")]
    Dropped(String),
    /// The running pinflow cannot be reached, or refuses.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The tables cannot be reached.
    #[error(transparent)]
    Location(#[from] TableLocationError),
    /// A table could not be read.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// The evaluation panicked.
    #[error("the question could not be answered: {0}. This is a bug in pinflow")]
    Panicked(String),
    /// Standard output cannot be written.
    #[error("write to stdout")]
    Output(#[from] io::Error),
}

impl UserError for QuestionCommandError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            QuestionCommandError::File(_)
            | QuestionCommandError::Wrong(_)
            | QuestionCommandError::Unknown(_)
            | QuestionCommandError::Refused(_) => ExitStatus::BadUsage,
            QuestionCommandError::Query(error) => error.exit_code(),
            QuestionCommandError::Stopped { .. } | QuestionCommandError::Dropped(_) => ExitStatus::Failed,
            QuestionCommandError::Location(error) => error.exit_code(),
            QuestionCommandError::Delta(error) => error.exit_code(),
            QuestionCommandError::Panicked(_) | QuestionCommandError::Output(_) => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            QuestionCommandError::Query(error) => error.hint(),
            _ => None,
        }
    }
}
