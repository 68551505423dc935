//! The raw archive: every message as it was received, in immutable objects.
//!
//! ```text
//! topics/‹topic›/partition=‹n›/‹topic›+‹n›+‹first offset, 10 digits›.json[.gz|.zst]
//! ```
//!
//! This is the layout of Confluent's S3 sink connector with its JsonFormat, one message per line ([`object_name`],
//! [`envelope`]). Three guarantees hold whenever the process dies:
//!
//! 1. Messages are in the archive before the commit of the tables that covers them.
//! 2. Each message is in exactly one object. The objects of a partition neither overlap nor have gaps
//!    (`partition_writer`).
//! 3. An object is complete under its name or does not exist, and is only put if it is absent ([`pinflow_storage`]).

mod codec;
mod config;
pub mod decompress;
pub mod envelope;
mod format;
pub mod object_name;
mod partition_writer;
mod window_messages;
mod writer;

pub use codec::{ArchiveCompression, decompress_object};
pub use config::ArchiveConfig;
pub use format::check_archive_format;
pub use writer::{ArchiveError, ArchiveWriter};
