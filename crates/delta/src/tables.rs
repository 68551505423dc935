//! The four Delta tables as one sink. A window is committed to `rejected` first, then to the other three in parallel.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use deltalake::logstore::object_store::ObjectStore;
use futures::future::try_join_all;
use tokio::sync::{Semaphore, mpsc, watch};

use super::claim::{self, ClaimPolicy, SeenLedger};
use super::compact::{self, CompactionPolicy};
use super::encode::{DeltaEncoder, EncodedBatches};
use super::error::DeltaError;
use super::file::Compression;
use super::input::FileAt;
use super::law::{self, LedgerLaw};
use super::maintenance::{self, MaintenanceGrace};
use super::open;
use super::resume_state::{ledger_law, resume_state};
use super::rows::{self, ReadPurpose, StoredRows};
use super::schema::Table;
use super::table_state::TableState;
use pinflow_connect::sink::{
    PartitionReached, ResumeState, StoredCounts, StoredFile, StoredShare, TableStatus, Window, WrittenFile,
};
use pinflow_core::position::Epoch;
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::questions::ReadColumns;
use pinflow_storage::{Location, RetryLoop, StallStatus};

/// A run that is stopped has 18 seconds to commit its last window and to end maintenance.
const MAINTENANCE_GRACE: MaintenanceGrace =
    MaintenanceGrace { vacuums: Duration::from_secs(3), all: Duration::from_secs(8) };

/// Other processes of a cluster put files of later windows while this one is committed. If its commit waited for longer, a
/// vacuum could take those for files that nobody will commit. Much less than any retention.
const MAX_WAIT_BEFORE_VACUUM: Duration = Duration::from_secs(120);

/// Where the tables are and how they are written.
#[derive(Debug, Clone)]
pub struct TablesSettings {
    /// The folder of the four tables.
    pub root: Location,
    /// The pipeline to which the positions in the tables belong.
    pub pipeline: String,
    /// The compression of data files.
    pub compression: Compression,
    /// The number of commits to a table between two checkpoints of its log.
    pub checkpoint_commits: NonZeroU64,
    /// How small files are compacted in the background; `None` to leave them.
    pub compaction: Option<CompactionPolicy>,
    /// Hours for which files of older versions are kept before they are vacuumed; `None` keeps them forever.
    pub keep_hours: Option<NonZeroU32>,
    /// The most files of a table that its newest version does not refer to; `None` for no limit.
    pub keep_files_max: Option<NonZeroU32>,
    /// Shows what the tables are stalled on.
    pub stalls: StallStatus,
    /// When this process becomes the tables' writer.
    pub claim: ClaimPolicy,
}

impl TablesSettings {
    /// The default settings for tables at a location.
    #[must_use]
    pub fn new(root: impl Into<Location>, pipeline: String) -> TablesSettings {
        let (root, compression) = (root.into(), Compression::default());
        TablesSettings {
            root,
            pipeline,
            compression,
            checkpoint_commits: maintenance::CHECKPOINT_COMMITS,
            compaction: None,
            keep_hours: None,
            keep_files_max: None,
            stalls: StallStatus::default(),
            claim: ClaimPolicy::default(),
        }
    }
}

/// The open tables of a pipeline.
pub struct DeltaTables {
    states: Vec<TableState>,
    compression: Compression,
    checkpoint_commits: NonZeroU64,
    compaction: Option<CompactionPolicy>,
    keep: Option<compact::VacuumRetention>,
    /// Allows maintenance of one table at a time, to bound its memory.
    maintenance: Arc<Semaphore>,
    /// The files of the cleaned tables when they were opened.
    files_at_open: Vec<(Table, FileAt)>,
    /// What the tables must contain.
    law: LedgerLaw,
    stalls: StallStatus,
    /// The ledgers when the tables were opened, until the tables are claimed.
    unclaimed: Option<Vec<SeenLedger>>,
    /// The last epoch committed.
    epoch: Epoch,
    /// Whether no file of a later window can be old enough to be vacuumed.
    vacuums_may_start: bool,
    /// A commit is in progress, or was cancelled.
    is_committing: bool,
    status: watch::Sender<Vec<TableStatus>>,
}

/// What is read back by several processes.
pub(crate) struct SharedTableRows {
    /// The rows that this process reads.
    pub(crate) chunks: mpsc::Receiver<Result<StoredRows, DeltaError>>,
    /// What the others read.
    pub(crate) shares: Vec<StoredShare>,
    /// Takes how much the others have read.
    pub(crate) counts: mpsc::UnboundedSender<StoredCounts>,
}

impl DeltaTables {
    /// Opens the tables, or creates them, and becomes their only writer.
    ///
    /// Needs a runtime with several threads: the Delta library blocks on its own I/O.
    ///
    /// # Errors
    /// If a table is damaged, foreign, or belongs to another pipeline. Nothing was written to it then.
    pub async fn open(settings: TablesSettings) -> Result<(DeltaTables, ResumeState), DeltaError> {
        let opened = open::open_tables(&settings).await?;
        let resume = resume_state(&opened).await?;
        let files_at_open = opened.iter().filter(|opened| opened.writer.table != Table::Rejected);
        let files_at_open = files_at_open.flat_map(|opened| {
            let files = rows::newest_first(&opened.files).into_iter();
            files.map(|file| (opened.writer.table, file))
        });
        let files_at_open = files_at_open.collect();
        let law = ledger_law(&settings.root, &opened)?;
        let TablesSettings {
            compression,
            checkpoint_commits,
            compaction,
            keep_hours,
            keep_files_max,
            stalls,
            claim,
            ..
        } = settings;
        let keep = keep_hours.map(|hours| compact::VacuumRetention { hours: hours.get(), files_max: keep_files_max });
        let seen = || opened.iter().map(|opened| claim::seen_ledger(&opened.writer)).collect();
        let unclaimed = (claim == ClaimPolicy::AtFirstCommit).then(seen);
        let states: Vec<TableState> = opened.into_iter().map(|opened| TableState::new(opened, compression)).collect();
        let status = watch::Sender::new(states.iter().map(|state| state.status(0)).collect());
        Ok((
            DeltaTables {
                states,
                compression,
                checkpoint_commits,
                compaction,
                keep,
                maintenance: Arc::new(Semaphore::new(1)),
                files_at_open,
                law,
                stalls,
                unclaimed,
                epoch: 0,
                vacuums_may_start: true,
                is_committing: false,
                status,
            },
            resume,
        ))
    }

    /// As [`DeltaTables::open`], through another object store with the same root. For tests that inject faults.
    ///
    /// # Errors
    /// As [`DeltaTables::open`].
    pub async fn open_on(
        settings: TablesSettings,
        store: Arc<dyn ObjectStore>,
    ) -> Result<(DeltaTables, ResumeState), DeltaError> {
        DeltaTables::open(TablesSettings { root: settings.root.clone().with_store(store), ..settings }).await
    }

    /// An encoder for one worker.
    #[must_use]
    pub fn encoder(&self) -> DeltaEncoder {
        DeltaEncoder::new(self.compression)
    }

    /// What the tables are stalled on, such as a full disk; `None` while they are not.
    #[must_use]
    pub fn paused(&self) -> watch::Receiver<Option<String>> {
        self.stalls.subscribe()
    }

    /// Rows and files of the tables. Updated with each commit.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Vec<TableStatus>> {
        self.status.subscribe()
    }

    /// Every row that the cleaned tables contained when they were opened, in chunks and in no order, to rebuild the
    /// answers. A few chunks are decoded ahead, so memory is bounded. Ends with an error if the tables do not contain
    /// as many rows of each partition as were read of it.
    ///
    /// With [`DuplicatePolicy::Latest`] replaying a chunk leaves out rows that are known not to count, so that their
    /// texts are not interned. Some rows that do not count may remain.
    #[must_use]
    pub fn read_back(
        &self,
        duplicates: DuplicatePolicy,
        columns: &ReadColumns,
    ) -> mpsc::Receiver<Result<StoredRows, DeltaError>> {
        self.share_read_back(duplicates, columns, 0).chunks
    }

    /// As [`DeltaTables::read_back`], of which other processes read a part of the files.
    pub(crate) fn share_read_back(
        &self,
        duplicates: DuplicatePolicy,
        columns: &ReadColumns,
        others: usize,
    ) -> SharedTableRows {
        let mut shares = vec![StoredShare { files: Vec::new(), limits: self.law.limits() }; others];
        let mut own = Vec::new();
        for (number, (table, file)) in self.files_at_open.iter().enumerate() {
            let other = (number % (others + 1)).checked_sub(1);
            match other.and_then(|other| Some((other, self.name_in_table(*table, file)?))) {
                Some((other, name)) => shares[other].files.push(StoredFile { table: table.name().to_owned(), name }),
                None => own.push((*table, file.clone())),
            }
        }
        let chunks = rows::read_back(own, duplicates, columns, ReadPurpose::Rebuild);
        let (counts, counted) = mpsc::unbounded_channel();
        let chunks = law::check_while_reading(chunks, self.law.clone(), others, counted);
        SharedTableRows { chunks, shares, counts }
    }

    /// The path of a file within the folder of its table. `None` for a file elsewhere.
    fn name_in_table(&self, table: Table, file: &FileAt) -> Option<String> {
        let state = self.states.iter().find(|state| state.writer.table == table)?;
        Some(file.path.strip_prefix(&state.writer.log.folder).ok()?.to_str()?.to_owned())
    }

    /// Every row of the cleaned tables in `columns` after the last commit, and how many there are, otherwise as
    /// [`DeltaTables::read_back`]. Call it between commits.
    ///
    /// A compaction that is committed later does not matter: the files that it replaces are read, and a vacuum keeps them for
    /// [`TablesSettings::keep_hours`]. If a file is missing nevertheless, because `keep_files_max` is exceeded or another tool
    /// removed it, the rows end with [`DeltaError::MissingFile`].
    #[must_use]
    pub fn snapshot(
        &self,
        duplicates: DuplicatePolicy,
        columns: &ReadColumns,
    ) -> (u64, mpsc::Receiver<Result<StoredRows, DeltaError>>) {
        let (mut files, mut rows) = (Vec::new(), 0);
        let writers = self.states.iter().map(|state| &state.writer);
        for writer in writers.filter(|writer| rows::reads_table(writer.table, columns)) {
            let active = writer.active_files();
            rows += active.iter().map(|(_, rows)| rows).sum::<u64>();
            files.extend(active.into_iter().map(|(file, _)| (writer.table, file)));
        }
        (rows, rows::read_back(files, duplicates, columns, ReadPurpose::Fill))
    }

    /// Makes a window durable in all tables. Transient storage errors are retried.
    ///
    /// Dropping the future is as safe as a crash: what was committed is found at the next open. These tables then
    /// refuse further commits.
    ///
    /// # Errors
    /// [`DeltaError::Fenced`] if another writer has started. Other errors if a table was changed incompatibly.
    pub async fn commit(&mut self, window: Window<EncodedBatches>) -> Result<(), DeltaError> {
        self.begin_commit()?;
        let Window { epoch, cut_at, mut batches, reached, files: elsewhere, .. } = window;
        self.vacuums_may_start = cut_at.elapsed() < MAX_WAIT_BEFORE_VACUUM;
        let writers = self.states.iter().map(|state| {
            let table = state.writer.table;
            state.write_file(batches.iter_mut().filter_map(|worker| worker.take_group(table)).collect())
        });
        let own = try_join_all(writers.collect::<Vec<_>>()).await?;
        let mut files = self.sort_by_table(elsewhere)?;
        files.iter_mut().zip(own).for_each(|(files, own)| files.extend(own));
        self.commit_files(&files, &reached, epoch, false).await
    }

    /// Commits deferred positions, and ends maintenance. Call it at the end of a run.
    ///
    /// # Errors
    /// As [`DeltaTables::commit`].
    pub async fn finish(&mut self) -> Result<(), DeltaError> {
        self.begin_commit()?;
        self.commit_files(&[const { Vec::new() }; 4], &[], self.epoch, true).await?;
        for compaction in self.states.iter_mut().filter_map(|state| state.compaction.take()) {
            // An uncommitted compaction leaves no trace but a file that a vacuum removes.
            compaction.abort();
        }
        // The last window counts as durable only after this.
        let vacuums = self.states.iter_mut().filter_map(|state| state.vacuum.take()).collect();
        let checkpoints = self.states.iter_mut().filter_map(|state| state.checkpoint.take()).collect();
        maintenance::end_tasks(vacuums, checkpoints, MAINTENANCE_GRACE).await;
        Ok(())
    }

    /// Becomes the writer of the tables, if they did not change since they were opened. Retries while the storage
    /// cannot be read.
    async fn claim_tables(&mut self) -> Result<(), DeltaError> {
        let Some(seen) = self.unclaimed.take() else { return Ok(()) };
        let stalls = self.stalls.clone();
        for (state, seen) in self.states.iter_mut().zip(&seen) {
            let mut retry = RetryLoop::new(&stalls, state.writer.log.folder.display().to_string());
            while let Err(error) = claim::check_unchanged(&mut state.writer, *seen).await {
                let DeltaError::Store { what, cause, .. } = error else { return Err(error) };
                retry.back_off(what, &cause).await;
            }
        }
        claim::claim_tables(self.states.iter_mut().map(|state| &mut state.writer)).await?;
        // Another writer may have committed between the check and the fence.
        self.states.iter().zip(seen).try_for_each(|(state, seen)| claim::check_only_claimed(&state.writer, seen))
    }

    fn begin_commit(&mut self) -> Result<(), DeltaError> {
        if std::mem::replace(&mut self.is_committing, true) { Err(DeltaError::Abandoned) } else { Ok(()) }
    }

    /// The files of each table, in the order of the tables.
    fn sort_by_table(&self, files: Vec<WrittenFile>) -> Result<Vec<Vec<WrittenFile>>, DeltaError> {
        let mut sorted = vec![Vec::new(); self.states.len()];
        for file in files {
            let table = self.states.iter().position(|state| state.writer.table.name() == file.table);
            let table = table.ok_or_else(|| DeltaError::UnknownTable { table: file.table.clone() })?;
            sorted[table].push(file);
        }
        Ok(sorted)
    }

    async fn commit_files(
        &mut self,
        files: &[Vec<WrittenFile>],
        reached: &[PartitionReached],
        epoch: Epoch,
        last: bool,
    ) -> Result<(), DeltaError> {
        if self.unclaimed.is_some() {
            let has_news =
                |(state, files): (&TableState, &Vec<WrittenFile>)| !files.is_empty() || state.would_move(reached);
            if !self.states.iter().zip(files).any(has_news) {
                (self.epoch, self.is_committing) = (epoch, false);
                return Ok(());
            }
            self.claim_tables().await?;
        }
        let mut states = self.states.iter_mut().zip(files);
        // `rejected` alone and first: see `decide::resume_points`.
        if let Some((rejected, files)) = states.next() {
            rejected.commit(files, reached, epoch, last).await?;
        }
        let cleaned = states.map(|(state, files)| state.commit(files, reached, epoch, last));
        try_join_all(cleaned.collect::<Vec<_>>()).await?;
        for state in &mut self.states {
            state.start_checkpoint_if_due(self.checkpoint_commits.get(), &self.maintenance);
            if let Some(how) = self.compaction {
                state.update_compaction(how, self.compression, &self.maintenance).await;
            }
            if let Some(keep) = self.keep.filter(|_| self.vacuums_may_start) {
                state.start_vacuum_if_due(keep, &self.maintenance);
            }
        }
        (self.epoch, self.is_committing) = (epoch, false);
        self.status.send_replace(self.states.iter().map(|state| state.status(epoch)).collect());
        Ok(())
    }
}
