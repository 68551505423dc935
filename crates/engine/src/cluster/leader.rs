//! The leader's ends of the connections to its followers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::select_all;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::link::{heartbeat_interval, read_message, write_message};
use super::messages::{BlockHead, FollowerMessage, FollowerReport, LeaderMessage, QuestionDefinition, RunStart};
use super::source_events::SourceAnnouncement;
use super::written_files::{FileCollector, WindowFiles};
use crate::protocol::{EngineEvent, WorkerBlock};
use crate::{EngineError, EngineMetrics};
use pinflow_cluster::{ControlStream, FormedCluster};
use pinflow_connect::sink::{Redeliveries, StoredCounts, StoredShare};
use pinflow_core::position::{Epoch, PartitionId, Position, ResumePositions};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionOrigin, QuestionSet};

/// The connection to a follower. It is buffered, so that the leader can wait for a message and take it later.
pub type LinkToFollower = BufReader<Box<dyn ControlStream>>;

/// How a follower ended before the run began.
#[derive(Debug)]
pub enum EarlyEnd {
    /// It was asked to stop.
    Stopped,
    /// It failed or is lost.
    Failed(EngineError),
}

/// The cluster that a leader has formed.
pub struct LeaderCluster {
    /// The connections over which rows are exchanged.
    pub formed: FormedCluster,
    /// The connections to the followers: that to process 1 first.
    pub links: Vec<LinkToFollower>,
    /// The addresses of all processes.
    pub addresses: Vec<String>,
    /// A process that is silent for longer counts as lost.
    pub silent_max: Duration,
    /// Whether the sources end once they have read the backlog.
    pub until_caught_up: bool,
    /// Set when a follower got a signal to stop.
    pub stop: watch::Sender<bool>,
}

/// The events of the sources that followers read, each with the number of the process. They end when all of those sources
/// have ended. How many blocks may wait there is bounded by what each follower holds.
pub(crate) type FollowerSourceEvents = mpsc::UnboundedReceiver<(usize, SourceAnnouncement)>;

/// How a process that ended shows.
const CLOSED: &str = "it closed the connection";

/// Chunks of stored rows that followers hold, each with the number of the process, its rows and bytes. They end when all
/// followers have read their share.
pub(crate) type FollowerStoredRows = mpsc::UnboundedReceiver<(usize, u64, usize)>;

/// A message with the bytes that follow it.
type OutgoingMessage = (LeaderMessage, Bytes);

/// A follower, as the driver sees it.
pub(crate) struct RemoteProcess {
    messages: mpsc::UnboundedSender<OutgoingMessage>,
}

impl RemoteProcess {
    fn send(&self, message: LeaderMessage, bytes: Bytes) {
        // A connection that failed was reported, and that ends the run.
        let _ = self.messages.send((message, bytes));
    }

    /// Lets a worker read a block.
    pub(crate) fn read_block(&self, worker: usize, block: WorkerBlock) {
        let (head, bytes) = BlockHead::of_block(block);
        self.send(LeaderMessage::Block { worker, head }, bytes);
    }

    /// Lets a worker read the oldest block that the process holds.
    pub(crate) fn read_held_block(&self, worker: usize) {
        self.send(LeaderMessage::ReadHeldBlock { worker }, Bytes::new());
    }

    /// Lets a worker take the oldest chunk of stored rows that the process holds.
    pub(crate) fn read_held_rows(&self, worker: usize) {
        self.send(LeaderMessage::ReadHeldRows { worker }, Bytes::new());
    }

    /// Says how far partitions that the process reads are durable.
    pub(crate) fn settle(&self, positions: Vec<(PartitionId, Position)>) {
        self.send(LeaderMessage::Durable(positions), Bytes::new());
    }

    /// Lets all its workers add a question.
    pub(crate) fn add_question(&self, id: QuestionId, question: &Question, with_rows: bool) {
        self.send(
            LeaderMessage::AddQuestion { question: QuestionDefinition::new(id, question), with_rows },
            Bytes::new(),
        );
    }

    /// Lets all its workers begin to fill a question.
    pub(crate) fn begin_fill(&self, id: QuestionId) {
        self.send(LeaderMessage::BeginFill { id }, Bytes::new());
    }

    /// Lets all its workers drop a question.
    pub(crate) fn drop_question(&self, id: QuestionId) {
        self.send(LeaderMessage::DropQuestion { id }, Bytes::new());
    }

    /// Ends an epoch.
    pub(crate) fn close_epoch(&self, epoch: Epoch, ends_window: bool, sweep_demanded: bool, fill_step: u32) {
        self.send(LeaderMessage::CloseEpoch { epoch, ends_window, sweep_demanded, fill_step }, Bytes::new());
    }

    /// Says that everything is durable.
    pub(crate) fn end(&self, stopped: bool) {
        self.send(LeaderMessage::End { stopped }, Bytes::new());
    }
}

/// What the tasks of one connection share.
struct FollowerConnection<B> {
    process: usize,
    address: String,
    workers: usize,
    silent_max: Duration,
    events: mpsc::UnboundedSender<EngineEvent<B>>,
    files: mpsc::UnboundedSender<WindowFiles>,
    /// `None` once the follower has read back its share.
    stored_rows: Option<mpsc::UnboundedSender<(usize, u64, usize)>>,
    stored_counts: mpsc::UnboundedSender<StoredCounts>,
    /// `None` once the sources of the follower have ended.
    sources: Option<mpsc::UnboundedSender<(usize, SourceAnnouncement)>>,
    stop: watch::Sender<bool>,
    metrics: Arc<EngineMetrics>,
}

/// What the run of a cluster begins with.
pub(crate) struct LeaderStart<'a> {
    pub(crate) questions: &'a QuestionSet,
    pub(crate) already: &'a Redeliveries,
    /// Where each partition resumes.
    pub(crate) positions: &'a ResumePositions,
    /// What each follower reads back.
    pub(crate) shares: Vec<StoredShare>,
    /// Takes how much each follower has read back.
    pub(crate) stored_counts: mpsc::UnboundedSender<StoredCounts>,
}

/// The followers of a run that has begun.
pub(crate) struct StartedFollowers {
    pub(crate) processes: Vec<RemoteProcess>,
    /// Collects the files that they put.
    pub(crate) files: FileCollector,
    pub(crate) source_events: FollowerSourceEvents,
    pub(crate) stored_rows: FollowerStoredRows,
}

/// Starts the tasks of all connections, and tells the followers to begin.
pub(crate) fn start_links<B: Send + 'static>(
    cluster: LeaderLinks,
    workers: usize,
    LeaderStart { questions, already, positions, shares, stored_counts }: LeaderStart<'_>,
    events: &mpsc::UnboundedSender<EngineEvent<B>>,
    metrics: &Arc<EngineMetrics>,
) -> StartedFollowers {
    let (files, collector) = FileCollector::new(cluster.links.len());
    let (sources, source_events) = mpsc::unbounded_channel();
    let (stored_sender, stored_rows) = mpsc::unbounded_channel();
    metrics.peers.begin(cluster.addresses.iter().cloned());
    metrics.peers.update(0, |leader| leader.workers = workers);
    let mut processes = Vec::new();
    for ((process, link), stored) in (1..).zip(cluster.links).zip(shares) {
        let (messages, to_send) = mpsc::unbounded_channel();
        let follower = FollowerConnection {
            process,
            address: cluster.addresses[process].clone(),
            workers,
            silent_max: cluster.silent_max,
            events: events.clone(),
            files: files.clone(),
            stored_rows: Some(stored_sender.clone()),
            stored_counts: stored_counts.clone(),
            sources: Some(sources.clone()),
            stop: cluster.stop.clone(),
            metrics: Arc::clone(metrics),
        };
        let (reader, writer) = tokio::io::split(link);
        tokio::spawn(send_messages(writer, heartbeat_interval(cluster.silent_max), to_send));
        tokio::spawn(follower.receive_messages(reader));
        let remote = RemoteProcess { messages };
        let not_built_in = questions.iter().filter(|(_, question)| question.origin != QuestionOrigin::BuiltIn);
        let start = RunStart {
            questions: not_built_in.map(|(id, question)| QuestionDefinition::new(id, question)).collect(),
            already: already.iter().copied().collect(),
            positions: positions.clone(),
            stored,
            until_caught_up: cluster.until_caught_up,
            shows_rejections: metrics.rejection_log.get().is_some(),
        };
        remote.send(LeaderMessage::Start(start), Bytes::new());
        processes.push(remote);
    }
    StartedFollowers { processes, files: collector, source_events, stored_rows }
}

/// The part of a [`LeaderCluster`] that is about the connections.
pub(crate) struct LeaderLinks {
    links: Vec<LinkToFollower>,
    addresses: Vec<String>,
    silent_max: Duration,
    until_caught_up: bool,
    stop: watch::Sender<bool>,
}

impl LeaderCluster {
    /// Waits until a follower ends before the run has begun. Until then it says nothing else. May be cancelled.
    pub async fn wait_for_early_end(&mut self) -> EarlyEnd {
        if self.links.is_empty() {
            return std::future::pending().await;
        }
        // Filling the buffer takes nothing, so nothing is lost if this is cancelled.
        let signs = self.links.iter_mut().map(|link| Box::pin(async { link.fill_buf().await.map(|_| ()) }));
        let (sign, place, _) = select_all(signs).await;
        let message = match sign {
            Ok(()) => read_message(&mut self.links[place]).await,
            Err(error) => Err(error),
        };
        let (process, address) = (place + 1, self.addresses[place + 1].clone());
        let what = match message {
            Ok(Some((FollowerMessage::StopRequested, _))) => {
                tracing::info!(process, address, "another process of the cluster was asked to stop");
                return EarlyEnd::Stopped;
            }
            Ok(Some((FollowerMessage::Failed { message }, _))) => {
                return EarlyEnd::Failed(EngineError::PeerFailed { process, address, message });
            }
            Ok(Some(_)) => "it did not wait for the start of the run".to_owned(),
            Ok(None) => CLOSED.to_owned(),
            Err(error) => format!("its connection failed: {error}"),
        };
        EarlyEnd::Failed(EngineError::PeerLost { process, address, what })
    }

    /// Divides it into what timely needs, and the connections.
    pub(crate) fn into_parts(self) -> (FormedCluster, LeaderLinks) {
        let LeaderCluster { formed, links, addresses, silent_max, until_caught_up, stop } = self;
        (formed, LeaderLinks { links, addresses, silent_max, until_caught_up, stop })
    }
}

/// Sends messages until there are no more, and says once in a while that the leader is there. An error shows in what is
/// received.
async fn send_messages(
    link: WriteHalf<LinkToFollower>,
    heartbeat: Duration,
    mut messages: mpsc::UnboundedReceiver<OutgoingMessage>,
) -> std::io::Result<()> {
    let mut link = BufWriter::new(link);
    loop {
        let message = match messages.try_recv() {
            Ok(message) => Some(message),
            Err(mpsc::error::TryRecvError::Empty) => {
                link.flush().await?;
                timeout(heartbeat, messages.recv()).await.unwrap_or(Some((LeaderMessage::Heartbeat, Bytes::new())))
            }
            Err(mpsc::error::TryRecvError::Disconnected) => None,
        };
        let Some((message, bytes)) = message else { break };
        write_message(&mut link, &message, &bytes).await?;
    }
    link.flush().await
}

impl<B: Send + 'static> FollowerConnection<B> {
    async fn receive_messages(mut self, mut link: ReadHalf<LinkToFollower>) {
        loop {
            let lost = match timeout(self.silent_max, read_message(&mut link)).await {
                Ok(Ok(Some((message, _)))) => {
                    self.receive_message(message);
                    continue;
                }
                Ok(Ok(None)) => CLOSED.to_owned(),
                Ok(Err(error)) => format!("its connection failed: {error}"),
                Err(_) => format!("it has been silent for {} s", self.silent_max.as_secs_f64()),
            };
            let (process, address) = (self.process, self.address);
            let _ = self.events.send(EngineEvent::PeerEnded(EngineError::PeerLost { process, address, what: lost }));
            return;
        }
    }

    fn receive_message(&mut self, message: FollowerMessage) {
        let process = self.process;
        // A run that has ended takes no more events.
        match message {
            FollowerMessage::Started { worker } => {
                self.metrics.peers.update(process, |figures| figures.workers += 1);
                let worker = process * self.workers + worker;
                let _ = self.events.send(EngineEvent::WorkerStarted { worker, thread: None });
            }
            FollowerMessage::EpochRead { epoch, read, counts } => {
                let rows: u64 = read.iter().map(|(_, read)| read.rows).sum();
                self.metrics.peers.update(process, |figures| figures.rows += rows);
                let _ = self.events.send(EngineEvent::EpochRead { epoch, read, counts, batches: None });
            }
            FollowerMessage::StoredRows { rows, bytes } => {
                if let Some(stored_rows) = &self.stored_rows {
                    let _ = stored_rows.send((process, rows, bytes));
                }
            }
            FollowerMessage::StoredRowsRead(counts) => {
                self.stored_rows = None;
                let _ = self.stored_counts.send(counts);
            }
            FollowerMessage::Source(event) => {
                if let Some(sources) = &self.sources {
                    let _ = sources.send((process, event));
                }
            }
            FollowerMessage::SourcesEnded => self.sources = None,
            FollowerMessage::Written { epoch, files } => {
                let _ = self.files.send((epoch, files));
            }
            FollowerMessage::Heartbeat(state) => self.record_state(state),
            FollowerMessage::StopRequested => {
                tracing::info!(process, address = self.address, "another process of the cluster was asked to stop");
                self.metrics.stopped_by_peer.store(true, std::sync::atomic::Ordering::Relaxed);
                self.stop.send_replace(true);
            }
            FollowerMessage::Failed { message } => {
                let address = self.address.clone();
                let _ = self.events.send(EngineEvent::PeerEnded(EngineError::PeerFailed { process, address, message }));
            }
        }
    }

    fn record_state(&self, state: FollowerReport) {
        let FollowerReport { resident, paused, sizes, usage, rejections } = state;
        if let Some(log) = self.metrics.rejection_log.get() {
            log.append(rejections);
        }
        if let Some(cause) = &paused {
            let is_new = self.metrics.peers.figures().get(self.process).is_some_and(|known| known.paused.is_none());
            if is_new {
                tracing::warn!(
                    process = self.process,
                    address = self.address,
                    cause,
                    "a process cannot write its files"
                );
            }
        }
        self.metrics.peers.update(self.process, |figures| {
            figures.resident = resident;
            figures.paused = paused;
        });
        let first = self.process * self.workers;
        sizes.into_iter().enumerate().for_each(|(at, sizes)| self.metrics.record_graph_sizes(first + at, sizes));
        usage.into_iter().enumerate().for_each(|(at, usage)| self.metrics.record_question_usage(first + at, usage));
    }
}
