//! Writes one table: puts data files, and commits them with the positions that they cover.
//!
//! ```text
//! put file ─▶ catch up ─▶ decide ─Retry─▶ put ‹version+1›.json if absent ─Ok─▶ durable
//!                ▲           │                         │
//!                │           ├─Durable─▶ durable       │ anything else: unknown
//!                └───────────┼─────────────────────────┘
//!                            └─Fenced─▶ the process ends
//! ```
//!
//! 1. A commit is one file, put only if absent, at the version after the last one that was read. That is a
//!    compare-and-swap on the whole log.
//! 2. After an error, a panic or a timeout of that put, the log decides whether it succeeded. A late put loses against
//!    the retry, or the retry finds it: both have the same version and the same files.
//! 3. Commits of other writers in between are read. Appends and compactions are allowed. Another owner fences this
//!    writer, and another schema ends the run.

use std::sync::Arc;
use std::time::Duration;

use deltalake::ObjectStoreError;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, StructType};
use deltalake::logstore::object_store::PutMode;
use deltalake::protocol::{DeltaOperation, OutputMode};

use super::active::{ActiveRows, FileChanges};
use super::decide::{self, CommitOutcome};
use super::error::DeltaError;
use super::file;
use super::file_put::{FilePut, PutOutcome};
use super::input::FileAt;
use super::ledger::{InvalidTxn, PositionLedger, TxnIds, WriterIdentity};
use super::log::{CommitDigest, LogAction, LogCommit, TableLog, commit_digest};
use super::rows;
use super::schema::{self, Table};
use pinflow_connect::sink::{PartitionReached, WrittenFile};
use pinflow_core::position::{self, Epoch};
use pinflow_storage::{RetryLoop, StallStatus};

/// The writer of one table, and what it knows of the log.
pub(crate) struct TableWriter {
    pub(crate) table: Table,
    pub(crate) log: TableLog,
    pub(crate) ids: Arc<TxnIds>,
    pub(crate) pipeline: String,
    pub(crate) owner: WriterIdentity,
    pub(crate) stalls: StallStatus,
    /// The last version read or written.
    pub(crate) version: u64,
    /// The digest of its commit; `None` if log cleanup removed the commit.
    pub(crate) digest: Option<CommitDigest>,
    /// The id of the table. Another id means that the table was replaced.
    pub(crate) id: String,
    pub(crate) ledger: PositionLedger,
    /// The files of the table; `None` until it is open.
    pub(crate) active: Option<ActiveRows>,
    /// The first compaction by another engine since then, described.
    pub(crate) foreign_compaction: Option<String>,
}

impl TableWriter {
    /// The place of the table's files.
    pub(crate) fn file_put(&self) -> FilePut<'_> {
        FilePut { table: self.table, log: &self.log, stalls: &self.stalls }
    }

    /// Commits files (or none) with the positions that they cover. Returns when the commit is durable.
    pub(crate) async fn commit(
        &mut self,
        files: &[WrittenFile],
        moves: &[PartitionReached],
        epoch: Epoch,
    ) -> Result<(), DeltaError> {
        let number = self.ledger.commits + 1;
        let bytes = self.encode_commit(files, moves, epoch, number)?;
        let stalls = self.stalls.clone();
        let mut retry = RetryLoop::new(&stalls, self.log.folder.display().to_string());
        loop {
            match self.catch_up().await {
                Ok(()) => {}
                // Only a storage error is transient.
                Err(DeltaError::Store { what, cause, .. }) => {
                    retry.back_off(what, &cause).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            match decide::commit_outcome(self.owner, number, &self.ledger) {
                CommitOutcome::Durable => return Ok(()),
                CommitOutcome::Fenced => return Err(self.fenced_error()),
                CommitOutcome::Retry => {}
            }
            let location = self.log.commit_location(self.version + 1);
            match self.file_put().put_once(&location, bytes.clone(), PutMode::Create, "commit").await {
                PutOutcome::Done => return self.on_committed(&bytes),
                PutOutcome::Exists => {
                    // The commit is usually found at once. Do not spin if a read lags behind.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                PutOutcome::Unknown(cause) => retry.back_off("commit to", cause.as_ref()).await,
            }
        }
    }

    /// The data files of the last version that was read or written, newest first, each with the number of its rows.
    pub(crate) fn active_files(&self) -> Vec<(FileAt, u64)> {
        let files = self.active.iter().flat_map(ActiveRows::newest_first);
        let located = files.map(|(path, rows)| {
            let name = path.strip_prefix(&self.log.folder).unwrap_or(path).to_string_lossy();
            (FileAt::new(&self.log, &name), rows)
        });
        located.collect()
    }

    /// Encodes a commit with the types of the library.
    fn encode_commit(
        &self,
        files: &[WrittenFile],
        moves: &[PartitionReached],
        epoch: Epoch,
        number: u64,
    ) -> Result<bytes::Bytes, DeltaError> {
        let txns = self.ids.commit_actions(self.owner, number, moves).map_err(|error| self.invalid_txn_error(error))?;
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let actions = files.iter().map(|file| Action::Add(file::add_action(file, now_ms))).collect();
        let operation = DeltaOperation::StreamingUpdate {
            output_mode: OutputMode::Append,
            query_id: self.pipeline.clone(),
            epoch_id: i64::try_from(epoch).unwrap_or(i64::MAX),
        };
        // For users only. The positions are stored in the txn actions.
        let positions: serde_json::Map<String, serde_json::Value> =
            moves.iter().map(|moved| (moved.source.clone(), position::to_json(moved.reached.next))).collect();
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let metadata = [
            ("pinflow".to_owned(), serde_json::json!({ "positions": positions })),
            ("operationMetrics".to_owned(), serde_json::json!({ "numOutputRows": rows.to_string() })),
        ];
        let data = CommitData::new(actions, operation, metadata.into(), txns);
        data.get_bytes().map_err(|cause| DeltaError::Library {
            what: "encode a commit to",
            path: self.log.folder.clone(),
            cause: Box::new(cause.into()),
        })
    }

    /// Applies our own commit, given its bytes.
    fn on_committed(&mut self, bytes: &[u8]) -> Result<(), DeltaError> {
        let lines = bytes.split(|byte| *byte == b'\n').map(serde_json::from_slice);
        let lines: Vec<LogAction> =
            lines.collect::<Result<_, _>>().expect("the bytes were just encoded as lines of JSON");
        self.version += 1;
        self.digest = Some(commit_digest(bytes));
        self.apply_actions(&lines)?;
        let changes = self.own_changes(&lines);
        if let Some(active) = &mut self.active {
            active.apply_changes(changes);
        }
        Ok(())
    }

    /// The files that one of our own commits adds.
    fn own_changes(&self, lines: &[LogAction]) -> FileChanges {
        let added = lines.iter().filter_map(|line| line.add.as_ref());
        let added = added.filter_map(|add| Some((self.log.file_of_action(&add.path)?, add.row_count().unwrap_or(0))));
        FileChanges { removed: Vec::new(), added: added.collect() }
    }

    /// Reads the commits since the last known version, and checks that this version was not replaced.
    pub(crate) async fn catch_up(&mut self) -> Result<(), DeltaError> {
        if let Some(known) = self.digest {
            let replaced = |what| DeltaError::Replaced { path: self.log.folder.clone(), version: self.version, what };
            match self.log.read_commit(self.version).await? {
                None => return Err(replaced("its commit is gone")),
                Some(commit) if commit.digest != known => return Err(replaced("its commit is another one")),
                Some(_) => {}
            }
        }
        while let Some(commit) = self.log.read_commit(self.version + 1).await? {
            self.apply_actions(&commit.lines)?;
            self.check_rows(&commit).await?;
            self.version += 1;
            self.digest = Some(commit.digest);
        }
        Ok(())
    }

    /// Checks that a commit of another writer keeps the rows of the table, and notes if it is a compaction.
    async fn check_rows(&mut self, commit: &LogCommit) -> Result<(), DeltaError> {
        if self.active.is_none() {
            return Ok(());
        }
        let lines = &commit.lines;
        if lines.iter().filter_map(|line| line.txn.as_ref()).any(|txn| self.ids.is_of_writer(&txn.app_id)) {
            let changes = self.own_changes(lines);
            self.active.as_mut().and_then(|active| active.apply_changes(changes));
            return Ok(());
        }
        let changes = file_changes(&self.log, lines).await?;
        let fault = self.active.as_mut().and_then(|active| active.apply_changes(changes));
        let commit_text = commit.describe(self.version + 1);
        if let Some(fault) = fault {
            let (path, before) = (self.log.folder.clone(), self.version);
            return Err(DeltaError::Altered { path, commit: commit_text, before, fault: fault.to_string() });
        }
        if commit.is_foreign_compaction() {
            self.foreign_compaction.get_or_insert(commit_text);
        }
        Ok(())
    }

    fn apply_actions(&mut self, lines: &[LogAction]) -> Result<(), DeltaError> {
        for line in lines {
            if let Some(txn) = &line.txn {
                let applied = self.ids.apply_txn(&mut self.ledger, &txn.app_id, txn.version);
                applied.map_err(|error| self.invalid_txn_error(error))?;
            }
            if let Some(protocol) = line.protocol {
                check_protocol(&self.log, protocol.min_reader_version, protocol.min_writer_version)?;
            }
            if let Some(metadata) = &line.meta_data {
                if metadata.id != self.id {
                    let path = self.log.folder.clone();
                    return Err(DeltaError::Replaced { path, version: self.version, what: "its id is another one" });
                }
                let schema: StructType = serde_json::from_str(&metadata.schema_string).map_err(|error| {
                    DeltaError::Schema { path: self.log.folder.clone(), what: format!("unreadable schema: {error}") }
                })?;
                let properties = metadata.configuration.keys().map(String::as_str);
                check_metadata(&self.log, self.table, &schema, &metadata.partition_columns, properties)?;
            }
        }
        Ok(())
    }

    /// Tries once to make `owner` the owner of the table, and reads the log afterwards. The ledger says whether it
    /// succeeded. Returns the storage error that may have prevented it.
    pub(crate) async fn claim(&mut self, owner: WriterIdentity) -> Result<Option<ObjectStoreError>, DeltaError> {
        self.owner = owner;
        let bytes = self.encode_commit(&[], &[], 0, self.ledger.commits + 1)?;
        let location = self.log.commit_location(self.version + 1);
        let fault = match self.file_put().put_once(&location, bytes, PutMode::Create, "fence").await {
            PutOutcome::Done | PutOutcome::Exists => None,
            PutOutcome::Unknown(source) => Some(ObjectStoreError::Generic { store: "delta", source }),
        };
        self.catch_up().await?;
        Ok(fault)
    }

    pub(crate) fn fenced_error(&self) -> DeltaError {
        DeltaError::Fenced { table: self.log.folder.clone(), pipeline: self.pipeline.clone() }
    }

    pub(crate) fn invalid_txn_error(&self, error: InvalidTxn) -> DeltaError {
        DeltaError::Position { path: self.log.folder.clone(), key: error.key, what: error.what }
    }
}

/// The files that a commit removes and adds. Reads added files without statistics to count their rows.
async fn file_changes(log: &TableLog, lines: &[LogAction]) -> Result<FileChanges, DeltaError> {
    let unreadable = |name: &str| DeltaError::Foreign {
        path: log.folder.clone(),
        what: format!("a commit that names a file `{name}`"),
    };
    let mut changes = FileChanges::default();
    for line in lines {
        if let Some(removed) = &line.remove {
            changes.removed.push(log.file_of_action(&removed.path).ok_or_else(|| unreadable(&removed.path))?);
        }
        if let Some(added) = &line.add {
            let file = log.file_of_action(&added.path).ok_or_else(|| unreadable(&added.path))?;
            let rows = match added.row_count() {
                Some(rows) => rows,
                None => {
                    let name = file.strip_prefix(&log.folder).unwrap_or(&file).to_string_lossy().into_owned();
                    rows::count_rows(FileAt::new(log, &name)).await?
                }
            };
            changes.added.push((file, rows));
        }
    }
    Ok(changes)
}

/// Refuses a protocol that this writer does not support.
pub(crate) fn check_protocol(log: &TableLog, reader: i64, writer: i64) -> Result<(), DeltaError> {
    if reader == 1 && (1..=2).contains(&writer) {
        return Ok(());
    }
    Err(DeltaError::Protocol { path: log.folder.clone(), reader, writer })
}

/// Refuses columns, partitioning and properties with which rows or positions would be lost.
pub(crate) fn check_metadata<'a>(
    log: &TableLog,
    table: Table,
    schema: &StructType,
    partitions: &[String],
    properties: impl IntoIterator<Item = &'a str>,
) -> Result<(), DeltaError> {
    let path = || log.folder.clone();
    if let Some(what) = schema::schema_difference(table, schema) {
        return Err(DeltaError::Schema { path: path(), what });
    }
    if !partitions.is_empty() {
        return Err(DeltaError::Schema { path: path(), what: format!("partitioned by {}", partitions.join(", ")) });
    }
    let expires = "delta.setTransactionRetentionDuration";
    if properties.into_iter().any(|property| property == expires) {
        let why = "stored positions would expire, and rows would be written twice";
        return Err(DeltaError::Property { path: path(), property: expires.to_owned(), why });
    }
    Ok(())
}
