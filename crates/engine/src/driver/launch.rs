//! Starts an engine: workers, committer, driver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::question_changes::SnapshotRows;
use super::source_inputs::SourceInputs;
use super::start_barrier::StartBarrier;
use super::stored_inputs::StoredInputs;
use super::{DriverInputs, EngineDriver};
use crate::all_rejected::AllRejectedMonitor;
use crate::cluster::{
    FileCollector, FollowerSourceEvents, FollowerStoredRows, LeaderCluster, LeaderStart, StartedFollowers, start_links,
};
use crate::committer::{CommitTargets, run_committer};
use crate::memory::MEMORY_GRACE;
use crate::protocol::WindowBatches;
use crate::questions::{QuestionRegistry, RegistryPolicy};
use crate::scheduler::{EpochScheduler, SchedulerPolicy};
use crate::stop::{RunOutcome, STOP_DEADLINE, wait_for_stop_deadline};
use crate::text_sweeps::TextSweeps;
use crate::workers::{LocalWorkers, WorkerPool, WorkerSetup};
use crate::{EngineError, EngineMetrics, EngineSettings, EpochFrame, QuestionRequests, RunTotals};
use pinflow_connect::sink::{RawArchive, ResumeState, SharedReadBack, WindowSink};
use pinflow_connect::source::{DurableFrontier, SourceEvent};
use pinflow_dataflows::questions::ReadColumns;

/// The inputs and outputs of an engine.
pub struct Engine<S: WindowSink> {
    /// Limits and options.
    pub settings: EngineSettings,
    /// The other processes, if there are any. This one leads.
    pub cluster: Option<LeaderCluster>,
    /// The sink for rows.
    pub sink: S,
    /// The archive, which gets messages as received before their rows are committed.
    pub archive: Option<Box<dyn RawArchive>>,
    /// The state of the tables when the sink was opened.
    pub resume: ResumeState,
    /// Events of the sources. Closed when all sources have ended.
    pub events: mpsc::Receiver<SourceEvent>,
    /// How many times [`SourceEvent::BacklogRead`] will be sent: see [`pinflow_connect::source::SourceContext::backlog_readers`].
    pub backlogs: usize,
    /// How many times [`SourceEvent::StartsAnnounced`] will be sent: see
    /// [`pinflow_connect::source::SourceContext::expected_starts`].
    pub starts: usize,
    /// The durable position of each partition. The engine advances it, and sources watch it.
    pub durable_frontier: DurableFrontier,
    /// Requests to change the questions.
    pub question_requests: QuestionRequests,
    /// Becomes `true` when the run must stop.
    pub stop: watch::Receiver<bool>,
    /// Receives the passed epochs.
    pub frames: mpsc::Sender<EpochFrame>,
    /// Metrics of the run.
    pub metrics: Arc<EngineMetrics>,
}

impl<S: WindowSink> Engine<S> {
    /// Runs until every source has ended or a stop is requested, and everything that was read is answered and durable.
    ///
    /// # Errors
    /// [`EngineError`]. Committed rows are safe, and a new run resumes there.
    pub async fn run(self) -> Result<RunOutcome, EngineError> {
        let (paused, stop) = (self.sink.paused(), self.stop.clone());
        // The deadline is checked outside of everything that can block: a full disk, an unreachable bucket, a reader
        // that does not read. It applies even if the sources have already ended.
        let given_up = async {
            wait_for_stop_deadline(stop).await;
            // Read this before the branch runs: by then the run is dropped and its stall state is lost.
            paused.borrow().clone()
        };
        tokio::select! {
            outcome = self.run_to_end() => outcome,
            waits_for = given_up => Err(EngineError::StopDeadline { limit: STOP_DEADLINE, waits_for }),
        }
    }

    async fn run_to_end(mut self) -> Result<RunOutcome, EngineError> {
        let (event_sender, engine_events) = mpsc::unbounded_channel();
        let already = Arc::new(std::mem::take(&mut self.resume.already));
        let setup =
            WorkerSetup { settings: &self.settings, events: &event_sender, already: &already, metrics: &self.metrics };
        let is_cluster = self.cluster.is_some();
        let columns = ReadColumns::of_questions(&self.settings.questions);
        let others = self.cluster.as_ref().map_or(0, |cluster| cluster.links.len());
        let SharedReadBack { chunks, shares, counts } =
            self.sink.share_read_back(self.settings.graph_options.duplicates, &columns, others);
        let start = LeaderStart {
            questions: &self.settings.questions,
            already: &already,
            positions: &self.resume.positions,
            shares,
            stored_counts: counts,
        };
        let StartedWorkers { workers, files, follower_sources, follower_rows } =
            start_workers(&setup, &self.sink, self.cluster, start)?;
        let stored_rows = StoredInputs::new(chunks, follower_rows);
        let (all_workers, followers) = (workers.count(), workers.followers());
        // Set once: an engine runs once.
        let _ = self.metrics.paused.set(self.sink.paused());
        let _ = self.metrics.tables.set(self.sink.tables());
        let has_tables = self.sink.encoder().is_some();
        let (commits, to_commit) = mpsc::channel(self.settings.commit.windows_in_flight_max.max(1));
        let archives = self.archive.is_some();
        let metrics = Arc::clone(&self.metrics);
        let targets = CommitTargets { sink: self.sink, archive: self.archive, files };
        let committer = tokio::spawn(run_committer(targets, to_commit, event_sender.clone(), metrics));
        self.metrics.rebuild_total.store(self.resume.rows, Relaxed);
        let _ = self.metrics.prior.set(self.resume.prior);
        self.metrics.memory_max.store(self.settings.memory_max.unwrap_or(0), Relaxed);
        let sweeps =
            TextSweeps::new(self.settings.workers, self.settings.graph_options.duplicates, Arc::clone(&self.metrics));
        let questions = QuestionRegistry::new(
            registry_policy(&self.settings, all_workers, has_tables),
            self.settings.questions.clone(),
        );
        let policy = scheduler_policy(&self.settings, all_workers, has_tables, self.backlogs + followers);
        let driver = EngineDriver::<S> {
            scheduler: EpochScheduler::new(policy, Instant::now()),
            workers,
            commits,
            frames: self.frames,
            durable_frontier: self.durable_frontier,
            metrics: self.metrics,
            has_tables,
            archives,
            questions,
            fill_rows: SnapshotRows::default(),
            memory_max: self.settings.memory_max,
            resident: 0,
            partitions: BTreeMap::new(),
            sweeps,
            as_of: Timestamp::now(),
            stop: self.stop.clone(),
            is_unserved: false,
            totals: RunTotals::default(),
            all_rejected: AllRejectedMonitor::default(),
            // One source announces all of its partitions at once. Each follower says once that all of its sources have.
            start_barrier: StartBarrier::new(if is_cluster { self.starts + followers } else { 0 }),
            failure: None,
        };
        let inputs = DriverInputs {
            sources: SourceInputs::new(self.events, follower_sources),
            stored_rows,
            engine_events,
            question_requests: self.question_requests,
            stop: self.stop,
        };
        let (outcome, failure) = driver.run_until_finished(inputs).await?;
        committer
            .await
            .map_err(|panic| EngineError::Panicked { thread: "committer".to_owned(), message: panic.to_string() })?;
        failure.map_or(Ok(outcome), Err)
    }
}

/// The workers of a run, and what else comes from the followers.
struct StartedWorkers {
    workers: WorkerPool,
    /// Collects the files that followers put. `None` in a run of one process.
    files: Option<FileCollector>,
    follower_sources: FollowerSourceEvents,
    follower_rows: FollowerStoredRows,
}

/// Starts the workers of this process, and lets those of the other ones begin.
fn start_workers<S: WindowSink>(
    setup: &WorkerSetup<'_, WindowBatches<S>>,
    sink: &S,
    cluster: Option<LeaderCluster>,
    start: LeaderStart<'_>,
) -> Result<StartedWorkers, EngineError> {
    let WorkerSetup { settings, events, metrics, .. } = *setup;
    let encoders = (0..settings.workers).map(|_| sink.encoder()).collect();
    let Some(cluster) = cluster else {
        let workers = WorkerPool::new(LocalWorkers::start(setup, encoders, None)?, Vec::new());
        // Closed: there are no followers.
        let ((_, follower_sources), (_, follower_rows)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        return Ok(StartedWorkers { workers, files: None, follower_sources, follower_rows });
    };
    let (formed, links) = cluster.into_parts();
    let StartedFollowers { processes, files, source_events, stored_rows } =
        start_links(links, settings.workers, start, events, metrics);
    let workers = WorkerPool::new(LocalWorkers::start(setup, encoders, Some(formed))?, processes);
    Ok(StartedWorkers { workers, files: Some(files), follower_sources: source_events, follower_rows: stored_rows })
}

fn registry_policy(settings: &EngineSettings, workers: usize, has_tables: bool) -> RegistryPolicy {
    RegistryPolicy {
        workers,
        duplicates: settings.graph_options.duplicates,
        has_tables,
        limits: settings.question_limits,
    }
}

fn scheduler_policy(settings: &EngineSettings, workers: usize, has_tables: bool, backlogs: usize) -> SchedulerPolicy {
    SchedulerPolicy {
        workers,
        local_workers: settings.workers,
        epoch_length: settings.epoch,
        epoch_bytes_max: settings.epoch_bytes_max.saturating_mul(workers / settings.workers.max(1)),
        epochs_in_flight_max: settings.epochs_in_flight_max,
        commit: settings.commit,
        has_tables,
        backlogs,
        memory_max: settings.memory_max,
        memory_grace: MEMORY_GRACE,
    }
}
