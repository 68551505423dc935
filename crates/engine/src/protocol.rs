//! The messages of the engine's threads: commands for workers and the committer, and the events that they report.

use std::sync::Arc;
use std::thread::Thread;

use pinflow_dataflows::graph::{AnswerChange, FillProgress};
use pinflow_dataflows::ingest::{IngestCounts, StreamHint};
use pinflow_dataflows::questions::{Question, QuestionId};
use pinflow_dataflows::symbol::{Symbol, SymbolSweep};

use super::EngineError;
use super::all_rejected::RejectionCounts;
use super::questions::SnapshotOrder;
use pinflow_connect::sink::{RawWindow, RowEncoder, StoredChunk, StoredSnapshot, Window, WindowSink};
use pinflow_connect::source::RecordBlock;
use pinflow_core::position::{Epoch, PartitionId};

/// The encoded rows of a window, as the sink defines them.
pub(super) type WindowBatches<S> = <<S as WindowSink>::Encoder as RowEncoder>::Batches;

/// A command for a worker. Workers execute commands in order.
pub(super) enum WorkerCommand {
    /// Read this block into the open epoch.
    ReadBlock { block: RecordBlock, source: Symbol, stream_hint: StreamHint },
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

/// An event of a worker or the committer. `B` is the sink's type of encoded rows.
pub(super) enum EngineEvent<B> {
    /// A worker has started. Unparking this thread wakes it.
    WorkerStarted { worker: usize, thread: Thread },
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
}

/// The reads of one partition.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
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
