//! Why a run ends early.

use std::time::Duration;

use super::memory::{HeldMemory, MEMORY_GRACE};
use pinflow_connect::sink::{ArchiveFailure, SinkError};
use pinflow_connect::source::SourceError;
use pinflow_core::user_error::{ExitStatus, UserError};

/// Why a run ended before its sources did.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A source cannot continue.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tables cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The archive cannot be written.
    #[error("write the archive")]
    Archive(#[source] ArchiveFailure),
    /// Another process of the cluster is gone.
    #[error(
        "process {process} of the cluster ({address}) is lost: {what}. What is committed is safe; start all processes \
         again"
    )]
    PeerLost {
        /// Its number.
        process: usize,
        #[allow(missing_docs)]
        address: String,
        /// How that showed.
        what: String,
    },
    /// Another process of the cluster has failed.
    #[error(
        "process {process} of the cluster ({address}) failed: {message}. What is committed is safe; start all \
         processes again once that is repaired"
    )]
    PeerFailed {
        /// Its number.
        process: usize,
        #[allow(missing_docs)]
        address: String,
        /// Its error.
        message: String,
    },
    /// This process cannot take part in the cluster.
    #[error("{0}")]
    Cluster(String),
    /// A thread panicked, which is a defect of pinflow.
    #[error(
        "{thread} panicked: {message}. This is a bug in pinflow; what is committed is safe, a restart resumes there"
    )]
    Panicked {
        /// Its name.
        thread: String,
        /// Its message and source location.
        message: String,
    },
    /// The rows in the tables could not be read back.
    #[error("rebuild the answers from the tables")]
    Rebuild(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The memory stayed above its limit.
    #[error(
        "{held}. That did not change for {grace:?} with the sources paused. Every row that was read is committed, and \
         a restart resumes there. Raise [engine] memory_max or the memory of the machine, or let several pipelines read \
         a part of the posts each",
        held = .0,
        grace = MEMORY_GRACE
    )]
    Memory(Box<HeldMemory>),
    /// An orderly stop took too long.
    #[error(
        "what was read last is not committed {limit:?} after the stop was asked for{}; what is committed is safe, a \
         restart resumes there",
        waits_for.as_ref().map(|what| format!(" ({what})")).unwrap_or_default()
    )]
    StopDeadline {
        /// How long it may take.
        limit: Duration,
        /// What the commits wait for, if they do.
        waits_for: Option<String>,
    },
}

impl UserError for EngineError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            EngineError::Source(error) => error.exit_code(),
            EngineError::Sink(error) => error.exit_code(),
            EngineError::PeerLost { .. } | EngineError::PeerFailed { .. } => ExitStatus::PeerLost,
            EngineError::Archive(_)
            | EngineError::Cluster(_)
            | EngineError::Panicked { .. }
            | EngineError::Rebuild(_)
            | EngineError::Memory(_)
            | EngineError::StopDeadline { .. } => ExitStatus::Failed,
        }
    }
}
