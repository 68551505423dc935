//! Counts of rows and of distinct labels per group.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::{EmitChange, GroupUpdate, NegativeCount, checked_count};
use crate::answer::AnswerCell;
use crate::hash::KeyedState;
use crate::symbol::Symbol;

/// Marks a count that does not fit four bytes. With `duplicates = "keep"` joins multiply, so an `ind` that is delivered
/// often in two streams can get there.
pub(super) const COUNT_OVERFLOW: u32 = u32::MAX;

/// The number of rows per label: 8 bytes a label while its count is below [`COUNT_OVERFLOW`].
#[derive(Debug, Default)]
pub(super) struct LabelCounts {
    few: HashMap<Symbol, u32, KeyedState>,
    /// The exact counts of labels whose entry in `few` is [`COUNT_OVERFLOW`].
    many: BTreeMap<Symbol, i64>,
}

impl LabelCounts {
    /// Adds `diff` rows with a label. Returns the counts before and after.
    pub(super) fn add_rows(&mut self, label: Symbol, diff: i64) -> Result<(i64, i64), NegativeCount> {
        let entry = self.few.entry(label);
        let before = match &entry {
            Entry::Occupied(rows) if *rows.get() == COUNT_OVERFLOW => self.many.remove(&label).unwrap_or(0),
            Entry::Occupied(rows) => (*rows.get()).into(),
            Entry::Vacant(_) => 0,
        };
        let after = checked_count(Some(label), 0, before, diff)?;
        let few = u32::try_from(after).unwrap_or(COUNT_OVERFLOW);
        if few == COUNT_OVERFLOW {
            self.many.insert(label, after);
        }
        match entry {
            Entry::Occupied(entry) if few == 0 => drop(entry.remove()),
            Entry::Occupied(mut entry) => drop(entry.insert(few)),
            Entry::Vacant(_) if few == 0 => {}
            Entry::Vacant(entry) => drop(entry.insert(few)),
        }
        Ok((before, after))
    }

    /// The number of labels.
    pub(super) fn len(&self) -> usize {
        self.few.len()
    }

    /// Each label with its number of rows.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (Symbol, i64)> {
        self.few.iter().map(|(label, rows)| match *rows {
            COUNT_OVERFLOW => (*label, self.many.get(label).copied().unwrap_or(0)),
            few => (*label, few.into()),
        })
    }
}

/// The number of rows of a group.
#[derive(Debug, Default)]
pub struct RowCount(i64);

impl RowCount {
    pub(super) fn apply(&mut self, updates: &[GroupUpdate], emit: &mut EmitChange<'_>) -> Result<(), NegativeCount> {
        let before = self.0;
        let diff = updates.iter().map(|update| update.diff).sum();
        self.0 = checked_count(None, 0, before, diff)?;
        emit_count_change(before, self.0, self.0 == 0, before == 0, emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        usize::from(self.0 > 0)
    }
}

/// The number of distinct labels of a group: 0 if its rows have none.
#[derive(Debug, Default)]
pub struct DistinctLabels {
    rows: i64,
    labels: LabelCounts,
}

impl DistinctLabels {
    pub(super) fn apply(&mut self, updates: &[GroupUpdate], emit: &mut EmitChange<'_>) -> Result<(), NegativeCount> {
        let before = (self.rows, self.distinct_labels());
        for update in updates {
            self.rows = self.rows.checked_add(update.diff).expect("a multiplicity fits 63 bits");
            if let Some(label) = update.label {
                self.labels.add_rows(label, update.diff)?;
            }
        }
        checked_count(None, 0, self.rows, 0)?;
        emit_count_change(before.1, self.distinct_labels(), self.rows == 0, before.0 == 0, emit);
        Ok(())
    }

    /// The labels.
    pub(super) fn labels(&self) -> impl Iterator<Item = Symbol> {
        self.labels.iter().map(|(label, _)| label)
    }

    fn distinct_labels(&self) -> i64 {
        i64::try_from(self.labels.len()).expect("fewer labels than 2^63")
    }

    pub(super) fn entries(&self) -> usize {
        self.labels.len() + usize::from(self.rows > 0)
    }
}

/// Emits the change from one count to another. A `fresh` group had no row before, a `gone` one has none after.
fn emit_count_change(before: i64, after: i64, gone: bool, fresh: bool, emit: &mut EmitChange<'_>) {
    if !fresh && (gone || before != after) {
        emit(None, AnswerCell::Long(before), -1);
    }
    if !gone && (fresh || before != after) {
        emit(None, AnswerCell::Long(after), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_beyond_32_bits_are_exact() {
        let (label, many) = (Symbol::new("many"), i64::from(COUNT_OVERFLOW));
        let mut counts = LabelCounts::default();
        for (diff, after) in [(many - 1, many - 1), (1, many), (5, many + 5), (-6, many - 1), (1 - many, 0)] {
            let before = counts.iter().next().map_or(0, |(_, rows)| rows);
            assert_eq!(counts.add_rows(label, diff), Ok((before, after)));
        }
        assert!(counts.few.is_empty() && counts.many.is_empty());
        assert_eq!(counts.add_rows(label, -1), Err(NegativeCount { label: Some(label), value: 0, count: -1 }));
    }
}
