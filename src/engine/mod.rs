//! The engine: worker threads, epochs, back-pressure. The only room that knows timely and tokio at once.
//!
//! ```text
//!             Feed (bounded)                    orders, in order              reports
//!  sources ──── blocks ────▶ conductor ──┬── Block, Block, Close(e) ──▶ worker 0 ──┐
//!                               ▲  │     └── Block, Close(e) ────────▶ worker 1 ──┤
//!                               │  │                                              │
//!                               └──┼──── Closed(e), Changes(e), Passed(e) ◀───────┘
//!                                  ├──── Window ──▶ committer ──▶ Durable(e)
//!                                  └──── Frame(e) ──▶ serving
//! ```
//!
//! The conductor alone cuts epochs. It hands the blocks of the open epoch to whichever worker has least,
//! then says `Close` to all of them. So one partition may be read by every worker at once, and yet an epoch
//! covers a whole prefix of each partition: what a block's position says is true of the epoch it lies in.
//!
//! Back-pressure: the conductor takes no block while too many closed epochs have not passed the graph, or
//! too many windows are not durable; the feed fills, and sources wait.

mod all_rejected;
mod committer;
mod driver;
mod memory;
mod partition_state;
mod protocol;
mod rejection_log;
mod scheduler;
mod stop;
mod text_sweeps;
mod worker;
mod workers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pinflow_dataflows::graph::{AnswerChange, GraphOptions, StateSizes};
use pinflow_dataflows::ingest::{IngestCounts, MessageLimits};
use pinflow_dataflows::introspection::WorkerLog;
use tokio::sync::watch;

pub use driver::Engine;
pub use memory::{HeldMemory, MEMORY_GRACE};
pub use rejection_log::{Recent, Rejected};
pub use stop::{Outcome, STOP_DEADLINE, stop_deadline};

use crate::archive::ArchiveError;
use crate::position::Epoch;
use crate::sinks::{PriorCounts, SinkError, TableStatus};
use crate::sources::SourceError;

/// How the engine runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Worker threads.
    pub workers: usize,
    /// Least time from one epoch to the next, and the longest that a record waits for its epoch to close.
    pub epoch: Duration,
    /// An epoch is closed early when it holds this many bytes.
    pub epoch_bytes_max: usize,
    /// Closed epochs that may be under way in the graph before sources have to wait.
    pub epochs_in_flight_max: usize,
    /// When windows are cut.
    pub commit: CommitPolicy,
    /// What the questions mean.
    pub questions: GraphOptions,
    /// What a message may be.
    pub limits: MessageLimits,
    /// Resident memory above which sources pause, and the run ends if that does not help, bytes; `None` without limit.
    pub memory_max: Option<u64>,
}

/// When cleaned rows are committed. Whichever limit is met first wins.
#[derive(Debug, Clone, Copy)]
pub struct CommitPolicy {
    /// Rows held before a commit is forced.
    pub rows_max: u64,
    /// Age of the oldest held row before a commit is forced.
    pub age_max: Duration,
    /// Bytes of messages that a window has at the most, however few they are.
    pub bytes_max: usize,
    /// Windows cut and not yet durable before sources have to wait.
    pub windows_in_flight_max: usize,
}

/// One epoch that has passed, for serving: all answer changes of the epoch, and where it cut the sources.
/// The same epoch comes again, without changes, when more has become durable.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The epoch.
    pub epoch: Epoch,
    /// When it was closed.
    pub as_of: Timestamp,
    /// The last epoch whose rows are committed; `None` if this run keeps no tables.
    pub durable_epoch: Option<Epoch>,
    /// Whether it is the last epoch of a window: once durable, everything up to it is, and nothing after it.
    pub cut: bool,
    /// What changed.
    pub changes: Arc<Vec<AnswerChange>>,
    /// When the engine took the epoch's first record; `None` for an epoch without records, and when a frame comes again.
    pub first_record_at: Option<Instant>,
    /// How far each source was read at the end of the epoch.
    pub sources: Arc<[SourceStatus]>,
    /// Whether the answers are open: `false` while state is rebuilt from the tables.
    pub open: bool,
    /// Whether everything has been read that was there when the run started.
    pub complete: bool,
    /// Nothing follows.
    pub last: bool,
}

/// How far a source was read at the end of an epoch. The counts are of this run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SourceStatus {
    /// The partition, as the `_source` column has it.
    pub source: String,
    /// The next position to be read.
    pub position: String,
    /// The position after the source's last record, where the source knows.
    pub end: Option<String>,
    /// Records still to be read, where the source knows.
    pub lag: Option<u64>,
    /// How old the last record read was when the epoch closed, milliseconds, where there is more to read; else 0.
    pub lag_ms: Option<u64>,
    /// Rows read, rejections and exact redeliveries included.
    pub read: u64,
    /// Rows that went to their table.
    pub written: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Rows that a table held already when this run began, read again after a crash.
    pub redelivered: u64,
    /// Rows read in all runs: what the tables had stored beside the position when this run began, and `read`.
    #[serde(skip)]
    pub read_all_time: u64,
}

/// Figures that change while the engine runs, for a progress line.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Rows read, rejections included.
    pub rows: AtomicU64,
    /// Rows rejected.
    pub rejected: AtomicU64,
    /// Rows read back from the tables.
    pub rebuilt: AtomicU64,
    /// Rows that are to be read back.
    pub rebuild_total: AtomicU64,
    /// Texts read back from the tables that are longer than new ones may be, and that count as null.
    pub stored_texts_too_long: AtomicU64,
    /// The last epoch that passed.
    pub epoch: AtomicU64,
    /// The last durable epoch.
    pub durable_epoch: AtomicU64,
    /// Texts that no row referred to any more, freed in this run.
    pub texts_freed: AtomicU64,
    /// What the resident memory may be, bytes; 0 without limit.
    pub memory_max: AtomicU64,
    /// Whether sources pause because the memory is above its limit.
    pub memory_is_over: AtomicBool,
    /// What each worker's part of the graph holds.
    sizes: Mutex<Vec<StateSizes>>,
    /// Bytes handed to workers.
    pub bytes: AtomicU64,
    /// Bytes the sources still have, where they know.
    pub bytes_remaining: AtomicU64,
    /// Records the sources still have, where they know.
    pub lag: AtomicU64,
    /// Whether answers are open.
    pub open: AtomicBool,
    /// What the tables wait for, in words; `None` while they do not.
    pub paused: OnceLock<watch::Receiver<Option<String>>>,
    /// What of the sources cannot be read at the moment, and why.
    blocked: Mutex<BTreeMap<String, String>>,
    /// What the tables hold.
    pub tables: OnceLock<watch::Receiver<Vec<TableStatus>>>,
    /// What was found in the messages read.
    pub counts: Mutex<IngestCounts>,
    /// The commits of this run.
    pub commits: Mutex<Commits>,
    /// What earlier runs had read when this one began: set once, before the first record.
    pub prior: OnceLock<PriorCounts>,
    /// The last rejections of this run, if anybody wants to see them.
    pub recent: OnceLock<Recent>,
    /// The workers, if anybody wants to see what runs on them: set before the run, each adds itself.
    pub watches: OnceLock<Mutex<Vec<WorkerLog>>>,
}

impl Gauges {
    /// Keeps what only somebody who looks needs: rejections, and what runs on the workers. Said before the run.
    pub fn look_closely(&self) {
        let _ = self.recent.set(Recent::default());
        let _ = self.watches.set(Mutex::default());
    }

    fn keep_graph_sizes(&self, worker: usize, sizes: StateSizes) {
        let mut all = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let workers = all.len().max(worker + 1);
        all.resize(workers, StateSizes::default());
        all[worker] = sizes;
    }

    /// What the graph holds, on all workers.
    #[must_use]
    pub fn graph_sizes(&self) -> StateSizes {
        let mut held = StateSizes::default();
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|sizes| held += *sizes);
        held
    }

    /// Notes that something cannot be read, or can be again.
    pub(crate) fn note_blocked(&self, source: String, cause: Option<String>) {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        match cause {
            Some(cause) => drop(blocked.insert(source, cause)),
            None => drop(blocked.remove(&source)),
        }
    }

    /// What of the sources cannot be read at the moment, and why; `None` if all can.
    #[must_use]
    pub fn blocked_sources(&self) -> Option<String> {
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let causes: Vec<_> = blocked.iter().map(|(source, cause)| format!("{source}: {cause}")).collect();
        (!causes.is_empty()).then(|| causes.join("; "))
    }

    /// The workers that are watched.
    #[must_use]
    pub fn watched(&self) -> Vec<WorkerLog> {
        let watches = self.watches.get().map(|watches| watches.lock().unwrap_or_else(PoisonError::into_inner).clone());
        watches.unwrap_or_default()
    }
}

/// Windows made durable, and how long that took. Of all waiting (a full disk, another writer) that is a part.
#[derive(Debug, Default, Clone, Copy)]
pub struct Commits {
    /// How many.
    pub count: u64,
    /// All of them together.
    pub total: Duration,
    /// The last one.
    pub last: Duration,
    /// When the last one was durable; `None` before the first.
    pub last_at: Option<Timestamp>,
}

/// What a run has read, by kind of finding.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Rows read in this run.
    pub rows: u64,
    /// Rows rejected in this run.
    pub rejected: u64,
    /// Rejections by reason, field faults by column, unknown fields.
    pub counts: IngestCounts,
}

/// Why a run ended before its sources did.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A source cannot go on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tables cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The archive cannot be written.
    #[error("write the archive")]
    Archive(#[from] ArchiveError),
    /// A thread panicked: a fault of pinflow's own.
    #[error(
        "{thread} panicked: {message}. This is a fault in pinflow; what is committed is safe, a restart resumes there"
    )]
    Panicked {
        /// Which.
        thread: String,
        /// Its message and place.
        message: String,
    },
    /// The rows in the tables could not be read back.
    #[error("rebuild the answers from the tables")]
    Rebuild(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The memory stayed above its limit.
    #[error(
        "{held}. That did not change for {grace:?} with the sources paused. Every row that was read is committed, and \
         a restart resumes there. Raise [engine] memory_max or the memory of the machine, or let several pipelines read \
         a part of the posts each",
        held = .0,
        grace = MEMORY_GRACE
    )]
    Memory(Box<HeldMemory>),
    /// An orderly stop took too long.
    #[error(
        "what was read last is not committed {limit:?} after the stop was asked for{}; what is committed is safe, a \
         restart resumes there",
        waits_for.as_ref().map(|what| format!(" ({what})")).unwrap_or_default()
    )]
    StopDeadline {
        /// How long it may take.
        limit: Duration,
        /// What the tables wait for, in words, where they do.
        waits_for: Option<String>,
    },
}
