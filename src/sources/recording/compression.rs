//! Files as text, whatever they are compressed with.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

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
    pub(super) fn look(file: &mut File) -> io::Result<Compression> {
        let mut head = Vec::with_capacity(MAGIC_BYTES);
        file.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut head)?;
        file.rewind()?;
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
    /// Decompressed on the way.
    Packed {
        /// The text.
        text: Box<dyn Read + Send>,
        /// How many bytes of the file have been read for it.
        taken: Arc<AtomicU64>,
    },
}

impl Content {
    /// The text of `file`, which must stand at its start.
    ///
    /// # Errors
    /// If the file is of a kind that is not read, or its decompressor cannot be made.
    pub(super) fn new(file: File, compression: Compression) -> io::Result<Content> {
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, taken: Arc::clone(&taken) };
        let text: Box<dyn Read + Send> = match compression {
            Compression::Plain => return Ok(Content::Plain(counted.file)),
            Compression::Gzip => {
                Box::new(MultiGzDecoder::new(BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, counted)))
            }
            Compression::Zstd => {
                Box::new(zstd::Decoder::with_buffer(BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, counted))?)
            }
            Compression::Foreign(name) => {
                let what = format!("it is a {name} file; only plain text, gzip and zstd can be read");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        };
        Ok(Content::Packed { text, taken })
    }
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
