//! Opens files as text: plain, gzip or zstd, lines or a JSON array.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::json_array::{ArrayLines, RecordLayout, detect_layout};
use pinflow_archive::decompress::{ZSTD_HEAD_BYTES, gunzip, unzstd, zstd_window_hint, zstd_window_is_too_large};

/// The compression of a file. Its first bytes tell, not its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileCompression {
    /// Not compressed.
    Plain,
    /// gzip, any number of members (RFC 1952).
    Gzip,
    /// Zstandard, any number of frames, skippable ones among them (RFC 8878).
    Zstd,
    /// A format that cannot be read, by name.
    Foreign(&'static str),
}

/// The bytes that [`FileCompression::from_magic`] needs.
pub(super) const MAGIC_BYTES: usize = 6;

const COMPRESSED_BUFFER_BYTES: usize = 128 << 10;

impl FileCompression {
    /// Given the first bytes of a file.
    pub(super) fn from_magic(head: &[u8]) -> FileCompression {
        match head {
            [0x1f, 0x8b, ..] => FileCompression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => FileCompression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => FileCompression::Foreign("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => FileCompression::Foreign("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => FileCompression::Foreign("lz4"),
            [b'P', b'K', 3, 4, ..] => FileCompression::Foreign("zip"),
            [b'P', b'A', b'R', b'1', ..] => FileCompression::Foreign("parquet"),
            _ => FileCompression::Plain,
        }
    }

    /// Reads the first bytes of a file, and rewinds it.
    ///
    /// # Errors
    /// If it cannot be read, or if decompressing it would take too much memory.
    pub(super) fn detect(file: &mut File) -> io::Result<FileCompression> {
        let mut head = Vec::with_capacity(ZSTD_HEAD_BYTES.max(MAGIC_BYTES));
        file.by_ref().take(head.capacity() as u64).read_to_end(&mut head)?;
        file.rewind()?;
        if zstd_window_is_too_large(&head) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, zstd_window_hint()));
        }
        Ok(FileCompression::from_magic(&head))
    }

    /// The name for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            FileCompression::Plain => "plain",
            FileCompression::Gzip => "gzip",
            FileCompression::Zstd => "zstd",
            FileCompression::Foreign(name) => name,
        }
    }
}

/// The text of a file.
pub(super) enum FileContent {
    /// An uncompressed file of lines. It can be sought.
    Plain(File),
    /// Text that is decompressed or converted from a JSON array while it is read. It cannot be sought.
    Packed {
        /// The text.
        text: Box<dyn Read + Send>,
        /// Bytes of the file that were read so far.
        bytes_read: Arc<AtomicU64>,
    },
}

impl FileContent {
    /// Opens the text of `file`, which must be at its start. Each element of an array becomes a line.
    ///
    /// # Errors
    /// If the format cannot be read, or the decompressor cannot be created.
    pub(super) fn new(file: File, compression: FileCompression, layout: RecordLayout) -> io::Result<FileContent> {
        match (FileContent::open_text(file, compression)?, layout) {
            (content, RecordLayout::Lines) => Ok(content),
            (FileContent::Plain(file), RecordLayout::Array) => {
                let bytes_read = Arc::new(AtomicU64::new(0));
                let text = ArrayLines::new(CountingFile { file, bytes_read: Arc::clone(&bytes_read) });
                Ok(FileContent::Packed { text: Box::new(text), bytes_read })
            }
            (FileContent::Packed { text, bytes_read }, RecordLayout::Array) => {
                Ok(FileContent::Packed { text: Box::new(ArrayLines::new(text)), bytes_read })
            }
        }
    }

    fn open_text(file: File, compression: FileCompression) -> io::Result<FileContent> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counted = CountingFile { file, bytes_read: Arc::clone(&bytes_read) };
        let text: Box<dyn Read + Send> = match compression {
            FileCompression::Plain => return Ok(FileContent::Plain(counted.file)),
            FileCompression::Gzip => Box::new(gunzip(BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, counted))),
            FileCompression::Zstd => Box::new(unzstd(BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, counted))?),
            FileCompression::Foreign(name) => {
                let what = format!("it is a {name} file; only plain text, gzip and zstd can be read");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        };
        Ok(FileContent::Packed { text, bytes_read })
    }
}

/// Detects the layout of a file from at most `bytes_max` bytes of its text, and rewinds it.
///
/// # Errors
/// If the file cannot be read. Corrupt compressed data is no error here: it fails when it is read.
pub(super) fn detect_file_layout(
    file: &mut File,
    compression: FileCompression,
    bytes_max: usize,
    grows: bool,
) -> io::Result<RecordLayout> {
    let layout = match compression {
        FileCompression::Plain => detect_layout(file, bytes_max, grows)?,
        FileCompression::Foreign(_) => RecordLayout::Lines,
        FileCompression::Gzip | FileCompression::Zstd => {
            let mut text = FileContent::open_text(file.try_clone()?, compression)?;
            detect_layout(&mut text, bytes_max, grows).unwrap_or(RecordLayout::Lines)
        }
    };
    file.rewind()?;
    Ok(layout)
}

impl Read for FileContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            FileContent::Plain(file) => file.read(buffer),
            FileContent::Packed { text, .. } => text.read(buffer),
        }
    }
}

/// A file that counts the bytes read from it.
struct CountingFile {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for CountingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        self.bytes_read.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_detected_by_the_first_bytes() {
        let cases: [(&[u8], FileCompression); 9] = [
            (b"", FileCompression::Plain),
            (b"\x1f", FileCompression::Plain),
            (b"{\"ind\":1}", FileCompression::Plain),
            (b"\xef\xbb\xbf{\"ind\":1}", FileCompression::Plain),
            (b"BZhello", FileCompression::Plain),
            (b"\x1f\x8b\x08\x00", FileCompression::Gzip),
            (b"\x28\xb5\x2f\xfd", FileCompression::Zstd),
            (b"\x50\x2a\x4d\x18", FileCompression::Zstd),
            (b"\xfd7zXZ\x00", FileCompression::Foreign("xz")),
        ];
        for (head, compression) in cases {
            assert_eq!(FileCompression::from_magic(head), compression, "{head:?}");
        }
    }
}
