//! What the scheduler is given and what it returns: its limits, events and commands.

use std::time::Duration;

use tokio::time::Instant;

use crate::CommitPolicy;
use pinflow_core::position::Epoch;

/// The types of the values in flight, which are opaque to the scheduler.
pub(crate) trait SchedulerPayload {
    /// Work for one worker: a block, or rows of the tables.
    type Work;
    /// The reads of an epoch. They are added to the epoch's window.
    type EpochRows: Default;
    /// The answer changes of an epoch.
    type EpochAnswers: Default;
    /// The contents of a window, kept until it is durable.
    type WindowContents: Default;
}

/// The limits that the scheduler enforces.
#[derive(Debug, Clone)]
pub(crate) struct SchedulerPolicy {
    pub(crate) workers: usize,
    /// The first of them that are of this process, and so can be given rows of the tables.
    pub(crate) local_workers: usize,
    /// The longest that a record waits for its epoch to close, and the least time from one epoch to the next while the
    /// graph is busy.
    pub(crate) epoch_length: Duration,
    /// An epoch is closed early when it holds this many bytes.
    pub(crate) epoch_bytes_max: usize,
    /// Closed epochs in the graph before no more blocks are taken.
    pub(crate) epochs_in_flight_max: usize,
    pub(crate) commit: CommitPolicy,
    /// Whether rows are written to tables. If not, no window is ever cut.
    pub(crate) has_tables: bool,
    /// Readers that report once that they have sent what was there when they started.
    pub(crate) backlogs: usize,
    /// Resident memory above which sources pause, bytes.
    pub(crate) memory_max: Option<u64>,
    /// How long the memory may stay above that before the run ends.
    pub(crate) memory_grace: Duration,
}

/// The workers that may read a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockReaders {
    /// Any worker. Those of this process are preferred if other processes read sources themselves.
    All,
    /// Those of the process that holds the block.
    OfProcess(usize),
}

/// What happened.
#[derive(Debug)]
pub(crate) enum SchedulerEvent<W> {
    /// A block was taken from the sources.
    BlockTaken { work: W, rows: u64, bytes: usize, readers: BlockReaders },
    /// Rows of the tables were read back, by this process. They are durable, so they belong to no window.
    StoredRowsTaken { work: W, bytes: usize, process: usize },
    /// Rows of the tables that fill a question. They are durable, so they belong to no window.
    FillRowsTaken { work: W, rows: u64, bytes: usize },
    /// The open epoch is to be the last of its window, even if it is empty. For runs with tables.
    WindowEndDemanded,
    /// All rows of the tables were read back. `can_sweep`: as in [`SchedulerEvent::Tick`].
    RebuildFinished { can_sweep: bool },
    /// Partitions were found that the tables do not know. Their sources wait until the start positions are durable.
    StartPositionsTaken,
    /// An epoch must be shown although no record was read.
    StatusChanged,
    /// A reader has sent everything that was there when it started.
    BacklogRead,
    /// All sources have ended.
    SourcesEnded,
    /// The run is to stop.
    StopRequested,
    /// A worker has read all of an epoch.
    EpochRead { epoch: Epoch },
    /// Every epoch below the frontier has passed the graph on all workers.
    FrontierAdvanced { frontier: Epoch },
    /// Everything up to this epoch is committed.
    WindowDurable { epoch: Epoch },
    /// The resident memory was measured, bytes.
    MemoryMeasured { resident: u64 },
    /// The run cannot go on.
    Failed,
    /// Time has passed. Due after all events of one turn: this is what closes epochs. `can_sweep`: a sweep of unused texts
    /// would begin if it were demanded. `fills`: a question fills a step further with each epoch.
    Tick { can_sweep: bool, fills: bool },
}

/// A command for the driver.
#[derive(Debug)]
pub(crate) enum SchedulerCommand<P: SchedulerPayload> {
    /// Hand this to a worker.
    GiveWork { worker: usize, work: P::Work },
    /// Tell all workers that the epoch is complete, and whether it is the last of its window.
    /// `sweep_demanded`: free unused texts even if they have not grown.
    CloseEpoch { epoch: Epoch, ends_window: bool, sweep_demanded: bool },
    /// The epoch has passed the graph: count its rows, and add them to its window.
    PassEpoch { epoch: Epoch, closed_at: Instant, rows: P::EpochRows },
    /// Commit the window that ends with this epoch. `is_last`: no other follows.
    CommitWindow { last_epoch: Epoch, is_last: bool },
    /// Show the answers at the end of this epoch.
    ShowEpoch { epoch: Epoch, ends_window: bool, answers: P::EpochAnswers },
    /// This window is durable.
    SettleWindow { contents: P::WindowContents },
    /// Show again how far everything is durable.
    ShowDurable,
    /// The memory is above its limit, and no blocks are taken until it is not.
    WarnOfMemory,
    /// The memory stayed above its limit: end with an error, once everything that was read is durable.
    EndForMemory,
    /// Everything that was read is shown and durable.
    Finish,
    /// End at once with the failure that was reported.
    Abort,
}

/// What may be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllowedInput {
    /// Nothing: sources wait.
    Nothing,
    /// Rows of the tables.
    StoredRows,
    /// Events of the sources.
    SourceEvents,
}
