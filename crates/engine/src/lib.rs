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
//!
//!  QuestionControl ── requests ──▶ driver ── AddQuestion, FillRows, BeginFill, DropQuestion ──▶ all workers
//! ```
//!
//! The `scheduler` decides: when to close an epoch, cut a window, take a block and stop. It is a pure state machine, and
//! a simulation checks its invariants. So it is with the registry in `questions`, which decides how the questions of a run
//! change. The `driver` does the I/O around both. `protocol` defines the threads' messages.
//!
//! Only the scheduler closes epochs. It gives each block of the open epoch to the worker with the fewest bytes of it. Then it tells all
//! workers to close the epoch. So several workers may read one partition at once, and yet an epoch covers a whole prefix of
//! each partition, and the position after its last block is the position of the epoch.
//!
//! Back-pressure: no block is taken while too many closed epochs are in the graph, or too many windows are not durable. The
//! queue fills, and sources wait.

mod all_rejected;
mod cluster;
mod committer;
mod driver;
mod epoch_frame;
mod error;
mod failpoint;
mod memory;
mod metrics;
mod partition_state;
mod protocol;
mod questions;
mod rejection_log;
mod scheduler;
mod settings;
#[cfg(test)]
mod sim_rng;
mod stop;
mod text_sweeps;
mod worker;
mod workers;

pub use cluster::{EarlyEnd, Follower, FollowerOutcome, LeaderCluster, LinkToFollower, PeerFigures, PeerTable};
pub use driver::Engine;
pub use epoch_frame::{EpochFrame, SourceStatus};
pub use error::EngineError;
pub use memory::{HeldMemory, MEMORY_GRACE};
pub use metrics::{CommitStats, EngineMetrics};
pub use questions::{QuestionControl, QuestionPhase, QuestionRefusal, QuestionRequests, QuestionState};
pub use rejection_log::{LoggedRejection, RejectionLog};
pub use settings::{CommitPolicy, EngineSettings, QuestionLimits};
pub use stop::{RunOutcome, RunTotals, STOP_DEADLINE, wait_for_stop_deadline};
