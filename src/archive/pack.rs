//! Objects as they are stored: plain, gzip or zstd.

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use serde::Deserialize;

use super::decompress::{gunzip, unzstd};
use super::name::ENDINGS;

/// How objects are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip: what everything reads.
    Gzip,
    /// Zstandard: smaller, and faster.
    Zstd,
}

impl Compression {
    /// How names of objects end.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Compression::None => ENDINGS[0],
            Compression::Gzip => ENDINGS[1],
            Compression::Zstd => ENDINGS[2],
        }
    }

    /// Lines as an object; the same lines give the same bytes.
    ///
    /// # Errors
    /// The compressor's.
    pub(super) fn pack(self, lines: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Compression::None => Ok(lines.to_vec()),
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(lines)?;
                encoder.finish()
            }
            Compression::Zstd => zstd::encode_all(lines, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}

/// The text of an object, whatever it is compressed with: its first bytes tell.
///
/// # Errors
/// The decompressor's.
pub fn unpack(object: impl io::BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
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
    fn what_is_packed_is_unpacked_and_always_the_same() {
        let lines = b"{\"ind\":1}\n".repeat(1_000);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let packed = compression.pack(&lines).unwrap();
            assert_eq!(packed, compression.pack(&lines).unwrap());
            let mut text = Vec::new();
            unpack(io::Cursor::new(packed)).unwrap().read_to_end(&mut text).unwrap();
            assert_eq!(text, lines);
        }
    }
}
