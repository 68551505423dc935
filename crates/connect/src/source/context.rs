//! What a source works with: where its partitions resume, the channel to the engine, and what is durable.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use pinflow_dataflows::ingest::StreamHint;
use tokio::sync::{mpsc, watch};

use super::{Partition, SourceEvent};
use pinflow_core::position::{PartitionId, PartitionProgress, Position, ResumePositions};

/// What a source works with: where partitions resume, and the bounded channel to the engine. Sends wait while the engine
/// is busy.
#[derive(Clone)]
pub struct SourceContext {
    events: mpsc::Sender<SourceEvent>,
    stored: Arc<ResumePositions>,
    ids: Arc<AtomicU32>,
    stop: watch::Receiver<bool>,
    durable: DurableFrontier,
    until_caught_up: bool,
    backlogs: Arc<AtomicUsize>,
    starts: Arc<AtomicUsize>,
}

/// How far each partition is durable: everything before that position is committed and will not be read again.
///
/// The engine advances it and sources watch it. It is the only thing that flows back to a source, besides the
/// backpressure of the channel. In a run without tables a position is durable as soon as its answers are up to date.
#[derive(Debug, Clone, Default)]
pub struct DurableFrontier(watch::Sender<BTreeMap<PartitionId, Position>>);

impl DurableFrontier {
    /// Advances partitions and wakes all waiting tasks.
    pub fn advance(&self, positions: impl IntoIterator<Item = (PartitionId, Position)>) {
        self.0.send_modify(|durable| durable.extend(positions));
    }

    /// The position of each partition that has one. Holding the guard blocks the engine, so drop it soon.
    #[must_use]
    pub fn positions(&self) -> watch::Ref<'_, BTreeMap<PartitionId, Position>> {
        self.0.borrow()
    }

    /// A receiver that sees every later advance.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<PartitionId, Position>> {
        self.0.subscribe()
    }
}

/// The engine has ended. A source that gets this error ends without reporting a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineGone;

impl SourceContext {
    /// A context, and the receiver for the engine. `capacity` is in events; `stored` says where partitions resume.
    #[must_use]
    pub fn new(
        capacity: usize,
        stored: ResumePositions,
        stop: watch::Receiver<bool>,
    ) -> (SourceContext, mpsc::Receiver<SourceEvent>) {
        let (events, receiver) = mpsc::channel(capacity);
        let ids = Arc::new(AtomicU32::new(0));
        let context = SourceContext {
            events,
            stored: Arc::new(stored),
            ids,
            stop,
            durable: DurableFrontier::default(),
            until_caught_up: false,
            backlogs: Arc::default(),
            starts: Arc::default(),
        };
        (context, receiver)
    }

    /// Numbers the partitions as those of a process of a cluster. Called before any partition is registered.
    #[must_use]
    pub fn with_process(self, process: usize) -> SourceContext {
        self.ids.store(PartitionId::first_of_process(process).0, Ordering::Relaxed);
        self
    }

    /// Sets whether sources end once they have read the backlog.
    #[must_use]
    pub fn with_until_caught_up(self, until_caught_up: bool) -> SourceContext {
        SourceContext { until_caught_up, ..self }
    }

    /// Whether sources end once they have read the backlog.
    #[must_use]
    pub fn stops_when_caught_up(&self) -> bool {
        self.until_caught_up
    }

    /// Registers a reader that will send [`SourceEvent::BacklogRead`] once. Called before the engine starts.
    pub fn expect_backlog(&self) {
        self.backlogs.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of readers that will send [`SourceEvent::BacklogRead`]. Final once all sources are started.
    #[must_use]
    pub fn backlog_readers(&self) -> usize {
        self.backlogs.load(Ordering::Relaxed)
    }

    /// Registers a source that will send [`SourceEvent::StartsAnnounced`] once. Called before the engine starts.
    ///
    /// A topic whose partitions several processes read needs it: the starts of all of them must become durable at once.
    /// Otherwise a crash between two commits would let the partitions of the second one pass for partitions that were
    /// added later, which start elsewhere.
    pub fn expect_starts(&self) {
        self.starts.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of sources that will send [`SourceEvent::StartsAnnounced`]. Final once all sources are started.
    #[must_use]
    pub fn expected_starts(&self) -> usize {
        self.starts.load(Ordering::Relaxed)
    }

    /// Where a partition resumes according to the tables; `None` if it is new to them.
    #[must_use]
    pub fn stored_progress(&self, key: &str) -> Option<PartitionProgress> {
        self.stored.get(key).copied()
    }

    /// Every partition known to the tables whose key starts with `prefix`.
    pub fn stored_with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, PartitionProgress)> {
        let from = self.stored.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(key, _)| key.starts_with(prefix)).map(|(key, reached)| (key.as_str(), *reached))
    }

    /// Registers a partition and sends [`SourceEvent::Opened`].
    ///
    /// # Errors
    /// [`EngineGone`]
    pub fn open_partition(&self, name: &str, key: &str, stream_hint: StreamHint) -> Result<Partition, EngineGone> {
        let partition = self.register_partition(name, key, stream_hint, self.stored_progress(key));
        self.send(SourceEvent::Opened(partition.clone()))?;
        Ok(partition)
    }

    /// Gives a partition its number, without sending an event.
    #[must_use]
    pub fn register_partition(
        &self,
        name: &str,
        key: &str,
        stream_hint: StreamHint,
        resumed: Option<PartitionProgress>,
    ) -> Partition {
        let id = PartitionId(self.ids.fetch_add(1, Ordering::Relaxed));
        Partition { id, name: name.to_owned(), key: key.to_owned(), stream_hint, resumed }
    }

    /// Sends from a thread that may block. Waits while the engine is busy.
    ///
    /// # Errors
    /// [`EngineGone`]
    pub fn send(&self, event: SourceEvent) -> Result<(), EngineGone> {
        self.events.blocking_send(event).map_err(|_| EngineGone)
    }

    /// Sends from a task. Waits while the engine is busy.
    ///
    /// # Errors
    /// [`EngineGone`]
    pub async fn send_async(&self, event: SourceEvent) -> Result<(), EngineGone> {
        self.events.send(event).await.map_err(|_| EngineGone)
    }

    /// Waits until sources must stop reading.
    pub async fn until_stopped(&self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            // An error means that the sender was dropped: no stop can be requested any more.
            Ok(_) = stop.wait_for(|stop| *stop) => {}
            () = self.events.closed() => {}
        }
    }

    /// Sends without waiting. Returns the event if the engine is busy.
    ///
    /// # Errors
    /// [`EngineGone`]
    pub fn try_send(&self, event: SourceEvent) -> Result<Option<SourceEvent>, EngineGone> {
        match self.events.try_send(event) {
            Ok(()) => Ok(None),
            Err(mpsc::error::TrySendError::Full(event)) => Ok(Some(event)),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(EngineGone),
        }
    }

    /// How far each partition is durable.
    #[must_use]
    pub fn durable_frontier(&self) -> &DurableFrontier {
        &self.durable
    }

    /// Whether sources must stop reading: a stop was requested, or the engine has ended.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow() || self.events.is_closed()
    }
}
