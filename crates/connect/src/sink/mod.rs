//! Sinks: make cleaned rows durable, together with the position up to which each partition was read.

mod raw_archive;
mod shared_rows;
mod window_files;

use std::collections::HashSet;
use std::time::Instant;

use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::hash::KeyedState;
use pinflow_dataflows::ingest::{RowSink, StreamHint};
use pinflow_dataflows::questions::ReadColumns;
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use pinflow_dataflows::symbol::Symbol;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use pinflow_core::position::{Epoch, PartitionProgress, Position, ResumePositions};
use pinflow_core::user_error::{ExitStatus, UserError};

pub use raw_archive::{ArchiveFailure, ArchiveOpening, PositionChange, RawArchive, RawWindow, ReceivedMessages};
pub use shared_rows::{ReadBackShare, SharedReadBack, StoredChunks, StoredCounts, StoredFile, StoredShare};
pub use window_files::{FileSink, NoFiles, WrittenFile};

/// Encodes the rows that one worker parses, on that worker's thread.
pub trait RowEncoder: RowSink + Send + 'static {
    /// The encoded rows of one window.
    type Batches: Send + 'static;

    /// Takes all rows since the last cut. A cut always falls between epochs.
    fn cut(&mut self) -> Self::Batches;
}

/// The contents of one commit: whole epochs, and the new position of every partition that moved.
#[derive(Debug)]
pub struct Window<B> {
    /// The last epoch in the window.
    pub epoch: Epoch,
    /// When that epoch was closed. The files of later windows were put after this.
    pub cut_at: Instant,
    /// Rows in the window, including rejections.
    pub rows: u64,
    /// The encoded rows, one entry per worker.
    pub batches: Vec<B>,
    /// The data files that the other processes of a cluster have put for it. Empty in a run of one process.
    pub files: Vec<WrittenFile>,
    /// Every partition that moved, with the position after its last record in the window.
    pub reached: Vec<PartitionReached>,
}

/// How far one partition was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReached {
    /// The key under which its position is stored.
    pub key: String,
    /// The value of the `_source` column of its rows.
    pub source: String,
    /// The streams that its rows belong to. The tables that they are written to follow from this.
    pub stream_hint: StreamHint,
    /// The position to commit.
    pub reached: PartitionProgress,
}

/// What the tables contain at the start of a run.
#[derive(Debug, Default)]
pub struct ResumeState {
    /// Where each partition resumes: the lowest position over the tables that its rows can go to.
    pub positions: ResumePositions,
    /// Deliveries at or after those positions that a table already holds, because it was committed further than its
    /// sibling tables when the last run died. They are read again, and must be neither written nor applied to the
    /// answers again. They do count in [`PartitionProgress::rows`], because they lie after the resume position.
    pub already: Redeliveries,
    /// Rows that will be read back to rebuild the answers.
    pub rows: u64,
    /// Counts of earlier runs.
    pub prior: PriorCounts,
}

/// Totals of the earlier runs of a pipeline, as found in the tables when they are opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PriorCounts {
    /// Rows read: the sum of [`PartitionProgress::rows`] over all partitions.
    pub read: u64,
    /// Rows in the table `rejected`.
    pub rejected: u64,
}

/// Deliveries that must be skipped when they are read again.
pub type Redeliveries = HashSet<RowId, KeyedState>;

/// Identifies a row: its lineage without the arrival time, which a replay may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowId {
    /// As in [`Lineage`].
    pub source: Symbol,
    /// As in [`Lineage`].
    pub position: Position,
    /// As in [`Lineage`].
    pub sub: u32,
}

impl From<Lineage> for RowId {
    fn from(lineage: Lineage) -> RowId {
        RowId { source: lineage.source, position: lineage.position, sub: lineage.sub }
    }
}

/// Rows read back from a table at the start, to rebuild the answers.
pub trait StoredChunk: Send + 'static {
    /// Passes each row to `rows`, with only the columns that questions read. All other columns are absent. Rows that
    /// are known not to count are left out.
    fn replay(&self, rows: &mut dyn RowSink);
    /// The number of rows, including those that are left out.
    fn len(&self) -> usize;
    /// The bytes of all texts.
    fn text_bytes(&self) -> usize;
    /// Whether the chunk has no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The rows of a sink at one moment, while it goes on to commit windows.
#[derive(Debug)]
pub struct StoredSnapshot {
    /// How many there are, including those that chunks leave out.
    pub rows: u64,
    /// The rows, in no particular order. Closes after the last chunk. An error means that rows are missing, for example because
    /// a file that was compacted since then was vacuumed; the sink itself is intact.
    pub chunks: mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>>,
}

/// The size of one table as its writer knows it: what it found at the start, and what it added since. Changes by other
/// writers, such as a compaction, are counted at the next start.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TableStatus {
    #[allow(missing_docs)]
    pub table: &'static str,
    /// The last version that was read or written.
    pub version: u64,
    #[allow(missing_docs)]
    pub rows: u64,
    /// The number of data files.
    pub files: u64,
    /// The last epoch of this run whose rows the version has. 0 before the first commit of the run.
    pub epoch: Epoch,
}

/// The destination of cleaned rows, as the engine sees it.
pub trait WindowSink: Send + 'static {
    /// Encodes rows on the worker threads.
    type Encoder: RowEncoder;

    /// Creates the encoder for one worker; `None` if this run keeps no rows.
    fn encoder(&self) -> Option<Self::Encoder>;

    /// The rows that the sink held when it was opened, in chunks and in no particular order. The channel closes after
    /// the last chunk. With [`DuplicatePolicy::Latest`] a chunk may leave out rows of which a newer one exists.
    ///
    /// The rows have the `columns`, and others are absent. `columns` has an entry for each stream.
    fn read_back(
        &self,
        duplicates: DuplicatePolicy,
        columns: &ReadColumns,
    ) -> mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>>;

    /// As [`WindowSink::read_back`], of which other processes read a part.
    fn share_read_back(&self, duplicates: DuplicatePolicy, columns: &ReadColumns, others: usize) -> SharedReadBack {
        // This process reads everything, and no counts are expected.
        let (chunks, (counts, _)) = (self.read_back(duplicates, columns), mpsc::unbounded_channel());
        SharedReadBack { chunks, shares: vec![StoredShare::default(); others], counts }
    }

    /// The rows of all windows committed so far, of the streams for which `columns` has an entry, otherwise as
    /// [`WindowSink::read_back`]. They are read in the background. Chunks are small, so that an epoch has room for some.
    /// Called between two commits.
    fn snapshot(&self, duplicates: DuplicatePolicy, columns: &ReadColumns) -> StoredSnapshot;

    /// The condition that the sink waits for, such as a full disk; `None` while it does not wait.
    fn paused(&self) -> watch::Receiver<Option<String>>;

    /// The tables of the sink; empty if it keeps no rows.
    fn tables(&self) -> watch::Receiver<Vec<TableStatus>>;

    /// Makes a window durable. A condition that can pass, such as a full disk, is retried without losing the window.
    ///
    /// # Errors
    /// A permanent failure. The run must end.
    fn commit(
        &mut self,
        window: Window<<Self::Encoder as RowEncoder>::Batches>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Commits what would have been part of a next window that will not come.
    ///
    /// # Errors
    /// As [`WindowSink::commit`].
    fn finish(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// Why a sink failed permanently.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Another writer of the same pipeline has claimed the tables.
    #[error("another pinflow has taken over: {0}")]
    Fenced(String),
    /// Any other permanent failure.
    #[error("write the tables")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl UserError for SinkError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            SinkError::Fenced(_) => ExitStatus::Fenced,
            SinkError::Failed(_) => ExitStatus::Failed,
        }
    }
}

/// The sink of a run without tables, which only computes answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTables;

/// The encoder of [`NoTables`]. It is never created.
#[derive(Debug, Clone, Copy)]
pub enum NoEncoder {}

impl RowSink for NoEncoder {
    fn pin(&mut self, _: Lineage, _: &Pin<'_>) {
        match *self {}
    }
    fn geo(&mut self, _: Lineage, _: &Geo<'_>) {
        match *self {}
    }
    fn user(&mut self, _: Lineage, _: &User<'_>) {
        match *self {}
    }
    fn rejected(&mut self, _: Lineage, _: Option<Stream>, _: &Rejection, _: &[u8]) {
        match *self {}
    }
}

impl RowEncoder for NoEncoder {
    type Batches = ();
    fn cut(&mut self) {
        match *self {}
    }
}

impl WindowSink for NoTables {
    type Encoder = NoEncoder;
    fn encoder(&self) -> Option<NoEncoder> {
        None
    }
    fn read_back(
        &self,
        _: DuplicatePolicy,
        _: &ReadColumns,
    ) -> mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>> {
        mpsc::channel(1).1
    }
    fn snapshot(&self, _: DuplicatePolicy, _: &ReadColumns) -> StoredSnapshot {
        StoredSnapshot { rows: 0, chunks: mpsc::channel(1).1 }
    }
    fn paused(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }
    fn tables(&self) -> watch::Receiver<Vec<TableStatus>> {
        watch::channel(Vec::new()).1
    }
    async fn commit(&mut self, _: Window<()>) -> Result<(), SinkError> {
        Ok(())
    }
    async fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
