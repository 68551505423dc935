//! Delta tables on disk or in a bucket: cleaned rows, and the positions up to which they were read, in the same
//! commits.
//!
//! ```text
//! workers ─rows─▶ row groups ─cut─▶ window ─▶ files of all four tables, in parallel
//!                                            └▶ commit `rejected` ─▶ commit `pin`, `geo`, `user` at once
//! ```
//!
//! These guarantees hold whenever the process dies. The modules in parentheses describe how:
//!
//! 1. A position *n* of a partition is in a table's log if and only if all its rows before *n* are (`writer`).
//! 2. Only one process moves positions. Each start raises the incarnation in all four tables before it reads them, and
//!    a commit succeeds only if the log still has the writer's own incarnation (`open`, `decide`).
//! 3. A table is ahead of its sibling tables by at most one window. Partitions resume at the least position of their
//!    tables. The engine gets the ids of rows beyond it, and does not write them again (`decide::resume_points`).
//! 4. A durable file survives a power loss (`pinflow_storage`).
//!
//! No snapshot of the library is kept between commits: a writer reads the commits since its own last one, and puts the
//! next version if it is absent (`log`, `writer`). The library encodes commits, creates and opens tables, and creates
//! checkpoints.

mod accept;
mod active;
pub mod answers;
mod claim;
mod columns;
mod compact;
mod counting_rows;
mod cut;
mod decide;
mod doctor;
mod encode;
mod error;
pub mod failpoints;
mod file;
mod file_put;
mod follower_files;
mod group;
mod input;
mod inspect;
mod law;
mod ledger;
mod log;
mod maintenance;
mod missing_files;
mod open;
mod post_columns;
mod rejections;
mod repair;
mod replay;
mod resume_state;
mod rows;
mod schema;
mod sink;
mod superseded;
mod table_state;
mod tables;
mod verify;
mod writer;

pub(crate) use input::FileInput;
pub(crate) use log::TableLog;
pub(crate) use open::{
    PIPELINE_PROPERTY, TABLE_FORMAT, active_files, check_format, create_table_folder, library_error, table_builder,
    table_properties,
};

pub use accept::{AcceptError, AcceptedDeletion, accept_deletion};
pub use claim::ClaimPolicy;
pub use compact::{CompactionPolicy, CompactionStats, optimize, vacuum};
pub use counting_rows::{RowExtent, RowSelection, read_counting_rows};
pub use cut::{CommittedVersion, inspect_at_epoch};
pub use doctor::{FindingGrade, TableFinding, diagnose};
pub use encode::{DeltaEncoder, EncodedBatches};
pub use error::DeltaError;
pub use failpoints::FAILPOINTS;
pub use file::Compression;
pub use follower_files::FollowerFiles;
pub use inspect::{CommitSummary, PartitionPosition, TableContents, inspect, missing_tables};
pub use missing_files::{MissingFile, MissingFileOutcome, restore_missing_files};
pub use post_columns::StoredPost;
pub use rejections::{RejectionScan, StoredRejection, find_accepted_messages, scan_rejections};
pub use repair::{RepairedFile, repair};
pub use replay::replay;
pub use rows::StoredRows;
pub use schema::Table;
pub use tables::{DeltaTables, TablesSettings};
pub use verify::{ColumnScope, PartitionReport, VerifyProgress, VerifyReport, verify};
