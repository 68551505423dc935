//! The raw archive: every message as it was received, in objects that are written once and never change.
//!
//! ```text
//! topics/‹topic›/partition=‹n›/‹topic›+‹n›+‹first offset, 10 digits›.json[.gz|.zst]
//! ```
//!
//! This is the layout of Confluent's S3 sink connector with its JsonFormat, a message a line ([`name`], [`mod@line`]). What
//! holds, whenever the process dies:
//!
//! 1. What a commit of the tables covers is in the archive before the commit is made (the committer's order).
//! 2. Each message stands in one object, objects of a partition do not overlap and leave nothing out (`lane`).
//! 3. An object is whole under its name or not there, and is put only if it is absent ([`crate::objects`]).

mod config;
pub mod decompress;
mod lane;
pub mod line;
pub mod name;
mod pack;
mod raw;
mod writer;

pub use config::ArchiveConfig;
pub use pack::{Compression, unpack};
pub use raw::{Moved, Raw};
pub use writer::{Archive, ArchiveError};
