//! Decompressors as the tools that compress have them: gzip with padding, Zstandard with a bounded window.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The largest window of a Zstandard frame that is read: that of `zstd --long`, 128 MiB. A decompressor holds as much.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// The text of a gzip file: any number of members, then perhaps zeros, as `gzip` itself reads it.
pub fn gunzip<R: BufRead>(packed: R) -> impl Read + use<R> {
    GzipMembers { member: Some(GzDecoder::new(packed)) }
}

/// The text of a Zstandard file: any number of frames. A frame whose window is too large fails with the remedy.
///
/// # Errors
/// If the decompressor cannot be made.
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
            if let Some(mut rest) = self.member.take().map(GzDecoder::into_inner)
                && has_next_member(&mut rest)?
            {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Whether something follows a member but zeros, with which tapes and disks fill their blocks.
fn has_next_member(rest: &mut impl BufRead) -> io::Result<bool> {
    let mut padded = false;
    loop {
        let held = match rest.fill_buf() {
            Ok(held) => held,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(fault) => return Err(fault),
        };
        let zeros = held.iter().take_while(|byte| **byte == 0).count();
        match held.len() {
            0 => return Ok(false),
            length if zeros < length && !padded && zeros == 0 => return Ok(true),
            length if zeros < length => {
                let what = "the gzip file has other bytes after the zeros that follow its last member";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            length => {
                padded = true;
                rest.consume(length);
            }
        }
    }
}

struct ZstdFrames<R: BufRead> {
    decoder: zstd::Decoder<'static, R>,
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|fault| match fault.to_string().contains("too much memory") {
            true => io::Error::new(io::ErrorKind::InvalidData, zstd_window_hint()),
            false => fault,
        })
    }
}

/// What to do about a file whose window is too large.
#[must_use]
pub fn zstd_window_hint() -> String {
    format!(
        "it was compressed with a window of more than {} MiB (zstd --long={} or more), which is the most that is held for a \
         file; compress it again: zstd -dc --long=31 FILE | zstd -o NEW",
        (1_u64 << ZSTD_WINDOW_LOG_MAX) >> 20,
        ZSTD_WINDOW_LOG_MAX + 1
    )
}

/// How many bytes the head of a frame has that tells its window.
pub const ZSTD_HEAD_BYTES: usize = 18;

/// Whether the first frame of a Zstandard file has a larger window than is read, by the file's first
/// [`ZSTD_HEAD_BYTES`] (RFC 8878, 3.1.1.1).
#[must_use]
pub fn zstd_window_is_too_large(head: &[u8]) -> bool {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = head else { return false };
    let is_single_segment = descriptor & 0x20 != 0;
    let window = if is_single_segment {
        let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size_bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let size = rest.iter().skip(dictionary_bytes).take(size_bytes).rev();
        size.fold(0, |size, byte| size << 8 | u64::from(*byte))
    } else {
        let window = rest.first().copied().unwrap_or(0);
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
    fn gzip_members_are_read_with_zeros_after_the_last() {
        let two = [gzip(b"one\n"), gzip(b""), gzip(b"two\n")].concat();
        for zeros in [0, 1, 511, 10_000] {
            for buffer_bytes in [1, 7, 4096] {
                let padded = [two.clone(), vec![0; zeros]].concat();
                assert_eq!(gunzipped(&padded, buffer_bytes).unwrap(), b"one\ntwo\n", "{zeros}");
            }
        }
    }

    #[test]
    fn gzip_with_anything_else_at_its_end_is_refused() {
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
    fn zstd_window_is_bounded_and_the_error_names_the_remedy() {
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
