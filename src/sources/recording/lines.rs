//! Bytes become blocks of whole lines.

use std::io::{self, Read};

/// How lines are cut into blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// About how many bytes a block has.
    pub(super) block_bytes: usize,
    /// How many bytes of a line are handed over; what follows is read past.
    pub(super) line_bytes_max: usize,
}

/// Whole lines, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// The number of the first line.
    pub(super) first: u64,
    /// The lines with their ends; only the last one of a file may lack it.
    pub(super) text: Vec<u8>,
    /// How many lines.
    pub(super) count: u64,
    /// The offset after the last of them, in bytes of text.
    pub(super) end: u64,
}

/// What one read gave.
#[derive(Debug)]
pub(super) enum Cut {
    /// At least one whole line.
    Lines(Text),
    /// Bytes, but no line's end yet.
    Partial,
    /// No byte.
    End,
}

/// Cuts a stream of bytes at line ends.
///
/// It holds one block and the beginning of the line after it. A line longer than a block makes the block grow.
/// One longer than [`Limits::line_bytes_max`] is handed over as its first `line_bytes_max` bytes, in its place;
/// where blocks are cut makes no difference to that.
pub(super) struct Lines {
    limits: Limits,
    /// The number of the next line to hand over.
    next: u64,
    /// The offset of that line.
    offset: u64,
    /// Its beginning, without a line end, at most `line_bytes_max` bytes.
    begun: Vec<u8>,
    /// How many bytes of it came after that and are not held.
    cut_off: u64,
    /// A fault that came with bytes, to be told after them.
    failed: Option<io::Error>,
}

impl Lines {
    /// Starts with line number `next`, which stands at `offset`.
    pub(super) fn new(limits: Limits, next: u64, offset: u64) -> Lines {
        let block_bytes = limits.block_bytes.clamp(1, limits.line_bytes_max);
        let limits = Limits { block_bytes, ..limits };
        Lines { limits, next, offset, begun: Vec::new(), cut_off: 0, failed: None }
    }

    /// The number of the next line to hand over.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The offset of that line.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The beginning of that line, as far as it was read.
    pub(super) fn begun(&self) -> &[u8] {
        &self.begun
    }

    /// The offset of the next byte to read.
    pub(super) fn read_to(&self) -> u64 {
        self.offset + self.begun.len() as u64 + self.cut_off
    }

    /// Reads up to a block's worth of bytes, no more than `available`, and cuts off the whole lines.
    ///
    /// # Errors
    /// The reader's, after every whole line before it has been handed over.
    pub(super) fn read(&mut self, from: &mut impl Read, available: u64) -> io::Result<Cut> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let held = self.begun.len();
        // A line that has outgrown its block doubles it, so that each byte is moved a bounded number of times.
        let Limits { block_bytes, line_bytes_max } = self.limits;
        let block = block_bytes.max(held).min(line_bytes_max - held + block_bytes).min(line_bytes_max);
        let want = usize::try_from(available).unwrap_or(usize::MAX).min(block);
        let mut buffer = std::mem::take(&mut self.begun);
        buffer.resize(held + want, 0);
        let (got, failed) = fill(from, &mut buffer[held..]);
        buffer.truncate(held + got);
        self.begun = buffer;
        match (got, failed) {
            (0, Some(failed)) => return Err(failed),
            (0, None) => return Ok(Cut::End),
            (_, failed) => self.failed = failed,
        }
        self.bound_first_line(held);
        Ok(self.cut(held))
    }

    /// The last line of a file that lacks its end, when no more will come.
    pub(super) fn finish(&mut self) -> Option<Text> {
        if self.begun.is_empty() {
            return None;
        }
        let text = std::mem::take(&mut self.begun);
        Some(self.hand_over(text, 1))
    }

    /// Drops what the first line has beyond its bound. Later lines are within it: a read is no longer than that.
    fn bound_first_line(&mut self, held: usize) {
        let bound = self.limits.line_bytes_max;
        if self.begun.len() <= bound {
            return;
        }
        let end = memchr::memchr(b'\n', &self.begun[held..]).map_or(self.begun.len(), |at| held + at);
        if end > bound {
            self.begun.drain(bound..end);
            self.cut_off += (end - bound) as u64;
        }
    }

    /// Hands over the whole lines; bytes before `held` are known to hold no line end.
    fn cut(&mut self, held: usize) -> Cut {
        let fresh = held.min(self.begun.len());
        let Some(last) = memchr::memrchr(b'\n', &self.begun[fresh..]) else {
            return Cut::Partial;
        };
        let rest = &self.begun[fresh + last + 1..];
        let mut begun = Vec::with_capacity(if rest.is_empty() { 0 } else { rest.len() + self.limits.block_bytes });
        begun.extend_from_slice(rest);
        let mut text = std::mem::replace(&mut self.begun, begun);
        text.truncate(fresh + last + 1);
        let count = memchr::memchr_iter(b'\n', &text).count() as u64;
        Cut::Lines(self.hand_over(text, count))
    }

    fn hand_over(&mut self, mut text: Vec<u8>, count: u64) -> Text {
        if text.len() < text.capacity() / 4 {
            text.shrink_to_fit();
        }
        let first = self.next;
        self.next += count;
        self.offset += text.len() as u64 + std::mem::take(&mut self.cut_off);
        Text { first, text, count, end: self.offset }
    }
}

impl Text {
    /// The last line, without its end, as the record is.
    pub(super) fn last(&self) -> &[u8] {
        let text = self.text.strip_suffix(b"\n").unwrap_or(&self.text);
        let start = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
        record(&text[start..])
    }

    /// Takes the first `lines` lines off; `None` if there are no more than that.
    pub(super) fn split_first(&mut self, lines: u64) -> Option<Text> {
        if self.count <= lines || lines == 0 {
            return None;
        }
        let nth = usize::try_from(lines - 1).ok()?;
        let at = memchr::memchr_iter(b'\n', &self.text).nth(nth)? + 1;
        let rest = self.text.split_off(at);
        let text = std::mem::replace(&mut self.text, rest);
        // Only the first line can have been cut off, so the offsets of the others follow from the end.
        let taken = Text { first: self.first, text, count: lines, end: self.end - self.text.len() as u64 };
        self.first += lines;
        self.count -= lines;
        Some(taken)
    }
}

/// A line without its end as a record: a carriage return before the end belongs to the end.
pub(super) fn record(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads until the buffer is full, the stream ends or fails.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut got = 0;
    while got < buffer.len() {
        match from.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return (got, Some(fault)),
        }
    }
    (got, None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
