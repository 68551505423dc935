//! Splits a stream of bytes into blocks of whole lines.

use std::io::{self, Read};

/// Limits of blocks and lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineLimits {
    /// The approximate size of a block.
    pub(super) block_bytes: usize,
    /// The most bytes of a line that are returned. The rest of the line is skipped.
    pub(super) line_bytes_max: usize,
}

/// Consecutive whole lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TextBlock {
    /// The number of the first line.
    pub(super) first: u64,
    /// The lines with their line ends. Only the last line of a file may lack it.
    pub(super) text: Vec<u8>,
    /// The number of lines.
    pub(super) count: u64,
    /// The offset behind the last line, in bytes of text.
    pub(super) end: u64,
}

/// The result of one read.
#[derive(Debug)]
pub(super) enum SplitResult {
    /// At least one whole line.
    Lines(TextBlock),
    /// Bytes without a line end.
    Partial,
    /// The end of the stream.
    End,
}

/// Splits a stream of bytes at line ends.
///
/// It buffers one block and the beginning of the next line. A line longer than a block makes the block grow. Of a line
/// longer than [`LineLimits::line_bytes_max`], the first `line_bytes_max` bytes are returned, independent of how blocks
/// are split.
pub(super) struct LineSplitter {
    limits: LineLimits,
    /// The number of the next line to return.
    next: u64,
    /// The offset of the next line to return.
    offset: u64,
    /// The beginning of that line without a line end, at most `line_bytes_max` bytes.
    partial_line: Vec<u8>,
    /// Bytes of that line that were skipped after its beginning.
    cut_off: u64,
    /// An error that came with bytes. It is returned after them.
    failed: Option<io::Error>,
}

impl LineSplitter {
    /// Starts at line number `next`, which begins at `offset`.
    pub(super) fn new(limits: LineLimits, next: u64, offset: u64) -> LineSplitter {
        let block_bytes = limits.block_bytes.clamp(1, limits.line_bytes_max);
        let limits = LineLimits { block_bytes, ..limits };
        LineSplitter { limits, next, offset, partial_line: Vec::new(), cut_off: 0, failed: None }
    }

    /// The number of the next line to return.
    pub(super) fn next_line(&self) -> u64 {
        self.next
    }

    /// The offset of the next line to return.
    pub(super) fn next_offset(&self) -> u64 {
        self.offset
    }

    /// The beginning of the next line, as far as it was read.
    pub(super) fn partial_line(&self) -> &[u8] {
        &self.partial_line
    }

    /// The offset of the next byte to read.
    pub(super) fn read_offset(&self) -> u64 {
        self.offset + self.partial_line.len() as u64 + self.cut_off
    }

    /// Reads up to one block, but at most `available` bytes, and returns the whole lines.
    ///
    /// # Errors
    /// Those of the reader, after all whole lines before the error were returned.
    pub(super) fn read(&mut self, from: &mut impl Read, available: u64) -> io::Result<SplitResult> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let held = self.partial_line.len();
        // A line that outgrew its block doubles it, so that each byte is moved a bounded number of times.
        let LineLimits { block_bytes, line_bytes_max } = self.limits;
        let block = block_bytes.max(held).min(line_bytes_max - held + block_bytes).min(line_bytes_max);
        let want = usize::try_from(available).unwrap_or(usize::MAX).min(block);
        let mut buffer = std::mem::take(&mut self.partial_line);
        buffer.resize(held + want, 0);
        let (got, failed) = fill_buffer(from, &mut buffer[held..]);
        buffer.truncate(held + got);
        self.partial_line = buffer;
        match (got, failed) {
            (0, Some(failed)) => return Err(failed),
            (0, None) => return Ok(SplitResult::End),
            (_, failed) => self.failed = failed,
        }
        self.bound_first_line(held);
        Ok(self.take_whole_lines(held))
    }

    /// Returns the last line of a file if it has no line end. Call it at the end of the file.
    pub(super) fn take_unfinished_line(&mut self) -> Option<TextBlock> {
        if self.partial_line.is_empty() {
            return None;
        }
        let text = std::mem::take(&mut self.partial_line);
        Some(self.take_block(text, 1))
    }

    /// Drops the excess bytes of the first line. Later lines are within the limit, because a read is not longer than it.
    fn bound_first_line(&mut self, held: usize) {
        let bound = self.limits.line_bytes_max;
        if self.partial_line.len() <= bound {
            return;
        }
        let end = memchr::memchr(b'\n', &self.partial_line[held..]).map_or(self.partial_line.len(), |at| held + at);
        if end > bound {
            self.partial_line.drain(bound..end);
            self.cut_off += (end - bound) as u64;
        }
    }

    /// Returns the whole lines. The bytes before `held` are known to have no line end.
    fn take_whole_lines(&mut self, held: usize) -> SplitResult {
        let fresh = held.min(self.partial_line.len());
        let Some(last) = memchr::memrchr(b'\n', &self.partial_line[fresh..]) else {
            return SplitResult::Partial;
        };
        let rest = &self.partial_line[fresh + last + 1..];
        let mut partial_line =
            Vec::with_capacity(if rest.is_empty() { 0 } else { rest.len() + self.limits.block_bytes });
        partial_line.extend_from_slice(rest);
        let mut text = std::mem::replace(&mut self.partial_line, partial_line);
        text.truncate(fresh + last + 1);
        let count = memchr::memchr_iter(b'\n', &text).count() as u64;
        SplitResult::Lines(self.take_block(text, count))
    }

    fn take_block(&mut self, mut text: Vec<u8>, count: u64) -> TextBlock {
        if text.len() < text.capacity() / 4 {
            text.shrink_to_fit();
        }
        let first = self.next;
        self.next += count;
        self.offset += text.len() as u64 + std::mem::take(&mut self.cut_off);
        TextBlock { first, text, count, end: self.offset }
    }
}

impl TextBlock {
    /// The record of the last line.
    pub(super) fn last_record(&self) -> &[u8] {
        let text = self.text.strip_suffix(b"\n").unwrap_or(&self.text);
        let start = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
        strip_carriage_return(&text[start..])
    }

    /// Splits off the first `lines` lines; `None` if there are not more than that.
    pub(super) fn split_first(&mut self, lines: u64) -> Option<TextBlock> {
        if self.count <= lines || lines == 0 {
            return None;
        }
        let nth = usize::try_from(lines - 1).ok()?;
        let at = memchr::memchr_iter(b'\n', &self.text).nth(nth)? + 1;
        let rest = self.text.split_off(at);
        let text = std::mem::replace(&mut self.text, rest);
        // Only the first line can be truncated, so the offsets of the others follow from the end.
        let taken = TextBlock { first: self.first, text, count: lines, end: self.end - self.text.len() as u64 };
        self.first += lines;
        self.count -= lines;
        Some(taken)
    }
}

/// The record of a line without `\n`: a `\r` before it belongs to the line end.
pub(super) fn strip_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads until the buffer is full, or the stream ends or fails.
fn fill_buffer(from: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut got = 0;
    while got < buffer.len() {
        match from.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (got, Some(error)),
        }
    }
    (got, None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
