//! Several processes that run one pipeline.
//!
//! Process 0 leads. It reads the sources, closes epochs, cuts windows, commits the tables and has the answers. The
//! others, the followers, run workers of the same graph, parse the blocks that they get, and put the data files of the
//! rows that they parsed.
//!
//! ```text
//!  leader                                                follower
//!  driver ── LeaderMessage: Block, CloseEpoch, … ──────▶ commands to its workers
//!         ◀─ FollowerMessage: EpochRead, Written, … ──── events of its workers, files of its writer
//!  workers ◀══ rows and aggregate inputs, by timely ═══▶ workers
//! ```
//!
//! Messages of both directions go over one connection for each follower, in order. That is the connection over which the
//! cluster was formed. Rows go over timely's own connections between all processes. So a worker that is busy with an
//! epoch does not make its process look dead, and a block is not copied into timely's queues.
//!
//! A process that is lost ends the run of all: [`EngineError::PeerLost`](crate::EngineError::PeerLost). The tables hold
//! what was committed, and a restart resumes there.

mod follower;
mod leader;
mod link;
mod messages;
mod peers;
mod written_files;

pub use follower::{Follower, FollowerOutcome};
pub use leader::{EarlyEnd, LeaderCluster, LinkToFollower};
pub use peers::{PeerFigures, PeerTable};

pub(crate) use leader::{RemoteProcess, start_links};
pub(crate) use written_files::FileCollector;
