//! The engine: epochs, windows, worker threads and back-pressure. The only module that knows timely and tokio at once.
//!
//! ```text
//!            queue (bounded)              commands, in order                         events
//!  sources ──── blocks ────▶ driver ──┬── ReadBlock, ReadBlock, CloseEpoch ──▶ worker 0 ──┐
//!                            ▲  │ ▲   └── ReadBlock, CloseEpoch ─────────────▶ worker 1 ──┤
//!                            │  │ └─▶ scheduler                                           │
//!                            └──┼──── EpochRead, AnswersChanged, FrontierAdvanced ◀───────┘
//!                               ├──── CommitRequest ──▶ committer ──▶ WindowDurable
//!                               └──── EpochFrame ──▶ serving
//! ```
//!
//! The `scheduler` decides: when to close an epoch, cut a window, take a block and stop. It is a pure state machine, whose
//! laws a simulation checks. The `driver` does the I/O around it. `protocol` has what the threads say to each other.
//!
//! Only the scheduler closes epochs. It gives the blocks of the open epoch to the worker that has least of it, then tells all
//! workers to close the epoch. So several workers may read one partition at once, and yet an epoch covers a whole prefix of
//! each partition: the position after a block is true of the epoch that the block lies in.
//!
//! Back-pressure: no block is taken while too many closed epochs are in the graph, or too many windows are not durable. The
//! queue fills, and sources wait.

mod all_rejected;
mod committer;
mod driver;
mod epoch_frame;
mod error;
mod memory;
mod metrics;
mod partition_state;
mod protocol;
mod rejection_log;
mod scheduler;
mod settings;
mod stop;
mod text_sweeps;
mod worker;
mod workers;

pub use driver::Engine;
pub use epoch_frame::{EpochFrame, SourceStatus};
pub use error::EngineError;
pub use memory::{HeldMemory, MEMORY_GRACE};
pub use metrics::{CommitStats, EngineMetrics};
pub use rejection_log::{LoggedRejection, RejectionLog};
pub use settings::{CommitPolicy, EngineSettings};
pub use stop::{RunOutcome, RunTotals, STOP_DEADLINE, wait_for_stop_deadline};
