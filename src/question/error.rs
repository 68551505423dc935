//! Why `pinflow question` failed.

use std::io;

use crate::config::{ConfigError, QuestionFileError};
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_delta::DeltaError;
use pinflow_sql::diagnostics::QuestionError;
use pinflow_storage::StorageError;

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
    /// The connection settings of the bucket could not be read.
    #[error("read --connection")]
    Config(#[from] ConfigError),
    /// The location of the tables does not exist, or cannot be reached.
    #[error("reach the tables")]
    Location(#[from] StorageError),
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
            QuestionCommandError::File(_) | QuestionCommandError::Wrong(_) | QuestionCommandError::Unknown(_) => {
                ExitStatus::BadUsage
            }
            QuestionCommandError::Config(error) => error.exit_code(),
            QuestionCommandError::Location(error) => error.exit_code(),
            QuestionCommandError::Delta(error) => error.exit_code(),
            QuestionCommandError::Panicked(_) | QuestionCommandError::Output(_) => ExitStatus::Failed,
        }
    }
}
