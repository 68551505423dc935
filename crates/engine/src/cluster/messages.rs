//! What the leader and its followers say to each other.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use pinflow_connect::sink::{RowId, StoredCounts, StoredShare, WrittenFile};
use pinflow_connect::source::{BlockRecords, MessageEntry};
use pinflow_core::position::{Epoch, PartitionId, Position, ResumePositions};
use pinflow_dataflows::graph::{GraphOptions, QuestionUsage, StateSizes};
use pinflow_dataflows::ingest::{IngestCounts, StreamHint};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionName, QuestionOrigin};
use pinflow_dataflows::symbol::Symbol;

use super::source_events::SourceAnnouncement;
use crate::LoggedRejection;
use crate::protocol::{ReadCounts, WorkerBlock};

/// A message of the leader to a follower.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LeaderMessage {
    /// The tables are open. Nothing comes before it.
    Start(RunStart),
    /// A worker is to read a block. Its bytes follow.
    Block { worker: usize, head: BlockHead },
    /// A worker is to read the oldest block that the follower holds.
    ReadHeldBlock { worker: usize },
    /// A worker is to take the oldest chunk of stored rows that the follower holds.
    ReadHeldRows { worker: usize },
    /// Partitions that the follower reads are durable up to these positions.
    Durable(Vec<(PartitionId, Position)>),
    /// All workers are to add a question in the open epoch.
    AddQuestion { question: QuestionDefinition, with_rows: bool },
    /// All workers are to begin to fill a question.
    BeginFill { id: QuestionId },
    /// All workers are to drop a question in the open epoch.
    DropQuestion { id: QuestionId },
    /// The epoch is complete.
    CloseEpoch { epoch: Epoch, ends_window: bool, sweep_demanded: bool, fill_step: u32 },
    /// The leader is there.
    Heartbeat,
    /// Everything is durable. From now on, connections may close. `stopped`: the sources had not ended.
    End { stopped: bool },
}

/// A message of a follower to the leader.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FollowerMessage {
    /// A worker has started.
    Started { worker: usize },
    /// A worker has read everything of an epoch.
    EpochRead { epoch: Epoch, read: Vec<(PartitionId, ReadCounts)>, counts: IngestCounts },
    /// A chunk of stored rows was read back. The follower holds it until the leader says which worker takes it.
    StoredRows { rows: u64, bytes: usize },
    /// The follower's share of the stored rows was read back.
    StoredRowsRead(StoredCounts),
    /// The follower's sources have something to say.
    Source(SourceAnnouncement),
    /// The follower's sources have ended.
    SourcesEnded,
    /// The files of the window that ends with this epoch are put.
    Written { epoch: Epoch, files: Vec<WrittenFile> },
    /// The follower is there.
    Heartbeat(FollowerReport),
    /// The follower got a signal to stop.
    StopRequested,
    /// The follower cannot go on.
    Failed { message: String },
}

/// How a follower is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct FollowerReport {
    /// Resident memory, bytes.
    pub(super) resident: u64,
    /// What its writer waits for.
    pub(super) paused: Option<String>,
    /// The state of each of its workers.
    pub(super) sizes: Vec<StateSizes>,
    /// What each question costs on each of its workers.
    pub(super) usage: Vec<Vec<QuestionUsage>>,
    /// The last rejections since the report before, if the leader shows them.
    pub(super) rejections: Vec<LoggedRejection>,
}

/// What a follower needs to begin.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunStart {
    /// The questions of the run that are not built in, in order.
    pub(super) questions: Vec<QuestionDefinition>,
    /// Deliveries that must be skipped when they are read again.
    pub(super) already: Vec<RowId>,
    /// Where the partitions resume that the follower reads.
    pub(super) positions: ResumePositions,
    /// What the follower reads back of the tables.
    pub(super) stored: StoredShare,
    /// Whether the sources end once they have read the backlog.
    pub(super) until_caught_up: bool,
    /// Whether the leader shows the last rejections.
    pub(super) shows_rejections: bool,
}

/// A question. Every process compiles it with the same options, and the same build.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QuestionDefinition {
    pub(super) id: QuestionId,
    name: String,
    sql: String,
    is_added: bool,
}

impl QuestionDefinition {
    pub(super) fn new(id: QuestionId, question: &Question) -> QuestionDefinition {
        let is_added = question.origin == QuestionOrigin::Added;
        QuestionDefinition { id, name: question.name.to_string(), sql: question.sql.clone(), is_added }
    }

    /// Compiles it.
    ///
    /// # Errors
    /// If the leader accepted what this process does not, which takes another build.
    pub(super) fn compile(self, options: GraphOptions) -> Result<(QuestionId, Arc<Question>), String> {
        let name = QuestionName::parse(&self.name).map_err(|error| error.to_string())?;
        let origin = if self.is_added { QuestionOrigin::Added } else { QuestionOrigin::Configured };
        let question = Question::compile(name, &self.sql, options, origin).map_err(|error| error.to_string())?;
        Ok((self.id, Arc::new(question)))
    }
}

/// A block without its bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BlockHead {
    partition: PartitionId,
    source: Symbol,
    stream_hint: StreamHint,
    index: BlockIndex,
}

/// How the bytes of a block are divided.
#[derive(Debug, Serialize, Deserialize)]
enum BlockIndex {
    Lines { first: u64 },
    Messages(Vec<MessageEntry>),
}

impl BlockHead {
    /// Divides a block for a message.
    pub(super) fn of_block(block: WorkerBlock) -> (BlockHead, Bytes) {
        let WorkerBlock { partition, source, stream_hint, records } = block;
        let (index, bytes) = match records {
            BlockRecords::Lines { first, text } => (BlockIndex::Lines { first }, text),
            BlockRecords::Messages { payloads, index } => (BlockIndex::Messages(Arc::unwrap_or_clone(index)), payloads),
        };
        (BlockHead { partition, source, stream_hint, index }, bytes)
    }

    /// The block of a message.
    pub(super) fn into_block(self, bytes: Bytes) -> WorkerBlock {
        let BlockHead { partition, source, stream_hint, index } = self;
        let records = match index {
            BlockIndex::Lines { first } => BlockRecords::Lines { first, text: bytes },
            BlockIndex::Messages(index) => BlockRecords::Messages { payloads: bytes, index: Arc::new(index) },
        };
        WorkerBlock { partition, source, stream_hint, records }
    }
}
