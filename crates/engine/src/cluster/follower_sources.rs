//! The sources that a follower reads. The leader decides when a block is read into the graph, and by which worker.

use std::collections::{HashMap, VecDeque};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::source_events::{BlockSummary, SourceAnnouncement};
use crate::EngineError;
use crate::protocol::WorkerBlock;
use pinflow_connect::source::source_kind::PlannedSource;
use pinflow_connect::source::{DurableFrontier, Partition, SourceContext, SourceEvent};
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
}

/// The running sources of a follower.
pub(super) struct FollowerSources {
    events: mpsc::Receiver<SourceEvent>,
    /// What the leader is to hear before any event of a source.
    first: VecDeque<SourceAnnouncement>,
    /// Blocks that the leader knows, in the order in which it heard of them.
    held: VecDeque<WorkerBlock>,
    partitions: HashMap<PartitionId, (Symbol, StreamHint)>,
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
        let SourceStart { process, positions, until_caught_up } = start;
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
            SourceAnnouncement::Block(BlockSummary { partition, .. }) => {
                let (source, stream_hint) = self.partitions[partition];
                let held = |records| WorkerBlock { partition: *partition, source, stream_hint, records };
                self.held.extend(records.map(held));
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
        self.partitions.insert(partition.id, (Symbol::new(&partition.name), partition.stream_hint));
    }

    /// Takes the oldest block that the leader knows.
    pub(super) fn take_block(&mut self) -> Option<WorkerBlock> {
        self.held.pop_front()
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
