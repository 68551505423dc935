//! Why `pinflow rejected` failed.

use std::io;
use std::path::PathBuf;

use super::replay::ReplayError;
use crate::table_location::TableLocationError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_delta::DeltaError;

/// Why `pinflow rejected` failed.
#[derive(Debug, thiserror::Error)]
pub enum RejectionCommandError {
    /// `--since` is no time.
    #[error(
        "--since `{0}` is no time; write a time such as 2026-01-31T08:00:00Z, a date such as 2026-01-31, or an age such as 24h"
    )]
    Since(String),
    /// The position is no number.
    #[error("the position `{0}` is no number; `pinflow rejected list` shows the positions")]
    Position(String),
    /// There is no such rejection.
    #[error(
        "no message of {source_name} at position {position} was rejected; `pinflow rejected list` shows the positions"
    )]
    NotFound {
        /// The source.
        source_name: String,
        /// The position, and the number of the row if it was given.
        position: String,
    },
    /// Several rows of the message were rejected.
    #[error("rows {subs} of this message were rejected; choose one with --sub")]
    SeveralRows {
        /// Their numbers.
        subs: String,
    },
    /// A terminal would interpret the bytes.
    #[error("--raw - would send the bytes of the message to a terminal; name a file, or redirect stdout")]
    RawToTerminal,
    /// The message had no payload.
    #[error("the message has no payload: there is nothing to write")]
    NoPayload,
    /// The file of `--raw` cannot be written.
    #[error("write {path}")]
    RawFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The tables cannot be reached.
    #[error(transparent)]
    Location(#[from] TableLocationError),
    /// A table could not be read.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// The rejections could not be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Reading panicked.
    #[error("the rejections could not be read: {0}. This is a bug in pinflow")]
    Panicked(String),
    /// Standard output cannot be written.
    #[error("write to stdout")]
    Output(#[from] io::Error),
}

impl UserError for RejectionCommandError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            RejectionCommandError::Since(_)
            | RejectionCommandError::Position(_)
            | RejectionCommandError::SeveralRows { .. }
            | RejectionCommandError::RawToTerminal => ExitStatus::BadUsage,
            RejectionCommandError::Location(error) => error.exit_code(),
            RejectionCommandError::Delta(error) => error.exit_code(),
            RejectionCommandError::Replay(error) => error.exit_code(),
            RejectionCommandError::NotFound { .. }
            | RejectionCommandError::NoPayload
            | RejectionCommandError::RawFile { .. }
            | RejectionCommandError::Panicked(_)
            | RejectionCommandError::Output(_) => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RejectionCommandError::RawFile { cause, .. } if cause.kind() == io::ErrorKind::AlreadyExists => {
                Some("name a new file, or remove this one".to_owned())
            }
            RejectionCommandError::Replay(error) => error.hint(),
            _ => None,
        }
    }
}
