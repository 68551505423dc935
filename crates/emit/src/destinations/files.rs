//! Writes recordings: JSON Lines in files or on standard output, plain or compressed.
//!
//! Messages count as acknowledged when the operating system has them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use pinflow_dataflows::record::Stream;

use super::{Destination, OutputCompression};
use crate::acks::DestinationAcks;

/// What to do if a file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfFileExists {
    Refuse,
    Overwrite,
    Append,
}

/// The path of a stream's recording in a folder.
pub(crate) fn recording_path(folder: &Path, stream: Stream, compress: OutputCompression) -> PathBuf {
    folder.join(format!("{stream}{}", file_extension(compress)))
}

fn file_extension(compress: OutputCompression) -> &'static str {
    match compress {
        OutputCompression::None => ".jsonl",
        OutputCompression::Gzip => ".jsonl.gz",
        OutputCompression::Zstd => ".jsonl.zst",
    }
}

pub(super) fn open_recording(path: &Path, exists: IfFileExists) -> io::Result<File> {
    let mut options = File::options();
    match exists {
        IfFileExists::Refuse => options.write(true).create_new(true),
        IfFileExists::Overwrite => options.write(true).create(true).truncate(true),
        IfFileExists::Append => options.append(true).create(true),
    };
    options.open(path)
}

/// Counts the messages in a recording. 0 if the file does not exist.
///
/// # Errors
/// If it cannot be read, or ends within a message.
pub(crate) fn count_recorded(path: &Path, compress: OutputCompression) -> io::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let text: Box<dyn Read> = match compress {
        OutputCompression::None => Box::new(file),
        OutputCompression::Gzip => Box::new(MultiGzDecoder::new(file)),
        OutputCompression::Zstd => Box::new(zstd::Decoder::new(file)?),
    };
    let mut text = BufReader::with_capacity(1 << 20, text);
    let (mut lines, mut whole) = (0, true);
    loop {
        let part = text.fill_buf()?;
        let Some(last) = part.last() else { break };
        whole = *last == b'\n';
        lines += memchr::memchr_iter(b'\n', part).count() as u64;
        let len = part.len();
        text.consume(len);
    }
    if whole { Ok(lines) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "it ends within a message")) }
}

/// The fastest level: several times as fast as the default, for 10 % more bytes.
const ZSTD_LEVEL: i32 = 1;

/// Compressed files are flushed after this many bytes of messages, so that acknowledgements keep up with progress.
const FLUSH_BYTES: usize = 4 << 20;

/// A destination that writes to `target`.
pub(super) fn new_writer<W: Write + Send + 'static>(
    target: W,
    compress: OutputCompression,
    acks: Arc<DestinationAcks>,
) -> io::Result<Box<dyn Destination>> {
    Ok(match compress {
        OutputCompression::None => Box::new(PlainFile { target, acks }),
        OutputCompression::Gzip => {
            let encoder = GzEncoder::new(target, flate2::Compression::fast());
            Box::new(CompressedFile { encoder, finish: |encoder| encoder.finish()?.flush(), unflushed: 0, acks })
        }
        OutputCompression::Zstd => {
            let encoder = zstd::Encoder::new(target, ZSTD_LEVEL)?;
            Box::new(CompressedFile { encoder, finish: |encoder| encoder.finish()?.flush(), unflushed: 0, acks })
        }
    })
}

struct PlainFile<W> {
    target: W,
    acks: Arc<DestinationAcks>,
}

impl<W: Write + Send> Destination for PlainFile<W> {
    fn send(&mut self, messages: &[u8]) -> io::Result<()> {
        self.target.write_all(messages)?;
        // `Stdout` has its own buffer.
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()?;
        self.acks.acknowledge_all();
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

struct CompressedFile<E> {
    encoder: E,
    finish: fn(E) -> io::Result<()>,
    unflushed: usize,
    acks: Arc<DestinationAcks>,
}

impl<E: Write + Send> Destination for CompressedFile<E> {
    fn send(&mut self, messages: &[u8]) -> io::Result<()> {
        self.encoder.write_all(messages)?;
        self.unflushed += messages.len();
        if self.unflushed >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()?;
        self.unflushed = 0;
        self.acks.acknowledge_all();
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let CompressedFile { encoder, finish, acks, .. } = *self;
        finish(encoder)?;
        acks.acknowledge_all();
        Ok(())
    }
}
