//! Delta tables on disk or in a bucket: cleaned rows and the positions they were read up to, in the same commits.
//!
//! ```text
//! workers ─rows─▶ row groups ─cut─▶ window ─▶ files of all four tables, in parallel
//!                                            └▶ commit `rejected` ─▶ commit `pin`, `geo`, `user` at once
//! ```
//!
//! What holds, whenever the process dies (the steps and their proofs stand in the modules):
//!
//! 1. A position *n* of a partition is in a table's log if and only if its rows before *n* are (`writer`).
//! 2. Only one process moves positions: each start raises an incarnation in all four tables before it reads
//!    them, and a commit only lands on a log whose incarnation is the writer's own (`open`, `decide`).
//! 3. A table is ahead of its sisters by at most what was in flight. Partitions resume at the least position
//!    of their tables; what others hold beyond it is named to the engine, which does not write it twice
//!    (`decide::resume`).
//! 4. A file that was reported durable survives a loss of power (`pinflow_storage`).
//!
//! No snapshot of the library lives between commits: a writer reads the commits since its own last one, and
//! puts the next version if absent (`log`, `writer`). The library encodes commits, creates tables, reads
//! them at open and makes checkpoints.

mod accept;
mod active;
pub mod answers;
mod claim;
mod columns;
mod compact;
mod decide;
mod doctor;
mod encode;
mod error;
pub mod failpoints;
mod file;
mod group;
mod input;
mod inspect;
mod law;
mod ledger;
mod log;
mod maintenance;
mod missing_files;
mod open;
mod repair;
mod replay;
mod resume_state;
mod rows;
mod schema;
mod sink;
mod table_state;
mod tables;
mod verify;
mod writer;

pub(crate) use input::FileInput;
pub(crate) use log::TableLog;
pub(crate) use open::{PIPELINE_PROPERTY, active_files, create_table_folder, library_error, table_builder};

pub use accept::{AcceptError, AcceptedDeletion, accept_deletion};
pub use claim::ClaimPolicy;
pub use compact::{CompactionPolicy, CompactionStats, optimize, vacuum};
pub use doctor::{FindingGrade, TableFinding, diagnose};
pub use encode::{DeltaEncoder, EncodedBatches};
pub use error::DeltaError;
pub use failpoints::FAILPOINTS;
pub use file::Compression;
pub use inspect::{CommitSummary, PartitionPosition, TableContents, inspect, missing_tables};
pub use missing_files::{MissingFile, MissingFileOutcome, restore_missing_files};
pub use repair::{RepairedFile, repair};
pub use replay::{ReplayedRow, replay};
pub use rows::StoredRows;
pub use schema::Table;
pub use tables::{DeltaTables, TablesSettings};
pub use verify::{ColumnScope, PartitionReport, VerifyProgress, VerifyReport, verify};
