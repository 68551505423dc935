//! The driver: the engine's I/O around its scheduler. It waits for events, passes them to the scheduler, and carries out the
//! commands that the scheduler returns. It makes no decision itself.

mod contents;
mod intake;
mod launch;
mod output;
mod question_changes;
mod source_inputs;
mod start_barrier;
mod stored_inputs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use self::contents::EnginePayload;
use self::question_changes::SnapshotRows;
use self::source_inputs::SourceInputs;
use self::start_barrier::StartBarrier;
use self::stored_inputs::StoredInputs;
use super::all_rejected::{AllRejected, AllRejectedMonitor};
use super::memory::{HeldMemory, resident_bytes};
use super::partition_state::PartitionState;
use super::protocol::{CommitRequest, EngineEvent, GivenWork, WindowBatches};
use super::questions::QuestionRegistry;
use super::scheduler::{AllowedInput, EpochScheduler, SchedulerCommand, SchedulerEvent};
use super::stop::RunOutcome;
use super::text_sweeps::TextSweeps;
use super::workers::{EpochClose, WorkerPool};
use super::{EngineError, EngineMetrics, EpochFrame, QuestionRequests, RunTotals};
use pinflow_connect::sink::WindowSink;
use pinflow_connect::source::DurableFrontier;
use pinflow_core::position::{Epoch, PartitionId};

pub use launch::Engine;

/// The channels that the driver waits for.
struct DriverInputs<S: WindowSink> {
    /// Events of the sources.
    sources: SourceInputs,
    /// Rows read back from the tables.
    stored_rows: StoredInputs,
    /// Events of workers and the committer.
    engine_events: mpsc::UnboundedReceiver<EngineEvent<WindowBatches<S>>>,
    /// Requests to change the questions.
    question_requests: QuestionRequests,
    /// Becomes `true` when the run must stop.
    stop: watch::Receiver<bool>,
}

/// The result of one turn of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TurnEnd {
    GoOn,
    Finished,
}

struct EngineDriver<S: WindowSink> {
    scheduler: EpochScheduler<EnginePayload<S>>,
    workers: WorkerPool,
    commits: mpsc::Sender<CommitRequest<S>>,
    frames: mpsc::Sender<EpochFrame>,
    durable_frontier: DurableFrontier,
    metrics: Arc<EngineMetrics>,
    has_tables: bool,
    archives: bool,
    questions: QuestionRegistry,
    /// Rows of the tables for the question that fills.
    fill_rows: SnapshotRows,
    memory_max: Option<u64>,
    /// The last measurement, in bytes.
    resident: u64,
    partitions: BTreeMap<PartitionId, PartitionState>,
    sweeps: TextSweeps,
    /// When the last shown epoch was closed.
    as_of: Timestamp,
    stop: watch::Receiver<bool>,
    /// Whether serving has stopped receiving frames.
    is_unserved: bool,
    totals: RunTotals,
    all_rejected: AllRejectedMonitor,
    start_barrier: StartBarrier,
    /// The failure that ends the run, either at once or after everything that was read is durable.
    failure: Option<EngineError>,
}

impl<S: WindowSink> EngineDriver<S> {
    /// Runs until everything is read, shown and durable. With an outcome, the [`EngineError`] is a failure after which the
    /// run still finished what it had read.
    async fn run_until_finished(
        mut self,
        mut inputs: DriverInputs<S>,
    ) -> Result<(RunOutcome, Option<EngineError>), EngineError> {
        let (mut is_stop_known, mut may_request) = (false, true);
        loop {
            let (allowed_input, deadline) = (self.allowed_input(), self.scheduler.next_deadline());
            let may_fill = self.scheduler.may_take_fill_rows();
            let handled = tokio::select! {
                biased;
                event = inputs.engine_events.recv() => {
                    self.on_engine_event(event.expect("a sender outlives the driver"))
                }
                changed = inputs.stop.changed(), if !is_stop_known => {
                    is_stop_known = true;
                    // A closed channel can no longer request a stop.
                    if changed.is_ok() { self.schedule_event(SchedulerEvent::StopRequested); }
                    Ok(())
                }
                request = inputs.question_requests.receiver.recv(), if may_request => {
                    may_request = request.is_some();
                    self.on_question_request(request);
                    Ok(())
                }
                chunk = self.fill_rows.next_chunk(), if may_fill && self.fill_rows.is_reading() => {
                    self.on_fill_rows(chunk);
                    Ok(())
                }
                chunk = inputs.stored_rows.recv(), if allowed_input == AllowedInput::StoredRows => self.on_stored_rows(chunk),
                event = inputs.sources.recv(), if allowed_input == AllowedInput::SourceEvents => self.on_source_input(event),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Ok(()),
            };
            if let Err(error) = handled {
                self.failure = Some(error);
                self.schedule_event(SchedulerEvent::Failed);
            }
            if self.end_turn().await? == TurnEnd::Finished {
                return Ok(self.finish_run(&mut inputs.engine_events).await);
            }
        }
    }

    /// What may be taken now: nothing before all workers have started. A short run could otherwise close its last epoch
    /// earlier, and then no sweep of unused texts could begin in it.
    fn allowed_input(&self) -> AllowedInput {
        if self.workers.have_started() { self.scheduler.allowed_input() } else { AllowedInput::Nothing }
    }

    fn schedule_event(&mut self, event: SchedulerEvent<GivenWork>) {
        self.scheduler.handle_event(event, Instant::now());
    }

    /// Carries out the commands that follow from the events of this turn and from the time.
    async fn end_turn(&mut self) -> Result<TurnEnd, EngineError> {
        if self.do_commands().await? == TurnEnd::Finished {
            return Ok(TurnEnd::Finished);
        }
        self.change_questions();
        self.measure_memory();
        let (can_sweep, fills) = (self.sweeps.can_begin(), self.questions.is_walking());
        self.schedule_event(SchedulerEvent::Tick { can_sweep, fills });
        let turn_end = self.do_commands().await?;
        // A question that begins after the end of a window begins before any record of the next one.
        self.change_questions();
        Ok(turn_end)
    }

    fn measure_memory(&mut self) {
        if self.scheduler.memory_check_at().is_none_or(|at| Instant::now() < at) {
            return;
        }
        // A worker may mark its rows shortly after their epoch has passed.
        self.sweeps.on_frontier(self.scheduler.frontier());
        // The limit is the same for each process of a cluster.
        self.resident = resident_bytes().unwrap_or(0).max(self.metrics.peers.max_resident());
        self.schedule_event(SchedulerEvent::MemoryMeasured { resident: self.resident });
        self.metrics.memory_is_over.store(self.scheduler.memory_is_over(), Relaxed);
        self.relieve_memory();
    }

    fn on_engine_event(&mut self, event: EngineEvent<WindowBatches<S>>) -> Result<(), EngineError> {
        match event {
            EngineEvent::WorkerStarted { worker, thread } => self.workers.set_started(worker, thread),
            EngineEvent::EpochRead { epoch, read, counts, batches } => {
                let (rows, _) = self.scheduler.in_flight_mut(epoch);
                rows.counts.merge(&counts);
                rows.batches.extend(batches);
                for (partition, read) in read {
                    *rows.read.entry(partition).or_default() += read;
                }
                self.schedule_event(SchedulerEvent::EpochRead { epoch });
            }
            EngineEvent::AnswersChanged { epoch, changes } => {
                self.scheduler.in_flight_mut(epoch).1.changes.extend(changes);
            }
            EngineEvent::FillProgressed { worker, epoch, progress } => {
                self.questions.record_progress(worker, epoch, progress);
            }
            EngineEvent::SnapshotTaken { question, snapshot } => self.begin_reading(question, snapshot),
            EngineEvent::FrontierAdvanced { frontier } => {
                self.sweeps.on_frontier(frontier);
                self.schedule_event(SchedulerEvent::FrontierAdvanced { frontier });
            }
            EngineEvent::WindowDurable { epoch } => self.schedule_event(SchedulerEvent::WindowDurable { epoch }),
            EngineEvent::CommitFailed(error) | EngineEvent::PeerEnded(error) => return Err(error),
            EngineEvent::ThreadPanicked { thread, message } => return Err(EngineError::Panicked { thread, message }),
        }
        Ok(())
    }

    async fn do_commands(&mut self) -> Result<TurnEnd, EngineError> {
        while let Some(command) = self.scheduler.next_command() {
            match command {
                SchedulerCommand::GiveWork { worker, work } => self.workers.give_work(worker, work),
                SchedulerCommand::CloseEpoch { epoch, ends_window, sweep_demanded } => {
                    self.close_epoch(epoch, ends_window, sweep_demanded);
                }
                SchedulerCommand::PassEpoch { epoch, closed_at, rows } => {
                    self.metrics.graph_times.observe(closed_at.elapsed());
                    self.pass_epoch(epoch, rows);
                }
                SchedulerCommand::CommitWindow { last_epoch, is_last } => self.commit_window(last_epoch, is_last).await,
                SchedulerCommand::ShowEpoch { epoch, ends_window, answers } => {
                    self.show_epoch(epoch, ends_window, answers).await;
                }
                SchedulerCommand::SettleWindow { contents } => self.settle_window(&contents),
                SchedulerCommand::ShowDurable => self.show_durable().await,
                SchedulerCommand::WarnOfMemory => {
                    let held = self.held_memory();
                    tracing::warn!("sources pause: {held}. Unused texts are freed, and the open window is committed");
                }
                SchedulerCommand::EndForMemory => {
                    self.failure = Some(EngineError::Memory(Box::new(self.held_memory())));
                }
                SchedulerCommand::Finish => return Ok(TurnEnd::Finished),
                SchedulerCommand::Abort => return Err(self.failure.take().expect("a failure was reported")),
            }
        }
        Ok(TurnEnd::GoOn)
    }

    fn close_epoch(&mut self, epoch: Epoch, ends_window: bool, sweep_demanded: bool) {
        self.scheduler.in_flight_mut(epoch).1.as_of = Timestamp::now();
        let sweep = self.sweeps.begin_sweep(epoch, sweep_demanded);
        let fill_step = self.scheduler.fill_step();
        self.workers.close_epoch(epoch, &EpochClose { ends_window, sweep, sweep_demanded, fill_step });
        if ends_window {
            self.scheduler.window_of_mut(epoch).cut_at = Some(std::time::Instant::now());
            self.questions.on_window_end(epoch);
        }
    }

    /// The current memory use by component.
    fn held_memory(&self) -> HeldMemory {
        let (texts, bytes) = pinflow_dataflows::symbol::held_texts();
        HeldMemory {
            resident: self.resident,
            max: self.memory_max.unwrap_or(0),
            texts: pinflow_dataflows::graph::StateSize { records: texts, bytes },
            sizes: self.metrics.graph_sizes(),
            window: self.scheduler.window_bytes() as u64,
            blocks: self.scheduler.open_bytes() as u64,
        }
    }

    async fn finish_run(
        mut self,
        engine_events: &mut mpsc::UnboundedReceiver<EngineEvent<WindowBatches<S>>>,
    ) -> (RunOutcome, Option<EngineError>) {
        self.all_rejected.judge_remaining_sources().iter().for_each(AllRejected::log_warning);
        self.send_frame(EpochFrame { last: true, ..self.last_frame() }).await;
        self.workers.end(self.scheduler.is_stopped()).await;
        if self.failure.is_none() {
            self.sweeps.finish(self.scheduler.frontier()).await;
        }
        engine_events.close();
        let counts = self.metrics.counts.lock().clone();
        let (stopped, epoch) = (self.scheduler.is_stopped(), self.scheduler.shown_epoch());
        let stopped_by_peer = stopped && self.metrics.stopped_by_peer.load(Relaxed);
        let totals = RunTotals { counts, ..self.totals };
        (RunOutcome { totals, stopped, epoch, stopped_by_peer }, self.failure)
    }
}
