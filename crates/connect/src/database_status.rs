//! What a writer of answers into a database reports, for `/status` and `/metrics`.

use std::time::Instant;

use pinflow_core::position::Epoch;
use serde::Serialize;
use tokio::sync::watch;

/// The state of a writer.
#[derive(Debug, Clone)]
pub struct DatabaseState {
    /// `postgres` or `mysql`.
    pub database: &'static str,
    /// Its address as a URL without the password. Empty before the first connection.
    pub target: String,
    /// Whether the last attempt to reach it succeeded.
    pub is_connected: bool,
    /// The epoch that its tables have. `None` before the first write.
    pub epoch: Option<Epoch>,
    /// Writes since the start: transactions that were committed.
    pub writes: u64,
    /// Writes that failed.
    pub failures: u64,
    /// Rows that were inserted, current ones and changes.
    pub rows_inserted: u64,
    /// Current rows that were deleted.
    pub rows_deleted: u64,
    /// Values that the database cannot hold, and that were replaced.
    pub values_replaced: u64,
    /// Tables that cannot be written, each with the reason.
    pub refused: Vec<String>,
    /// Why the last write failed. `None` after a success.
    pub problem: Option<String>,
    /// Since when there are answers that are not written. `None` if all are.
    pub behind_since: Option<Instant>,
}

impl DatabaseState {
    /// The state of a writer before it connects.
    #[must_use]
    pub fn new(database: &'static str) -> DatabaseState {
        DatabaseState {
            database,
            target: String::new(),
            is_connected: false,
            epoch: None,
            writes: 0,
            failures: 0,
            rows_inserted: 0,
            rows_deleted: 0,
            values_replaced: 0,
            refused: Vec::new(),
            problem: None,
            behind_since: None,
        }
    }

    /// For how long there have been answers that are not written, seconds.
    #[must_use]
    pub fn lag_seconds(&self) -> f64 {
        self.behind_since.map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    /// The state as `/status` shows it.
    #[must_use]
    pub fn report(&self) -> DatabaseReport {
        let state = self.clone();
        DatabaseReport {
            database: state.database,
            lag_seconds: state.lag_seconds(),
            target: state.target,
            connected: state.is_connected,
            epoch: state.epoch,
            writes: state.writes,
            failures: state.failures,
            rows_inserted: state.rows_inserted,
            rows_deleted: state.rows_deleted,
            values_replaced: state.values_replaced,
            refused: state.refused,
            problem: state.problem,
        }
    }
}

/// [`DatabaseState`] as JSON.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct DatabaseReport {
    pub database: &'static str,
    pub target: String,
    pub connected: bool,
    pub epoch: Option<Epoch>,
    pub lag_seconds: f64,
    pub writes: u64,
    pub failures: u64,
    pub rows_inserted: u64,
    pub rows_deleted: u64,
    pub values_replaced: u64,
    pub refused: Vec<String>,
    pub problem: Option<String>,
}

/// Reads the state of a writer.
pub type DatabaseStatus = watch::Receiver<DatabaseState>;
