//! The raw archive as the committer sees it: it stores a window's messages as received, before their rows are committed.

use std::error::Error;

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::source::BlockRecords;
use pinflow_core::position::Position;

/// The change of one partition's position by a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionChange {
    /// The position in the tables when the run began.
    pub resumed: Position,
    /// The position in the tables after the window.
    pub next: Position,
}

/// Consecutive messages of one partition. They share the bytes of the block in which they arrived.
#[derive(Debug)]
pub struct ReceivedMessages {
    /// The `_source` value of their rows.
    pub source: String,
    #[allow(missing_docs)]
    pub records: BlockRecords,
}

/// The messages of one window, as received.
#[derive(Debug, Default)]
pub struct RawWindow {
    /// All messages. Those of one partition are in the order of their positions.
    pub messages: Vec<ReceivedMessages>,
    /// Every partition that moves, including those without messages, by the `_source` value of its rows.
    pub moved: Vec<(String, PositionChange)>,
}

/// Stores messages as they were received.
#[async_trait]
pub trait RawArchive: Send {
    /// Makes the messages of a window durable. Called for each window in order, before the tables commit the window.
    /// After a crash some messages arrive a second time; the archive must not store them twice.
    ///
    /// # Errors
    /// A permanent failure. The run must end.
    async fn store_window(&mut self, window: RawWindow) -> Result<(), ArchiveFailure>;
}

/// Why an archive cannot be opened or written.
pub type ArchiveFailure = Box<dyn Error + Send + Sync>;

/// An archive that is opened later: by a follower of a cluster, when it has the first messages for it. The leader has opened
/// the tables and the archive by then.
pub type ArchiveOpening = BoxFuture<'static, Result<Box<dyn RawArchive>, ArchiveFailure>>;
