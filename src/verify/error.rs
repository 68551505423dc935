//! Why `pinflow verify` could not compare the answers.

use std::io;

use crate::query::QueryError;
use crate::table_location::TableLocationError;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_delta::DeltaError;
use pinflow_sql::diagnostics::QuestionError;

/// Why `pinflow verify` could not compare the answers.
#[derive(Debug, thiserror::Error)]
pub enum VerificationError {
    /// The run cannot be reached, or refuses.
    #[error(transparent)]
    Run(Box<QueryError>),
    /// The reply of the run is not what this version of pinflow expects.
    #[error("the run's {path} cannot be read: {cause}")]
    Reply {
        /// The route.
        path: &'static str,
        /// Why.
        cause: serde_json::Error,
    },
    /// The run has no tables, so it has no durable answers.
    #[error("the run writes no tables, so there is nothing to compare its answers with; it needs [tables]")]
    NoTables,
    /// The folder of the tables is not on this machine.
    #[error("the run writes its tables to {0}, which is not on this machine; name the tables with --tables")]
    TablesElsewhere(String),
    /// The run has no such answer.
    #[error("the run has no answer `{0}`; `pinflow query` lists them")]
    UnknownAnswer(String),
    /// The text of a question of the run is wrong for this version of pinflow.
    #[error("this pinflow does not understand a question of the run, which is pinflow {version}: {cause}")]
    Question {
        /// The version of the run.
        version: String,
        /// What is wrong.
        cause: Box<QuestionError>,
    },
    /// No answer could be compared.
    #[error("no answer was compared: all are skipped")]
    AllSkipped,
    /// The tables cannot be reached.
    #[error(transparent)]
    Location(#[from] TableLocationError),
    /// The tables could not be read at the versions of the answers.
    #[error("read the tables at the versions of the durable answers")]
    Tables(#[source] DeltaError),
    /// The evaluation panicked.
    #[error("the answers could not be computed: {0}. This is a bug in pinflow")]
    Panicked(String),
    /// Standard output cannot be written.
    #[error("write to stdout")]
    Output(#[from] io::Error),
}

impl UserError for VerificationError {
    fn exit_code(&self) -> ExitStatus {
        let code = match self {
            VerificationError::NoTables
            | VerificationError::TablesElsewhere(_)
            | VerificationError::UnknownAnswer(_) => ExitStatus::BadUsage,
            VerificationError::Run(error) => error.exit_code(),
            VerificationError::Location(error) => error.exit_code(),
            VerificationError::Tables(DeltaError::Pipeline { .. }) => ExitStatus::BadUsage,
            VerificationError::Tables(error) => error.exit_code(),
            VerificationError::Reply { .. }
            | VerificationError::Question { .. }
            | VerificationError::AllSkipped
            | VerificationError::Panicked(_)
            | VerificationError::Output(_) => ExitStatus::Unverified,
        };
        // 1 says that an answer differs.
        if code == ExitStatus::Failed { ExitStatus::Unverified } else { code }
    }

    fn hint(&self) -> Option<String> {
        match self {
            VerificationError::Run(error) => error.hint(),
            VerificationError::Tables(DeltaError::Pipeline { .. }) => {
                Some("name the tables of the run with --tables".to_owned())
            }
            _ => None,
        }
    }
}
