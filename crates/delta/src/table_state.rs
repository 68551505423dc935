//! The state of one table during a run: its writer, positions that wait for a commit, and its maintenance.
//!
//! A position that moved without rows for this table is deferred to the table's next commit. It is committed at the
//! latest after [`MAX_DEFERRAL`] or [`MAX_DEFERRED_ROWS`]. Checkpoints, compaction and vacuum run in the background,
//! and are started only after a commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deltalake::parquet::errors::ParquetError;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use super::compact::{self, CompactionPolicy, CompactionStats};
use super::decide;
use super::error::DeltaError;
use super::file::Compression;
use super::group::{FileFormat, RowGroup};
use super::maintenance;
use super::open::OpenedTable;
use super::schema::Table;
use super::writer::TableWriter;
use pinflow_connect::sink::{PartitionReached, TableStatus, WrittenFile};
use pinflow_core::position::Epoch;

/// Time between two vacuums of a table.
const VACUUM_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// The longest time for which a position is deferred in a table that gets no rows.
const MAX_DEFERRAL: Duration = Duration::from_secs(60);
/// The most rows for which positions are deferred. A restart reads them again, and keeps their ids in memory meanwhile.
const MAX_DEFERRED_ROWS: u64 = 250_000;

/// One table of a running sink.
pub(crate) struct TableState {
    pub(crate) writer: TableWriter,
    format: FileFormat,
    /// Positions that moved without rows for this table, by partition key. They are stored with its next commit.
    deferred: BTreeMap<String, PartitionReached>,
    deferred_since: Option<Instant>,
    pub(crate) checkpoint: Option<JoinHandle<()>>,
    /// The version of the last checkpoint that was started.
    checkpointed: u64,
    rows: u64,
    files: u64,
    pub(crate) compaction: Option<JoinHandle<CompactionStats>>,
    /// The number of files after the last compaction.
    compacted: u64,
    /// Files that compactions removed from the table since the last vacuum.
    files_removed: u64,
    /// Another engine compacts this table, and that was logged.
    yields_to_other_engine: bool,
    pub(crate) vacuum: Option<JoinHandle<()>>,
    /// When a vacuum was last started.
    last_vacuum: Option<Instant>,
}

impl TableState {
    pub(crate) fn new(opened: OpenedTable, compression: Compression) -> TableState {
        let OpenedTable { writer, files, .. } = opened;
        let format = FileFormat::new(writer.table, compression);
        let rows = files.iter().filter_map(|file| file.rows).sum();
        let (checkpointed, files) = (writer.version, files.len() as u64);
        TableState {
            writer,
            format,
            deferred: BTreeMap::new(),
            deferred_since: None,
            checkpoint: None,
            checkpointed,
            rows,
            files,
            compaction: None,
            compacted: 0,
            files_removed: 0,
            yields_to_other_engine: false,
            vacuum: None,
            last_vacuum: None,
        }
    }

    /// The state of the table after the commit of `epoch`.
    pub(crate) fn status(&self, epoch: Epoch) -> TableStatus {
        let (table, version) = (self.writer.table.name(), self.writer.version);
        TableStatus { table, version, rows: self.rows, files: self.files, epoch }
    }

    /// Whether a position moves in this table.
    pub(crate) fn would_move(&self, reached: &[PartitionReached]) -> bool {
        !decide::positions_to_store(self.writer.table, &self.writer.ledger, reached).is_empty()
    }

    /// Joins what the workers encoded into one file, and puts it. No commit refers to it yet.
    pub(crate) async fn write_file(
        &self,
        encoded: Vec<Result<RowGroup, ParquetError>>,
    ) -> Result<Option<WrittenFile>, DeltaError> {
        self.writer.file_put().write_file(&self.format, self.writer.version, encoded).await
    }

    pub(crate) async fn commit(
        &mut self,
        files: &[WrittenFile],
        reached: &[PartitionReached],
        epoch: Epoch,
        last: bool,
    ) -> Result<(), DeltaError> {
        for moved in reached.iter().filter(|moved| self.writer.table.accepts(moved.stream_hint)) {
            self.deferred.insert(moved.key.clone(), moved.clone());
        }
        let waiting: Vec<_> = self.deferred.values().cloned().collect();
        let moves = decide::positions_to_store(self.writer.table, &self.writer.ledger, &waiting);
        if files.is_empty() {
            if moves.is_empty() {
                self.deferred.clear();
                return Ok(());
            }
            let since = *self.deferred_since.get_or_insert_with(Instant::now);
            let behind =
                |moved: &PartitionReached| moved.reached.rows.saturating_sub(self.writer.ledger.rows_read(&moved.key));
            // The first position of a partition is never deferred: its source reads nothing before it is durable.
            let begins = |moved: &PartitionReached| {
                moved.reached.rows == 0
                    && self.writer.ledger.next_position(&moved.key).is_none()
                    && self.writer.table != Table::Rejected
            };
            let begun = moves.iter().any(begins);
            if !last
                && !begun
                && since.elapsed() < MAX_DEFERRAL
                && moves.iter().map(behind).sum::<u64>() < MAX_DEFERRED_ROWS
            {
                return Ok(());
            }
        }
        self.writer.commit(files, &moves, epoch).await?;
        self.files += files.len() as u64;
        self.rows += files.iter().map(|file| file.rows).sum::<u64>();
        self.deferred.clear();
        self.deferred_since = None;
        Ok(())
    }

    /// Applies the result of a finished compaction, and starts the next one if there are enough files.
    pub(crate) async fn update_compaction(
        &mut self,
        how: CompactionPolicy,
        compression: Compression,
        one: &Arc<Semaphore>,
    ) {
        if let Some(done) = self.compaction.take_if(|compaction| compaction.is_finished()) {
            let CompactionStats { files_before, files_after, .. } = done.await.unwrap_or_default();
            self.files = self.files.saturating_sub((files_before - files_after) as u64);
            self.compacted = self.files;
            self.files_removed += files_before as u64;
        }
        if self.has_foreign_compaction() {
            return;
        }
        if self.compaction.is_none() && self.files >= self.compacted + how.min_files as u64 {
            let (log, table) = (self.writer.log.clone(), self.writer.table);
            self.compaction =
                Some(maintenance::spawn(maintenance::compact(log, table, compression, how, Arc::clone(one))));
        }
    }

    /// Whether another engine compacts this table. Then pinflow does not, because concurrent compactions can duplicate
    /// rows. Logged once.
    fn has_foreign_compaction(&mut self) -> bool {
        let Some(commit) = &self.writer.foreign_compaction else { return false };
        if !std::mem::replace(&mut self.yields_to_other_engine, true) {
            tracing::warn!(
                table = self.writer.table.name(),
                "another engine compacts this table ({commit}), so pinflow stops compacting it in this run: two engines that do so at \
                 the same time duplicate rows. Set compact = false under [tables], or stop the other one"
            );
        }
        true
    }

    /// Starts a vacuum if it is due. Called only directly after a commit: then no file of ours waits for its commit,
    /// however long a storage fault delayed it.
    pub(crate) fn start_vacuum_if_due(&mut self, keep: compact::VacuumRetention, one: &Arc<Semaphore>) {
        let busy = self.vacuum.as_ref().is_some_and(|vacuum| !vacuum.is_finished());
        let too_many = keep.files_max.is_some_and(|max| self.files_removed > u64::from(max.get()));
        if !busy && (too_many || self.last_vacuum.is_none_or(|last_vacuum| last_vacuum.elapsed() >= VACUUM_INTERVAL)) {
            self.last_vacuum = Some(Instant::now());
            self.files_removed = 0;
            let (log, table) = (self.writer.log.clone(), self.writer.table);
            self.vacuum = Some(maintenance::spawn(maintenance::vacuum(log, table, keep, Arc::clone(one))));
        }
    }

    /// Starts a checkpoint in the background if it is due. It is of a version that no longer changes, so commits need
    /// not wait for it.
    pub(crate) fn start_checkpoint_if_due(&mut self, commits: u64, one: &Arc<Semaphore>) {
        let busy = self.checkpoint.as_ref().is_some_and(|checkpoint| !checkpoint.is_finished());
        let version = self.writer.version;
        if !busy && version / commits > self.checkpointed / commits {
            self.checkpointed = version;
            let (log, table) = (self.writer.log.clone(), self.writer.table);
            self.checkpoint = Some(maintenance::spawn(maintenance::checkpoint(log, table, version, Arc::clone(one))));
        }
    }
}

/// Aborts maintenance, as if the process had died.
impl Drop for TableState {
    fn drop(&mut self) {
        let begun = [
            self.checkpoint.as_ref().map(JoinHandle::abort_handle),
            self.compaction.as_ref().map(JoinHandle::abort_handle),
            self.vacuum.as_ref().map(JoinHandle::abort_handle),
        ];
        begun.iter().flatten().for_each(AbortHandle::abort);
    }
}
