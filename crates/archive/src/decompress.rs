//! Decompresses what common tools write: gzip with zero padding, Zstandard with a bounded window.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The largest Zstandard window that is accepted, as a power of two: 128 MiB, as of `zstd --long`. A decompressor
/// buffers a whole window.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Decompresses a gzip file: any number of members, then optional zeros, as `gzip` itself does.
pub fn gunzip<R: BufRead>(packed: R) -> impl Read + use<R> {
    GzipMembers { member: Some(GzDecoder::new(packed)) }
}

/// Decompresses a Zstandard file: any number of frames. Reading a frame with too large a window fails with a hint.
///
/// # Errors
/// If the decompressor cannot be created.
pub fn unzstd<R: BufRead>(packed: R) -> io::Result<impl Read + use<R>> {
    let mut decoder = zstd::Decoder::with_buffer(packed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(ZstdFrames { decoder })
}

struct GzipMembers<R> {
    /// The member that is being read; `None` after the last.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let got = member.read(buffer)?;
            if got > 0 || buffer.is_empty() {
                return Ok(got);
            }
            if let Some(mut tail) = self.member.take().map(GzDecoder::into_inner)
                && has_next_member(&mut tail)?
            {
                self.member = Some(GzDecoder::new(tail));
            }
        }
        Ok(0)
    }
}

/// Whether another member follows. Zeros are skipped: tapes and disks fill their last block with them.
fn has_next_member(tail: &mut impl BufRead) -> io::Result<bool> {
    let mut padded = false;
    loop {
        let buffered = match tail.fill_buf() {
            Ok(buffered) => buffered,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let zeros = buffered.iter().take_while(|byte| **byte == 0).count();
        match buffered.len() {
            0 => return Ok(false),
            length if zeros < length && !padded && zeros == 0 => return Ok(true),
            length if zeros < length => {
                let what = "the gzip file has other bytes after the zeros that follow its last member";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            length => {
                padded = true;
                tail.consume(length);
            }
        }
    }
}

struct ZstdFrames<R: BufRead> {
    decoder: zstd::Decoder<'static, R>,
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| match error.to_string().contains("too much memory") {
            true => io::Error::new(io::ErrorKind::InvalidData, zstd_window_hint()),
            false => error,
        })
    }
}

/// The error text for a file with too large a window.
#[must_use]
pub fn zstd_window_hint() -> String {
    format!(
        "it was compressed with a window of more than {} MiB (zstd --long={} or more), which is the most that is buffered for a \
         file; compress it again: zstd -dc --long=31 FILE | zstd -o NEW",
        (1_u64 << ZSTD_WINDOW_LOG_MAX) >> 20,
        ZSTD_WINDOW_LOG_MAX + 1
    )
}

/// The longest header of a Zstandard frame in bytes. It declares the window.
pub const ZSTD_HEAD_BYTES: usize = 18;

/// Whether the first frame of a Zstandard file declares a larger window than is accepted, given the first
/// [`ZSTD_HEAD_BYTES`] of the file (RFC 8878, 3.1.1.1).
#[must_use]
pub fn zstd_window_is_too_large(head: &[u8]) -> bool {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, tail @ ..] = head else { return false };
    let is_single_segment = descriptor & 0x20 != 0;
    let window = if is_single_segment {
        let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size_bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let size = tail.iter().skip(dictionary_bytes).take(size_bytes).rev();
        size.fold(0, |size, byte| size << 8 | u64::from(*byte))
    } else {
        let window = tail.first().copied().unwrap_or(0);
        let base = 1_u64 << (10 + (window >> 3));
        base + base / 8 * u64::from(window & 7)
    };
    window > 1 << ZSTD_WINDOW_LOG_MAX
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzipped(packed: &[u8], buffer_bytes: usize) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        gunzip(io::BufReader::with_capacity(buffer_bytes, packed)).read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn gzip_with_several_members_and_zero_padding_is_read() {
        let two = [gzip(b"one\n"), gzip(b""), gzip(b"two\n")].concat();
        for zeros in [0, 1, 511, 10_000] {
            for buffer_bytes in [1, 7, 4096] {
                let padded = [two.clone(), vec![0; zeros]].concat();
                assert_eq!(gunzipped(&padded, buffer_bytes).unwrap(), b"one\ntwo\n", "{zeros}");
            }
        }
    }

    #[test]
    fn gzip_with_other_trailing_bytes_is_refused() {
        for tail in [&b"x"[..], b"\0\0x", b"\x1f\x8b\x08"] {
            for buffer_bytes in [1, 4096] {
                assert!(gunzipped(&[&gzip(b"one\n"), tail].concat(), buffer_bytes).is_err(), "{tail:?}");
            }
        }
        let whole = gzip(b"one\n");
        assert!(gunzipped(&whole[..whole.len() - 1], 4096).is_err(), "cut off");
        assert!(gunzipped(&[&whole, &[0; 600][..], &whole].concat(), 512).is_err(), "a member after zeros");
    }

    fn zstd_with_window(log: u32) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(b"one\n").unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn zstd_with_too_large_a_window_is_refused_with_a_hint() {
        for (log, is_read) in [(20, true), (27, true), (28, false)] {
            let packed = zstd_with_window(log);
            let mut text = Vec::new();
            let read = unzstd(&packed[..]).unwrap().read_to_end(&mut text);
            assert_eq!(read.is_ok(), is_read, "{log}");
            assert_eq!(zstd_window_is_too_large(&packed[..ZSTD_HEAD_BYTES.min(packed.len())]), !is_read, "{log}");
            match read {
                Ok(_) => assert_eq!(text, b"one\n"),
                Err(failed) => assert!(failed.to_string().contains("zstd -dc --long=31"), "{failed}"),
            }
        }
        let small = zstd::encode_all(&b"one segment"[..], 1).unwrap();
        assert!(!zstd_window_is_too_large(&small));
        assert!(zstd_window_is_too_large(&[0x28, 0xb5, 0x2f, 0xfd, 0xa0, 1, 0, 0, 0x10]));
    }
}
