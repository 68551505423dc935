//! Errors of a database, and what they mean for the writer.

use pinflow_core::secret::SecretError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_mysql::{DatabaseAddressError, MySqlError, MySqlErrorKind};

/// What an error means for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// The database cannot be reached or written now. The writer reconnects and retries.
    Unavailable,
    /// The database refuses a statement. If the statement is about one table, that table is left out.
    Statement,
    /// The configuration is wrong. A retry can only succeed once a file or variable was changed.
    Settings,
    /// Another pinflow writes to this schema now: exit code 75.
    Fenced,
}

/// An error of a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct DatabaseError {
    /// What it means.
    pub kind: DatabaseErrorKind,
    /// What failed, and what to do. It never contains a secret, nor the values of a row.
    pub what: String,
}

impl DatabaseError {
    pub(crate) fn new(kind: DatabaseErrorKind, what: impl Into<String>) -> DatabaseError {
        DatabaseError { kind, what: what.into() }
    }

    pub(crate) fn unavailable(what: impl Into<String>) -> DatabaseError {
        DatabaseError::new(DatabaseErrorKind::Unavailable, what)
    }

    pub(crate) fn settings(what: impl Into<String>) -> DatabaseError {
        DatabaseError::new(DatabaseErrorKind::Settings, what)
    }

    /// The server did not answer in time.
    pub(crate) fn no_reply() -> DatabaseError {
        DatabaseError::unavailable("the server does not answer")
    }

    /// Whether another pinflow has taken over the schema.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.kind == DatabaseErrorKind::Fenced
    }
}

impl UserError for DatabaseError {
    fn exit_code(&self) -> ExitStatus {
        match self.kind {
            DatabaseErrorKind::Fenced => ExitStatus::Fenced,
            DatabaseErrorKind::Settings => ExitStatus::BadUsage,
            DatabaseErrorKind::Unavailable | DatabaseErrorKind::Statement => ExitStatus::Failed,
        }
    }
}

impl From<SecretError> for DatabaseError {
    fn from(error: SecretError) -> DatabaseError {
        DatabaseError::settings(pinflow_core::error_text::error_text(&error))
    }
}

impl From<DatabaseAddressError> for DatabaseError {
    fn from(error: DatabaseAddressError) -> DatabaseError {
        DatabaseError::settings(pinflow_core::error_text::error_text(&error))
    }
}

impl From<MySqlError> for DatabaseError {
    fn from(error: MySqlError) -> DatabaseError {
        let kind = match error.kind {
            MySqlErrorKind::Unavailable
            | MySqlErrorKind::Denied
            | MySqlErrorKind::NoDatabase
            | MySqlErrorKind::ReadOnly
            | MySqlErrorKind::Full
            | MySqlErrorKind::Tls => DatabaseErrorKind::Unavailable,
            MySqlErrorKind::Forbidden | MySqlErrorKind::NoTable | MySqlErrorKind::NoColumn | MySqlErrorKind::Other => {
                DatabaseErrorKind::Statement
            }
        };
        // The hints of its display are about the emulator.
        let hint = match error.kind {
            MySqlErrorKind::Denied => "; the password comes from `password`, the URL or MYSQL_PWD",
            MySqlErrorKind::Forbidden => "; the guide \"Answers in databases\" has the privileges that pinflow needs",
            MySqlErrorKind::NoDatabase => "; CREATE DATABASE … CHARACTER SET utf8mb4 makes it",
            MySqlErrorKind::ReadOnly => "; the server is a replica or read-only: name the primary in the URL",
            MySqlErrorKind::Full => "; free space on the server's disk",
            _ => "",
        };
        DatabaseError::new(kind, format!("{}{hint}", error.what))
    }
}
