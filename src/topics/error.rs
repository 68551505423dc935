//! Why `pinflow topics` failed.

use std::io;

use crate::config::ConfigError;
use pinflow_core::user_error::{ExitStatus, UsageError, UserError};
use pinflow_kafka::{ClusterUnreachable, KafkaConnectionError, TopicError};

/// Why `pinflow topics` failed.
#[derive(Debug, thiserror::Error)]
pub enum TopicsCommandError {
    /// The file of `--connection` is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The flags cannot work.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The connection is misconfigured.
    #[error(transparent)]
    Connection(#[from] KafkaConnectionError),
    /// No broker answers.
    #[error(transparent)]
    Cluster(#[from] ClusterUnreachable),
    /// A topic cannot be read or changed.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Standard output cannot be written.
    #[error("write to stdout")]
    Output(#[from] io::Error),
}

impl UserError for TopicsCommandError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            TopicsCommandError::Config(error) => error.exit_code(),
            TopicsCommandError::Usage(error) => error.exit_code(),
            TopicsCommandError::Connection(error) => error.exit_code(),
            TopicsCommandError::Topic(error) => error.exit_code(),
            TopicsCommandError::Cluster(_) | TopicsCommandError::Output(_) => ExitStatus::Failed,
        }
    }
}
