//! Why a demo failed.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::run::RunError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_emit::EmitError;

/// Why `pinflow demo` failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file or folder of the demo.
    #[error("{what}")]
    Io {
        /// What was being done, as in `write demo.toml`.
        what: String,
        #[allow(missing_docs)]
        #[source]
        cause: io::Error,
    },
    /// The folder of `--keep` holds something else.
    #[error("--keep {}: the folder is not empty and holds no demo; name a new folder", .0.display())]
    NotADemo(PathBuf),
    /// The port of `--listen` cannot be had, or no port is free.
    #[error("listen on {address}")]
    Listen {
        #[allow(missing_docs)]
        address: std::net::SocketAddr,
        #[allow(missing_docs)]
        #[source]
        cause: io::Error,
    },
    /// Signal handlers cannot be installed.
    #[error("listen for signals")]
    Signals(#[source] io::Error),
    /// No HTTP client can be made, to ask whether the demo is ready.
    #[error("set up the HTTP client")]
    HttpClient(#[source] reqwest::Error),
    /// The configuration of a kept demo is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The feed cannot start, or broke off.
    #[error("the feed of the demo")]
    Feed(#[source] EmitError),
    /// The pipeline failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl UserError for DemoError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            DemoError::NotADemo(_) => ExitStatus::BadUsage,
            DemoError::Config(error) => error.exit_code(),
            DemoError::Run(error) => error.exit_code(),
            DemoError::Io { .. }
            | DemoError::Listen { .. }
            | DemoError::Signals(_)
            | DemoError::HttpClient(_)
            | DemoError::Feed(_) => ExitStatus::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DemoError::Listen { .. } => Some("name another port with --listen".to_owned()),
            DemoError::Config(error) => error.hint(),
            DemoError::Run(error) => error.hint(),
            DemoError::Io { .. }
            | DemoError::NotADemo(_)
            | DemoError::Signals(_)
            | DemoError::HttpClient(_)
            | DemoError::Feed(_) => None,
        }
    }
}
