//! How the engine runs.

use std::time::Duration;

use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::ingest::MessageLimits;

/// How the engine runs.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Worker threads.
    pub workers: usize,
    /// Least time from one epoch to the next, and the longest that a record waits for its epoch to close.
    pub epoch: Duration,
    /// An epoch is closed early when it holds this many bytes.
    pub epoch_bytes_max: usize,
    /// Closed epochs that may be under way in the graph before sources have to wait.
    pub epochs_in_flight_max: usize,
    /// When windows are cut.
    pub commit: CommitPolicy,
    /// What the questions mean.
    pub questions: GraphOptions,
    /// What a message may be.
    pub limits: MessageLimits,
    /// Resident memory above which sources pause, and the run ends if that does not help, bytes; `None` without limit.
    pub memory_max: Option<u64>,
}

/// When cleaned rows are committed. Whichever limit is met first wins.
#[derive(Debug, Clone, Copy)]
pub struct CommitPolicy {
    /// Rows held before a commit is forced.
    pub rows_max: u64,
    /// Age of the oldest held row before a commit is forced.
    pub age_max: Duration,
    /// Bytes of messages that a window has at the most, however few they are.
    pub bytes_max: usize,
    /// Windows cut and not yet durable before sources have to wait.
    pub windows_in_flight_max: usize,
}
