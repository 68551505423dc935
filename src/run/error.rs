//! Why a run ended with an error.

use std::io;

use crate::cluster::ClusterRunError;
use pinflow_archive::ArchiveError;
use pinflow_connect::source::SourceError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_databases::{DatabaseError, InvalidTable};
use pinflow_delta::DeltaError;
use pinflow_engine::EngineError;
use pinflow_serving::HttpError;
use pinflow_storage::StorageError;

/// Why a run ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// This process cannot take part in its cluster.
    #[error(transparent)]
    Cluster(Box<ClusterRunError>),
    /// The url of a folder or bucket is invalid.
    #[error("{0}")]
    Url(String),
    /// A folder or bucket cannot be reached.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A source cannot start.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tables cannot be opened.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// The answers cannot be written to a database: its settings are wrong, or another pinflow has taken over.
    #[error("[answers.{database}]")]
    Database {
        /// `postgres` or `mysql`.
        database: &'static str,
        /// Why.
        #[source]
        error: DatabaseError,
    },
    /// No table of a database can hold an answer.
    #[error(transparent)]
    InvalidTable(#[from] InvalidTable),
    /// The archive cannot be opened.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The HTTP server cannot start.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The operating system does not say which port was bound.
    #[error("[serve] listen")]
    Address(#[source] io::Error),
    /// The engine ended early.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The thread that prints answers cannot start.
    #[error("start the thread of stdout")]
    StdoutThread(#[source] io::Error),
    /// Standard output cannot be written.
    #[error("write to stdout")]
    Output(#[source] io::Error),
    /// A thread or task that serves answers panicked.
    #[error("serving panicked: {0}. This is a bug in pinflow")]
    ServingPanicked(String),
}

impl From<ClusterRunError> for RunError {
    fn from(error: ClusterRunError) -> RunError {
        RunError::Cluster(Box::new(error))
    }
}

impl UserError for RunError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            RunError::Cluster(error) => error.exit_code(),
            RunError::Url(_) => ExitStatus::BadUsage,
            RunError::Storage(error) => error.exit_code(),
            RunError::Source(error) => error.exit_code(),
            RunError::Delta(error) => error.exit_code(),
            RunError::Database { error, .. } => error.exit_code(),
            RunError::InvalidTable(error) => error.exit_code(),
            RunError::Archive(error) => error.exit_code(),
            RunError::Http(error) => error.exit_code(),
            RunError::Engine(error) => error.exit_code(),
            RunError::Address(_) | RunError::StdoutThread(_) | RunError::Output(_) | RunError::ServingPanicked(_) => {
                ExitStatus::Failed
            }
        }
    }
}
