//! Positions, settings, secrets and error texts that all crates of pinflow share.

pub mod backoff;
pub mod duration_histogram;
pub mod error_text;
pub mod file_limit;
pub mod finding;
pub mod key_problem;
pub mod position;
pub mod secret;
pub mod user_error;
