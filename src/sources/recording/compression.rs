//! Files as text, whatever they are compressed with.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::array::{ArrayLines, Layout, detect_layout};
use crate::archive::decompress::{ZSTD_HEAD_BYTES, gunzip, unzstd, zstd_window_hint, zstd_window_is_too_large};

/// How a file's bytes are to be read. Its first bytes tell, not its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// The text itself.
    Plain,
    /// gzip, any number of members (RFC 1952).
    Gzip,
    /// Zstandard, any number of frames, skippable ones among them (RFC 8878).
    Zstd,
    /// Something that is certainly not text, by name.
    Foreign(&'static str),
}

/// How many bytes [`Compression::of`] looks at.
pub(super) const MAGIC_BYTES: usize = 6;

/// Read ahead of a decompressor.
const COMPRESSED_BUFFER_BYTES: usize = 128 << 10;

impl Compression {
    /// By the first bytes of a file.
    pub(super) fn of(head: &[u8]) -> Compression {
        match head {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Foreign("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Compression::Foreign("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Compression::Foreign("lz4"),
            [b'P', b'K', 3, 4, ..] => Compression::Foreign("zip"),
            [b'P', b'A', b'R', b'1', ..] => Compression::Foreign("parquet"),
            _ => Compression::Plain,
        }
    }

    /// Looks into a file, and leaves it at its start.
    ///
    /// # Errors
    /// If it cannot be read, or only with more memory than a file may take.
    pub(super) fn look(file: &mut File) -> io::Result<Compression> {
        let mut head = Vec::with_capacity(ZSTD_HEAD_BYTES.max(MAGIC_BYTES));
        file.by_ref().take(head.capacity() as u64).read_to_end(&mut head)?;
        file.rewind()?;
        if zstd_window_is_too_large(&head) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, zstd_window_hint()));
        }
        Ok(Compression::of(&head))
    }

    /// The name, for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Compression::Plain => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Foreign(name) => name,
        }
    }
}

/// The text of a file.
pub(super) enum Content {
    /// As it stands.
    Plain(File),
    /// Decompressed on the way, or taken out of an array: nothing can be sought in it.
    Packed {
        /// The text.
        text: Box<dyn Read + Send>,
        /// How many bytes of the file have been read for it.
        taken: Arc<AtomicU64>,
    },
}

impl Content {
    /// The text of `file`, which must stand at its start; of an array each element as a line.
    ///
    /// # Errors
    /// If the file is of a kind that is not read, or its decompressor cannot be made.
    pub(super) fn new(file: File, compression: Compression, layout: Layout) -> io::Result<Content> {
        match (Content::as_it_stands(file, compression)?, layout) {
            (content, Layout::Lines) => Ok(content),
            (Content::Plain(file), Layout::Array) => {
                let taken = Arc::new(AtomicU64::new(0));
                let text = ArrayLines::new(Counted { file, taken: Arc::clone(&taken) });
                Ok(Content::Packed { text: Box::new(text), taken })
            }
            (Content::Packed { text, taken }, Layout::Array) => {
                Ok(Content::Packed { text: Box::new(ArrayLines::new(text)), taken })
            }
        }
    }

    fn as_it_stands(file: File, compression: Compression) -> io::Result<Content> {
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, taken: Arc::clone(&taken) };
        let text: Box<dyn Read + Send> = match compression {
            Compression::Plain => return Ok(Content::Plain(counted.file)),
            Compression::Gzip => Box::new(gunzip(BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, counted))),
            Compression::Zstd => Box::new(unzstd(BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, counted))?),
            Compression::Foreign(name) => {
                let what = format!("it is a {name} file; only plain text, gzip and zstd can be read");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        };
        Ok(Content::Packed { text, taken })
    }
}

/// How the records of a file are told apart, by at most `bytes_max` bytes of its text; leaves the file at its start.
///
/// # Errors
/// If it cannot be read. What a decompressor refuses is no error here: reading it will be.
pub(super) fn look_at_layout(
    file: &mut File,
    compression: Compression,
    bytes_max: usize,
    grows: bool,
) -> io::Result<Layout> {
    let layout = match compression {
        Compression::Plain => detect_layout(file, bytes_max, grows)?,
        Compression::Foreign(_) => Layout::Lines,
        Compression::Gzip | Compression::Zstd => {
            let mut text = Content::as_it_stands(file.try_clone()?, compression)?;
            detect_layout(&mut text, bytes_max, grows).unwrap_or(Layout::Lines)
        }
    };
    file.rewind()?;
    Ok(layout)
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(file) => file.read(buffer),
            Content::Packed { text, .. } => text.read(buffer),
        }
    }
}

/// A file that tells how much of it was read.
struct Counted {
    file: File,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        self.taken.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let cases: [(&[u8], Compression); 9] = [
            (b"", Compression::Plain),
            (b"\x1f", Compression::Plain),
            (b"{\"ind\":1}", Compression::Plain),
            (b"\xef\xbb\xbf{\"ind\":1}", Compression::Plain),
            (b"BZhello", Compression::Plain),
            (b"\x1f\x8b\x08\x00", Compression::Gzip),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
            (b"\x50\x2a\x4d\x18", Compression::Zstd),
            (b"\xfd7zXZ\x00", Compression::Foreign("xz")),
        ];
        for (head, compression) in cases {
            assert_eq!(Compression::of(head), compression, "{head:?}");
        }
    }
}
