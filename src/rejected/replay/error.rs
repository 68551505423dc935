//! Why rejections could not be replayed.

use crate::config::ConfigError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_storage::{Location, StorageError};

/// Why rejections could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The run writes no tables.
    #[error("the configuration has no [tables], so there are no rejections to replay")]
    NoTables,
    /// The file of a pass cannot be used.
    #[error("{file}: {what}")]
    PassFile {
        /// The file.
        file: String,
        /// Why.
        what: String,
    },
    /// Two replays run at once.
    #[error("{file}: another replay has written it meanwhile")]
    Concurrent {
        /// The file of the pass.
        file: String,
    },
    /// The tables or a pass cannot be reached.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The location of the tables cannot be read.
    #[error("{0}")]
    Url(String),
}

impl ReplayError {
    pub(super) fn foreign(folder: &Location, name: &str, what: &str) -> ReplayError {
        ReplayError::PassFile { file: folder.join(name).to_string(), what: what.to_owned() }
    }
}

impl UserError for ReplayError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            ReplayError::Config(error) => error.exit_code(),
            ReplayError::NoTables | ReplayError::Url(_) => ExitStatus::BadUsage,
            ReplayError::PassFile { .. } | ReplayError::Concurrent { .. } => ExitStatus::Failed,
            ReplayError::Storage(error) => error.exit_code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ReplayError::PassFile { .. } => {
                Some("a pass says which rejections were replayed; put the file back as it was written".to_owned())
            }
            ReplayError::Concurrent { .. } => Some("start this one again once the other has ended".to_owned()),
            _ => None,
        }
    }
}
