//! Splits a stream of bytes into blocks of whole lines.

use std::io::{self, Read};

use bytes::Bytes;

use super::block_buffers::BlockBuffers;

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
    /// Begins with the first `held` bytes of that line. What follows them has no meaning, but is initialized already.
    buffer: Vec<u8>,
    /// The read bytes of the next line without a line end, at most `line_bytes_max`.
    held: usize,
    buffers: BlockBuffers,
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
        let (buffer, buffers) = (Vec::new(), BlockBuffers::default());
        LineSplitter { limits, next, offset, buffer, held: 0, buffers, cut_off: 0, failed: None }
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
        &self.buffer[..self.held]
    }

    /// The offset of the next byte to read.
    pub(super) fn read_offset(&self) -> u64 {
        self.offset + self.held as u64 + self.cut_off
    }

    /// Reads up to one block, but at most `available` bytes, and returns the whole lines.
    ///
    /// # Errors
    /// Those of the reader, after all whole lines before the error were returned.
    pub(super) fn read(&mut self, from: &mut impl Read, available: u64) -> io::Result<SplitResult> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let held = self.held;
        let LineLimits { block_bytes, line_bytes_max } = self.limits;
        let block = if held < block_bytes.div_ceil(2) {
            // All buffers have the same size, so that they can be reused.
            block_bytes - held
        } else {
            // A line that outgrew its block doubles it, so that each byte is moved a bounded number of times.
            block_bytes.max(held).min(line_bytes_max - held + block_bytes).min(line_bytes_max)
        };
        let want = usize::try_from(available).unwrap_or(usize::MAX).min(block);
        if held == 0 && self.buffer.is_empty() {
            self.buffer = self.buffers.take(want);
        }
        if self.buffer.len() < held + want {
            self.buffer.reserve_exact(held + want - self.buffer.len());
            self.buffer.resize(held + want, 0);
        }
        let (got, failed) = fill_buffer(from, &mut self.buffer[held..held + want]);
        self.held = held + got;
        match (got, failed) {
            (0, Some(failed)) => return Err(failed),
            (0, None) => {
                // A followed file may be idle for long.
                self.buffers.release();
                self.buffer.truncate(held);
                self.buffer.shrink_to_fit();
                return Ok(SplitResult::End);
            }
            (_, failed) => self.failed = failed,
        }
        self.bound_first_line(held);
        Ok(self.take_whole_lines(held))
    }

    /// Returns the last line of a file if it has no line end. Call it at the end of the file.
    pub(super) fn take_unfinished_line(&mut self) -> Option<TextBlock> {
        if self.held == 0 {
            return None;
        }
        let mut text = std::mem::take(&mut self.buffer);
        text.truncate(std::mem::take(&mut self.held));
        Some(self.take_block(text, 1))
    }

    /// Makes a block for the engine of a text that was returned. Its memory is reused once the block is dropped.
    pub(super) fn share(&self, text: Vec<u8>) -> Bytes {
        if text.capacity() < self.limits.block_bytes || text.capacity() > 2 * self.limits.block_bytes {
            return text.into();
        }
        self.buffers.lend(text)
    }

    /// Drops the excess bytes of the first line. Later lines are within the limit, because a read is not longer than it.
    fn bound_first_line(&mut self, before: usize) {
        let bound = self.limits.line_bytes_max;
        if self.held <= bound {
            return;
        }
        let end = memchr::memchr(b'\n', &self.buffer[before..self.held]).map_or(self.held, |at| before + at);
        if end > bound {
            self.buffer.copy_within(end..self.held, bound);
            self.held -= end - bound;
            self.cut_off += (end - bound) as u64;
        }
    }

    /// Returns the whole lines. The bytes before `before` are known to have no line end.
    fn take_whole_lines(&mut self, before: usize) -> SplitResult {
        let fresh = before.min(self.held);
        let Some(last) = memchr::memrchr(b'\n', &self.buffer[fresh..self.held]) else {
            return SplitResult::Partial;
        };
        let end = fresh + last + 1;
        let rest = &self.buffer[end..self.held];
        let mut next_buffer = Vec::new();
        if !rest.is_empty() {
            next_buffer = self.buffers.take(rest.len());
            next_buffer[..rest.len()].copy_from_slice(rest);
        }
        self.held = rest.len();
        let mut text = std::mem::replace(&mut self.buffer, next_buffer);
        text.truncate(end);
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
