//! Sources: bytes with their positions, nothing else.
//!
//! A source finds its partitions, opens each one at the [`Feed`], and sends [`Block`]s in the order of their
//! positions. It never parses, and it never decides what is durable: where to resume comes from the feed, and how
//! far that is durable by now (see [`DurableFrontier`]).

mod arrival_time;
mod backlog;
mod collected;
pub mod kafka;
pub mod kinesis;
mod loss;
mod named;
pub mod recording;
mod thread;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use bytes::Bytes;
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::{Micros, Stream};
use tokio::sync::{mpsc, watch};

pub use arrival_time::ArrivalTime;
pub use loss::AcceptedLoss;
pub use named::Named;

use crate::position::{PartitionId, Position, Positions, Reached};

/// A part of a source that is read in order: a file, a Kafka partition, a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number in this run.
    pub id: PartitionId,
    /// What the `_source` column says: `recording/‹file›`, `kafka/‹topic›/‹partition›`, …
    pub name: String,
    /// What its position is stored under; says more than the name where a name can be re-used (cluster, creation time).
    pub key: String,
    /// Which streams its rows belong to.
    pub carries: StreamHint,
    /// Where this run started reading it.
    pub resumed: Option<Reached>,
}

/// Records of one partition, in order, none missing.
#[derive(Debug, Clone)]
pub struct Block {
    /// Whose records these are.
    pub partition: PartitionId,
    /// The records.
    pub records: Records,
    /// The position after the last of them.
    pub next: Position,
    /// The anchor of the last of them (see [`crate::position::anchor`]).
    pub anchor: u64,
    /// What else the source needs to go on from `next` (see [`Reached::seek`]).
    pub seek: u64,
    /// How far behind the source's end the block is, in records, where the source knows.
    pub lag: Option<u64>,
    /// The same in milliseconds, where the source knows it so.
    pub lag_ms: Option<u64>,
    /// Bytes of the partition after the block, where the source knows its end: of the file as it is stored,
    /// so compressed ones where it is compressed.
    pub remaining_bytes: Option<u64>,
}

/// The records of a block. A clone shares the bytes, so the archive keeps a window's messages without copying them.
#[derive(Debug, Clone)]
pub enum Records {
    /// Text in lines, each ended by `\n` (the last one may lack it). Line `i` stands at position `first + i`.
    Lines {
        /// Position of the first line.
        first: u64,
        /// The lines.
        text: Bytes,
    },
    /// Messages with a position and a time each.
    Messages {
        /// All payloads, end to end.
        payloads: Bytes,
        /// One entry a message.
        index: Arc<Vec<Message>>,
    },
}

/// One message of [`Records::Messages`].
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Where its payload ends in `payloads`; it starts where the one before it ends, behind what `routed` has there.
    pub end: u32,
    /// Whether the payload is null (a tombstone), not merely empty.
    pub null: bool,
    /// Its position. Messages that share one follow one another in one block: they are parts of one record.
    pub position: Position,
    /// The broker's timestamp.
    pub arrived_at: ArrivalTime,
    /// Which stream it belongs to.
    pub routed: Routed,
}

/// Which stream a message belongs to, as [`Message`] holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// As its partition says.
    AsPartition,
    /// This one: its key says so.
    To(Stream),
    /// None. Why is a text of this many bytes in front of its payload.
    Nowhere(u16),
}

/// One record, as [`Records::each`] tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its bytes; `None`: null.
    pub payload: Option<&'a [u8]>,
    /// Its position.
    pub position: Position,
    /// When it arrived.
    pub arrived_at: ArrivalTime,
    /// Which stream it belongs to.
    pub route: Route<'a>,
}

/// Which stream a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// As its partition says.
    AsPartition,
    /// This one, whatever the partition carries besides.
    To(Stream),
    /// None of ours, for this reason: it is to be rejected.
    Nowhere(&'a str),
}

impl Message {
    /// All of it, from where it starts in `payloads`.
    fn entry<'a>(&self, payloads: &'a [u8], start: usize) -> Entry<'a> {
        let bytes = &payloads[start..self.end as usize];
        let (route, payload) = match self.routed {
            Routed::AsPartition => (Route::AsPartition, bytes),
            Routed::To(stream) => (Route::To(stream), bytes),
            Routed::Nowhere(length) => {
                let (why, payload) = bytes.split_at(usize::from(length));
                (Route::Nowhere(str::from_utf8(why).unwrap_or_default()), payload)
            }
        };
        let payload = (!self.null).then_some(payload);
        Entry { payload, position: self.position, arrived_at: self.arrived_at, route }
    }
}

impl Records {
    /// Calls `each` for every record in order.
    pub fn each(&self, mut each: impl FnMut(Entry<'_>)) {
        match self {
            Records::Lines { first, text } => {
                let mut start = 0;
                let ends = memchr::memchr_iter(b'\n', text).map(|at| (at, at + 1));
                let last = (!text.ends_with(b"\n") && !text.is_empty()).then_some((text.len(), text.len()));
                for (position, (end, next)) in (*first..).zip(ends.chain(last)) {
                    let line = &text[start..end];
                    let payload = Some(line.strip_suffix(b"\r").unwrap_or(line));
                    let arrived_at = ArrivalTime::Unknown;
                    each(Entry { payload, position: position.into(), arrived_at, route: Route::AsPartition });
                    start = next;
                }
            }
            Records::Messages { payloads, index } => {
                let mut start = 0;
                for message in index.iter() {
                    each(message.entry(payloads, start));
                    start = message.end as usize;
                }
            }
        }
    }

    /// How many records.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Records::Lines { text, .. } => {
                let ends = memchr::memchr_iter(b'\n', text).count();
                ends as u64 + u64::from(!text.is_empty() && !text.ends_with(b"\n"))
            }
            Records::Messages { index, .. } => index.len() as u64,
        }
    }

    /// When the last record arrived; `None` if there is none, or the source knows no times.
    #[must_use]
    pub fn last_arrived_at(&self) -> Option<Micros> {
        match self {
            Records::Lines { .. } => None,
            Records::Messages { index, .. } => index.last().and_then(|message| message.arrived_at.known()),
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Records::Lines { text, .. } => text.len(),
            Records::Messages { payloads, index } => payloads.len() + size_of_val(index.as_slice()),
        }
    }
}

/// What sources say to the engine.
#[derive(Debug)]
pub enum Event {
    /// A partition was opened; its blocks follow.
    Opened(Partition),
    /// Partitions that the tables did not know were opened, and where each begins: to be made durable at once, in one
    /// commit of each table. Their blocks follow when the source has seen that in [`DurableFrontier`].
    Begun(Vec<Partition>),
    /// Records.
    Block(Block),
    /// Where a partition ends by now: the position that its next record will have.
    Ends {
        /// Whose end.
        partition: PartitionId,
        /// The position.
        end: Position,
    },
    /// A part of a source cannot be read until people do something about it (`None`: it can be again). The run goes on
    /// with all others, and says so beside its state.
    Blocked {
        /// What cannot be read: `kafka/12ab.pin`.
        source: String,
        /// Why, and what to do.
        cause: Option<String>,
    },
    /// The partition has no more records, ever.
    Ended(PartitionId),
    /// A reader has sent everything that was there when it started. It says so once; see [`Feed::backlogs`].
    BacklogRead,
    /// Reading cannot go on; the run must end loudly.
    Failed(SourceError),
}

/// Why a source cannot go on, or cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The stream no longer holds the record before the stored position, or holds another one.
    #[error("{partition} is not the stream that was read before: {what}")]
    Changed {
        /// The partition's name.
        partition: String,
        /// What was expected and found, and what to do.
        what: String,
    },
    /// The stream dropped records before they were read.
    #[error("{partition} no longer holds positions {from} to {to}{}, and they were not read: {what}", at_most(*from, *to))]
    Lost {
        /// The partition's name.
        partition: String,
        /// The first of them.
        from: Position,
        /// The last of them.
        to: Position,
        /// What to do.
        what: String,
    },
    /// Reading failed.
    #[error("read {partition}")]
    Read {
        /// The partition's name, or the path.
        partition: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A thread of the source panicked; a fault of pinflow's, not of the stream's.
    #[error("read {partition}: panicked: {what}")]
    Panicked {
        /// The partition's name.
        partition: String,
        /// The panic's message.
        what: String,
    },
    /// What the configuration names is not there or cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// How many records a range holds at the most, where positions count records.
fn at_most(from: Position, to: Position) -> String {
    match (from.narrow(), to.narrow()) {
        (Some(from), Some(to)) => format!(", {} records at the most", to - from + 1),
        _ => String::new(),
    }
}

/// Where a source sends what it reads: bounded, so that a slow engine makes sources wait.
#[derive(Clone)]
pub struct Feed {
    events: mpsc::Sender<Event>,
    stored: Arc<Positions>,
    ids: Arc<AtomicU32>,
    stop: watch::Receiver<bool>,
    durable: DurableFrontier,
    until_caught_up: bool,
    backlogs: Arc<AtomicUsize>,
}

/// How far each partition is durable: what lies before that position is committed and will not be read again.
///
/// The engine advances it, and sources watch it: the one thing, besides credit, that flows back. In a run without tables
/// a position is durable as soon as its answers are up to date.
#[derive(Debug, Clone, Default)]
pub struct DurableFrontier(watch::Sender<BTreeMap<PartitionId, Position>>);

impl DurableFrontier {
    /// Advances partitions, and wakes whoever waits for that.
    pub fn advance(&self, positions: impl IntoIterator<Item = (PartitionId, Position)>) {
        self.0.send_modify(|durable| durable.extend(positions));
    }

    /// The position of each partition that has one. Holding it blocks the engine: drop it soon.
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

/// The engine has gone; a source that hears this ends quietly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl Feed {
    /// A feed and its other end. `capacity` is in blocks; `stored` says where partitions resume.
    #[must_use]
    pub fn new(capacity: usize, stored: Positions, stop: watch::Receiver<bool>) -> (Feed, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(capacity);
        let ids = Arc::new(AtomicU32::new(0));
        let feed = Feed {
            events,
            stored: Arc::new(stored),
            ids,
            stop,
            durable: DurableFrontier::default(),
            until_caught_up: false,
            backlogs: Arc::default(),
        };
        (feed, receiver)
    }

    /// The same feed, for sources that end once they have read what was there when they began.
    #[must_use]
    pub fn until_caught_up(self, until_caught_up: bool) -> Feed {
        Feed { until_caught_up, ..self }
    }

    /// Whether a source ends once it has read what was there when it began.
    #[must_use]
    pub fn ends_caught_up(&self) -> bool {
        self.until_caught_up
    }

    /// Announces a reader that will send [`Event::BacklogRead`] once. Called before the engine starts.
    fn expect_backlog(&self) {
        self.backlogs.fetch_add(1, Ordering::Relaxed);
    }

    /// How many readers will say that they have read what was there. Complete once all sources are started.
    #[must_use]
    pub fn backlogs(&self) -> usize {
        self.backlogs.load(Ordering::Relaxed)
    }

    /// Where the tables say a partition resumes; `None` if they know nothing of it.
    #[must_use]
    pub fn stored(&self, key: &str) -> Option<Reached> {
        self.stored.get(key).copied()
    }

    /// Every partition the tables know whose key starts with `prefix`.
    pub fn stored_under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, Reached)> {
        let from = self.stored.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(key, _)| key.starts_with(prefix)).map(|(key, reached)| (key.as_str(), *reached))
    }

    /// Announces a partition and numbers it.
    ///
    /// # Errors
    /// [`Closed`] if the engine has gone.
    pub fn open(&self, name: &str, key: &str, carries: StreamHint) -> Result<Partition, Closed> {
        let partition = self.number(name, key, carries, self.stored(key));
        self.send(Event::Opened(partition.clone()))?;
        Ok(partition)
    }

    /// Numbers a partition without announcing it.
    #[must_use]
    pub fn number(&self, name: &str, key: &str, carries: StreamHint, resumed: Option<Reached>) -> Partition {
        let id = PartitionId(self.ids.fetch_add(1, Ordering::Relaxed));
        Partition { id, name: name.to_owned(), key: key.to_owned(), carries, resumed }
    }

    /// Sends from a thread that may block; waits while the engine is busy.
    ///
    /// # Errors
    /// [`Closed`] if the engine has gone.
    pub fn send(&self, event: Event) -> Result<(), Closed> {
        self.events.blocking_send(event).map_err(|_| Closed)
    }

    /// Sends from a task; waits while the engine is busy.
    ///
    /// # Errors
    /// [`Closed`] if the engine has gone.
    pub async fn deliver(&self, event: Event) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    /// Waits until sources are to stop reading.
    pub async fn until_stopped(&self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            // An error is a sender that has gone, and asks for nothing any more.
            Ok(_) = stop.wait_for(|stop| *stop) => {}
            () = self.events.closed() => {}
        }
    }

    /// Sends without waiting; gives the event back if the engine is busy.
    ///
    /// # Errors
    /// [`Closed`] if the engine has gone.
    pub fn try_send(&self, event: Event) -> Result<Option<Event>, Closed> {
        match self.events.try_send(event) {
            Ok(()) => Ok(None),
            Err(mpsc::error::TrySendError::Full(event)) => Ok(Some(event)),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Closed),
        }
    }

    /// How far each partition is durable.
    #[must_use]
    pub fn durable_frontier(&self) -> &DurableFrontier {
        &self.durable
    }

    /// Whether sources are to stop reading: they were told to, or the engine has gone.
    #[must_use]
    pub fn stopped(&self) -> bool {
        *self.stop.borrow() || self.events.is_closed()
    }
}

/// Partitions by number, as the engine learns of them.
pub type Partitions = HashMap<PartitionId, Partition>;
