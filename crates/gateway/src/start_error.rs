//! Why a gateway cannot start.

use std::io;

use super::recording_folder::FolderError;
use pinflow_core::secret::SecretError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_http::PortError;
use pinflow_kafka::{ClusterUnreachable, KafkaConnectionError};
use pinflow_kinesis::{KinesisConnectionError, StreamError};

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayStartError {
    /// A token cannot be read.
    #[error("[gateway] tokens")]
    Token(#[from] SecretError),
    /// The port cannot be opened.
    #[error("[gateway]")]
    Port(#[from] PortError),
    /// The operating system does not say which port was bound.
    #[error("[gateway] listen")]
    Address(#[source] io::Error),
    /// The folder's name is invalid.
    #[error("{0}")]
    FolderName(String),
    /// The folder cannot be appended to.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The Kafka connection is misconfigured.
    #[error(transparent)]
    KafkaConnection(#[from] KafkaConnectionError),
    /// No broker answers.
    #[error(transparent)]
    KafkaCluster(#[from] ClusterUnreachable),
    /// The Kinesis connection is misconfigured.
    #[error(transparent)]
    KinesisConnection(#[from] KinesisConnectionError),
    /// Kinesis cannot be reached.
    #[error(transparent)]
    Kinesis(#[from] StreamError),
}

impl UserError for GatewayStartError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            GatewayStartError::Token(error) => error.exit_code(),
            GatewayStartError::Port(error) => error.exit_code(),
            GatewayStartError::Folder(error) => error.exit_code(),
            GatewayStartError::KafkaConnection(error) => error.exit_code(),
            GatewayStartError::KinesisConnection(error) => error.exit_code(),
            GatewayStartError::Kinesis(error) => error.exit_code(),
            GatewayStartError::FolderName(_) => ExitStatus::BadUsage,
            GatewayStartError::Address(_) | GatewayStartError::KafkaCluster(_) => ExitStatus::Failed,
        }
    }
}
