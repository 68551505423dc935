//! Destinations: files, Kafka, Kinesis and gateways.

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

/// Sends the messages of one or more streams to one place.
pub(crate) trait Destination: Send {
    /// Sends whole messages, each followed by a line feed that is not part of it. They must be registered with the
    /// destination's [`DestinationAcks`] before. After a stop request, the last ones may be left unsent.
    ///
    /// # Errors
    /// If they cannot be sent. `BrokenPipe` means that the reader is gone.
    fn send(&mut self, messages: &[u8]) -> io::Result<()>;

    /// Makes all that was sent visible to readers.
    ///
    /// # Errors
    /// As [`Destination::send`].
    fn flush(&mut self) -> io::Result<()>;

    /// Ends the file or batch, and waits until all messages are acknowledged or given up.
    ///
    /// # Errors
    /// As [`Destination::send`], or if messages were not acknowledged.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// The reason that is counted for messages given up after a stop request.
const STOPPED_REASON: &str = "pinflow was stopped before it was acknowledged";

/// How files and Kafka batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputCompression {
    /// No compression: .jsonl
    None,
    /// gzip: .jsonl.gz
    Gzip,
    /// Zstandard: .jsonl.zst
    Zstd,
}

impl OutputCompression {
    /// The name, which is also Kafka's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            OutputCompression::None => "none",
            OutputCompression::Gzip => "gzip",
            OutputCompression::Zstd => "zstd",
        }
    }
}

/// Opens standard output.
pub(crate) fn open_stdout(compress: OutputCompression, acks: Arc<DestinationAcks>) -> io::Result<Box<dyn Destination>> {
    files::new_writer(io::stdout(), compress, acks)
}

/// Opens a file.
///
/// # Errors
/// If it exists and must not be overwritten, or cannot be opened.
pub(crate) fn open_file(
    path: &std::path::Path,
    exists: IfFileExists,
    compress: OutputCompression,
    acks: Arc<DestinationAcks>,
) -> io::Result<Box<dyn Destination>> {
    files::new_writer(files::open_recording(path, exists)?, compress, acks)
}
