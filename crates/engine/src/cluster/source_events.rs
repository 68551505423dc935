//! Events of sources without their records, which stay in the process that reads them.

use pinflow_connect::source::{BlockRecords, Partition, RecordBlock, SourceError, SourceEvent};
use pinflow_core::position::{PartitionId, Position, ResumeHint};
use pinflow_dataflows::record::Micros;
use serde::{Deserialize, Serialize};

/// An event of a source, wherever it is read. A follower sends it to the leader.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SourceAnnouncement {
    /// A partition was opened.
    Opened(Partition),
    /// Partitions that are new to the tables.
    Discovered(Vec<Partition>),
    /// A block was read. A follower holds it until the leader says which worker reads it.
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
    /// A source, or all of a follower, have announced what is new to the tables.
    StartsAnnounced,
    /// A reader, or all of a follower, have read what was there when they started.
    BacklogRead,
}

impl SourceAnnouncement {
    /// Divides an event of a source of this process into what the leader decides by, and the records of a block.
    ///
    /// # Errors
    /// The failure of the source, if that is the event.
    pub(crate) fn divide(event: SourceEvent) -> Result<(SourceAnnouncement, Option<BlockRecords>), SourceError> {
        let divided = match event {
            SourceEvent::Block(block) => {
                return Ok((SourceAnnouncement::Block(BlockSummary::new(&block)), Some(block.records)));
            }
            SourceEvent::Opened(partition) => SourceAnnouncement::Opened(partition),
            SourceEvent::Discovered(partitions) => SourceAnnouncement::Discovered(partitions),
            SourceEvent::EndOffset { partition, end } => SourceAnnouncement::EndOffset { partition, end },
            SourceEvent::Blocked { source, cause } => SourceAnnouncement::Blocked { source, cause },
            SourceEvent::Ended(partition) => SourceAnnouncement::Ended(partition),
            SourceEvent::StartsAnnounced => SourceAnnouncement::StartsAnnounced,
            SourceEvent::BacklogRead => SourceAnnouncement::BacklogRead,
            SourceEvent::Failed(error) => return Err(error),
        };
        Ok((divided, None))
    }
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
    fn new(block: &RecordBlock) -> BlockSummary {
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
