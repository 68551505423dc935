//! What the sources of a follower say to the leader. Their records stay where they are read.

use pinflow_connect::source::{Partition, RecordBlock};
use pinflow_core::position::{PartitionId, Position, ResumeHint};
use pinflow_dataflows::record::Micros;
use serde::{Deserialize, Serialize};

/// An event of the sources of a follower.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FollowerSourceEvent {
    /// A partition was opened.
    Opened(Partition),
    /// Partitions that are new to the tables.
    Discovered(Vec<Partition>),
    /// A block was read. The follower holds it until the leader says which worker reads it.
    Block(BlockSummary),
    /// The current end of a partition.
    EndOffset {
        /// Which one.
        partition: PartitionId,
        /// The position that its next record will have.
        end: Position,
    },
    /// A part of a source cannot be read; with `cause: None`, it can be read again.
    Blocked {
        /// Which part.
        source: String,
        /// Why.
        cause: Option<String>,
    },
    /// A partition will never have more records.
    Ended(PartitionId),
    /// All sources of the follower have announced what is new to the tables.
    StartsAnnounced,
    /// All sources of the follower have read what was there when they started.
    BacklogRead,
}

/// A block without its records.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BlockSummary {
    pub(crate) partition: PartitionId,
    /// As in [`RecordBlock`].
    pub(crate) next: Position,
    /// As in [`RecordBlock`].
    pub(crate) fingerprint: u64,
    /// As in [`RecordBlock`].
    pub(crate) hint: ResumeHint,
    /// As in [`RecordBlock`].
    pub(crate) lag: Option<u64>,
    /// As in [`RecordBlock`].
    pub(crate) lag_ms: Option<u64>,
    /// As in [`RecordBlock`].
    pub(crate) remaining_bytes: Option<u64>,
    /// How many records it has.
    pub(crate) rows: u64,
    /// The memory that it takes.
    pub(crate) bytes: usize,
    /// When its last record arrived.
    pub(crate) arrived_at: Option<Micros>,
}

impl BlockSummary {
    pub(crate) fn new(block: &RecordBlock) -> BlockSummary {
        let RecordBlock { partition, ref records, next, fingerprint, hint, lag, lag_ms, remaining_bytes } = *block;
        BlockSummary {
            partition,
            next,
            fingerprint,
            hint,
            lag,
            lag_ms,
            remaining_bytes,
            rows: records.count(),
            bytes: records.bytes(),
            arrived_at: records.last_arrived_at(),
        }
    }
}
