//! Where messages go. Each destination takes text that holds whole messages; how they leave is its own affair.

mod files;
pub(crate) mod gateway;
pub(crate) mod kafka;
mod key;
pub(crate) mod kinesis;

use std::io;
use std::sync::Arc;

use super::acks::DestinationAcks;

pub(crate) use files::{IfFileExists, count_recorded, recording_path};
pub(crate) use key::MessageKey;

/// Takes the messages of one lane: of one stream, or of several mixed.
pub(crate) trait Destination: Send {
    /// Takes whole messages, each ended by a line break that is not part of it. They are registered with the
    /// destination's [`DestinationAcks`] before. After a request to stop it may leave the last ones unsent.
    ///
    /// # Errors
    /// Whatever keeps it from taking them; `BrokenPipe` if nobody wants them any more.
    fn send(&mut self, messages: &[u8]) -> io::Result<()>;

    /// Lets readers see all that was sent.
    ///
    /// # Errors
    /// As [`Destination::send`].
    fn flush(&mut self) -> io::Result<()>;

    /// Ends the last message's container, if there is one, and lets readers see all.
    ///
    /// # Errors
    /// As [`Destination::send`].
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Why a message was given up after a request to stop.
const STOPPED_REASON: &str = "pinflow was stopped before it was acknowledged";

/// How files and Kafka batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputCompression {
    /// Not at all: `.jsonl`.
    None,
    /// gzip: `.jsonl.gz`.
    Gzip,
    /// Zstandard: `.jsonl.zst`.
    Zstd,
}

impl OutputCompression {
    /// Its name, as Kafka spells it too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            OutputCompression::None => "none",
            OutputCompression::Gzip => "gzip",
            OutputCompression::Zstd => "zstd",
        }
    }
}

/// Standard output.
pub(crate) fn open_stdout(compress: OutputCompression, acks: Arc<DestinationAcks>) -> io::Result<Box<dyn Destination>> {
    files::new_writer(io::stdout(), compress, acks)
}

/// A file.
///
/// # Errors
/// If it is there and must not be, or cannot be opened.
pub(crate) fn open_file(
    path: &std::path::Path,
    exists: IfFileExists,
    compress: OutputCompression,
    acks: Arc<DestinationAcks>,
) -> io::Result<Box<dyn Destination>> {
    files::new_writer(files::open_recording(path, exists)?, compress, acks)
}
