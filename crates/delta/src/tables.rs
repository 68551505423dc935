//! The four tables as one sink: a window goes to `rejected` first, then to the other three at once.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use deltalake::logstore::object_store::ObjectStore;
use futures::future::try_join_all;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::claim::{self, ClaimPolicy, SeenLedger};
use super::compact::{self, CompactionPolicy};
use super::encode::{DeltaEncoder, EncodedBatches};
use super::error::DeltaError;
use super::file::{Compression, DataFile};
use super::input::FileAt;
use super::law::{self, LedgerLaw};
use super::maintenance;
use super::open;
use super::resume_state::{ledger_law, resume_state};
use super::rows::{self, StoredRows};
use super::schema::Table;
use super::table_state::TableState;
use pinflow_connect::sink::{PartitionReached, ResumeState, TableStatus, Window};
use pinflow_core::position::Epoch;
use pinflow_storage::{Location, RetryLoop, StallStatus};

/// How long the end of a run waits for a vacuum.
const VACUUM_SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Where the tables are and how they are written.
#[derive(Debug, Clone)]
pub struct TablesSettings {
    /// Where the four tables lie.
    pub root: Location,
    /// Names this pipeline's positions in the tables.
    pub pipeline: String,
    /// How data files are compressed.
    pub compression: Compression,
    /// Commits to a table from one checkpoint of its log to the next.
    pub checkpoint_commits: NonZeroU64,
    /// Whether, and how, small files are joined beside the run.
    pub compaction: Option<CompactionPolicy>,
    /// Files to which no version of so many hours refers are removed beside the run; kept for ever without it.
    pub keep_hours: Option<NonZeroU32>,
    /// Files of a table that its newest version does not refer to, at the most; without a bound otherwise.
    pub keep_files_max: Option<NonZeroU32>,
    /// Where it is told what is waited for.
    pub stalls: StallStatus,
    /// When this process becomes the tables' writer.
    pub claim: ClaimPolicy,
}

impl TablesSettings {
    /// The usual settings for tables in a place, or a folder.
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

/// The opened tables.
pub struct DeltaTables {
    states: Vec<TableState>,
    compression: Compression,
    checkpoint_commits: NonZeroU64,
    compaction: Option<CompactionPolicy>,
    keep: Option<compact::VacuumRetention>,
    /// One table at a time is looked after: what that takes of memory is taken once.
    upkeep: Arc<Semaphore>,
    /// What the cleaned tables held at open.
    held: Vec<(Table, FileAt)>,
    /// What they should hold.
    law: LedgerLaw,
    stalls: StallStatus,
    /// What the ledgers said at the open, until the tables are claimed.
    unclaimed: Option<Vec<SeenLedger>>,
    /// The last epoch committed.
    epoch: Epoch,
    /// A commit is under way, or was cancelled half-way.
    under_way: bool,
    status: watch::Sender<Vec<TableStatus>>,
}

impl DeltaTables {
    /// Opens the tables, or creates them, and becomes their only writer.
    ///
    /// Needs a runtime with several threads: the Delta library blocks on its own I/O.
    ///
    /// # Errors
    /// Whatever is wrong with a table, before anything was written to it.
    pub async fn open(settings: TablesSettings) -> Result<(DeltaTables, ResumeState), DeltaError> {
        let opened = open::open_tables(&settings).await?;
        let resume = resume_state(&opened).await?;
        let held = opened.iter().filter(|opened| opened.writer.table != Table::Rejected);
        let held = held.flat_map(|opened| opened.files.iter().map(|file| (opened.writer.table, file.at.clone())));
        let held = held.collect();
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
        let status = watch::Sender::new(states.iter().map(TableState::status).collect());
        Ok((
            DeltaTables {
                states,
                compression,
                checkpoint_commits,
                compaction,
                keep,
                upkeep: Arc::new(Semaphore::new(1)),
                held,
                law,
                stalls,
                unclaimed,
                epoch: 0,
                under_way: false,
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

    /// What the sink waits for (a full disk, …), in words; `None` while it does not.
    #[must_use]
    pub fn paused(&self) -> watch::Receiver<Option<String>> {
        self.stalls.subscribe()
    }

    /// What the tables hold; changes with each commit.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Vec<TableStatus>> {
        self.status.subscribe()
    }

    /// Every row that the cleaned tables held at open, in chunks and in no order, to rebuild the answers from.
    /// A few chunks are decoded ahead; memory stays bounded. Ends with an error if the tables do not hold, for each
    /// partition, as many rows as were read of it.
    #[must_use]
    pub fn read_back(&self) -> mpsc::Receiver<Result<StoredRows, DeltaError>> {
        law::check_while_reading(rows::read_back(self.held.clone()), self.law.clone())
    }

    /// Makes a window durable in all tables. Waits inside for faults that may heal, and forgets nothing meanwhile.
    ///
    /// Cancelling it (dropping the future) is as safe as a crash: what has landed is found at the next open.
    /// These `DeltaTables` then refuse further work.
    ///
    /// # Errors
    /// [`DeltaError::Fenced`] when another writer has started; else when a table is no longer what it was.
    pub async fn commit(&mut self, window: Window<EncodedBatches>) -> Result<(), DeltaError> {
        self.begin_commit()?;
        let Window { epoch, mut batches, reached, .. } = window;
        let writers = self.states.iter().map(|state| {
            let table = state.writer.table;
            state.write_file(batches.iter_mut().filter_map(|worker| worker.take_group(table)).collect())
        });
        let files = try_join_all(writers.collect::<Vec<_>>()).await?;
        self.commit_files(&files, &reached, epoch, false).await
    }

    /// Commits positions that still ride, and waits for maintenance. The end of a run.
    ///
    /// # Errors
    /// As [`DeltaTables::commit`].
    pub async fn finish(&mut self) -> Result<(), DeltaError> {
        self.begin_commit()?;
        self.commit_files(&[const { None }; 4], &[], self.epoch, true).await?;
        for compaction in self.states.iter_mut().filter_map(|state| state.compaction.take()) {
            // What is not committed yet is as if it had not begun.
            compaction.abort();
        }
        for mut vacuum in self.states.iter_mut().filter_map(|state| state.vacuum.take()) {
            // Runs that last a minute vacuum, too; what one does not get done the next one finds.
            if timeout(VACUUM_SHUTDOWN_GRACE, &mut vacuum).await.is_err() {
                vacuum.abort();
            }
        }
        for checkpoint in self.states.iter_mut().filter_map(|state| state.checkpoint.take()) {
            // It has reported its own failure.
            let _ = checkpoint.await;
        }
        Ok(())
    }

    /// Becomes the tables' writer, if they are what they were at the open. Waits while the storage cannot be read.
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
        // Another writer can have slipped in between the look and the fence.
        self.states.iter().zip(seen).try_for_each(|(state, seen)| claim::check_only_claimed(&state.writer, seen))
    }

    fn begin_commit(&mut self) -> Result<(), DeltaError> {
        if std::mem::replace(&mut self.under_way, true) { Err(DeltaError::Abandoned) } else { Ok(()) }
    }

    async fn commit_files(
        &mut self,
        files: &[Option<DataFile>],
        reached: &[PartitionReached],
        epoch: Epoch,
        last: bool,
    ) -> Result<(), DeltaError> {
        if self.unclaimed.is_some() {
            let has_news =
                |(state, file): (&TableState, &Option<DataFile>)| file.is_some() || state.would_move(reached);
            if !self.states.iter().zip(files).any(has_news) {
                (self.epoch, self.under_way) = (epoch, false);
                return Ok(());
            }
            self.claim_tables().await?;
        }
        let mut states = self.states.iter_mut().zip(files);
        // `rejected` alone and first: see `decide::resume`.
        if let Some((rejected, file)) = states.next() {
            rejected.commit(file.as_ref(), reached, epoch, last).await?;
        }
        let cleaned = states.map(|(state, file)| state.commit(file.as_ref(), reached, epoch, last));
        try_join_all(cleaned.collect::<Vec<_>>()).await?;
        for state in &mut self.states {
            state.start_checkpoint_if_due(self.checkpoint_commits.get(), &self.upkeep);
            if let Some(how) = self.compaction {
                state.update_compaction(how, self.compression, &self.upkeep).await;
            }
            if let Some(keep) = self.keep {
                state.start_vacuum_if_due(keep, &self.upkeep);
            }
        }
        (self.epoch, self.under_way) = (epoch, false);
        self.status.send_replace(self.states.iter().map(TableState::status).collect());
        Ok(())
    }
}
