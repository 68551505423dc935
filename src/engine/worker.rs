//! One worker: reads the blocks it is handed, feeds its share of the graph and its encoder, closes epochs.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pinflow_dataflows::clean::StoredTexts;
use pinflow_dataflows::graph::{AnswerChange, WorkerGraph};
use pinflow_dataflows::ingest::{IngestCounts, MessageParser, RowSink, StreamHint};
use pinflow_dataflows::introspection::WorkerLog;
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::{Rejection, RejectionReason};
use pinflow_dataflows::symbol::{Symbol, SymbolSweep};
use timely::worker::Worker;
use tokio::sync::mpsc::UnboundedSender;

use super::all_rejected::RejectionCounts;
use super::{EngineError, Gauges, Settings};
use crate::position::{Epoch, PartitionId};
use crate::sinks::{Already, Delivery, Encoder, Stored};
use crate::sources::{ArrivalTime, Block, Entry, Route};

/// A worker that has nothing to do looks up this often even if nobody wakes it.
const PARK_MAX: Duration = Duration::from_secs(1);

/// What the conductor tells a worker, in the order it has to happen.
pub(super) enum Order {
    /// Read this block into the open epoch.
    Block { block: Block, source: Symbol, carries: StreamHint },
    /// Put these rows from the tables into the open epoch's answers.
    Stored(Box<dyn Stored>),
    /// The epoch is complete; `cut`: it is also the last of its window.
    /// `sweep`: mark the texts of the rows held at its end.
    Close { epoch: Epoch, cut: bool, sweep: Option<Arc<SymbolSweep>> },
}

/// What workers, and the committer, tell the conductor.
pub(super) enum Report<B> {
    /// A worker runs, and can be woken by this.
    Started { worker: usize, thread: std::thread::Thread },
    /// A worker has read everything of the epoch.
    Closed { epoch: Epoch, read: Vec<(PartitionId, Read)>, counts: IngestCounts, batches: Option<B> },
    /// Some of the answers' changes in an epoch.
    Changes { epoch: Epoch, changes: Vec<AnswerChange> },
    /// Every epoch below has passed the whole graph, and all its changes have been reported.
    Passed { below: Epoch },
    /// Everything up to this epoch is committed.
    Durable { epoch: Epoch },
    /// The committer gave up.
    CommitFailed(EngineError),
    /// A worker panicked.
    Panicked { thread: String, message: String },
}

/// What was read of one partition.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) rows: u64,
    pub(super) rejected: u64,
    pub(super) redelivered: u64,
    pub(super) reasons: RejectionCounts,
}

impl std::ops::AddAssign for Read {
    fn add_assign(&mut self, other: Read) {
        self.rows += other.rows;
        self.rejected += other.rejected;
        self.redelivered += other.redelivered;
        self.reasons += other.reasons;
    }
}

/// What a worker thread starts with.
pub(super) struct Post<E: Encoder> {
    pub(super) orders: Receiver<Order>,
    pub(super) reports: UnboundedSender<Report<E::Batches>>,
    pub(super) encoder: Option<E>,
    pub(super) already: Arc<Already>,
    pub(super) gauges: Arc<Gauges>,
}

/// Runs a worker until its orders end, and reports a panic instead of passing it on.
pub(super) fn work<E: Encoder>(worker: &mut Worker, post: Post<E>, settings: &Settings) {
    let reports = post.reports.clone();
    let index = worker.index();
    let outcome = catch_unwind(AssertUnwindSafe(|| Desk::new(worker, post, settings).run(worker)));
    if let Err(panic) = outcome {
        let message = panic_message(panic.as_ref());
        // Nobody listens any more only if the run is over.
        let _ = reports.send(Report::Panicked { thread: format!("worker {index}"), message });
    }
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let owned = panic.downcast_ref::<String>().cloned();
    owned
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no message".to_owned())
}

/// A worker's own things.
struct Desk<E: Encoder> {
    post: Post<E>,
    graph: WorkerGraph,
    ingest: MessageParser,
    read: HashMap<PartitionId, Read>,
    /// Records of the open epoch whose time lay too far in the future.
    times_ahead: u64,
    text_bytes_max: usize,
    passed: Epoch,
    watch: Option<WorkerLog>,
}

impl<E: Encoder> Desk<E> {
    fn new(worker: &mut Worker, post: Post<E>, settings: &Settings) -> Desk<E> {
        let watch = post.gauges.watches.get().map(|watches| {
            let watch = WorkerLog::start(worker);
            watches.lock().unwrap_or_else(PoisonError::into_inner).push(watch.clone());
            watch
        });
        let reports = post.reports.clone();
        let mut graph = WorkerGraph::install(worker, settings.questions, move |epoch, changes| {
            let _ = reports.send(Report::Changes { epoch, changes });
        });
        // Epochs count from 1: nothing ever lies in epoch 0.
        graph.advance_to(1);
        let thread = std::thread::current();
        let _ = post.reports.send(Report::Started { worker: worker.index(), thread });
        let (limits, text_bytes_max) = (settings.limits, settings.limits.text_bytes_max);
        let ingest = MessageParser::new(limits);
        Desk { post, graph, ingest, read: HashMap::new(), times_ahead: 0, text_bytes_max, passed: 0, watch }
    }

    fn run(mut self, worker: &mut Worker) {
        loop {
            match self.post.orders.try_recv() {
                Ok(order) => {
                    self.obey(order);
                    worker.step();
                }
                Err(TryRecvError::Empty) => {
                    worker.step_or_park(Some(PARK_MAX));
                }
                Err(TryRecvError::Disconnected) => break,
            }
            self.report_passed(worker.index());
        }
        self.graph.close();
        while worker.has_dataflows() {
            worker.step_or_park(Some(PARK_MAX));
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Block { block, source, carries } => self.read(&block, source, carries),
            Order::Stored(rows) => self.rebuild(rows.as_ref()),
            Order::Close { epoch, cut, sweep } => {
                if let Some(sweep) = sweep {
                    self.graph.mark_after(epoch, sweep);
                }
                self.close(epoch, cut);
            }
        }
    }

    fn rebuild(&mut self, rows: &dyn Stored) {
        let texts = StoredTexts::new(self.text_bytes_max);
        let mut rebuild = Rebuild { graph: &mut self.graph, texts };
        rows.replay(&mut rebuild);
        self.post.gauges.stored_texts_too_long.fetch_add(rebuild.texts.too_long, Relaxed);
    }

    fn read(&mut self, block: &Block, source: Symbol, carries: StreamHint) {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("engine::block");
        let mut rows = Fork {
            graph: &mut self.graph,
            encoder: self.post.encoder.as_mut(),
            already: &self.post.already,
            gauges: &self.post.gauges,
            read: Read::default(),
        };
        let (mut count, mut times_ahead) = (0, 0);
        // Messages that share a position are parts of one record, so their rows are numbered on.
        let (mut last, mut sub) = (None, 0);
        block.records.each(|Entry { payload, position, arrived_at, route }| {
            sub = if last == Some(position) { sub } else { 0 };
            last = Some(position);
            times_ahead += u64::from(arrived_at == ArrivalTime::TooFarAhead);
            let lineage = Lineage { arrived_at: arrived_at.known(), source, position, sub };
            let held = match route {
                Route::AsPartition => self.ingest.parse_message(carries, payload, lineage, &mut rows),
                Route::To(stream) => self.ingest.parse_message(StreamHint::Only(stream), payload, lineage, &mut rows),
                Route::Nowhere(why) => {
                    let rejection = Rejection { reason: RejectionReason::WrongStream, detail: why.to_owned() };
                    self.ingest.reject_message(&rejection, payload, lineage, &mut rows)
                }
            };
            sub += held;
            count += u64::from(held);
        });
        let read = Read { rows: count, ..rows.read };
        self.times_ahead += times_ahead;
        *self.read.entry(block.partition).or_default() += read;
    }

    fn close(&mut self, epoch: Epoch, cut: bool) {
        self.graph.advance_to(epoch + 1);
        let batches = if cut { self.post.encoder.as_mut().map(Encoder::cut) } else { None };
        let mut counts = self.ingest.take_counts();
        counts.times_ahead = std::mem::take(&mut self.times_ahead);
        let report = Report::Closed { epoch, read: self.read.drain().collect(), counts, batches };
        let _ = self.post.reports.send(report);
    }

    /// One worker speaks for all: its probe sees the frontier of every worker.
    fn report_passed(&mut self, index: usize) {
        let below = self.graph.frontier();
        if below <= self.passed {
            return;
        }
        self.passed = below;
        let sizes = self.graph.sizes();
        self.post.gauges.keep_graph_sizes(index, sizes);
        if let Some(watch) = &self.watch {
            watch.record_sizes(sizes);
        }
        if index == 0 {
            let _ = self.post.reports.send(Report::Passed { below });
        }
    }
}

/// Where a row goes: narrow into the graph, whole into the encoder; neither if a table has it already.
struct Fork<'a, E> {
    graph: &'a mut WorkerGraph,
    encoder: Option<&'a mut E>,
    already: &'a Already,
    gauges: &'a Gauges,
    read: Read,
}

impl<E> Fork<'_, E> {
    fn is_redelivery(&mut self, lineage: Lineage) -> bool {
        // Empty but for the first moments after a crash.
        let redelivery = !self.already.is_empty() && self.already.contains(&Delivery::from(lineage));
        self.read.redelivered += u64::from(redelivery);
        redelivery
    }
}

impl<E: Encoder> RowSink for Fork<'_, E> {
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
        self.read.reasons.count(rejection.reason);
        if let Some(recent) = self.gauges.recent.get() {
            recent.keep(lineage, stream, rejection, payload);
        }
        if let Some(encoder) = &mut self.encoder {
            encoder.rejected(lineage, stream, rejection, payload);
        }
    }
}

/// Rows from the tables go to the answers only.
struct Rebuild<'a> {
    graph: &'a mut WorkerGraph,
    texts: StoredTexts,
}

impl RowSink for Rebuild<'_> {
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
