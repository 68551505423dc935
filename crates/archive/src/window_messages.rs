//! The messages of one window as lines for the archive, with the position of each.

use std::collections::BTreeMap;

use super::envelope;
use pinflow_core::position::Position;

/// How far a window moves one source.
#[derive(Debug, Clone, Copy)]
pub struct PositionChange {
    /// The position of the tables when the run began.
    pub resumed: Position,
    /// The position of the tables after the window.
    pub next: Position,
}

/// The messages of one window, and how far it moves each source.
#[derive(Debug, Default)]
pub struct WindowMessages {
    /// By the `_source` of the rows.
    pub(super) sources: BTreeMap<String, PartitionLines>,
    /// Every source that moves, also those without a message.
    pub(super) changes: BTreeMap<String, PositionChange>,
}

impl WindowMessages {
    /// Records how far the window moves a source. Call it for every source that moves, also without messages.
    pub fn record_change(&mut self, source: &str, change: PositionChange) {
        self.changes.insert(source.to_owned(), change);
    }

    /// Adds a message. The messages of a source must be added in the order of their positions.
    pub fn add_message(&mut self, source: &str, position: Position, payload: Option<&[u8]>) {
        if !self.sources.contains_key(source) {
            self.sources.insert(source.to_owned(), PartitionLines::default());
        }
        if let Some(lines) = self.sources.get_mut(source) {
            envelope::encode_line(payload, &mut lines.text);
            lines.ends.push((position, lines.text.len()));
        }
    }
}

/// The messages of one source as lines, in order.
#[derive(Debug, Default)]
pub(super) struct PartitionLines {
    pub(super) text: Vec<u8>,
    /// The position of each line, and the byte offset of its end in the text.
    ends: Vec<(Position, usize)>,
}

impl PartitionLines {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn position_of(&self, line: usize) -> Position {
        self.ends[line].0
    }

    /// The byte offset of a line in the text. For `line == len()`, the end of the text.
    pub(super) fn line_start(&self, line: usize) -> usize {
        line.checked_sub(1).map_or(0, |before| self.ends[before].1)
    }

    /// The first line from `from` on that begins at this byte offset or behind it.
    pub(super) fn line_at_offset(&self, from: usize, offset: usize) -> usize {
        from + self.ends[from..].partition_point(|(_, end)| *end <= offset)
    }

    /// The end of an object that begins with line `from`: after at most `max_lines`, and before the position `before`.
    /// Lines that share a position (parts of one record) stay together, even if the object gets longer.
    pub(super) fn object_end(&self, from: usize, max_lines: usize, before: Option<Position>) -> usize {
        let ends = &self.ends[from..];
        let bound = before.map_or(ends.len(), |before| ends.partition_point(|(position, _)| *position < before));
        let mut cut = bound.min(max_lines);
        while cut > 0 && cut < bound && ends[cut].0 == ends[cut - 1].0 {
            cut += 1;
        }
        from + cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(positions: &[u64]) -> PartitionLines {
        let mut messages = WindowMessages::default();
        positions.iter().for_each(|position| messages.add_message("x", (*position).into(), Some(b"1")));
        messages.sources.remove("x").unwrap_or_default()
    }

    #[test]
    fn object_ends_between_records() {
        let lines = lines(&[1, 2, 2, 2, 3, 9]);
        assert_eq!(lines.object_end(0, 100, None), 6);
        assert_eq!(lines.object_end(0, 1, None), 1);
        assert_eq!(lines.object_end(0, 2, None), 4, "the parts of a record stay together");
        assert_eq!(lines.object_end(1, 1, None), 4);
        assert_eq!(lines.object_end(0, 100, Some(3.into())), 4);
        assert_eq!(lines.object_end(4, 100, Some(3.into())), 4, "no line is before it");
        assert_eq!((lines.line_start(0), lines.line_start(2), lines.line_start(6)), (0, 4, 12));
        assert_eq!((lines.line_at_offset(0, 4), lines.line_at_offset(0, 12), lines.line_at_offset(2, 4)), (2, 6, 2));
    }
}
