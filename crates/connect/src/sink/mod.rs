//! Sinks: where cleaned rows become durable, together with the positions they were read up to.

mod raw_archive;

use std::collections::HashSet;

use pinflow_dataflows::hash::KeyedState;
use pinflow_dataflows::ingest::{RowSink, StreamHint};
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use pinflow_dataflows::symbol::Symbol;

use tokio::sync::{mpsc, watch};

use pinflow_core::position::{Epoch, PartitionProgress, Position, ResumePositions};

pub use raw_archive::{PositionChange, RawArchive, RawWindow, ReceivedMessages};

/// Encodes the rows that one worker reads, on that worker's thread.
pub trait RowEncoder: RowSink + Send + 'static {
    /// What a window's rows become.
    type Batches: Send + 'static;

    /// Takes everything since the last cut. A cut always falls between epochs.
    fn cut(&mut self) -> Self::Batches;
}

/// What one commit covers: whole epochs, and for every partition that moved how far it was read.
#[derive(Debug)]
pub struct Window<B> {
    /// The last epoch inside.
    pub epoch: Epoch,
    /// Rows inside, rejections included.
    pub rows: u64,
    /// What the workers encoded, one each.
    pub batches: Vec<B>,
    /// Every partition that moved, with the position after its last record inside.
    pub reached: Vec<PartitionReached>,
}

/// How far one partition was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReached {
    /// What its position is stored under.
    pub key: String,
    /// What the `_source` column of its rows says.
    pub source: String,
    /// The tables that its rows can go to follow from this.
    pub carries: StreamHint,
    /// The position.
    pub reached: PartitionProgress,
}

/// What the tables hold at the start of a run.
#[derive(Debug, Default)]
pub struct ResumeState {
    /// Where each partition resumes: the least position over the tables its rows can go to.
    pub positions: ResumePositions,
    /// Deliveries at or after those positions that a table holds already (it was committed further than
    /// its sisters when the last run died). They are read again and must not be written or reach the answers
    /// again; towards [`PartitionProgress::rows`] they do count, for they lie after the position that is resumed.
    pub already: Redeliveries,
    /// Rows to be read back.
    pub rows: u64,
    /// What earlier runs have read.
    pub prior: PriorCounts,
}

/// What earlier runs of a pipeline have read, as the tables tell it when they are opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PriorCounts {
    /// Rows read: the sum of [`PartitionProgress::rows`] over all partitions.
    pub read: u64,
    /// Rows of the table `rejected`.
    pub rejected: u64,
}

/// Deliveries that must be left out when they are read again.
pub type Redeliveries = HashSet<RowId, KeyedState>;

/// What names a row uniquely: its lineage without the time of arrival, which a replay may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Rows read back from a table at the start, to rebuild the answers from.
pub trait StoredChunk: Send + 'static {
    /// Hands over each row, only with the columns that questions read; the others are absent.
    fn replay(&self, rows: &mut dyn RowSink);
    /// How many rows.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What one table holds, as its writer knows: what it found, and what it added since. What others do to it (a
/// compaction, say) is counted at the next start.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TableStatus {
    /// Its name.
    pub table: &'static str,
    /// The last version read or written.
    pub version: u64,
    /// Rows.
    pub rows: u64,
    /// Data files.
    pub files: u64,
}

/// A home of cleaned rows, as the engine sees it.
pub trait WindowSink: Send + 'static {
    /// Encodes on worker threads.
    type Encoder: RowEncoder;

    /// A new encoder, for one worker; `None` if this run keeps no rows.
    fn encoder(&self) -> Option<Self::Encoder>;

    /// The rows that it held when it was opened, in chunks and in no order; ends when there are no more.
    fn read_back(&self) -> mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>>;

    /// What it waits for (a full disk, …), in words; `None` while it does not.
    fn paused(&self) -> watch::Receiver<Option<String>>;

    /// What it holds; empty if it keeps no rows.
    fn tables(&self) -> watch::Receiver<Vec<TableStatus>>;

    /// Makes a window durable. Waits out what can be cured (a full disk, say) without losing the window.
    ///
    /// # Errors
    /// What cannot be cured, or must not be: the run ends.
    fn commit(
        &mut self,
        window: Window<<Self::Encoder as RowEncoder>::Batches>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Makes durable what rides on a next window that will not come.
    ///
    /// # Errors
    /// As [`WindowSink::commit`].
    fn finish(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// Why a sink gave up.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Another writer of the same pipeline has taken the tables over.
    #[error("another pinflow has taken over: {0}")]
    Fenced(String),
    /// Anything else that waiting does not cure.
    #[error("write the tables")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The sink of a run without tables: answers only.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTables;

/// The encoder that [`NoTables`] never makes.
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
    fn read_back(&self) -> mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>> {
        mpsc::channel(1).1
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
