//! Shared parts of pinflow's tests: real servers, proxies with faults, the program under test, and independent readers of
//! its tables.
//!
//! | module | contents |
//! | --- | --- |
//! | [`paths`], [`process`], [`wait`] | the program under test, its processes, scratch folders, waiting |
//! | [`snapshot`], [`http_client`], [`serving`], [`gateway`] | the answers of a run on stdout and over HTTP, and a gateway |
//! | [`kafka`], [`kinesis`], [`mysql`], [`postgres`], [`objects`] | real servers, and stubs and proxies for faults that real servers do not have on demand |
//! | [`certificates`] | certificates with one defect each |
//! | [`ledger`], [`readers`] | readers of the tables that use no code of pinflow |
//! | [`oracle`], [`batch`] | the batch answers: each question's SQL in SQLite |
//! | [`machine`] | a wrong clock, a full disk |
//!
//! Servers end with the process that started them, even after kill -9. A missing server or program is a failure,
//! unless the variable `PINFLOW_SKIP_…` of `docs/testing.md` skips its tests.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests call this: one that cannot go on fails, and one that is left out says so"
)]

pub mod batch;
pub mod certificates;
pub mod gateway;
pub mod http_client;
pub mod kafka;
pub mod kinesis;
pub mod ledger;
pub mod machine;
pub mod mysql;
pub mod objects;
#[path = "../../../dataflows/tests/oracle/mod.rs"]
pub mod oracle;
pub mod paths;
pub mod postgres;
pub mod process;
pub mod readers;
pub mod serving;
pub mod snapshot;
pub mod wait;

pub use machine::{SmallDisk, find_checker, find_faketime, skip_without_tmpfs};
pub use paths::{copy_folder, create_temp_dir, find_real_posts, program, workspace_root};
pub use process::{EndedRun, RunningProcess, emit, pinflow, run, run_with, succeed};
pub use snapshot::{ProcessOutput, last_snapshot};
pub use wait::wait_until;
