//! Compression of archive objects: none, gzip or zstd.

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use serde::Deserialize;

use super::decompress::{gunzip, unzstd};
use super::object_name::EXTENSIONS;

/// The compression of archive objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveCompression {
    /// No compression.
    #[default]
    None,
    /// gzip, which every tool reads.
    Gzip,
    /// Zstandard, smaller and faster than gzip.
    Zstd,
}

impl ArchiveCompression {
    /// The extension of object names.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            ArchiveCompression::None => EXTENSIONS[0],
            ArchiveCompression::Gzip => EXTENSIONS[1],
            ArchiveCompression::Zstd => EXTENSIONS[2],
        }
    }

    /// Compresses lines into an object. Equal lines give equal bytes.
    ///
    /// # Errors
    /// Those of the compressor.
    pub(super) fn compress(self, lines: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            ArchiveCompression::None => Ok(lines.to_vec()),
            ArchiveCompression::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(lines)?;
                encoder.finish()
            }
            ArchiveCompression::Zstd => zstd::encode_all(lines, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}

/// Decompresses an object. Its first bytes tell the compression, not its name.
///
/// # Errors
/// Those of the decompressor.
pub fn decompress_object(object: impl io::BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut object = object;
    Ok(match object.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(gunzip(object)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(unzstd(object)?),
        _ => Box::new(object),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn compression_is_deterministic_and_reversible() {
        let lines = b"{\"ind\":1}\n".repeat(1_000);
        for compression in [ArchiveCompression::None, ArchiveCompression::Gzip, ArchiveCompression::Zstd] {
            let compressed = compression.compress(&lines).unwrap();
            assert_eq!(compressed, compression.compress(&lines).unwrap());
            let mut text = Vec::new();
            decompress_object(io::Cursor::new(compressed)).unwrap().read_to_end(&mut text).unwrap();
            assert_eq!(text, lines);
        }
    }
}
