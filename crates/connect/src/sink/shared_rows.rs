//! The rows that several processes read back together, each a share of the files.

use pinflow_dataflows::record::Position;
use pinflow_dataflows::symbol::Symbol;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{SinkError, StoredChunk};

/// Chunks of stored rows. The channel closes after the last one.
pub type StoredChunks = mpsc::Receiver<Result<Box<dyn StoredChunk>, SinkError>>;

/// What one process reads back.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StoredShare {
    /// Its files, in this order.
    pub files: Vec<StoredFile>,
    /// By source: rows at or after this position do not count, because they are read again.
    pub limits: Vec<(Symbol, Position)>,
}

/// A data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// The name of its table.
    pub table: String,
    /// Its path within the folder of the table.
    pub name: String,
}

/// How many rows of each source a process has read back that count.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StoredCounts(pub Vec<(Symbol, u64)>);

/// What is read back by several processes, as the process sees it that has opened the tables.
pub struct SharedReadBack {
    /// Its own rows. The channel closes once the counts of all others have come.
    pub chunks: StoredChunks,
    /// The shares of the others.
    pub shares: Vec<StoredShare>,
    /// Takes the counts of the others.
    pub counts: mpsc::UnboundedSender<StoredCounts>,
}

/// What another process reads back.
pub struct ReadBackShare {
    /// Its rows.
    pub chunks: StoredChunks,
    /// Known once all were read.
    pub counts: oneshot::Receiver<StoredCounts>,
}
