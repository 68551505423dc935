//! Data files of a window that one process of a cluster writes, and another one commits.
//!
//! Every process of a cluster encodes the rows that it parses. The leader alone commits: it names the files of all
//! processes in one commit for each table. So a process that is lost can leave files that no commit names, and nothing
//! else.

use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::questions::ReadColumns;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use super::{NoEncoder, ReadBackShare, RowEncoder, SinkError, StoredCounts, StoredShare};

/// A data file that was put. It is part of its table once a commit names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// The table.
    pub table: String,
    /// The name in the table's folder. It is unique, so no two contents have the same name.
    pub name: String,
    /// The size, bytes.
    pub bytes: u64,
    /// The number of rows.
    pub rows: u64,
    /// The statistics for the log of the table, as JSON.
    pub statistics: String,
}

/// The destination of the cleaned rows of a process that does not commit them.
pub trait FileSink: Send + 'static {
    /// Encodes rows on the worker threads.
    type Encoder: RowEncoder;

    /// Creates the encoder for one worker; `None` if this run keeps no rows.
    fn encoder(&self) -> Option<Self::Encoder>;

    /// The condition that the sink waits for, such as a full disk; `None` while it does not wait.
    fn paused(&self) -> watch::Receiver<Option<String>>;

    /// Reads back the rows of these files, as [`WindowSink::read_back`](super::WindowSink::read_back) does.
    fn read_share(&self, share: StoredShare, duplicates: DuplicatePolicy, columns: &ReadColumns) -> ReadBackShare;

    /// Puts what the workers encoded for one window, at most one file for each table. A condition that can pass is
    /// retried.
    ///
    /// # Errors
    /// A permanent failure. The run must end.
    fn write_files(
        &mut self,
        batches: Vec<<Self::Encoder as RowEncoder>::Batches>,
    ) -> impl Future<Output = Result<Vec<WrittenFile>, SinkError>> + Send;
}

/// The sink of a process in a run without tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl FileSink for NoFiles {
    type Encoder = NoEncoder;

    fn encoder(&self) -> Option<NoEncoder> {
        None
    }

    fn paused(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }

    fn read_share(&self, _: StoredShare, _: DuplicatePolicy, _: &ReadColumns) -> ReadBackShare {
        let (counted, counts) = oneshot::channel();
        let _ = counted.send(StoredCounts::default());
        ReadBackShare { chunks: mpsc::channel(1).1, counts }
    }

    async fn write_files(&mut self, _: Vec<()>) -> Result<Vec<WrittenFile>, SinkError> {
        Ok(Vec::new())
    }
}
