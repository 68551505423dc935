//! A follower: runs workers of the graph, and writes the files of the rows that they parse. The leader decides everything
//! else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader, BufWriter, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::follower_rows::{FollowerRows, StoredRowsEvent};
use super::follower_sources::{FollowerSources, SourceStart};
use super::follower_writer::{EncodedRows, WindowToWrite, WriteResult, write_windows};
use super::link::{heartbeat_interval, read_message, write_message};
use super::messages::{FollowerMessage, FollowerReport, LeaderMessage, QuestionDefinition, RunStart};
use crate::failpoint::run_failpoint;
use crate::memory::resident_bytes;
use crate::protocol::{EngineEvent, WorkerCommand};
use crate::stop::{STOP_DEADLINE, wait_for_stop_deadline};
use crate::text_sweeps::TextSweeps;
use crate::workers::{LocalWorkers, WorkerSetup};
use crate::{EngineError, EngineMetrics, EngineSettings, RejectionLog};
use pinflow_cluster::{ControlStream, FormedCluster};
use pinflow_connect::sink::{ArchiveOpening, FileSink, RawWindow};
use pinflow_connect::source::source_kind::PlannedSource;
use pinflow_core::error_text::error_text;
use pinflow_core::position::Epoch;
use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::questions::{Question, QuestionId, QuestionSet, ReadColumns};

/// Messages of the leader that wait for the follower. More would only be held here instead of in the connection.
const MAX_BUFFERED_MESSAGES: usize = 16;
/// How long a follower that fails takes to tell the leader why.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);
/// Windows that wait for the writer. The leader cuts no more than this many ahead.
const MAX_WAITING_WINDOWS: usize = 64;

/// A process of a cluster that does not lead.
pub struct Follower<F: FileSink> {
    /// Limits and options. The questions are the configured ones; the leader knows those that were added.
    pub settings: EngineSettings,
    /// Where the data files go.
    pub sink: F,
    /// The archive for what this process reads, if there is one. Opened when there are messages for it.
    pub archive: Option<ArchiveOpening>,
    /// The number of this process.
    pub process: usize,
    /// The sources of which this process reads its share.
    pub sources: Vec<Box<dyn PlannedSource>>,
    /// The connections over which rows are exchanged.
    pub formed: FormedCluster,
    /// The connection to the leader.
    pub link: Box<dyn ControlStream>,
    /// The address of the leader.
    pub leader: String,
    /// A leader that is silent for longer counts as lost.
    pub silent_max: Duration,
    /// Becomes `true` when this process must stop.
    pub stop: watch::Receiver<bool>,
    /// Metrics of this process.
    pub metrics: Arc<EngineMetrics>,
}

/// How the run of a follower ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerOutcome {
    /// Whether the run ended before its sources did.
    pub stopped: bool,
    /// Rows that this process parsed.
    pub rows: u64,
    /// Whether it ended before its sources did although this process was not asked to stop.
    pub ended_by_leader: bool,
}

/// A window that is cut and that not all workers have read.
struct CutWindow<F: FileSink> {
    workers_done: usize,
    /// What the workers have encoded for it.
    batches: Vec<EncodedRows<F>>,
    /// The messages that were read here, if they are archived.
    raw: Option<RawWindow>,
}

impl<F: FileSink> Follower<F> {
    /// Runs until the leader ends the run.
    ///
    /// # Errors
    /// [`EngineError`]. What is committed is safe, and a restart of all processes resumes there.
    pub async fn run(self) -> Result<FollowerOutcome, EngineError> {
        let (stop, paused) = (self.stop.clone(), self.sink.paused());
        tokio::select! {
            outcome = self.run_to_end() => outcome,
            () = wait_for_stop_deadline(stop) => {
                let waits_for = paused.borrow().clone().unwrap_or_else(|| "the leader".to_owned());
                Err(EngineError::StopDeadline { limit: STOP_DEADLINE, waits_for: Some(waits_for) })
            }
        }
    }

    async fn run_to_end(self) -> Result<FollowerOutcome, EngineError> {
        let Follower { settings, sink, archive, process, sources, formed, link, leader, silent_max, stop, metrics } =
            self;
        let (reader, writer) = tokio::io::split(link);
        let mut link = LeaderLink { writer: BufWriter::new(writer), address: leader };
        let (messages, mut received) = mpsc::channel(MAX_BUFFERED_MESSAGES);
        tokio::spawn(receive_messages(reader, silent_max, messages));
        let Some(start) = link.wait_for_start(&mut received, stop.clone()).await? else {
            return Ok(FollowerOutcome { stopped: true, rows: 0, ended_by_leader: false });
        };
        let heartbeat = heartbeat_interval(silent_max);
        let followed =
            match FollowerRun::start(settings, (sink, archive, formed), (process, sources), start, stop, metrics) {
                Ok(run) => run.obey_leader(&mut link, &mut received, heartbeat).await,
                Err(error) => Err(error),
            };
        if let Err(failed) = &followed
            && !matches!(failed, EngineError::PeerLost { .. })
        {
            // The leader names it in its own log, and ends the run.
            let message = error_text(failed);
            let said = async { link.send(&FollowerMessage::Failed { message }).await };
            let _ = timeout(REPORT_TIMEOUT, said).await;
        }
        followed
    }
}

/// The connection to the leader.
struct LeaderLink {
    writer: BufWriter<WriteHalf<Box<dyn ControlStream>>>,
    address: String,
}

impl LeaderLink {
    async fn send(&mut self, message: &FollowerMessage) -> Result<(), EngineError> {
        let sent = async {
            write_message(&mut self.writer, message, &[]).await?;
            self.writer.flush().await
        };
        sent.await.map_err(|error| self.lost(format!("its connection failed: {error}")))
    }

    fn lost(&self, what: String) -> EngineError {
        EngineError::PeerLost { process: 0, address: self.address.clone(), what }
    }

    /// Waits until the leader begins the run, which it does once the tables are open. `None`: this process was asked to
    /// stop first. It has read and written nothing by then.
    async fn wait_for_start(
        &mut self,
        received: &mut mpsc::Receiver<Result<ReceivedMessage, String>>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Option<RunStart>, EngineError> {
        let first = tokio::select! {
            biased;
            Ok(_) = stop.wait_for(|stop| *stop) => {
                tracing::info!("stopped before the leader began the run");
                let _ = timeout(REPORT_TIMEOUT, self.send(&FollowerMessage::StopRequested)).await;
                return Ok(None);
            }
            first = received.recv() => first,
        };
        match first {
            Some(Ok(ReceivedMessage { message: LeaderMessage::Start(start), .. })) => Ok(Some(start)),
            Some(Ok(_)) => Err(self.lost("it did not begin with the start of the run".to_owned())),
            Some(Err(what)) => Err(self.lost(what)),
            None => Err(self.lost("its connection ended".to_owned())),
        }
    }
}

/// A message of the leader with the bytes that follow it.
struct ReceivedMessage {
    message: LeaderMessage,
    bytes: bytes::Bytes,
}

/// Receives messages until the connection ends, which is the last thing that it passes on.
async fn receive_messages(
    link: ReadHalf<Box<dyn ControlStream>>,
    silent_max: Duration,
    to: mpsc::Sender<Result<ReceivedMessage, String>>,
) {
    let mut link = BufReader::new(link);
    // The leader says nothing before it has opened the tables, which takes as long as their storage does not answer.
    let mut limit = Duration::MAX;
    loop {
        let received = match timeout(limit, read_message(&mut link)).await {
            Ok(Ok(Some((message, bytes)))) => Ok(ReceivedMessage { message, bytes }),
            Ok(Ok(None)) => Err("it closed the connection".to_owned()),
            Ok(Err(error)) => Err(format!("its connection failed: {error}")),
            Err(_) => Err(format!("it has been silent for {} s", silent_max.as_secs_f64())),
        };
        limit = silent_max;
        let is_over = received.is_err();
        if to.send(received).await.is_err() || is_over {
            return;
        }
    }
}

/// Compiles a question of the leader.
fn compile_question(
    definition: QuestionDefinition,
    options: GraphOptions,
) -> Result<(QuestionId, Arc<Question>), EngineError> {
    definition.compile(options).map_err(|what| other_build_error(&what))
}

fn not_held_error(what: &str) -> EngineError {
    EngineError::Cluster(format!(
        "the leader asks for {what} that this process does not hold; this is a bug in pinflow"
    ))
}

fn other_build_error(what: &str) -> EngineError {
    EngineError::Cluster(format!("a question of the leader does not fit: {what}; run the same build in all processes"))
}

/// A follower that has begun.
struct FollowerRun<F: FileSink> {
    workers: LocalWorkers,
    settings: EngineSettings,
    events: mpsc::UnboundedReceiver<EngineEvent<EncodedRows<F>>>,
    sweeps: TextSweeps,
    /// Windows that not all workers have read, by their last epoch.
    cut_windows: BTreeMap<Epoch, CutWindow<F>>,
    to_write: mpsc::Sender<WindowToWrite<F>>,
    written: mpsc::UnboundedReceiver<WriteResult>,
    sources: FollowerSources,
    stored: FollowerRows,
    paused: watch::Receiver<Option<String>>,
    has_tables: bool,
    stop: watch::Receiver<bool>,
    metrics: Arc<EngineMetrics>,
    rows: u64,
}

impl<F: FileSink> FollowerRun<F> {
    fn start(
        mut settings: EngineSettings,
        (sink, archive, formed): (F, Option<ArchiveOpening>, FormedCluster),
        (process, planned): (usize, Vec<Box<dyn PlannedSource>>),
        start: RunStart,
        stop: watch::Receiver<bool>,
        metrics: Arc<EngineMetrics>,
    ) -> Result<FollowerRun<F>, EngineError> {
        let mut questions = QuestionSet::built_in(settings.graph_options);
        for definition in start.questions {
            let (id, question) = compile_question(definition, settings.graph_options)?;
            let added = questions.with_reserved_question(id, question);
            questions = added.map_err(|error| other_build_error(&error.to_string()))?;
        }
        settings.questions = questions;
        if start.shows_rejections {
            metrics.enable_rejection_log();
        }
        let RunStart { positions, until_caught_up, .. } = start;
        let columns = ReadColumns::of_questions(&settings.questions);
        let duplicates = settings.graph_options.duplicates;
        let stored = FollowerRows::new(sink.read_share(start.stored, duplicates, &columns));
        let archives = archive.is_some();
        let sources = FollowerSources::start(planned, SourceStart { process, positions, until_caught_up, archives })?;
        let (event_sender, events) = mpsc::unbounded_channel();
        let setup = WorkerSetup {
            settings: &settings,
            events: &event_sender,
            already: &Arc::new(start.already.into_iter().collect()),
            metrics: &metrics,
        };
        let encoders = (0..settings.workers).map(|_| sink.encoder()).collect();
        let workers = LocalWorkers::start(&setup, encoders, Some(formed))?;
        let sweeps = TextSweeps::new(settings.workers, settings.graph_options.duplicates, Arc::clone(&metrics));
        let _ = metrics.paused.set(sink.paused());
        let (paused, has_tables) = (sink.paused(), sink.encoder().is_some());
        let (to_write, windows) = mpsc::channel(MAX_WAITING_WINDOWS);
        let (files, written) = mpsc::unbounded_channel();
        tokio::spawn(write_windows((sink, archive), windows, files));
        Ok(FollowerRun {
            workers,
            settings,
            events,
            sweeps,
            cut_windows: BTreeMap::new(),
            to_write,
            written,
            sources,
            stored,
            paused,
            has_tables,
            stop,
            metrics,
            rows: 0,
        })
    }

    /// Does what the leader says until it ends the run.
    async fn obey_leader(
        mut self,
        link: &mut LeaderLink,
        received: &mut mpsc::Receiver<Result<ReceivedMessage, String>>,
        heartbeat: Duration,
    ) -> Result<FollowerOutcome, EngineError> {
        let mut heartbeat = interval(heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_stop_known = false;
        let is_early = loop {
            tokio::select! {
                biased;
                event = self.events.recv() => {
                    let event = event.ok_or_else(|| EngineError::Cluster("the workers have ended".to_owned()))?;
                    if let Some(message) = self.on_event(event).await? {
                        link.send(&message).await?;
                    }
                }
                written = self.written.recv() => {
                    let written = written.ok_or_else(|| EngineError::Cluster("the writer has ended".to_owned()))?;
                    let (epoch, files) = written?;
                    run_failpoint("cluster::before_written");
                    link.send(&FollowerMessage::Written { epoch, files }).await?;
                    run_failpoint("cluster::after_written");
                }
                changed = self.stop.changed(), if !is_stop_known => {
                    is_stop_known = true;
                    if changed.is_ok() {
                        link.send(&FollowerMessage::StopRequested).await?;
                    }
                }
                message = received.recv() => match message {
                    Some(Ok(ReceivedMessage { message: LeaderMessage::End { stopped }, .. })) => break stopped,
                    Some(Ok(message)) => self.on_message(message)?,
                    Some(Err(what)) => return Err(link.lost(what)),
                    None => return Err(link.lost("its connection ended".to_owned())),
                },
                _ = heartbeat.tick() => link.send(&FollowerMessage::Heartbeat(self.state())).await?,
                event = self.stored.next_event() => link.send(&match event? {
                    StoredRowsEvent::Chunk { rows, bytes } => FollowerMessage::StoredRows { rows, bytes },
                    StoredRowsEvent::Finished(counts) => FollowerMessage::StoredRowsRead(counts),
                }).await?,
                event = self.sources.next_event() => {
                    let message = event?.map_or(FollowerMessage::SourcesEnded, FollowerMessage::Source);
                    run_failpoint("cluster::before_source");
                    link.send(&message).await?;
                    run_failpoint("cluster::after_source");
                }
            }
        };
        let stopped = *self.stop.borrow();
        let outcome = FollowerOutcome { stopped: is_early, rows: self.rows, ended_by_leader: is_early && !stopped };
        self.sources.end().await;
        self.workers.end().await;
        Ok(outcome)
    }

    fn on_message(&mut self, ReceivedMessage { message, bytes }: ReceivedMessage) -> Result<(), EngineError> {
        match message {
            LeaderMessage::Block { worker, head } => {
                run_failpoint("cluster::block");
                self.workers.send_command(worker, WorkerCommand::ReadBlock(head.into_block(bytes)));
            }
            LeaderMessage::ReadHeldBlock { worker } => {
                run_failpoint("cluster::block");
                let block = self.sources.take_block().ok_or_else(|| not_held_error("a block"))?;
                self.workers.send_command(worker, WorkerCommand::ReadBlock(block));
            }
            LeaderMessage::ReadHeldRows { worker } => {
                let rows = self.stored.take_chunk().ok_or_else(|| not_held_error("rows"))?;
                self.workers.send_command(worker, WorkerCommand::ReplayStored(rows));
            }
            LeaderMessage::Durable(positions) => self.sources.settle(positions),
            LeaderMessage::AddQuestion { question, with_rows } => {
                let (id, question) = compile_question(question, self.settings.graph_options)?;
                let add = || WorkerCommand::AddQuestion { id, question: Arc::clone(&question), with_rows };
                self.workers.broadcast(add);
            }
            LeaderMessage::BeginFill { id } => self.workers.broadcast(|| WorkerCommand::BeginFill { id }),
            LeaderMessage::DropQuestion { id } => self.workers.broadcast(|| WorkerCommand::DropQuestion { id }),
            LeaderMessage::CloseEpoch { epoch, ends_window, sweep_demanded, fill_step } => {
                run_failpoint("cluster::before_close");
                let sweep = self.sweeps.begin_sweep(epoch, sweep_demanded);
                if ends_window && self.has_tables {
                    let raw = self.sources.cut_window();
                    self.cut_windows.insert(epoch, CutWindow { workers_done: 0, batches: Vec::new(), raw });
                }
                let close = || WorkerCommand::CloseEpoch { epoch, ends_window, sweep: sweep.clone(), fill_step };
                self.workers.broadcast(close);
                run_failpoint("cluster::after_close");
            }
            LeaderMessage::Heartbeat | LeaderMessage::Start(_) | LeaderMessage::End { .. } => {}
        }
        Ok(())
    }

    /// Handles an event of a worker. Returns what to tell the leader.
    async fn on_event(&mut self, event: EngineEvent<EncodedRows<F>>) -> Result<Option<FollowerMessage>, EngineError> {
        Ok(match event {
            EngineEvent::WorkerStarted { worker, thread } => {
                self.workers.set_started(worker, thread);
                Some(FollowerMessage::Started { worker })
            }
            EngineEvent::EpochRead { epoch, read, counts, batches } => {
                self.count_rows(&read);
                self.metrics.epoch.store(epoch, Relaxed);
                self.metrics.counts.lock().merge(&counts);
                self.take_batches(epoch, batches).await;
                Some(FollowerMessage::EpochRead { epoch, read, counts })
            }
            EngineEvent::FrontierAdvanced { frontier } => {
                self.sweeps.on_frontier(frontier);
                None
            }
            EngineEvent::ThreadPanicked { thread, message } => return Err(EngineError::Panicked { thread, message }),
            EngineEvent::PeerEnded(error) => return Err(error),
            // These come from the leader's workers and committer only.
            EngineEvent::AnswersChanged { .. }
            | EngineEvent::FillProgressed { .. }
            | EngineEvent::SnapshotTaken { .. }
            | EngineEvent::WindowDurable { .. }
            | EngineEvent::CommitFailed(_) => None,
        })
    }

    fn count_rows(&mut self, read: &[(pinflow_core::position::PartitionId, crate::protocol::ReadCounts)]) {
        for (_, read) in read {
            self.rows += read.rows;
            self.metrics.rows.fetch_add(read.rows, Relaxed);
            self.metrics.rejected.fetch_add(read.rejected, Relaxed);
        }
    }

    /// Keeps what a worker has encoded for a window. Gives it to the writer once all workers have ended the window.
    async fn take_batches(&mut self, epoch: Epoch, batches: Option<EncodedRows<F>>) {
        let Some(window) = self.cut_windows.get_mut(&epoch) else { return };
        window.workers_done += 1;
        window.batches.extend(batches);
        let is_complete = window.workers_done == self.settings.workers;
        if let Some(CutWindow { batches, raw, .. }) = is_complete.then(|| self.cut_windows.remove(&epoch)).flatten() {
            // A writer that ended has reported why.
            let _ = self.to_write.send(WindowToWrite { epoch, batches, raw }).await;
        }
    }

    fn state(&self) -> FollowerReport {
        FollowerReport {
            resident: resident_bytes().unwrap_or(0),
            paused: self.paused.borrow().clone(),
            sizes: self.metrics.worker_sizes(),
            usage: self.metrics.worker_question_usage(),
            rejections: self.metrics.rejection_log.get().map(RejectionLog::take_all).unwrap_or_default(),
        }
    }
}
