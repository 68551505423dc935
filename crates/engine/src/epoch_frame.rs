//! Frames: what serving gets of an epoch.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use pinflow_dataflows::graph::AnswerChange;

use pinflow_core::position::Epoch;

/// One epoch that has passed, for serving: all its answer changes, and how far the sources were read at its end.
/// When more has become durable, the last epoch is sent again without changes.
#[derive(Debug, Clone)]
pub struct EpochFrame {
    /// Its number.
    pub epoch: Epoch,
    /// When it was closed.
    pub as_of: Timestamp,
    /// The last epoch whose rows are committed; `None` if this run keeps no tables.
    pub durable_epoch: Option<Epoch>,
    /// Whether it is the last epoch of a window: once durable, everything up to it is, and nothing after it.
    pub ends_window: bool,
    /// What changed.
    pub changes: Arc<Vec<AnswerChange>>,
    /// When the engine took the epoch's first record; `None` for an epoch without records, and in a frame that is sent again.
    pub first_record_at: Option<Instant>,
    /// How far each source was read at the end of the epoch.
    pub sources: Arc<[SourceStatus]>,
    /// Whether the answers may be shown: `false` while they are rebuilt from the tables.
    pub open: bool,
    /// Whether everything has been read that was there when the run started.
    pub complete: bool,
    /// Whether no other frame follows.
    pub last: bool,
}

/// How far a source was read at the end of an epoch. The counts are of this run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SourceStatus {
    /// The partition, as the `_source` column has it.
    pub source: String,
    /// The next position to be read.
    pub position: String,
    /// The position after the source's last record, where the source knows.
    pub end: Option<String>,
    /// Records still to be read, where the source knows.
    pub lag: Option<u64>,
    /// How old the last record read was when the epoch closed, milliseconds, where there is more to read; else 0.
    pub lag_ms: Option<u64>,
    /// Rows read, rejections and exact redeliveries included.
    pub read: u64,
    /// Rows that went to their table.
    pub written: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Rows that a table held already when this run began, read again after a crash.
    pub redelivered: u64,
    /// Rows read in all runs: what the tables had stored beside the position when this run began, and `read`.
    #[serde(skip)]
    pub read_all_time: u64,
}
