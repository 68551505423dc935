//! The share of the stored rows that a follower reads back. The leader decides which worker gets a chunk, and when.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::EngineError;
use crate::protocol::stored_chunk_bytes;
use pinflow_connect::sink::{ReadBackShare, StoredChunk, StoredChunks, StoredCounts};

/// Chunks that the leader knows and has not given to a worker. While there are as many, no more are read.
const MAX_HELD_CHUNKS: usize = 4;

/// What the leader is to hear.
pub(super) enum StoredRowsEvent {
    /// A chunk is there.
    Chunk { rows: u64, bytes: usize },
    /// All rows were read.
    Finished(StoredCounts),
}

/// The rows that a follower reads back.
pub(super) struct FollowerRows {
    chunks: StoredChunks,
    is_reading: bool,
    /// Taken once the counts are known.
    counts: Option<oneshot::Receiver<StoredCounts>>,
    held: VecDeque<Box<dyn StoredChunk>>,
    /// Rows that were read back.
    rows: u64,
}

impl FollowerRows {
    pub(super) fn new(ReadBackShare { chunks, counts }: ReadBackShare) -> FollowerRows {
        FollowerRows { chunks, is_reading: true, counts: Some(counts), held: VecDeque::new(), rows: 0 }
    }

    /// The next event for the leader. May be cancelled. Never ready after the last one, and while the leader leaves too
    /// many chunks here.
    pub(super) async fn next_event(&mut self) -> Result<StoredRowsEvent, EngineError> {
        if self.is_reading {
            if self.held.len() >= MAX_HELD_CHUNKS {
                return std::future::pending().await;
            }
            match self.chunks.recv().await {
                Some(Ok(chunk)) => {
                    let (rows, bytes) = (chunk.len() as u64, stored_chunk_bytes(chunk.as_ref()));
                    self.held.push_back(chunk);
                    self.rows += rows;
                    return Ok(StoredRowsEvent::Chunk { rows, bytes });
                }
                Some(Err(error)) => return Err(EngineError::Rebuild(Box::new(error))),
                None => self.is_reading = false,
            }
        }
        let Some(counts) = &mut self.counts else { return std::future::pending().await };
        let counted = counts.await;
        self.counts = None;
        tracing::info!(rows = self.rows, "the share of this process in the stored rows is read back");
        let counted = counted.map_err(|_| EngineError::Rebuild("a thread that read rows back has ended".into()))?;
        Ok(StoredRowsEvent::Finished(counted))
    }

    /// Takes the oldest chunk that the leader knows.
    pub(super) fn take_chunk(&mut self) -> Option<Box<dyn StoredChunk>> {
        self.held.pop_front()
    }
}
