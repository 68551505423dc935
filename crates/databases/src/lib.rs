//! Writes the answers to tables of a PostgreSQL or MySQL database, for tools that speak only SQL.
//!
//! Each answer is a table `NAME`. With `changes` there is also a table `NAME_changes` with every row that came or went.
//! A write is one transaction: it brings all tables to one epoch (a cut), and the table `pinflow_cut` says which.
//!
//! A write stores the difference between the tables and the answers, and the tables are the only state. After each
//! connect the writer reads them back. So an unknown outcome of a commit, a crash, a restart and a restored backup are
//! handled alike.
//!
//! - `config`: `[answers.postgres]` and `[answers.mysql]`.
//! - `dialect`, `names`, `schema`, `rows`, `claim`: pure. What tables look like, what a write changes, and who may write.
//! - `session`: the interface of a connection. `postgres` and `mysql` implement it.
//! - `writer`: one write. `tables`, `change_log`, `own_tables`: the tables that it writes. `task`: writes at an interval, and retries.

mod change_log;
mod check;
mod claim;
mod config;
mod cut;
mod dialect;
mod error;
pub mod failpoints;
mod mysql;
mod names;
mod own_tables;
mod postgres;
mod rows;
mod schema;
mod session;
mod tables;
mod task;
mod writer;

pub use check::check_database;
pub use config::{DatabaseRead, DatabaseTarget, MySqlAnswersConfig, PostgresAnswersConfig};
pub use cut::{AnswerCut, AnswerSource};
pub use error::{DatabaseError, DatabaseErrorKind};
pub use failpoints::DATABASE_FAILPOINTS;
pub use names::{InvalidTable, check_questions};
pub use task::run_database_writer;
pub use writer::{DatabaseWriter, WriterSettings};
