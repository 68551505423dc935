//! pinflow joins three streams of posts, keeps answers about them up to date under every update, and appends the cleaned
//! rows to Delta Lake exactly once.
//!
//! Most people run the program `pinflow`. Your own program can run a [`Pipeline`]: from a folder of recorded posts, or
//! from the same configuration file that `pinflow run` takes.
//!
//! ```
//! use pinflow::Pipeline;
//!
//! # fn main() -> Result<(), pinflow::PipelineError> {
//! let mut pipeline = Pipeline::from_folder("examples/recordings").start()?;
//!
//! // Each epoch is consistent: its changes turn all answers as of one moment into all answers as of the next.
//! let mut rows = 0;
//! while let Some(epoch) = pipeline.next_epoch()? {
//!     for change in epoch.changes.iter().filter(|change| change.answer == "popular_category_by_year") {
//!         rows += change.diff;
//!     }
//! }
//!
//! // An answer as of the last epoch.
//! let answer = pipeline.answer("popular_category_by_year")?;
//! assert_eq!(answer.len() as i64, rows);
//! for row in &answer {
//!     println!("{row}");
//! }
//! # assert!(rows > 0);
//! # Ok(())
//! # }
//! ```
//!
//! Everything else in this crate is the program itself, and changes without notice. It is made of separate crates,
//! which `ARCHITECTURE.md` lists.

#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod cluster;
#[doc(hidden)]
pub mod completions;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod demo;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod init;
#[doc(hidden)]
pub mod live_questions;
#[doc(hidden)]
pub mod man_pages;
mod pipeline;
#[doc(hidden)]
pub mod publish;
#[doc(hidden)]
pub mod query;
#[doc(hidden)]
pub mod question;
#[doc(hidden)]
pub mod rejected;
#[doc(hidden)]
pub mod run;
#[doc(hidden)]
pub mod sources;
#[doc(hidden)]
pub mod streams;
#[doc(hidden)]
pub mod table;
#[doc(hidden)]
pub mod table_location;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod topics;
#[doc(hidden)]
pub mod verify;

pub use pinflow_dataflows::answer::AnswerCell;
pub use pinflow_dataflows::questions::QuestionName;
pub use pipeline::{
    EpochUpdate, NamedCells, Pipeline, PipelineError, RowChange, RunSummary, RunningPipeline, answer_names,
};

#[doc(hidden)]
pub use pinflow_dataflows as dataflows;
