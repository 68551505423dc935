//! The raw archive as the committer sees it: it stores a window's messages as received, before their rows are committed.

use async_trait::async_trait;

use crate::source::BlockRecords;
use pinflow_core::position::Position;

/// How far a window moves one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionChange {
    /// The position of the tables when the run began.
    pub resumed: Position,
    /// The position of the tables after the window.
    pub next: Position,
}

/// Consecutive messages of one partition. They share the bytes of the block that they came in.
#[derive(Debug)]
pub struct ReceivedMessages {
    /// The `_source` of their rows.
    pub source: String,
    #[allow(missing_docs)]
    pub records: BlockRecords,
}

/// What a window is made of, as received.
#[derive(Debug, Default)]
pub struct RawWindow {
    /// All messages. Those of one partition are in the order of their positions.
    pub messages: Vec<ReceivedMessages>,
    /// Every partition that moves, also without messages, by the `_source` of its rows.
    pub moved: Vec<(String, PositionChange)>,
}

/// Stores messages as they were received.
#[async_trait]
pub trait RawArchive: Send {
    /// Makes the messages of a window durable. It is called for each window in order, before the tables commit the window.
    /// After a crash some messages come a second time; they must not be stored twice.
    ///
    /// # Errors
    /// What waiting does not cure. The run ends.
    async fn store_window(&mut self, window: RawWindow) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}
