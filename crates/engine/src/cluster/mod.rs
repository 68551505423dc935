//! Several processes that run one pipeline.
//!
//! Process 0 leads. It closes epochs, cuts windows, commits the tables and has the answers. The others, the followers,
//! run workers of the same graph, and put the data files of the rows that they parsed.
//!
//! Each process reads a share of the sources ([`ReadShare`](pinflow_connect::source::ReadShare)). A follower holds the
//! blocks that its sources read, and tells the leader of each one without its bytes. The leader takes it into an epoch
//! as it takes blocks of its own sources, and says which worker of that follower reads it. So everything that the leader
//! decides about positions, epochs and windows is the same for all sources, wherever they are read. A block of a source
//! that the leader reads may go to a follower, with its bytes.
//!
//! ```text
//!  leader                                                     follower
//!  driver ── LeaderMessage: Block, ReadHeldBlock, CloseEpoch ▶ commands to its workers
//!         ◀─ FollowerMessage: EpochRead, Written, Source ───── events of its workers, writer and sources
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
mod follower_rows;
mod follower_sources;
mod follower_writer;
mod leader;
mod link;
mod messages;
mod peers;
mod source_events;
mod written_files;

pub use follower::{Follower, FollowerOutcome};
pub use leader::{EarlyEnd, LeaderCluster, LinkToFollower};
pub use peers::{PeerFigures, PeerTable};

pub(crate) use leader::{
    FollowerSourceEvents, FollowerStoredRows, LeaderStart, RemoteProcess, StartedFollowers, start_links,
};
pub(crate) use source_events::{BlockSummary, SourceAnnouncement};
pub(crate) use written_files::FileCollector;
