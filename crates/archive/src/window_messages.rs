//! The messages of one window as lines for the archive, with the position of each.

use std::collections::BTreeMap;

use super::envelope;
use pinflow_connect::sink::{PositionChange, RawWindow, ReceivedMessages};
use pinflow_core::position::Position;

/// The messages of one window, and how far it moves each source.
#[derive(Debug, Default)]
pub(super) struct WindowMessages {
    /// By the `_source` of the rows.
    pub(super) sources: BTreeMap<String, PartitionLines>,
    /// Every source that moves, also those without a message.
    pub(super) changes: BTreeMap<String, PositionChange>,
}

impl WindowMessages {
    /// Encodes the messages of a window.
    pub(super) fn encode(window: RawWindow) -> WindowMessages {
        let mut encoded = WindowMessages { sources: BTreeMap::new(), changes: window.moved.into_iter().collect() };
        for ReceivedMessages { source, records } in window.messages {
            let lines = encoded.sources.entry(source).or_default();
            records.for_each(|record| lines.push(record.position, record.payload));
        }
        encoded
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
    /// Adds a message. Positions must not decrease.
    fn push(&mut self, position: Position, payload: Option<&[u8]>) {
        envelope::encode_line(payload, &mut self.text);
        self.ends.push((position, self.text.len()));
    }

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
        let mut lines = PartitionLines::default();
        positions.iter().for_each(|position| lines.push((*position).into(), Some(b"1")));
        lines
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
