//! Why a cluster cannot be formed.

use pinflow_core::user_error::{ExitStatus, UserError};

/// Why a cluster cannot be formed. Whatever may pass by waiting is not an error: it is logged and retried.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ClusterError {
    /// The settings can never work.
    #[error("the cluster cannot be formed: {}", .0.join("; "))]
    BadSettings(Vec<String>),
    /// A certificate, an authority or a key cannot be used.
    #[error("[cluster] tls: {0}")]
    BadTls(String),
    /// The process was told to stop before the cluster was formed.
    #[error("stopped before the cluster was formed")]
    Stopped,
    /// The operating system refused random bytes, or a thread, or an option of a socket.
    #[error("{what}")]
    System {
        what: &'static str,
        #[source]
        cause: std::io::Error,
    },
}

impl UserError for ClusterError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            ClusterError::BadSettings(_) | ClusterError::BadTls(_) => ExitStatus::BadUsage,
            ClusterError::Stopped => ExitStatus::Success,
            ClusterError::System { .. } => ExitStatus::Failed,
        }
    }
}
