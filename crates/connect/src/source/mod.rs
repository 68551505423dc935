//! Sources read records as bytes with their positions, and send them to the engine in blocks.
//!
//! A source finds its partitions, opens each one with its [`SourceContext`], and sends [`RecordBlock`]s in the order of
//! their positions. It does not parse records, and it does not decide what is durable: the context says where to resume,
//! and the [`DurableFrontier`] how far each partition is committed.

mod accepted_loss;
mod arrival_time;
pub mod backlog;
pub mod block_builder;
mod context;
mod read_share;
pub mod reader_thread;
pub mod source_kind;
pub mod topic_map;

use std::sync::Arc;

use bytes::Bytes;
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::{Micros, Stream};
use serde::{Deserialize, Serialize};

pub use accepted_loss::AcceptedLoss;
pub use arrival_time::ArrivalTime;
pub use context::{DurableFrontier, EngineGone, SourceContext};
pub use read_share::ReadShare;
pub use topic_map::TopicMap;

use pinflow_core::position::{PartitionId, PartitionProgress, Position, ResumeHint};
use pinflow_core::user_error::{ExitStatus, UserError, user_error_text};

/// A part of a source that is read in order: a file, a Kafka partition, or a Kinesis shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number in this run.
    pub id: PartitionId,
    /// The value of the `_source` column: `recording/‹file›`, `kafka/‹topic›/‹partition›`, …
    pub name: String,
    /// The key under which its position is stored. Where a name can be reused, it contains more (cluster, creation time).
    pub key: String,
    /// The streams that its rows belong to.
    pub stream_hint: StreamHint,
    /// Where this run resumed it; `None` if it is read from the beginning.
    pub resumed: Option<PartitionProgress>,
}

/// Consecutive records of one partition, in order and without gaps.
#[derive(Debug, Clone)]
pub struct RecordBlock {
    #[allow(missing_docs)]
    pub partition: PartitionId,
    #[allow(missing_docs)]
    pub records: BlockRecords,
    /// The position after the last record.
    pub next: Position,
    /// The fingerprint of the last record (see [`pinflow_core::position::record_fingerprint`]).
    pub fingerprint: u64,
    /// The resume hint for `next` (see [`PartitionProgress::hint`]).
    pub hint: ResumeHint,
    /// Records between the block and the end of the partition, if the source knows it.
    pub lag: Option<u64>,
    /// The lag behind the end of the partition in milliseconds, if the source knows it.
    pub lag_ms: Option<u64>,
    /// Bytes of the partition after the block, if the source knows its end. For a compressed file, compressed bytes.
    pub remaining_bytes: Option<u64>,
}

/// The records of a block. A clone shares the bytes, so the archive keeps a window's messages without copying them.
#[derive(Debug, Clone)]
pub enum BlockRecords {
    /// Lines of text, each ended by `\n` (the last one may lack it). Line `i` has position `first + i`.
    Lines {
        /// Position of the first line.
        first: u64,
        /// The lines.
        text: Bytes,
    },
    /// Messages, each with a position and a time.
    Messages {
        /// All payloads, concatenated.
        payloads: Bytes,
        /// One entry per message.
        index: Arc<Vec<MessageEntry>>,
    },
}

/// One message of [`BlockRecords::Messages`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct MessageEntry {
    /// Where its payload ends in `payloads`. It starts after the previous message and after the text of `routed`.
    pub end: u32,
    /// Whether the payload is null (a tombstone), not merely empty.
    pub null: bool,
    /// Messages that share a position are parts of one record. They are consecutive in one block.
    pub position: Position,
    /// The broker's timestamp.
    pub arrived_at: ArrivalTime,
    /// The stream that it belongs to.
    pub routed: StoredRoute,
}

/// The stream of a message, as stored in a [`MessageEntry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredRoute {
    /// The stream of the partition.
    AsPartition,
    /// This stream, according to the partition key.
    To(Stream),
    /// No stream. The reason is a text of this many bytes before the payload.
    Nowhere(u16),
}

/// One record of a block, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Its position.
    pub position: Position,
    /// When it arrived.
    pub arrived_at: ArrivalTime,
    /// The stream that it belongs to.
    pub route: StreamRoute<'a>,
}

/// The stream of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamRoute<'a> {
    /// The stream of the partition.
    AsPartition,
    /// This stream, regardless of the partition's other records.
    To(Stream),
    /// No stream, for this reason. The record must be rejected.
    Nowhere(&'a str),
}

impl MessageEntry {
    /// The record, given where it starts in `payloads`.
    fn resolve<'a>(&self, payloads: &'a [u8], start: usize) -> RecordRef<'a> {
        let bytes = &payloads[start..self.end as usize];
        let (route, payload) = match self.routed {
            StoredRoute::AsPartition => (StreamRoute::AsPartition, bytes),
            StoredRoute::To(stream) => (StreamRoute::To(stream), bytes),
            StoredRoute::Nowhere(length) => {
                let (why, payload) = bytes.split_at(usize::from(length));
                (StreamRoute::Nowhere(str::from_utf8(why).unwrap_or_default()), payload)
            }
        };
        let payload = (!self.null).then_some(payload);
        RecordRef { payload, position: self.position, arrived_at: self.arrived_at, route }
    }
}

impl BlockRecords {
    /// Calls `visit` for every record in order.
    pub fn for_each(&self, mut visit: impl FnMut(RecordRef<'_>)) {
        match self {
            BlockRecords::Lines { first, text } => {
                let mut start = 0;
                let ends = memchr::memchr_iter(b'\n', text).map(|at| (at, at + 1));
                let last = (!text.ends_with(b"\n") && !text.is_empty()).then_some((text.len(), text.len()));
                for (position, (end, next)) in (*first..).zip(ends.chain(last)) {
                    let line = &text[start..end];
                    let payload = Some(line.strip_suffix(b"\r").unwrap_or(line));
                    let arrived_at = ArrivalTime::Unknown;
                    visit(RecordRef {
                        payload,
                        position: position.into(),
                        arrived_at,
                        route: StreamRoute::AsPartition,
                    });
                    start = next;
                }
            }
            BlockRecords::Messages { payloads, index } => {
                let mut start = 0;
                for message in index.iter() {
                    visit(message.resolve(payloads, start));
                    start = message.end as usize;
                }
            }
        }
    }

    /// The number of records.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            BlockRecords::Lines { text, .. } => {
                let ends = memchr::memchr_iter(b'\n', text).count();
                ends as u64 + u64::from(!text.is_empty() && !text.ends_with(b"\n"))
            }
            BlockRecords::Messages { index, .. } => index.len() as u64,
        }
    }

    /// When the last record arrived; `None` without records, or if the source has no times.
    #[must_use]
    pub fn last_arrived_at(&self) -> Option<Micros> {
        match self {
            BlockRecords::Lines { .. } => None,
            BlockRecords::Messages { index, .. } => index.last().and_then(|message| message.arrived_at.known()),
        }
    }

    /// Bytes of memory used.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            BlockRecords::Lines { text, .. } => text.len(),
            BlockRecords::Messages { payloads, index } => payloads.len() + size_of_val(index.as_slice()),
        }
    }
}

/// What sources send to the engine.
#[derive(Debug)]
pub enum SourceEvent {
    /// A partition was opened; its blocks follow.
    Opened(Partition),
    /// Partitions that are new to the tables, each with its first position. The engine commits all of them at once, in
    /// one commit per table. The source sends their blocks once they are in the [`DurableFrontier`].
    Discovered(Vec<Partition>),
    /// Records of an opened partition.
    Block(RecordBlock),
    /// The current end of a partition: the position that its next record will have.
    EndOffset {
        #[allow(missing_docs)]
        partition: PartitionId,
        #[allow(missing_docs)]
        end: Position,
    },
    /// A part of a source cannot be read until the user acts; with `cause: None`, it can be read again. The run continues
    /// with all other parts and reports this in its status.
    Blocked {
        /// For example `kafka/12ab.pin`.
        source: String,
        /// The reason, and what to do.
        cause: Option<String>,
    },
    /// The partition will never have more records.
    Ended(PartitionId),
    /// A source has announced all partitions that are new to the tables and existed when it started. Sent once by each
    /// source that registered it with [`SourceContext::expect_starts`].
    StartsAnnounced,
    /// A reader has sent everything that existed when it started. Sent once per reader; see
    /// [`SourceContext::backlog_readers`].
    BacklogRead,
    /// Reading failed. The run must end with this error.
    Failed(SourceError),
}

/// Why a source cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The record before the stored position is gone, or another one is there.
    #[error("{partition} is not the stream that was read before: {what}")]
    Changed {
        #[allow(missing_docs)]
        partition: String,
        /// What was expected, what was found, and what to do.
        what: String,
    },
    /// Records expired before they were read.
    #[error("{partition} no longer holds positions {from} to {to}{}, and they were not read: {what}", count_at_most(*from, *to))]
    Lost {
        #[allow(missing_docs)]
        partition: String,
        /// The first lost position.
        from: Position,
        /// The last lost position.
        to: Position,
        /// What to do.
        what: String,
    },
    /// Reading failed.
    #[error("read {partition}")]
    Read {
        /// The partition's name, or a path.
        partition: String,
        #[allow(missing_docs)]
        #[source]
        cause: std::io::Error,
    },
    /// A thread of the source panicked. This is a bug in pinflow.
    #[error("read {partition}: panicked: {what}")]
    Panicked {
        #[allow(missing_docs)]
        partition: String,
        /// The panic's message.
        what: String,
    },
    /// What the configuration names does not exist or cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The configuration can never work: a wrong value, or a secret, region or folder that is missing.
    #[error("{0}")]
    Misconfigured(String),
}

impl SourceError {
    /// A source that cannot connect, because of the configuration or of the outside world.
    pub fn from_connection(error: &(impl UserError + 'static)) -> SourceError {
        match error.exit_code() {
            ExitStatus::BadUsage => SourceError::Misconfigured(user_error_text(error)),
            _ => SourceError::Unusable(user_error_text(error)),
        }
    }
}

impl UserError for SourceError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            SourceError::Misconfigured(_) => ExitStatus::BadUsage,
            _ => ExitStatus::Failed,
        }
    }
}

/// The maximum number of records in a range, if positions count records.
fn count_at_most(from: Position, to: Position) -> String {
    match (from.narrow(), to.narrow()) {
        (Some(from), Some(to)) => format!(", {} records at the most", to - from + 1),
        _ => String::new(),
    }
}
