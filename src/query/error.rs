//! Why `pinflow query` failed.

use std::io;

use reqwest::StatusCode;
use url::Url;

use pinflow_core::secret::SecretError;
use pinflow_core::user_error::{ExitStatus, UsageError, UserError};
use pinflow_http::CaFileError;

/// Why `pinflow query` failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The flags cannot work.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The token cannot be read.
    #[error("--token")]
    Token(#[source] SecretError),
    /// The file of `--ca` cannot be used.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    /// The HTTP client cannot be made.
    #[error("set up HTTP requests")]
    HttpClient(#[source] reqwest::Error),
    /// The server cannot be reached.
    #[error("cannot reach {at}: {reason}")]
    Unreachable {
        /// Its address.
        at: Box<Url>,
        /// Why.
        reason: String,
    },
    /// The server returned an error status.
    #[error("{at} answers {status}: {message}")]
    Rejected {
        /// Its address.
        at: Box<Url>,
        /// The status.
        status: StatusCode,
        /// The server's name for the error.
        name: String,
        /// The server's message.
        message: String,
    },
    /// The answer was cut off.
    #[error("read the answer")]
    ReadAnswer(#[source] reqwest::Error),
    /// The answer is not JSON.
    #[error("read the answer")]
    ParseAnswer(#[source] serde_json::Error),
    /// An event is not JSON.
    #[error("read an event")]
    ParseEvent(#[source] serde_json::Error),
    /// Standard output cannot be written.
    #[error("write to stdout")]
    Output(#[from] io::Error),
}

impl QueryError {
    /// Whether a retry can succeed: the server is unreachable, restarting or busy.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            QueryError::Rejected { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
            _ => true,
        }
    }
}

impl UserError for QueryError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            QueryError::Usage(error) => error.exit_code(),
            QueryError::Token(error) => error.exit_code(),
            QueryError::CaFile(error) => error.exit_code(),
            QueryError::HttpClient(_)
            | QueryError::Unreachable { .. }
            | QueryError::Rejected { .. }
            | QueryError::ReadAnswer(_)
            | QueryError::ParseAnswer(_)
            | QueryError::ParseEvent(_)
            | QueryError::Output(_) => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            QueryError::Unreachable { .. } => "does a run serve there ([serve] in its configuration, or run --listen)?",
            QueryError::Rejected { status: StatusCode::UNAUTHORIZED, .. } => {
                "give it with --token, or in PINFLOW_TOKEN"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
