//! The four tables as one sink: a window goes to `rejected` first, then to the other three at once.

use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use deltalake::logstore::object_store::ObjectStore;
use deltalake::parquet::errors::ParquetError;
use futures::future::try_join_all;
use pinflow_dataflows::symbol::Symbol;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tokio::time::timeout;

use super::claim::{self, Claim, SeenLedger};
use super::compact::{self, Compacted, Compaction};
use super::decide;
use super::encode::{Batches, DeltaEncoder};
use super::error::DeltaError;
use super::file::{self, Compression, DataFile};
use super::group::{Format, RowGroup};
use super::input::FileAt;
use super::law::{self, LedgerLaw, PartitionRows};
use super::maintain;
use super::open::{self, Opened};
use super::rows::{self, StoredRows};
use super::schema::Table;
use super::writer::TableWriter;
use pinflow_connect::sink::{PartitionReached, Resume, TableStatus, Window};
use pinflow_core::position::{Epoch, Position};
use pinflow_storage::{Location, RetryLoop, StallStatus};

/// Between two sweeps of a table.
const SWEEP_EVERY: Duration = Duration::from_secs(6 * 3600);
/// How long the end of a run waits for a sweep.
const SWEEP_FAREWELL: Duration = Duration::from_secs(3);
/// A position may lag behind in a table that got no rows for this long.
const RIDE_MAX: Duration = Duration::from_secs(60);
/// Or for this many rows: what a restart reads again, and remembers while it does, stays small.
const RIDE_ROWS_MAX: u64 = 250_000;

/// Where the tables are and how they are written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the four tables lie.
    pub root: Location,
    /// Names this pipeline's positions in the tables.
    pub pipeline: String,
    /// How data files are compressed.
    pub compression: Compression,
    /// Commits to a table from one checkpoint of its log to the next.
    pub checkpoint_commits: NonZeroU64,
    /// Whether, and how, small files are joined beside the run.
    pub compaction: Option<Compaction>,
    /// Files to which no version of so many hours refers are removed beside the run; kept for ever without it.
    pub keep_hours: Option<NonZeroU32>,
    /// Files of a table that its newest version does not refer to, at the most; without a bound otherwise.
    pub keep_files_max: Option<NonZeroU32>,
    /// Where it is told what is waited for.
    pub pauses: StallStatus,
    /// When this process becomes the tables' writer.
    pub claim: Claim,
}

impl Settings {
    /// The usual settings for tables in a place, or a folder.
    #[must_use]
    pub fn new(root: impl Into<Location>, pipeline: String) -> Settings {
        let (root, compression) = (root.into(), Compression::default());
        Settings {
            root,
            pipeline,
            compression,
            checkpoint_commits: maintain::CHECKPOINT_COMMITS,
            compaction: None,
            keep_hours: None,
            keep_files_max: None,
            pauses: StallStatus::default(),
            claim: Claim::default(),
        }
    }
}

/// The opened tables.
pub struct Tables {
    lanes: Vec<Lane>,
    compression: Compression,
    checkpoint_commits: NonZeroU64,
    compaction: Option<Compaction>,
    keep: Option<compact::Retention>,
    /// One table at a time is looked after: what that takes of memory is taken once.
    upkeep: Arc<Semaphore>,
    /// What the cleaned tables held at open.
    held: Vec<(Table, FileAt)>,
    /// What they should hold.
    law: LedgerLaw,
    pauses: StallStatus,
    /// What the ledgers said at the open, until the tables are claimed.
    unclaimed: Option<Vec<SeenLedger>>,
    /// The last epoch committed.
    epoch: Epoch,
    /// A commit is under way, or was cancelled half-way.
    under_way: bool,
    status: watch::Sender<Vec<TableStatus>>,
}

/// One table with what is still to be said to it.
struct Lane {
    writer: TableWriter,
    format: Format,
    /// Positions that moved without rows for this table; they ride on its next commit.
    riding: BTreeMap<String, PartitionReached>,
    riding_since: Option<Instant>,
    checkpoint: Option<JoinHandle<()>>,
    /// The version of the last checkpoint made or begun.
    checkpointed: u64,
    rows: u64,
    files: u64,
    compaction: Option<JoinHandle<Compacted>>,
    /// Files when they were last compacted.
    compacted: u64,
    /// Files that compactions have taken out since the last sweep.
    taken_out: u64,
    /// Another engine compacts, and that was said.
    left_to_others: bool,
    sweep: Option<JoinHandle<()>>,
    /// When a sweep was last begun.
    swept: Option<Instant>,
}

impl Tables {
    /// Opens the tables, or creates them, and becomes their only writer.
    ///
    /// Needs a runtime with several threads: the Delta library blocks on its own I/O.
    ///
    /// # Errors
    /// Whatever is wrong with a table, before anything was written to it.
    pub async fn open(settings: Settings) -> Result<(Tables, Resume), DeltaError> {
        let opened = open::open(&settings).await?;
        let resume = resume(&opened).await?;
        let held = opened.iter().filter(|opened| opened.writer.table != Table::Rejected);
        let held = held.flat_map(|opened| opened.files.iter().map(|file| (opened.writer.table, file.at.clone())));
        let held = held.collect();
        let law = ledger_law(&settings.root, &opened)?;
        let Settings { compression, checkpoint_commits, compaction, keep_hours, keep_files_max, pauses, claim, .. } =
            settings;
        let keep = keep_hours.map(|hours| compact::Retention { hours: hours.get(), files_max: keep_files_max });
        let seen = || opened.iter().map(|opened| claim::seen_ledger(&opened.writer)).collect();
        let unclaimed = (claim == Claim::AtFirstCommit).then(seen);
        let lanes: Vec<Lane> = opened.into_iter().map(|opened| Lane::new(opened, compression)).collect();
        let status = watch::Sender::new(lanes.iter().map(Lane::status).collect());
        Ok((
            Tables {
                lanes,
                compression,
                checkpoint_commits,
                compaction,
                keep,
                upkeep: Arc::new(Semaphore::new(1)),
                held,
                law,
                pauses,
                unclaimed,
                epoch: 0,
                under_way: false,
                status,
            },
            resume,
        ))
    }

    /// As [`Tables::open`], through another object store with the same root. For tests that inject faults.
    ///
    /// # Errors
    /// As [`Tables::open`].
    pub async fn open_on(settings: Settings, store: Arc<dyn ObjectStore>) -> Result<(Tables, Resume), DeltaError> {
        Tables::open(Settings { root: settings.root.clone().with_store(store), ..settings }).await
    }

    /// An encoder for one worker.
    #[must_use]
    pub fn encoder(&self) -> DeltaEncoder {
        DeltaEncoder::new(self.compression)
    }

    /// What the sink waits for (a full disk, …), in words; `None` while it does not.
    #[must_use]
    pub fn paused(&self) -> watch::Receiver<Option<String>> {
        self.pauses.subscribe()
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
    /// These `Tables` then refuse further work.
    ///
    /// # Errors
    /// [`DeltaError::Fenced`] when another writer has started; else when a table is no longer what it was.
    pub async fn commit(&mut self, window: Window<Batches>) -> Result<(), DeltaError> {
        self.begin()?;
        let Window { epoch, mut batches, reached, .. } = window;
        let writers = self.lanes.iter().map(|lane| {
            let table = lane.writer.table;
            lane.write(batches.iter_mut().filter_map(|worker| worker.take(table)).collect())
        });
        let files = try_join_all(writers.collect::<Vec<_>>()).await?;
        self.commit_files(&files, &reached, epoch, false).await
    }

    /// Commits positions that still ride, and waits for maintenance. The end of a run.
    ///
    /// # Errors
    /// As [`Tables::commit`].
    pub async fn finish(&mut self) -> Result<(), DeltaError> {
        self.begin()?;
        self.commit_files(&[const { None }; 4], &[], self.epoch, true).await?;
        for compaction in self.lanes.iter_mut().filter_map(|lane| lane.compaction.take()) {
            // What is not committed yet is as if it had not begun.
            compaction.abort();
        }
        for mut sweep in self.lanes.iter_mut().filter_map(|lane| lane.sweep.take()) {
            // Runs that last a minute sweep, too; what one does not get done the next one finds.
            if timeout(SWEEP_FAREWELL, &mut sweep).await.is_err() {
                sweep.abort();
            }
        }
        for checkpoint in self.lanes.iter_mut().filter_map(|lane| lane.checkpoint.take()) {
            // It has reported its own failure.
            let _ = checkpoint.await;
        }
        Ok(())
    }

    /// Becomes the tables' writer, if they are what they were at the open. Waits while the storage cannot be read.
    async fn claim(&mut self) -> Result<(), DeltaError> {
        let Some(seen) = self.unclaimed.take() else { return Ok(()) };
        let pauses = self.pauses.clone();
        for (lane, seen) in self.lanes.iter_mut().zip(&seen) {
            let mut retry = RetryLoop::new(&pauses, lane.writer.log.folder.display().to_string());
            while let Err(error) = claim::check_unchanged(&mut lane.writer, *seen).await {
                let DeltaError::Store { what, cause, .. } = error else { return Err(error) };
                retry.back_off(what, &cause).await;
            }
        }
        claim::fence(self.lanes.iter_mut().map(|lane| &mut lane.writer)).await?;
        // Another writer can have slipped in between the look and the fence.
        self.lanes.iter().zip(seen).try_for_each(|(lane, seen)| claim::check_only_fenced(&lane.writer, seen))
    }

    fn begin(&mut self) -> Result<(), DeltaError> {
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
            let has_news = |(lane, file): (&Lane, &Option<DataFile>)| file.is_some() || lane.would_move(reached);
            if !self.lanes.iter().zip(files).any(has_news) {
                (self.epoch, self.under_way) = (epoch, false);
                return Ok(());
            }
            self.claim().await?;
        }
        let mut lanes = self.lanes.iter_mut().zip(files);
        // `rejected` alone and first: see `decide::resume`.
        if let Some((rejected, file)) = lanes.next() {
            rejected.commit(file.as_ref(), reached, epoch, last).await?;
        }
        let cleaned = lanes.map(|(lane, file)| lane.commit(file.as_ref(), reached, epoch, last));
        try_join_all(cleaned.collect::<Vec<_>>()).await?;
        for lane in &mut self.lanes {
            lane.maintain(self.checkpoint_commits.get(), &self.upkeep);
            if let Some(how) = self.compaction {
                lane.compact(how, self.compression, &self.upkeep).await;
            }
            if let Some(keep) = self.keep {
                lane.sweep(keep, &self.upkeep);
            }
        }
        (self.epoch, self.under_way) = (epoch, false);
        self.status.send_replace(self.lanes.iter().map(Lane::status).collect());
        Ok(())
    }
}

impl Lane {
    fn new(opened: Opened, compression: Compression) -> Lane {
        let Opened { writer, files, .. } = opened;
        let format = Format::new(writer.table, compression);
        let rows = files.iter().filter_map(|file| file.rows).sum();
        let (checkpointed, files) = (writer.version, files.len() as u64);
        Lane {
            writer,
            format,
            riding: BTreeMap::new(),
            riding_since: None,
            checkpoint: None,
            checkpointed,
            rows,
            files,
            compaction: None,
            compacted: 0,
            taken_out: 0,
            left_to_others: false,
            sweep: None,
            swept: None,
        }
    }

    fn status(&self) -> TableStatus {
        let (table, version) = (self.writer.table.name(), self.writer.version);
        TableStatus { table, version, rows: self.rows, files: self.files }
    }

    /// Whether a position moves in this table.
    fn would_move(&self, reached: &[PartitionReached]) -> bool {
        !decide::moves(self.writer.table, &self.writer.ledger, reached).is_empty()
    }

    /// Makes one file of what the workers encoded, and puts it. Nothing refers to it yet.
    async fn write(&self, encoded: Vec<Result<RowGroup, ParquetError>>) -> Result<Option<DataFile>, DeltaError> {
        if encoded.is_empty() {
            return Ok(None);
        }
        let format = self.format.clone();
        let join = move || file::join(&format, encoded.into_iter().collect::<Result<_, _>>()?);
        let joined = tokio::task::spawn_blocking(join).await;
        let joined = joined.map_err(|_| DeltaError::Died { what: "encoding rows" })?;
        let table = self.writer.table.name();
        let file = joined.map_err(|cause| DeltaError::Encode { table, cause })?;
        self.writer.put_file(&file).await?;
        Ok(Some(file))
    }

    async fn commit(
        &mut self,
        file: Option<&DataFile>,
        reached: &[PartitionReached],
        epoch: Epoch,
        last: bool,
    ) -> Result<(), DeltaError> {
        for moved in reached.iter().filter(|moved| self.writer.table.takes(moved.carries)) {
            self.riding.insert(moved.key.clone(), moved.clone());
        }
        let waiting: Vec<_> = self.riding.values().cloned().collect();
        let moves = decide::moves(self.writer.table, &self.writer.ledger, &waiting);
        if file.is_none() {
            if moves.is_empty() {
                self.riding.clear();
                return Ok(());
            }
            let since = *self.riding_since.get_or_insert_with(Instant::now);
            let behind =
                |moved: &PartitionReached| moved.reached.rows.saturating_sub(self.writer.ledger.rows(&moved.key));
            // Where a partition begins never rides: its source waits for it, and reads nothing before it is durable.
            let begins = |moved: &PartitionReached| {
                moved.reached.rows == 0
                    && self.writer.ledger.next(&moved.key).is_none()
                    && self.writer.table != Table::Rejected
            };
            let begun = moves.iter().any(begins);
            if !last && !begun && since.elapsed() < RIDE_MAX && moves.iter().map(behind).sum::<u64>() < RIDE_ROWS_MAX {
                return Ok(());
            }
        }
        self.writer.commit(file, &moves, epoch).await?;
        if let Some(file) = file {
            self.files += 1;
            self.rows += file.rows as u64;
        }
        self.riding.clear();
        self.riding_since = None;
        Ok(())
    }

    /// Takes up what joining files came to, and begins it again when there are many.
    async fn compact(&mut self, how: Compaction, compression: Compression, one: &Arc<Semaphore>) {
        if let Some(done) = self.compaction.take_if(|compaction| compaction.is_finished()) {
            let Compacted { files_before, files_after, .. } = done.await.unwrap_or_default();
            self.files = self.files.saturating_sub((files_before - files_after) as u64);
            self.compacted = self.files;
            self.taken_out += files_before as u64;
        }
        if self.has_foreign_compaction() {
            return;
        }
        if self.compaction.is_none() && self.files >= self.compacted + how.files_min as u64 {
            let (log, table) = (self.writer.log.clone(), self.writer.table);
            self.compaction = Some(maintain::begin(maintain::compact(log, table, compression, how, Arc::clone(one))));
        }
    }

    /// Whether another engine joins the files of this table: then pinflow does not, for two that do it at once leave rows
    /// twice. Says so once.
    fn has_foreign_compaction(&mut self) -> bool {
        let Some(commit) = &self.writer.foreign_compaction else { return false };
        if !std::mem::replace(&mut self.left_to_others, true) {
            tracing::warn!(
                table = self.writer.table.name(),
                "another engine compacts this table ({commit}), so pinflow does not any more in this run: two that do so at \
                 the same time leave rows twice. Set compact = false under [tables], or stop the other one"
            );
        }
        true
    }

    /// Removes what nobody needs when it is time. Only ever begun just after a commit: no file of ours waits for its own
    /// commit then, however long a full disk or a bucket that is away has kept them back.
    fn sweep(&mut self, keep: compact::Retention, one: &Arc<Semaphore>) {
        let busy = self.sweep.as_ref().is_some_and(|sweep| !sweep.is_finished());
        let too_many = keep.files_max.is_some_and(|max| self.taken_out > u64::from(max.get()));
        if !busy && (too_many || self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY)) {
            self.swept = Some(Instant::now());
            self.taken_out = 0;
            let (log, table) = (self.writer.log.clone(), self.writer.table);
            self.sweep = Some(maintain::begin(maintain::sweep(log, table, keep, Arc::clone(one))));
        }
    }

    /// Begins a checkpoint when it is time. Beside the commits: a checkpoint is of a version that no longer changes.
    fn maintain(&mut self, commits: u64, one: &Arc<Semaphore>) {
        let busy = self.checkpoint.as_ref().is_some_and(|checkpoint| !checkpoint.is_finished());
        let version = self.writer.version;
        if !busy && version / commits > self.checkpointed / commits {
            self.checkpointed = version;
            let (log, table) = (self.writer.log.clone(), self.writer.table);
            self.checkpoint = Some(maintain::begin(maintain::checkpoint(log, table, version, Arc::clone(one))));
        }
    }
}

/// Tables that are dropped are no longer looked after, as if the process had died.
impl Drop for Lane {
    fn drop(&mut self) {
        let begun = [
            self.checkpoint.as_ref().map(JoinHandle::abort_handle),
            self.compaction.as_ref().map(JoinHandle::abort_handle),
            self.sweep.as_ref().map(JoinHandle::abort_handle),
        ];
        begun.iter().flatten().for_each(AbortHandle::abort);
    }
}

/// What the tables should hold of each partition.
fn ledger_law(root: &Location, opened: &[Opened]) -> Result<LedgerLaw, DeltaError> {
    let (mut stored, mut rejected) = (Vec::new(), Vec::new());
    let mut deleted: HashMap<String, u64> = HashMap::new();
    for Opened { writer, files } in opened {
        stored.push((writer.table, writer.ledger.partitions().map_err(|fault| writer.unstorable(fault))?));
        writer.ledger.deleted().iter().for_each(|(key, rows)| *deleted.entry(key.clone()).or_default() += rows);
        if writer.table == Table::Rejected {
            rejected.extend(files.iter().map(|file| file.at.clone()));
        }
    }
    let partitions = decide::resume(&stored).into_iter().map(|(key, resumed)| {
        let (next, read) = resumed.at.map_or((Position::START, 0), |at| (at.reached.next, at.reached.rows));
        let deleted = deleted.get(&key).copied().unwrap_or(0);
        (Symbol::new(&resumed.source), PartitionRows { next, read, deleted, found: 0 })
    });
    Ok(LedgerLaw::new(root.name().to_owned(), partitions, rejected))
}

/// Where the partitions resume, from tables that only this process can move any more.
async fn resume(opened: &[Opened]) -> Result<Resume, DeltaError> {
    let mut stored = Vec::new();
    for Opened { writer, .. } in opened {
        stored.push((writer.table, writer.ledger.partitions().map_err(|fault| writer.unstorable(fault))?));
    }
    let mut resume = Resume::default();
    let mut ahead: HashMap<Table, Vec<(Symbol, Position)>> = HashMap::new();
    for (key, resumed) in decide::resume(&stored) {
        let least = resumed.at.as_ref().map_or(Position::START, |at| at.reached.next);
        for table in resumed.ahead {
            ahead.entry(table).or_default().push((Symbol::new(&resumed.source), least));
        }
        if let Some(at) = resumed.at {
            resume.prior.read += at.reached.rows;
            resume.positions.insert(key, at.reached);
        }
    }
    for Opened { writer, files } in opened {
        if writer.table == Table::Rejected {
            // As the status of the table counts them: files of other tools without statistics are left out.
            resume.prior.rejected = files.iter().filter_map(|file| file.rows).sum();
        } else {
            resume.rows += rows::count(files).await?;
        }
        if let Some(sources) = ahead.remove(&writer.table) {
            let files: Vec<_> = files.iter().map(|file| (file.at.clone(), file.stats.clone())).collect();
            let found = tokio::task::spawn_blocking(move || rows::at_or_after(&files, &sources)).await;
            resume.already.extend(found.map_err(|_| DeltaError::Died { what: "reading lineages" })??);
        }
    }
    Ok(resume)
}
