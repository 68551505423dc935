//! One worker: reads its blocks, feeds its share of the graph and its encoder, and closes epochs.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pinflow_dataflows::clean::StoredTexts;
use pinflow_dataflows::graph::{WorkerGraph, WorkerPlacement};
use pinflow_dataflows::ingest::{MessageParser, RowSink, StreamHint};
use pinflow_dataflows::introspection::WorkerLog;
use pinflow_dataflows::questions::QuestionId;
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::{Rejection, RejectionReason};
use timely::worker::Worker;
use tokio::sync::mpsc::UnboundedSender;

use super::protocol::{EngineEvent, ReadCounts, WorkerBlock, WorkerCommand};
use super::{EngineMetrics, EngineSettings};
use pinflow_connect::sink::{Redeliveries, RowEncoder, RowId, StoredChunk};
use pinflow_connect::source::{ArrivalTime, RecordRef, StreamRoute};
use pinflow_core::position::{Epoch, PartitionId};

/// The number of the first epoch.
const FIRST_EPOCH: Epoch = 1;
/// How often an idle worker wakes up.
const WORKER_PARK_TIMEOUT: Duration = Duration::from_secs(1);

/// What a worker thread starts with.
pub(super) struct WorkerInit<E: RowEncoder> {
    /// The number of the worker in this process.
    pub(super) index: usize,
    pub(super) commands: Receiver<WorkerCommand>,
    pub(super) events: UnboundedSender<EngineEvent<E::Batches>>,
    pub(super) encoder: Option<E>,
    pub(super) already: Arc<Redeliveries>,
    pub(super) metrics: Arc<EngineMetrics>,
}

/// Runs a worker until its commands end, and reports a panic instead of passing it on.
pub(super) fn run_worker<E: RowEncoder>(worker: &mut Worker, init: WorkerInit<E>, settings: &EngineSettings) {
    let events = init.events.clone();
    let index = init.index;
    let outcome = catch_unwind(AssertUnwindSafe(|| EngineWorker::new(worker, init, settings).run(worker)));
    if let Err(panic) = outcome {
        let message = panic_message(panic.as_ref());
        // The channel is closed only if the run is over.
        let _ = events.send(EngineEvent::ThreadPanicked { thread: format!("worker {index}"), message });
    }
}

/// The message of a panic.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let owned = panic.downcast_ref::<String>().cloned();
    owned
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no message".to_owned())
}

/// A worker on its thread.
struct EngineWorker<E: RowEncoder> {
    init: WorkerInit<E>,
    graph: WorkerGraph,
    ingest: MessageParser,
    /// Records of the open epoch whose time is too far in the future.
    times_ahead: u64,
    read: HashMap<PartitionId, ReadCounts>,
    text_bytes_max: usize,
    frontier: Epoch,
    log: Option<WorkerLog>,
}

impl<E: RowEncoder> EngineWorker<E> {
    fn new(worker: &mut Worker, init: WorkerInit<E>, settings: &EngineSettings) -> EngineWorker<E> {
        let log = init.metrics.worker_logs.get().map(|logs| {
            let log = WorkerLog::start(worker);
            logs.lock().push(log.clone());
            log
        });
        let events = init.events.clone();
        let progress_events = events.clone();
        let placement = match worker.peers() > settings.workers {
            true => WorkerPlacement::SeveralProcesses,
            false => WorkerPlacement::OneProcess,
        };
        let mut graph = WorkerGraph::install(
            worker,
            placement,
            FIRST_EPOCH,
            settings.graph_options,
            &settings.questions,
            move |epoch, changes| {
                let _ = events.send(EngineEvent::AnswersChanged { epoch, changes });
            },
            move |epoch, worker, progress| {
                let _ = progress_events.send(EngineEvent::FillProgressed { worker, epoch, progress });
            },
        );
        graph.set_clock(elapsed_nanos);
        graph.set_disposal(free_in_background);
        let thread = std::thread::current();
        let _ = init.events.send(EngineEvent::WorkerStarted { worker: init.index, thread: Some(thread) });
        let (limits, text_bytes_max) = (settings.limits, settings.limits.text_bytes_max);
        let ingest = MessageParser::new(limits);
        EngineWorker { init, graph, ingest, read: HashMap::new(), times_ahead: 0, text_bytes_max, frontier: 0, log }
    }

    fn run(mut self, worker: &mut Worker) {
        loop {
            match self.init.commands.try_recv() {
                Ok(command) => {
                    self.handle_command(command);
                    worker.step();
                }
                Err(TryRecvError::Empty) => {
                    worker.step_or_park(Some(WORKER_PARK_TIMEOUT));
                }
                Err(TryRecvError::Disconnected) => break,
            }
            self.report_frontier();
        }
        self.graph.close();
        while worker.has_dataflows() {
            worker.step_or_park(Some(WORKER_PARK_TIMEOUT));
        }
    }

    fn handle_command(&mut self, command: WorkerCommand) {
        match command {
            WorkerCommand::ReadBlock(block) => self.read_block(&block),
            WorkerCommand::ReplayStored(rows) => self.replay_stored(rows.as_ref()),
            WorkerCommand::AddQuestion { id, question, with_rows } => self.graph.add_question(id, &question, with_rows),
            WorkerCommand::FillRows { id, rows } => self.fill_rows(id, rows.as_ref()),
            WorkerCommand::BeginFill { id } => self.graph.begin_fill(id),
            WorkerCommand::DropQuestion { id } => self.graph.drop_question(id),
            WorkerCommand::CloseEpoch { epoch, ends_window, sweep, fill_step } => {
                self.graph.set_keys_per_epoch(fill_step);
                if let Some(sweep) = sweep {
                    self.graph.mark_after(epoch, sweep);
                }
                self.close_epoch(epoch, ends_window);
            }
        }
    }

    fn replay_stored(&mut self, rows: &dyn StoredChunk) {
        let texts = StoredTexts::new(self.text_bytes_max);
        let mut rebuild = AnswerRebuild { graph: &mut self.graph, texts };
        rows.replay(&mut rebuild);
        self.init.metrics.stored_texts_too_long.fetch_add(rebuild.texts.too_long, Relaxed);
    }

    /// Gives rows of the tables to a question that fills. They were counted when they were first read.
    fn fill_rows(&mut self, id: QuestionId, rows: &dyn StoredChunk) {
        let texts = StoredTexts::new(self.text_bytes_max);
        rows.replay(&mut QuestionRows { id, graph: &mut self.graph, texts });
    }

    fn read_block(&mut self, block: &WorkerBlock) {
        let WorkerBlock { source, stream_hint, .. } = *block;
        #[cfg(feature = "failpoints")]
        fail::fail_point!("engine::block");
        let mut rows = RowRouter {
            graph: &mut self.graph,
            encoder: self.init.encoder.as_mut(),
            already: &self.init.already,
            metrics: &self.init.metrics,
            read: ReadCounts::default(),
        };
        let (mut count, mut times_ahead) = (0, 0);
        // Messages with the same position are parts of one record, so the numbering of their rows continues.
        let (mut last, mut sub) = (None, 0);
        block.records.for_each(|RecordRef { payload, position, arrived_at, route }| {
            sub = if last == Some(position) { sub } else { 0 };
            last = Some(position);
            times_ahead += u64::from(arrived_at == ArrivalTime::TooFarAhead);
            let lineage = Lineage { arrived_at: arrived_at.known(), source, position, sub };
            let held = match route {
                StreamRoute::AsPartition => self.ingest.parse_message(stream_hint, payload, lineage, &mut rows),
                StreamRoute::To(stream) => {
                    self.ingest.parse_message(StreamHint::Only(stream), payload, lineage, &mut rows)
                }
                StreamRoute::Nowhere(why) => {
                    let rejection = Rejection { reason: RejectionReason::WrongStream, detail: why.to_owned() };
                    self.ingest.reject_message(&rejection, payload, lineage, &mut rows)
                }
            };
            sub += held;
            count += u64::from(held);
        });
        self.times_ahead += times_ahead;
        let read = ReadCounts { rows: count, ..rows.read };
        *self.read.entry(block.partition).or_default() += read;
    }

    fn close_epoch(&mut self, epoch: Epoch, ends_window: bool) {
        self.graph.advance_to(epoch + 1);
        let batches = if ends_window { self.init.encoder.as_mut().map(RowEncoder::cut) } else { None };
        let read = self.read.drain().collect();
        let mut counts = self.ingest.take_counts();
        counts.times_ahead = std::mem::take(&mut self.times_ahead);
        let _ = self.init.events.send(EngineEvent::EpochRead { epoch, read, counts, batches });
    }

    /// Only one worker of a process reports the frontier, because its probe sees that of all workers.
    fn report_frontier(&mut self) {
        let index = self.init.index;
        let frontier = self.graph.frontier();
        if frontier <= self.frontier {
            return;
        }
        self.frontier = frontier;
        let sizes = self.graph.sizes();
        self.init.metrics.record_question_usage(index, self.graph.question_usage());
        self.init.metrics.record_graph_sizes(index, sizes);
        if let Some(log) = &self.log {
            log.record_sizes(sizes);
        }
        if index == 0 {
            let _ = self.init.events.send(EngineEvent::FrontierAdvanced { frontier });
        }
    }
}

/// Routes a row: a projection into the graph, and the whole row into the encoder. Neither if a table already has it.
struct RowRouter<'a, E> {
    graph: &'a mut WorkerGraph,
    encoder: Option<&'a mut E>,
    already: &'a Redeliveries,
    metrics: &'a EngineMetrics,
    read: ReadCounts,
}

impl<E> RowRouter<'_, E> {
    fn is_redelivery(&mut self, lineage: Lineage) -> bool {
        // Only non-empty shortly after a crash.
        let redelivery = !self.already.is_empty() && self.already.contains(&RowId::from(lineage));
        self.read.redelivered += u64::from(redelivery);
        redelivery
    }
}

impl<E: RowEncoder> RowSink for RowRouter<'_, E> {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        if self.is_redelivery(lineage) {
            return;
        }
        self.graph.pin(lineage, row);
        if let Some(encoder) = &mut self.encoder {
            encoder.pin(lineage, row);
        }
    }

    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        if self.is_redelivery(lineage) {
            return;
        }
        self.graph.geo(lineage, row);
        if let Some(encoder) = &mut self.encoder {
            encoder.geo(lineage, row);
        }
    }

    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        if self.is_redelivery(lineage) {
            return;
        }
        self.graph.user(lineage, row);
        if let Some(encoder) = &mut self.encoder {
            encoder.user(lineage, row);
        }
    }

    fn rejected(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        if self.is_redelivery(lineage) {
            return;
        }
        self.read.rejected += 1;
        self.read.reasons.count_reason(rejection.reason);
        if let Some(log) = self.metrics.rejection_log.get() {
            log.record(lineage, stream, rejection, payload);
        }
        if let Some(encoder) = &mut self.encoder {
            encoder.rejected(lineage, stream, rejection, payload);
        }
    }
}

/// Adds rows from the tables to the answers only.
struct AnswerRebuild<'a> {
    graph: &'a mut WorkerGraph,
    texts: StoredTexts,
}

impl RowSink for AnswerRebuild<'_> {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.texts.bound_pin(row, |row| self.graph.pin(lineage, row));
    }
    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        self.texts.bound_geo(row, |row| self.graph.geo(lineage, row));
    }
    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        self.texts.bound_user(row, |row| self.graph.user(lineage, row));
    }
    fn rejected(&mut self, _: Lineage, _: Option<Stream>, _: &Rejection, _: &[u8]) {}
}

/// Gives rows from the tables to a question that fills.
struct QuestionRows<'a> {
    id: QuestionId,
    graph: &'a mut WorkerGraph,
    texts: StoredTexts,
}

impl RowSink for QuestionRows<'_> {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.texts.bound_pin(row, |row| self.graph.fill_pin(self.id, lineage, row));
    }
    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        self.texts.bound_geo(row, |row| self.graph.fill_geo(self.id, lineage, row));
    }
    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        self.texts.bound_user(row, |row| self.graph.fill_user(self.id, lineage, row));
    }
    fn rejected(&mut self, _: Lineage, _: Option<Stream>, _: &Rejection, _: &[u8]) {}
}

/// The niceness of threads that free the state of questions.
const FREEING_NICENESS: i32 = 10;

/// Frees the state of a dropped question on a thread of its own, which makes way for the run: of millions of groups or values
/// that takes seconds.
fn free_in_background(state: Box<dyn Send>) {
    // If no thread can be started, the closure is dropped here, and the state with it.
    let _ = std::thread::Builder::new().name("free question".to_owned()).spawn(move || {
        // It is only a wish.
        let _ = rustix::process::nice(FREEING_NICENESS);
        drop(state);
    });
}

/// Nanoseconds since this function was first called: the clock that times evaluations of questions.
fn elapsed_nanos() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}
