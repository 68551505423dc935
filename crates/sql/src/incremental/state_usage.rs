//! The size of what a question holds.

use hashbrown::HashMap;

use super::sorted_counts::CountChange;
use crate::datum::{Datum, Row};
use crate::hash::RowHashState;

/// The size of the state that a question holds.
///
/// What is only used within an epoch is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateUsage {
    /// Groups, partitions and keys of joins.
    pub groups: usize,
    /// Rows that are held, distinct ones.
    pub rows: usize,
    /// Texts in keys, rows and accumulators: one that is held in several places counts there.
    pub texts: usize,
    /// Bytes. They are exact but for trees, whose nodes are taken to be two thirds full, and for what the allocator adds.
    pub bytes: usize,
}

impl StateUsage {
    /// Adds the size of another part of the state.
    pub fn add(&mut self, other: StateUsage) {
        self.groups += other.groups;
        self.rows += other.rows;
        self.texts += other.texts;
        self.bytes += other.bytes;
    }

    /// Takes away the size of a part of the state that is gone.
    pub fn subtract(&mut self, other: StateUsage) {
        self.groups = self.groups.saturating_sub(other.groups);
        self.rows = self.rows.saturating_sub(other.rows);
        self.texts = self.texts.saturating_sub(other.texts);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// Adds what came and takes away what is gone, if its count became other than zero, or zero.
    pub(super) fn track(&mut self, change: CountChange, usage: impl FnOnce() -> StateUsage) {
        match (change.before == 0, change.after == 0) {
            (true, false) => self.add(usage()),
            (false, true) => self.subtract(usage()),
            _ => {}
        }
    }

    /// Bytes only.
    pub(super) fn of_bytes(bytes: usize) -> StateUsage {
        StateUsage { bytes, ..StateUsage::default() }
    }

    /// What a value owns, beside the place that it takes itself.
    pub(super) fn of_value(value: &Datum) -> StateUsage {
        let texts = match value {
            Datum::Text(_) => 1,
            Datum::List(list) => list.iter().filter(|element| matches!(element, Datum::Text(_))).count(),
            _ => 0,
        };
        StateUsage { texts, ..StateUsage::of_bytes(value.allocated_bytes() - size_of::<Datum>()) }
    }

    /// What values own, beside the places that they take themselves.
    pub(super) fn of_values<'a>(values: impl IntoIterator<Item = &'a Datum>) -> StateUsage {
        let mut usage = StateUsage::default();
        values.into_iter().for_each(|value| usage.add(StateUsage::of_value(value)));
        usage
    }

    /// What a row owns: its values with their places.
    pub(super) fn of_row(row: &[Datum]) -> StateUsage {
        let mut usage = StateUsage::of_values(row);
        usage.bytes += size_of_val(row);
        usage
    }

    /// The same, counted as a row.
    pub(super) fn as_row(self) -> StateUsage {
        StateUsage { rows: 1, ..self }
    }

    /// The same, counted as a group.
    pub(super) fn as_group(self) -> StateUsage {
        StateUsage { groups: 1, ..self }
    }
}

/// The bytes of a `BTreeMap` with this many entries of this size, whose nodes are taken to be two thirds full.
#[must_use]
pub fn tree_bytes(entries: usize, entry_bytes: usize) -> usize {
    /// The places of a node, and what it has besides them.
    const NODE_PLACES: usize = 11;
    const NODE_EXTRA_BYTES: usize = 16;
    /// A node's links to those below, for one node of eight.
    const LINK_BYTES: usize = 12 * 8 / 8;
    let node_bytes = NODE_PLACES * entry_bytes + NODE_EXTRA_BYTES;
    match entries {
        0 => 0,
        1..=NODE_PLACES => node_bytes,
        // Two thirds of eleven are 7.3.
        _ => (entries * 3 / (2 * NODE_PLACES) + 1) * (node_bytes + LINK_BYTES),
    }
}

/// Frees what an empty map has allocated.
pub(super) fn free_if_empty<V>(map: &mut HashMap<Row, V, RowHashState>) {
    if map.is_empty() {
        map.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_count_in_lists_too() {
        let long = "a text that is too long for its value";
        let row = [
            Datum::text("short"),
            Datum::Long(1),
            Datum::List([Datum::text("a"), Datum::Null, Datum::text(long)].into()),
        ];
        let usage = StateUsage::of_row(&row);
        assert_eq!(usage.texts, 3);
        assert_eq!(usage.bytes, 6 * size_of::<Datum>() + long.len());
    }
}
