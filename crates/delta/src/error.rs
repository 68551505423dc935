//! Errors of the Delta tables.

use std::path::PathBuf;

use deltalake::DeltaTableError;
use deltalake::ObjectStoreError;
use deltalake::arrow::error::ArrowError;
use deltalake::parquet::errors::ParquetError;

use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_storage::StorageError;

/// Why tables cannot be opened, read or written. While a run writes, transient storage errors such as a full disk are
/// retried, and are not returned.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// A column of an answer cannot be a column of a Delta table.
    #[error(
        "[answers.delta] answer `{answer}`: column {column:?} cannot be stored, because {what}; name it with AS, or \
         remove [answers.delta]"
    )]
    AnswerColumn {
        #[allow(missing_docs)]
        answer: String,
        #[allow(missing_docs)]
        column: String,
        /// Why not.
        what: &'static str,
    },
    /// Two tables of answers would share a folder.
    #[error(
        "[answers.delta] answer `{answer}`: another answer's table has the folder `{folder}` already; rename the question"
    )]
    AnswerFolder {
        #[allow(missing_docs)]
        answer: String,
        #[allow(missing_docs)]
        folder: String,
    },
    /// Another writer of this pipeline has started. The process must end with exit code 75.
    #[error("{table}: another pinflow has taken over pipeline `{pipeline}`; this one stops")]
    Fenced {
        /// The table in which it was found.
        table: PathBuf,
        /// The pipeline.
        pipeline: String,
    },
    /// The folder exists and is not a table of pinflow.
    #[error("{path} is not a table of pinflow ({what}); choose another folder or move it away")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What it contains.
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
    /// A later pinflow has written the table.
    #[error(
        "{path} was written by a later pinflow, in format {format}; this one knows formats up to {}: use that one",
        crate::TABLE_FORMAT
    )]
    Format {
        /// The table.
        path: PathBuf,
        /// Its property `pinflow.format`.
        format: String,
    },
    /// The table needs a protocol that pinflow does not support.
    #[error("{path} needs Delta reader {reader} / writer {writer}; pinflow writes reader 1 / writer 2 only")]
    Protocol {
        /// The table.
        path: PathBuf,
        /// Reader version.
        reader: i64,
        /// Writer version.
        writer: i64,
    },
    /// A table property that would silently remove positions or rows.
    #[error("{path}: property {property} must not be set: {why}; unset it")]
    Property {
        /// The table.
        path: PathBuf,
        /// The property's name.
        property: String,
        /// What it would do.
        why: &'static str,
    },
    /// The table has rows but no positions: it was not written by pinflow, or its log was truncated.
    #[error(
        "{path} has rows but no positions, so pinflow cannot tell where to resume; restore it, or write to another folder"
    )]
    NoPositions {
        /// The table.
        path: PathBuf,
    },
    /// Some tables of the pipeline exist, and others do not.
    #[error(
        "{path} is missing or new while other tables of the pipeline hold rows; restore it from a backup, or move all four away"
    )]
    Missing {
        /// The table.
        path: PathBuf,
    },
    /// The log is no longer the one that this process has written to.
    #[error(
        "{path} was removed, re-created or rolled back while pinflow was writing to it (version {version}: {what}); nothing was written since"
    )]
    Replaced {
        /// The table.
        path: PathBuf,
        /// The last version this process knows.
        version: u64,
        /// What was found instead.
        what: &'static str,
    },
    /// After a commit of another writer, the table contains other rows than pinflow has written.
    #[error(
        "{path}: another writer has changed its rows ({commit}): it {fault}. Nothing was written since. {}", undo_hint(*before)
    )]
    Altered {
        /// The table.
        path: PathBuf,
        /// The commit, described.
        commit: String,
        /// The version before it.
        before: u64,
        /// What it did.
        fault: String,
    },
    /// The tables lack rows that were read, or contain rows that were not.
    #[error(
        "{root}: the tables do not hold what was read: {what}. Rows were deleted, restored or added by another writer, or \
         commits were lost; `pinflow table {root} --verify` says more. Restore the tables; or, if rows were deleted on \
         purpose, `pinflow table {root} accept-deletion`"
    )]
    Law {
        /// The folder of the tables.
        root: PathBuf,
        /// Each partition with the number of rows read and found.
        what: String,
    },
    /// A commit that is not a list of JSON lines.
    #[error(
        "{path} is torn ({what}), as after a power loss; if it is the newest of its log, `pinflow table --repair` moves it away and its rows are read again, else restore it from a backup"
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
    /// A stored position is incomplete or invalid.
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
    /// A data file of the table does not exist.
    #[error(
        "{path} is part of the table and is missing. If a compaction made it, `pinflow table --repair` puts back the files \
         that it was made from, as long as they are there; else restore it from a backup"
    )]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A data file cannot be read.
    #[error("read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: ParquetError,
    },
    /// Rows could not be encoded.
    #[error("encode rows of {table}")]
    Encode {
        /// The table.
        table: &'static str,
        /// Why.
        #[source]
        cause: ParquetError,
    },
    /// A request to the storage failed.
    #[error("{what} {path}")]
    Store {
        /// The operation, as a verb.
        what: &'static str,
        /// Where.
        path: String,
        /// Why.
        #[source]
        cause: ObjectStoreError,
    },
    /// A file system operation failed.
    #[error("{what} {path}")]
    Disk {
        /// The operation, as a verb.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// An operation of the Delta library failed.
    #[error("{what} {path}")]
    Library {
        /// The operation, as a verb.
        what: &'static str,
        /// The table.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<DeltaTableError>,
    },
    /// The location of the tables cannot be reached, written, or does not have the needed guarantees.
    #[error(transparent)]
    Place(#[from] StorageError),
    /// An earlier commit was cancelled. Its outcome is known only after the tables are opened again.
    #[error("an earlier commit was cancelled: open the tables again")]
    Abandoned,
    /// A thread or task ended without a result.
    #[error("{what} ended without a result")]
    Died {
        /// What it did.
        what: &'static str,
    },
    /// Another process of the cluster has written a file for a table that this one does not have.
    #[error(
        "another process of the cluster wrote a file for the table `{table}`, which this version does not know; run the same version everywhere"
    )]
    UnknownTable {
        #[allow(missing_docs)]
        table: String,
    },
}

impl UserError for DeltaError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            DeltaError::Fenced { .. } => ExitStatus::Fenced,
            DeltaError::AnswerColumn { .. } | DeltaError::AnswerFolder { .. } => ExitStatus::BadUsage,
            DeltaError::Place(error) => error.exit_code(),
            _ => ExitStatus::Failed,
        }
    }
}

impl DeltaError {
    /// Whether another writer has taken over: exit code 75.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self, DeltaError::Fenced { .. })
    }
}

/// What the user can do about a commit of another writer.
fn undo_hint(before: u64) -> String {
    format!(
        "Restore version {before} of this table (RESTORE), and start again; or, if rows were deleted on purpose, start \
         again after `pinflow table PATH accept-deletion`"
    )
}

/// Wraps an Arrow error in a parquet error, so that callers handle one type.
pub(crate) fn from_arrow(error: ArrowError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
