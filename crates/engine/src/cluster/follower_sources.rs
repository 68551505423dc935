//! The sources that a follower reads. The leader decides when a block is read into the graph, and by which worker.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::source_events::{BlockSummary, SourceAnnouncement};
use crate::EngineError;
use crate::protocol::WorkerBlock;
use pinflow_connect::sink::{PositionChange, RawWindow, ReceivedMessages};
use pinflow_connect::source::source_kind::PlannedSource;
use pinflow_connect::source::{BlockRecords, DurableFrontier, Partition, SourceContext, SourceEvent};
use pinflow_core::position::{PartitionId, Position, ResumePositions};
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::symbol::Symbol;

/// Events that wait between the sources and the follower.
const FEED_EVENTS: usize = 16;
/// Blocks that the leader knows and has not given to a worker. While there are as many, the sources wait.
const MAX_HELD_BLOCKS: usize = 16;
/// How long the end of a run waits for the threads of the sources.
const SOURCES_GRACE: Duration = Duration::from_secs(5);

/// What the sources of a follower need to start.
pub(super) struct SourceStart {
    /// The number of this process.
    pub(super) process: usize,
    /// Where the partitions resume.
    pub(super) positions: ResumePositions,
    /// Whether the sources end once they have read the backlog.
    pub(super) until_caught_up: bool,
    /// Whether the messages of each window are kept until they are archived.
    pub(super) archives: bool,
}

/// A partition that this process reads.
struct OwnPartition {
    name: String,
    source: Symbol,
    stream_hint: StreamHint,
    /// The position in the tables when the run began.
    resumed: Position,
}

/// A block that the leader knows.
struct HeldBlock {
    block: WorkerBlock,
    /// The position after its last record.
    next: Position,
}

/// The blocks of a window that are read here, for the archive.
#[derive(Default)]
struct OpenWindow {
    messages: Vec<(PartitionId, BlockRecords)>,
    /// How far each partition has moved.
    reached: BTreeMap<PartitionId, Position>,
}

/// The running sources of a follower.
pub(super) struct FollowerSources {
    events: mpsc::Receiver<SourceEvent>,
    /// What the leader is to hear before any event of a source.
    first: VecDeque<SourceAnnouncement>,
    /// Blocks that the leader knows, in the order in which it heard of them.
    held: VecDeque<HeldBlock>,
    partitions: HashMap<PartitionId, OwnPartition>,
    /// What workers have been given in the window that is not cut yet. `None` without an archive.
    open_window: Option<OpenWindow>,
    durable_frontier: DurableFrontier,
    /// Readers that have not read their backlog.
    backlogs: usize,
    /// Sources that have not announced what is new to the tables.
    starts: usize,
    have_ended: bool,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl FollowerSources {
    /// Starts them.
    pub(super) fn start(
        planned: Vec<Box<dyn PlannedSource>>,
        start: SourceStart,
    ) -> Result<FollowerSources, EngineError> {
        let SourceStart { process, positions, until_caught_up, archives } = start;
        // Only the leader ends them: what it does not know of when it stops was never read.
        let (stop, stopped) = watch::channel(false);
        let (feed, events) = SourceContext::new(FEED_EVENTS, positions, stopped);
        let feed = feed.with_process(process).with_until_caught_up(until_caught_up);
        let mut threads = Vec::new();
        for source in planned {
            threads.extend(source.start(&feed)?);
        }
        let (backlogs, starts) = (feed.backlog_readers(), feed.expected_starts());
        let mut first = VecDeque::new();
        if starts == 0 {
            first.push_back(SourceAnnouncement::StartsAnnounced);
        }
        if backlogs == 0 {
            first.push_back(SourceAnnouncement::BacklogRead);
        }
        Ok(FollowerSources {
            events,
            first,
            held: VecDeque::new(),
            partitions: HashMap::new(),
            open_window: archives.then(OpenWindow::default),
            durable_frontier: feed.durable_frontier().clone(),
            backlogs,
            starts,
            have_ended: false,
            stop,
            threads,
        })
    }

    /// The next event for the leader; `None`, once, when all sources have ended. May be cancelled. Never ready while the
    /// leader leaves too many blocks here.
    pub(super) async fn next_event(&mut self) -> Result<Option<SourceAnnouncement>, EngineError> {
        loop {
            if let Some(event) = self.first.pop_front() {
                return Ok(Some(event));
            }
            if self.have_ended || self.held.len() >= MAX_HELD_BLOCKS {
                return std::future::pending().await;
            }
            let Some(event) = self.events.recv().await else {
                self.have_ended = true;
                return Ok(None);
            };
            if let Some(event) = self.take_event(event)? {
                return Ok(Some(event));
            }
        }
    }

    /// What the leader is to hear of an event.
    fn take_event(&mut self, event: SourceEvent) -> Result<Option<SourceAnnouncement>, EngineError> {
        let (announced, records) = SourceAnnouncement::divide(event)?;
        let is_due = match &announced {
            SourceAnnouncement::Opened(partition) => {
                self.note_partition(partition);
                true
            }
            SourceAnnouncement::Discovered(partitions) => {
                partitions.iter().for_each(|partition| self.note_partition(partition));
                true
            }
            SourceAnnouncement::Block(BlockSummary { partition, next, .. }) => {
                let OwnPartition { source, stream_hint, .. } = self.partitions[partition];
                let block = |records| WorkerBlock { partition: *partition, source, stream_hint, records };
                self.held.extend(records.map(|records| HeldBlock { block: block(records), next: *next }));
                true
            }
            SourceAnnouncement::StartsAnnounced => {
                self.starts = self.starts.saturating_sub(1);
                self.starts == 0
            }
            SourceAnnouncement::BacklogRead => {
                self.backlogs = self.backlogs.saturating_sub(1);
                self.backlogs == 0
            }
            SourceAnnouncement::EndOffset { .. }
            | SourceAnnouncement::Blocked { .. }
            | SourceAnnouncement::Ended(_) => true,
        };
        Ok(is_due.then_some(announced))
    }

    fn note_partition(&mut self, partition: &Partition) {
        let Partition { id, name, stream_hint, resumed, .. } = partition;
        let resumed = resumed.map_or(Position::START, |resumed| resumed.next);
        let own = OwnPartition { name: name.clone(), source: Symbol::new(name), stream_hint: *stream_hint, resumed };
        self.partitions.insert(*id, own);
    }

    /// Takes the oldest block that the leader knows, which becomes a part of the open window.
    pub(super) fn take_block(&mut self) -> Option<WorkerBlock> {
        let HeldBlock { block, next } = self.held.pop_front()?;
        if let Some(window) = &mut self.open_window {
            window.messages.push((block.partition, block.records.clone()));
            window.reached.insert(block.partition, next);
        }
        Some(block)
    }

    /// Ends the open window. Returns the messages that were read here for it, if there is an archive.
    pub(super) fn cut_window(&mut self) -> Option<RawWindow> {
        let OpenWindow { messages, reached } = std::mem::take(self.open_window.as_mut()?);
        let partitions = &self.partitions;
        let named = |(id, records)| ReceivedMessages { source: partitions[&id].name.clone(), records };
        let moved = reached.into_iter().map(|(id, next)| {
            let OwnPartition { name, resumed, .. } = &partitions[&id];
            (name.clone(), PositionChange { resumed: *resumed, next })
        });
        Some(RawWindow { messages: messages.into_iter().map(named).collect(), moved: moved.collect() })
    }

    /// Tells the sources how far they are durable.
    pub(super) fn settle(&self, positions: Vec<(PartitionId, Position)>) {
        self.durable_frontier.advance(positions);
    }

    /// Ends the sources, and waits a while for their threads.
    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        drop(self.events);
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        if tokio::time::timeout(SOURCES_GRACE, joined).await.is_err() {
            tracing::debug!(seconds = SOURCES_GRACE.as_secs(), "a source has not ended; not waiting for it");
        }
    }
}
