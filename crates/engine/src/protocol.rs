//! The messages of the engine's threads: commands for workers and the committer, and the events that they report.

use std::sync::Arc;
use std::thread::Thread;

use pinflow_dataflows::graph::{AnswerChange, FillProgress};
use pinflow_dataflows::ingest::{IngestCounts, StreamHint};
use pinflow_dataflows::questions::{Question, QuestionId};
use pinflow_dataflows::symbol::{Symbol, SymbolSweep};
use serde::{Deserialize, Serialize};

use super::EngineError;
use super::all_rejected::RejectionCounts;
use super::questions::SnapshotOrder;
use pinflow_connect::sink::{RawWindow, RowEncoder, StoredChunk, StoredSnapshot, Window, WindowSink};
use pinflow_connect::source::BlockRecords;
use pinflow_core::position::{Epoch, PartitionId};

/// The encoded rows of a window, as the sink defines them.
pub(super) type WindowBatches<S> = <<S as WindowSink>::Encoder as RowEncoder>::Batches;

/// A command for a worker. Workers execute commands in order.
pub(super) enum WorkerCommand {
    /// Read this block into the open epoch.
    ReadBlock(WorkerBlock),
    /// Add these rows from the tables to the answers of the open epoch.
    ReplayStored(Box<dyn StoredChunk>),
    /// Add this question in the open epoch. `with_rows`: rows of the tables follow before its answer is filled.
    AddQuestion { id: QuestionId, question: Arc<Question>, with_rows: bool },
    /// These rows of the tables fill a question.
    FillRows { id: QuestionId, rows: Box<dyn StoredChunk> },
    /// All rows of the tables that fill this question were given to the workers.
    BeginFill { id: QuestionId },
    /// Remove this question in the open epoch.
    DropQuestion { id: QuestionId },
    /// The epoch is complete; `ends_window`: it is the last of its window.
    /// `sweep`: mark the texts of the rows that are held at its end. `fill_step`: for how many `ind`s a question is filled.
    CloseEpoch { epoch: Epoch, ends_window: bool, sweep: Option<Arc<SymbolSweep>>, fill_step: u32 },
}

/// A change of the questions in the open epoch, for all workers.
pub(super) enum WorkerQuestionChange {
    /// As [`WorkerCommand::AddQuestion`].
    Add { id: QuestionId, question: Arc<Question>, with_rows: bool },
    /// As [`WorkerCommand::BeginFill`].
    BeginFill { id: QuestionId },
    /// As [`WorkerCommand::DropQuestion`].
    Drop { id: QuestionId },
}

impl WorkerQuestionChange {
    /// The command for a worker.
    pub(super) fn to_command(&self) -> WorkerCommand {
        match self {
            WorkerQuestionChange::Add { id, question, with_rows } => {
                WorkerCommand::AddQuestion { id: *id, question: Arc::clone(question), with_rows: *with_rows }
            }
            WorkerQuestionChange::BeginFill { id } => WorkerCommand::BeginFill { id: *id },
            WorkerQuestionChange::Drop { id } => WorkerCommand::DropQuestion { id: *id },
        }
    }
}

/// Work for one worker.
pub(super) enum GivenWork {
    /// A command. A block may also go to a worker of another process.
    Command(WorkerCommand),
    /// The next block that a follower holds, for one of its own workers.
    HeldBlock,
    /// The next chunk of stored rows that a follower holds, for one of its own workers.
    HeldRows,
}

/// Estimated size of a row read back from the tables without its texts, in bytes. It only balances the workers and bounds
/// the queue.
const STORED_ROW_BYTES: usize = 64;

/// The estimated size of rows read back from the tables, bytes.
pub(super) fn stored_chunk_bytes(rows: &dyn StoredChunk) -> usize {
    rows.len() * STORED_ROW_BYTES + rows.text_bytes()
}

/// Consecutive records of one partition, with what a worker needs to know of the partition.
pub(super) struct WorkerBlock {
    pub(super) partition: PartitionId,
    /// The partition's name, as rows have it.
    pub(super) source: Symbol,
    pub(super) stream_hint: StreamHint,
    pub(super) records: BlockRecords,
}

/// An event of a worker or the committer. `B` is the sink's type of encoded rows.
pub(super) enum EngineEvent<B> {
    /// A worker has started. Unparking this thread wakes it. One of another process has none here.
    WorkerStarted { worker: usize, thread: Option<Thread> },
    /// A worker has read everything of the epoch.
    EpochRead { epoch: Epoch, read: Vec<(PartitionId, ReadCounts)>, counts: IngestCounts, batches: Option<B> },
    /// A part of the answer changes of an epoch.
    AnswersChanged { epoch: Epoch, changes: Vec<AnswerChange> },
    /// How far a question is filled on a worker at the end of an epoch.
    FillProgressed { worker: usize, epoch: Epoch, progress: FillProgress },
    /// The rows of the tables that a question needs can be read.
    SnapshotTaken { question: QuestionId, snapshot: StoredSnapshot },
    /// Every epoch below the frontier has passed the whole graph, and all its changes have been reported.
    FrontierAdvanced { frontier: Epoch },
    /// Everything up to this epoch is committed.
    WindowDurable { epoch: Epoch },
    /// The committer gave up.
    CommitFailed(EngineError),
    /// A thread panicked.
    ThreadPanicked { thread: String, message: String },
    /// The run cannot go on, because of another process of the cluster.
    PeerEnded(EngineError),
}

/// The reads of one partition.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadCounts {
    pub(super) rows: u64,
    pub(super) rejected: u64,
    pub(super) redelivered: u64,
    pub(super) reasons: RejectionCounts,
}

impl std::ops::AddAssign for ReadCounts {
    fn add_assign(&mut self, other: ReadCounts) {
        self.rows += other.rows;
        self.rejected += other.rejected;
        self.redelivered += other.redelivered;
        self.reasons += other.reasons;
    }
}

/// A window for the committer.
pub(super) struct CommitRequest<S: WindowSink> {
    pub(super) window: Window<WindowBatches<S>>,
    /// Its messages as received; empty without an archive.
    pub(super) raw: RawWindow,
    /// Rows to read as of the end of this window.
    pub(super) snapshot: Option<SnapshotOrder>,
    /// Whether no other window follows in this run.
    pub(super) is_last: bool,
}
