//! Messages on their way into the archive: lines, with the position of each.

use std::collections::BTreeMap;

use super::line;
use crate::position::Position;

/// How a source moves in a window.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// The position that the tables had when the run began.
    pub resumed: Position,
    /// The position that they will have.
    pub next: Position,
}

/// The messages of a window.
#[derive(Debug, Default)]
pub struct Raw {
    /// By what rows' `_source` says.
    pub(super) sources: BTreeMap<String, Lines>,
    /// Every source that moved, be it without a message.
    pub(super) moved: BTreeMap<String, Moved>,
}

impl Raw {
    /// Says how a source moves in the window; of every one that does, with messages or without.
    pub fn moves(&mut self, source: &str, moved: Moved) {
        self.moved.insert(source.to_owned(), moved);
    }

    /// Adds a message; those of a source come in the order of their positions.
    pub fn add(&mut self, source: &str, position: Position, payload: Option<&[u8]>) {
        if !self.sources.contains_key(source) {
            self.sources.insert(source.to_owned(), Lines::default());
        }
        if let Some(lines) = self.sources.get_mut(source) {
            line::write(payload, &mut lines.text);
            lines.ends.push((position, lines.text.len()));
        }
    }
}

/// Lines of one source, in order.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) text: Vec<u8>,
    /// Of each, its position and where it ends in the text.
    ends: Vec<(Position, usize)>,
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The position of a line.
    pub(super) fn position(&self, at: usize) -> Position {
        self.ends[at].0
    }

    /// Where a line begins in the text; for the number of lines, where it ends.
    pub(super) fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.ends[before].1)
    }

    /// The first line at or after `at` which begins where this offset is, or behind it.
    pub(super) fn at_offset(&self, at: usize, offset: usize) -> usize {
        at + self.ends[at..].partition_point(|(_, end)| *end <= offset)
    }

    /// Where an object that begins with line `from` ends: after at most `most` lines, before a line at `before`. Lines
    /// that share a position (parts of one record) stay together.
    pub(super) fn cut(&self, from: usize, most: usize, before: Option<Position>) -> usize {
        let ends = &self.ends[from..];
        let bound = before.map_or(ends.len(), |before| ends.partition_point(|(position, _)| *position < before));
        let mut cut = bound.min(most);
        while cut > 0 && cut < bound && ends[cut].0 == ends[cut - 1].0 {
            cut += 1;
        }
        from + cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(positions: &[u64]) -> Lines {
        let mut raw = Raw::default();
        positions.iter().for_each(|position| raw.add("x", (*position).into(), Some(b"1")));
        raw.sources.remove("x").unwrap_or_default()
    }

    #[test]
    fn objects_end_between_records() {
        let lines = lines(&[1, 2, 2, 2, 3, 9]);
        assert_eq!(lines.cut(0, 100, None), 6);
        assert_eq!(lines.cut(0, 1, None), 1);
        assert_eq!(lines.cut(0, 2, None), 4, "parts of a record stay together");
        assert_eq!(lines.cut(1, 1, None), 4);
        assert_eq!(lines.cut(0, 100, Some(3.into())), 4);
        assert_eq!(lines.cut(4, 100, Some(3.into())), 4, "nothing lies before it");
        assert_eq!((lines.start(0), lines.start(2), lines.start(6)), (0, 4, 12));
        assert_eq!((lines.at_offset(0, 4), lines.at_offset(0, 12), lines.at_offset(2, 4)), (2, 6, 2));
    }
}
