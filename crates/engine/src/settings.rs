//! The settings of the engine.

use std::time::Duration;

use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::ingest::MessageLimits;
use pinflow_dataflows::questions::QuestionSet;

/// The settings of the engine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Worker threads of each process.
    pub workers: usize,
    /// Minimum time between epochs, and the longest time that a record waits for its epoch to close.
    pub epoch: Duration,
    /// An epoch is closed early when it holds this many bytes for each process.
    pub epoch_bytes_max: usize,
    /// Maximum number of closed epochs in the graph before sources have to wait.
    pub epochs_in_flight_max: usize,
    /// When windows are cut.
    pub commit: CommitPolicy,
    /// The questions.
    pub questions: QuestionSet,
    /// What each of them may hold, except the built-in ones.
    pub question_limits: QuestionLimits,
    /// Options of the questions.
    pub graph_options: GraphOptions,
    /// Limits of messages.
    pub limits: MessageLimits,
    /// Resident memory above which sources pause, and the run ends if that does not help, bytes; `None` without limit.
    pub memory_max: Option<u64>,
}

/// What a question may hold over all workers. One that holds more is stopped, and its state is freed. Built-in questions have
/// no limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuestionLimits {
    /// Groups.
    pub groups_max: u64,
    /// Rows of the answer.
    pub rows_max: u64,
    /// Bytes.
    pub bytes_max: u64,
    /// Text values.
    pub texts_max: u64,
}

impl Default for QuestionLimits {
    fn default() -> QuestionLimits {
        QuestionLimits { groups_max: 1_000_000, rows_max: 100_000, bytes_max: 256 << 20, texts_max: 1_000_000 }
    }
}

/// When cleaned rows are committed. Whichever limit is met first wins.
#[derive(Debug, Clone, Copy)]
pub struct CommitPolicy {
    /// Number of buffered rows that forces a commit.
    pub rows_max: u64,
    /// Age of the oldest buffered row that forces a commit.
    pub age_max: Duration,
    /// Maximum bytes of messages in a window, regardless of their number.
    pub bytes_max: usize,
    /// Maximum number of windows that are cut and not yet durable before sources have to wait.
    pub windows_in_flight_max: usize,
}
