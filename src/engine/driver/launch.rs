//! Starts an engine: workers, committer, driver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{DriverInputs, EngineDriver};
use crate::archive::Archive;
use crate::engine::all_rejected::AllRejectedWatch;
use crate::engine::committer::supervise_commits;
use crate::engine::memory::MEMORY_GRACE;
use crate::engine::scheduler::{Scheduler, SchedulerPolicy};
use crate::engine::stop::{Outcome, STOP_DEADLINE, stop_deadline};
use crate::engine::text_sweeps::TextSweeps;
use crate::engine::workers::start_workers;
use crate::engine::{EngineError, Frame, Gauges, Settings, Totals};
use crate::sinks::{Resume, Sink};
use crate::sources::{DurableFrontier, Event};

/// What an engine is connected to.
pub struct Engine<S: Sink> {
    /// How it runs.
    pub settings: Settings,
    /// Where rows go.
    pub sink: S,
    /// Where messages go as they were received, before their rows are committed; nowhere if absent.
    pub archive: Option<Archive>,
    /// What the tables held when it was opened.
    pub resume: Resume,
    /// What sources send; ends when all of them have ended.
    pub events: mpsc::Receiver<Event>,
    /// How many times [`Event::BacklogRead`] will be said: see [`crate::sources::Feed::backlogs`].
    pub backlogs: usize,
    /// Where sources see how far they are durable.
    pub durable_frontier: DurableFrontier,
    /// Turns `true` when the run is to stop.
    pub stop: watch::Receiver<bool>,
    /// Where passed epochs go.
    pub frames: mpsc::Sender<Frame>,
    /// Figures for a progress line.
    pub gauges: Arc<Gauges>,
}

impl<S: Sink> Engine<S> {
    /// Runs until every source has ended or a stop is asked for, and everything read is answered and durable.
    ///
    /// # Errors
    /// [`EngineError`]: what failed. Everything committed stays; a new run resumes there.
    pub async fn run(self) -> Result<Outcome, EngineError> {
        let (paused, stop) = (self.sink.paused(), self.stop.clone());
        // The deadline stands outside of everything that can wait: a full disk, a bucket that is away, a reader that
        // takes nothing. Whether the sources have ended by themselves makes no difference.
        let given_up = async {
            stop_deadline(stop).await;
            // Here, and not behind the arrow: the run is dropped before that, and then waits for nothing.
            paused.borrow().clone()
        };
        tokio::select! {
            outcome = self.run_to_end() => outcome,
            waits_for = given_up => Err(EngineError::StopDeadline { limit: STOP_DEADLINE, waits_for }),
        }
    }

    async fn run_to_end(self) -> Result<Outcome, EngineError> {
        let (reports, engine_events) = mpsc::unbounded_channel();
        let workers =
            start_workers(&self.settings, &self.sink, &reports, &Arc::new(self.resume.already), &self.gauges)?;
        // Set once: an engine runs once.
        let _ = self.gauges.paused.set(self.sink.paused());
        let _ = self.gauges.tables.set(self.sink.tables());
        let stored_rows = self.sink.read_back();
        let has_tables = self.sink.encoder().is_some();
        let (commits, to_commit) = mpsc::channel(self.settings.commit.windows_in_flight_max.max(1));
        let archives = self.archive.is_some();
        let gauges = Arc::clone(&self.gauges);
        let committer = tokio::spawn(supervise_commits(self.sink, self.archive, to_commit, reports.clone(), gauges));
        self.gauges.rebuild_total.store(self.resume.rows, Relaxed);
        let _ = self.gauges.prior.set(self.resume.prior);
        self.gauges.memory_max.store(self.settings.memory_max.unwrap_or(0), Relaxed);
        let sweeps =
            TextSweeps::new(self.settings.workers, self.settings.questions.duplicates, Arc::clone(&self.gauges));
        let policy = scheduler_policy(&self.settings, has_tables, self.backlogs);
        let driver = EngineDriver::<S> {
            scheduler: Scheduler::new(policy, Instant::now()),
            workers,
            commits,
            frames: self.frames,
            durable_frontier: self.durable_frontier,
            gauges: self.gauges,
            has_tables,
            archives,
            memory_max: self.settings.memory_max,
            resident: 0,
            partitions: BTreeMap::new(),
            sweeps,
            as_of: Timestamp::now(),
            stop: self.stop.clone(),
            is_unserved: false,
            totals: Totals::default(),
            all_rejected: AllRejectedWatch::default(),
            failure: None,
        };
        let inputs = DriverInputs { source_events: self.events, stored_rows, engine_events, stop: self.stop };
        let (outcome, failure) = driver.run(inputs).await?;
        committer
            .await
            .map_err(|panic| EngineError::Panicked { thread: "committer".to_owned(), message: panic.to_string() })?;
        failure.map_or(Ok(outcome), Err)
    }
}

fn scheduler_policy(settings: &Settings, has_tables: bool, backlogs: usize) -> SchedulerPolicy {
    SchedulerPolicy {
        workers: settings.workers,
        epoch_length: settings.epoch,
        epoch_bytes_max: settings.epoch_bytes_max,
        epochs_in_flight_max: settings.epochs_in_flight_max,
        commit: settings.commit,
        has_tables,
        backlogs,
        memory_max: settings.memory_max,
        memory_grace: MEMORY_GRACE,
    }
}
