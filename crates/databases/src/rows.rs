//! The rows of a table, and the difference to the rows that it should have.

use std::collections::{BTreeMap, BTreeSet};

use pinflow_dataflows::answer::{AnswerCell, AnswerRow};

use crate::dialect::DatabaseDialect;

/// The rows of an answer or of a table, each with how often it is there.
pub(crate) type RowCounts = BTreeMap<AnswerRow, i64>;

/// The rows of a table of current rows, each with its key. A row that an answer has several times has several keys.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct KeyedRows {
    rows: BTreeSet<(AnswerRow, i64)>,
    last_key: i64,
}

/// What a write changes in a table of current rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RowDifference {
    /// The keys of the rows to delete.
    pub(crate) deleted: Vec<i64>,
    /// The rows to insert, with their keys.
    pub(crate) inserted: Vec<(i64, AnswerRow)>,
}

impl KeyedRows {
    /// Adds a row that was read from the table.
    pub(crate) fn add_stored(&mut self, key: i64, row: AnswerRow) {
        self.last_key = self.last_key.max(key);
        self.rows.insert((row, key));
    }

    /// The rows, each with how often it is there.
    pub(crate) fn counts(&self) -> RowCounts {
        let mut counts = RowCounts::new();
        for (row, _) in &self.rows {
            match counts.get_mut(row) {
                Some(count) => *count += 1,
                None => drop(counts.insert(row.clone(), 1)),
            }
        }
        counts
    }

    /// Turns the rows into `wanted`, and returns what to change in the table.
    pub(crate) fn change_to(&mut self, wanted: &RowCounts) -> RowDifference {
        let mut difference = RowDifference::default();
        let mut kept: Option<(&AnswerRow, i64)> = None;
        // Both are in the order of the rows.
        for (row, key) in &self.rows {
            let so_far = kept.filter(|(last, _)| *last == row).map_or(0, |(_, count)| count);
            if so_far < wanted.get(row).copied().unwrap_or_default() {
                kept = Some((row, so_far + 1));
            } else {
                kept = Some((row, so_far));
                difference.deleted.push(*key);
            }
        }
        let mut held: BTreeMap<&AnswerRow, i64> = BTreeMap::new();
        for (row, _) in &self.rows {
            *held.entry(row).or_default() += 1;
        }
        for (row, count) in wanted {
            for _ in held.get(row).copied().unwrap_or_default()..*count {
                self.last_key += 1;
                difference.inserted.push((self.last_key, row.clone()));
            }
        }
        let deleted: BTreeSet<i64> = difference.deleted.iter().copied().collect();
        if !deleted.is_empty() {
            self.rows.retain(|(_, key)| !deleted.contains(key));
        }
        self.rows.extend(difference.inserted.iter().map(|(key, row)| (row.clone(), *key)));
        difference
    }
}

/// The changes that turn `held` into `wanted`: what was removed first, then what was added.
pub(crate) fn diff_counts(held: &RowCounts, wanted: &RowCounts) -> Vec<(AnswerRow, i64)> {
    let mut changes = Vec::new();
    for (row, count) in held {
        let diff = wanted.get(row).copied().unwrap_or_default() - count;
        if diff < 0 {
            changes.push((row.clone(), diff));
        }
    }
    for (row, count) in wanted {
        let diff = count - held.get(row).copied().unwrap_or_default();
        if diff > 0 {
            changes.push((row.clone(), diff));
        }
    }
    changes
}

/// Adds a change to the sum of a log, which holds no row whose changes add up to nothing.
pub(crate) fn add_change(sums: &mut RowCounts, row: AnswerRow, diff: i64) {
    use std::collections::btree_map::Entry;
    match sums.entry(row) {
        Entry::Vacant(entry) => drop(entry.insert(diff)),
        Entry::Occupied(mut entry) => {
            *entry.get_mut() += diff;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// The rows with values that the database can hold, and how many values were replaced.
pub(crate) fn storable_rows(rows: RowCounts, dialect: DatabaseDialect) -> (RowCounts, u64) {
    let needs = |row: &AnswerRow| row.0.iter().any(|cell| dialect.replacement(cell).is_some());
    if !rows.keys().any(needs) {
        return (rows, 0);
    }
    let (mut stored, mut replaced) = (RowCounts::new(), 0);
    for (row, count) in rows {
        let cells: Vec<AnswerCell> = row
            .0
            .iter()
            .map(|cell| match dialect.replacement(cell) {
                Some(other) => {
                    replaced += 1;
                    other
                }
                None => cell.clone(),
            })
            .collect();
        *stored.entry(AnswerRow::new(cells)).or_default() += count;
    }
    (stored, replaced)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(number: i64) -> AnswerRow {
        AnswerRow::new([AnswerCell::Long(number), AnswerCell::text("x")])
    }

    fn counts(rows: &[(i64, i64)]) -> RowCounts {
        rows.iter().map(|(number, count)| (row(*number), *count)).collect()
    }

    proptest! {
        #[test]
        fn difference_turns_any_rows_into_any_others_and_keeps_what_both_have(
            before in proptest::collection::btree_map(0_i64..6, 1_i64..4, 0..6),
            after in proptest::collection::btree_map(0_i64..6, 1_i64..4, 0..6),
        ) {
            let as_counts = |rows: BTreeMap<i64, i64>| rows.into_iter().map(|(n, count)| (row(n), count)).collect::<RowCounts>();
            let (before, after) = (as_counts(before), as_counts(after));
            let mut held = KeyedRows::default();
            held.change_to(&before);
            let table = held.clone();
            let difference = held.change_to(&after);
            // Apply it to the table as the database would.
            let mut stored = KeyedRows::default();
            for (row, key) in table.rows.iter().filter(|(_, key)| !difference.deleted.contains(key)) {
                stored.add_stored(*key, row.clone());
            }
            for (key, row) in &difference.inserted {
                prop_assert!(table.rows.iter().all(|(_, other)| other != key), "a key is used twice");
                stored.add_stored(*key, row.clone());
            }
            prop_assert_eq!(stored.counts(), after.clone());
            prop_assert_eq!(held.counts(), after.clone());
            let changed: i64 = diff_counts(&before, &after).iter().map(|(_, diff)| diff.abs()).sum();
            prop_assert_eq!(changed as usize, difference.deleted.len() + difference.inserted.len());
            let mut sums = before;
            for (row, diff) in diff_counts(&table.counts(), &after) {
                add_change(&mut sums, row, diff);
            }
            prop_assert_eq!(sums, after);
        }
    }

    #[test]
    fn rows_that_become_equal_are_counted_together() {
        let text = |text: &str| AnswerRow::new([AnswerCell::text(text)]);
        let rows = RowCounts::from([(text("a\0"), 1), (text("a\u{fffd}"), 2)]);
        let (stored, replaced) = storable_rows(rows.clone(), DatabaseDialect::Postgres);
        assert_eq!((stored, replaced), (RowCounts::from([(text("a\u{fffd}"), 3)]), 1));
        assert_eq!(storable_rows(rows.clone(), DatabaseDialect::MySql), (rows, 0));
        assert_eq!(diff_counts(&counts(&[(1, 2)]), &counts(&[(1, 1), (2, 1)])), [(row(1), -1), (row(2), 1)]);
    }
}
