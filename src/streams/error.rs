//! Why `pinflow streams` failed.

use std::io;

use crate::config::ConfigError;
use pinflow_core::user_error::{ExitStatus, UsageError, UserError};
use pinflow_kinesis::{KinesisConnectionError, StreamError};

/// Why `pinflow streams` failed.
#[derive(Debug, thiserror::Error)]
pub enum StreamsCommandError {
    /// The file of `--connection` is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The flags cannot work.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// `--region` and `--endpoint` cannot work.
    #[error(transparent)]
    Connection(#[from] KinesisConnectionError),
    /// A stream cannot be read or changed.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Standard output cannot be written.
    #[error("write to stdout")]
    Output(#[from] io::Error),
}

impl UserError for StreamsCommandError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            StreamsCommandError::Config(error) => error.exit_code(),
            StreamsCommandError::Usage(error) => error.exit_code(),
            StreamsCommandError::Connection(error) => error.exit_code(),
            StreamsCommandError::Stream(error) => error.exit_code(),
            StreamsCommandError::Output(_) => ExitStatus::Failed,
        }
    }
}
