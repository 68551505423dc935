//! Rows read back from the tables: those that this process reads, and those that followers read.

use crate::cluster::FollowerStoredRows;
use pinflow_connect::sink::{SinkError, StoredChunk, StoredChunks};

/// A chunk of rows, wherever it was read.
pub(super) enum StoredInput {
    /// This process has it.
    Chunk(Box<dyn StoredChunk>),
    /// A follower holds it.
    Held { process: usize, rows: u64, bytes: usize },
}

/// Where the chunks come from.
pub(super) struct StoredInputs {
    local: StoredChunks,
    has_local: bool,
    remote: FollowerStoredRows,
    has_remote: bool,
}

impl StoredInputs {
    pub(super) fn new(local: StoredChunks, remote: FollowerStoredRows) -> StoredInputs {
        StoredInputs { local, has_local: true, remote, has_remote: true }
    }

    /// The next chunk. `None` when all processes have read everything. May be cancelled.
    pub(super) async fn recv(&mut self) -> Option<Result<StoredInput, SinkError>> {
        while self.has_local || self.has_remote {
            tokio::select! {
                chunk = self.local.recv(), if self.has_local => match chunk {
                    Some(chunk) => return Some(chunk.map(StoredInput::Chunk)),
                    None => self.has_local = false,
                },
                chunk = self.remote.recv(), if self.has_remote => match chunk {
                    Some((process, rows, bytes)) => return Some(Ok(StoredInput::Held { process, rows, bytes })),
                    None => self.has_remote = false,
                },
            }
        }
        None
    }
}
