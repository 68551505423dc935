//! The exit code of an error of the tables.

use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_delta::DeltaError;

/// The exit code of a process that ends with this error.
pub(crate) fn delta_exit_code(error: &DeltaError) -> ExitStatus {
    match error {
        DeltaError::Fenced { .. } => ExitStatus::Fenced,
        DeltaError::Place(error) => error.exit_code(),
        _ => ExitStatus::Failed,
    }
}
