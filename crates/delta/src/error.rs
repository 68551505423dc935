//! What can end the sink.

use std::path::PathBuf;

use deltalake::DeltaTableError;
use deltalake::ObjectStoreError;
use deltalake::arrow::error::ArrowError;
use deltalake::parquet::errors::ParquetError;

use pinflow_storage::StorageError;

/// Why tables cannot be opened, or why writing to them ended. Faults that may heal (a full disk) are not
/// here: the sink waits for those.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Another writer of this pipeline has started; the process must end with exit code 75.
    #[error("{table}: another pinflow writes as pipeline `{pipeline}` since; this one stops")]
    Fenced {
        /// The table where it was noticed.
        table: PathBuf,
        /// The pipeline.
        pipeline: String,
    },
    /// The folder is there but holds something else.
    #[error("{path} holds something that is no table of pinflow ({what}); name another folder or move it away")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The table belongs to another pipeline.
    #[error("{path} belongs to pipeline `{theirs}`, this one is `{ours}`: use its name or another folder")]
    Pipeline {
        /// The table.
        path: PathBuf,
        /// The pipeline named in the table.
        theirs: String,
        /// The pipeline named in the configuration.
        ours: String,
    },
    /// The table's columns are not those of the contract.
    #[error("{path}: {what}; restore the columns, or write to another folder")]
    Schema {
        /// The table.
        path: PathBuf,
        /// The first difference.
        what: String,
    },
    /// The table asks more of its readers and writers than pinflow and its other readers can do.
    #[error("{path} needs Delta reader {reader} / writer {writer}; pinflow writes reader 1 / writer 2 only")]
    Protocol {
        /// The table.
        path: PathBuf,
        /// Reader version.
        reader: i64,
        /// Writer version.
        writer: i64,
    },
    /// A property under which positions or rows would silently vanish.
    #[error("{path}: property {property} must not be set: {why}; unset it")]
    Property {
        /// The table.
        path: PathBuf,
        /// The property's name.
        property: String,
        /// What it would do.
        why: &'static str,
    },
    /// Rows, but no positions: not written by pinflow, or its log was cut.
    #[error(
        "{path} holds rows but no positions, so where to resume is unknown; restore it, or write to another folder"
    )]
    NoPositions {
        /// The table.
        path: PathBuf,
    },
    /// Some tables of the pipeline are there and others are not.
    #[error(
        "{path} is missing or new while other tables of the pipeline hold rows; restore it from a backup, or move all four away"
    )]
    Missing {
        /// The table.
        path: PathBuf,
    },
    /// The log is no longer the one this process has written to.
    #[error(
        "{path} was removed, re-created or rolled back while pinflow was writing to it (version {version}: {what}); nothing was written since"
    )]
    Replaced {
        /// The table.
        path: PathBuf,
        /// The last version this process knows.
        version: u64,
        /// What is there instead.
        what: &'static str,
    },
    /// A commit of another writer after which the table holds other rows than pinflow has written.
    #[error(
        "{path}: another writer has changed its rows ({commit}): it {fault}. Nothing was written since. {}", undo_hint(*before)
    )]
    Altered {
        /// The table.
        path: PathBuf,
        /// What the commit says of itself.
        commit: String,
        /// The version before it.
        before: u64,
        /// What it did.
        fault: String,
    },
    /// Rows are missing, or are there that were not read.
    #[error(
        "{root}: the tables do not hold what was read: {what}. Rows were deleted, restored or added by another writer, or \
         commits were lost; `pinflow table {root} --verify` says more. Restore the tables; or, if rows were deleted on \
         purpose, `pinflow table {root} accept-deletion`"
    )]
    Law {
        /// The folder of the tables.
        root: PathBuf,
        /// Each partition, with what was read and what is there.
        what: String,
    },
    /// A commit that is no list of JSON lines.
    #[error(
        "{path} is torn ({what}), as after a loss of power; if it is the newest of its log, `pinflow table --repair` moves it away and its rows are read again, else restore it from a backup"
    )]
    Torn {
        /// The file.
        path: String,
        /// The line and the fault.
        what: String,
    },
    /// A checkpoint that cannot be read.
    #[error("read checkpoint {path}; if all JSON commits are still there, `pinflow table --repair` moves it away")]
    Checkpoint {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: ParquetError,
    },
    /// Commits are missing from the log.
    #[error("{path}: commit {version} is missing from the log; restore it from a backup")]
    Gap {
        /// The table.
        path: PathBuf,
        /// The version.
        version: u64,
    },
    /// The stored positions contradict themselves.
    #[error("{path}: the stored position of {key} is incomplete or out of range ({what})")]
    Position {
        /// The table.
        path: PathBuf,
        /// The partition's key.
        key: String,
        /// The field.
        what: String,
    },
    /// A stored row that the contract does not allow.
    #[error("{path}: {what}")]
    Row {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A data file that the log names and that is not there.
    #[error(
        "{path} is part of the table and is missing. If a compaction made it, `pinflow table --repair` puts back the files \
         that it was made from, as long as they are there; else restore it from a backup"
    )]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A data file that rows cannot be read from.
    #[error("read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: ParquetError,
    },
    /// A batch could not be made.
    #[error("encode rows of {table}")]
    Encode {
        /// The table.
        table: &'static str,
        /// Why.
        #[source]
        cause: ParquetError,
    },
    /// Storage failed while tables were being opened or read.
    #[error("{what} {path}")]
    Store {
        /// What was being done, as a verb.
        what: &'static str,
        /// Where.
        path: String,
        /// Why.
        #[source]
        cause: ObjectStoreError,
    },
    /// The file system failed while tables were being opened.
    #[error("{what} {path}")]
    Disk {
        /// What was being done, as a verb.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The Delta library failed.
    #[error("{what} {path}")]
    Library {
        /// What was being done, as a verb.
        what: &'static str,
        /// The table.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<DeltaTableError>,
    },
    /// The place of the tables cannot be reached, written or relied on.
    #[error(transparent)]
    Place(#[from] StorageError),
    /// An earlier commit was cancelled half-way; only a fresh start can tell what has landed.
    #[error("an earlier commit was cancelled half-way: open the tables again")]
    Abandoned,
    /// A thread or task of the sink has died.
    #[error("{what} ended without a result")]
    Died {
        /// Which.
        what: &'static str,
    },
}

impl DeltaError {
    /// Whether another writer has taken over: exit code 75.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self, DeltaError::Fenced { .. })
    }
}

/// What to do about another writer's commit.
fn undo_hint(before: u64) -> String {
    format!(
        "Restore version {before} of this table (RESTORE), and start again; or, if rows were deleted on purpose, start \
         again after `pinflow table PATH accept-deletion`"
    )
}

/// Arrow errors travel inside parquet errors, so that a caller sees one kind.
pub(crate) fn from_arrow(error: ArrowError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
