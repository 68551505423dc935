//! Projected rows of an aggregation that are sent together.

use serde::{Deserialize, Serialize};

use crate::datum::{Datum, Row};
use crate::hash::row_hash;

/// The most rows of a block. A message between processes has up to about 150 blocks. Its buffers keep the size of
/// the largest message.
const BLOCK_ROWS_MAX: usize = 64;
/// A block ends with the row whose values make it this large, bytes.
const BLOCK_BYTES_MAX: usize = 16_384;
/// The most rows of an epoch that are sent one by one. A block of its own takes four allocations, and a row takes one.
const SINGLE_ROWS_MAX: usize = 4;
/// The most rows for which the allocations are kept from epoch to epoch: no limit counts them.
const KEPT_ROWS: usize = 64;

/// Projected rows for the groups of one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GroupRows {
    /// One row is added, or removed.
    One {
        /// The hash of its key.
        hash: u64,
        /// The key and the inputs of the aggregates.
        row: Row,
        /// How often it is added, or removed if negative.
        diff: i64,
    },
    /// Rows that are added and removed.
    Block(Box<RowBlock>),
}

impl GroupRows {
    /// A hash by which the rows are sent to the worker that has the groups of all of them.
    #[must_use]
    pub fn exchange_hash(&self) -> u64 {
        match self {
            GroupRows::One { hash, .. } => *hash,
            GroupRows::Block(block) => block.hashes.first().copied().unwrap_or_default(),
        }
    }
}

impl From<RowBlock> for GroupRows {
    /// A block of one row takes more allocations than the row.
    fn from(block: RowBlock) -> GroupRows {
        match (block.hashes.as_slice(), block.diffs.as_slice()) {
            ([hash], [diff]) => GroupRows::One { hash: *hash, diff: *diff, row: block.values.into() },
            _ => GroupRows::Block(Box::new(block)),
        }
    }
}

/// Several projected rows, with how often each is added. Rows of one group stand next to each other, so that it is looked up
/// once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RowBlock {
    /// The hashes of the keys, by row.
    hashes: Vec<u64>,
    /// The values of all rows, one row after the other.
    values: Vec<Datum>,
    diffs: Vec<i64>,
}

impl RowBlock {
    /// The rows: the hash of the key, the values, and how often the row is added.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u64, &[Datum], i64)> {
        let width = self.values.len() / self.diffs.len().max(1);
        let row = move |index: usize| self.values.get(index * width..(index + 1) * width).unwrap_or_default();
        self.hashes.iter().zip(&self.diffs).enumerate().map(move |(index, (hash, diff))| (*hash, row(index), *diff))
    }
}

/// Collects projected rows of an aggregation until they are sent.
///
/// It takes no allocation for a row, and sorts the rows of an epoch by group.
#[derive(Debug)]
pub struct RowCollector {
    key_len: usize,
    width: usize,
    values: Vec<Datum>,
    diffs: Vec<i64>,
    /// The hash of each row's key, and the row. A buffer.
    order: Vec<(u64, u32)>,
}

impl RowCollector {
    /// For rows whose first values, this many, are the key of their group.
    #[must_use]
    pub fn new(key_len: usize) -> RowCollector {
        RowCollector { key_len, width: 0, values: Vec::new(), diffs: Vec::new(), order: Vec::new() }
    }

    /// Adds a row `diff` times. All rows have equally many values.
    pub fn push(&mut self, row: impl IntoIterator<Item = Datum>, diff: i64) {
        let before = self.values.len();
        self.values.extend(row);
        self.width = self.values.len() - before;
        self.diffs.push(diff);
    }

    /// Gives away all rows, each for the groups of one of this many workers.
    pub fn take_rows(&mut self, workers: usize, emit: &mut dyn FnMut(GroupRows)) {
        let RowCollector { key_len, width, values, diffs, order } = self;
        if diffs.len() <= SINGLE_ROWS_MAX {
            let mut values = values.drain(..);
            for diff in diffs.drain(..) {
                let row: Row = values.by_ref().take(*width).collect();
                emit(GroupRows::One { hash: row_hash(&row[..*key_len]), row, diff });
            }
            return;
        }
        let key_of = |row: usize| &values[row * *width..][..*key_len];
        order.extend((0..diffs.len()).map(|row| (row_hash(key_of(row)), row as u32)));
        order.sort_unstable();
        let workers = workers.max(1);
        let mut blocks = vec![(RowBlock::default(), 0); workers];
        for (hash, row) in order.iter() {
            let ((block, bytes), row) = (&mut blocks[(hash % workers as u64) as usize], *row as usize);
            let values = &mut values[row * *width..][..*width];
            *bytes += values.iter().map(Datum::allocated_bytes).sum::<usize>();
            block.hashes.push(*hash);
            block.values.extend(values.iter_mut().map(std::mem::take));
            block.diffs.push(diffs[row]);
            if block.diffs.len() == BLOCK_ROWS_MAX || *bytes >= BLOCK_BYTES_MAX {
                emit(std::mem::take(block).into());
                *bytes = 0;
            }
        }
        let rest = blocks.into_iter().map(|(block, _)| block).filter(|block| !block.diffs.is_empty());
        rest.for_each(|block| emit(block.into()));
        values.clear();
        diffs.clear();
        order.clear();
        if order.capacity() > KEPT_ROWS {
            (*values, *diffs, *order) = (Vec::new(), Vec::new(), Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes rows, takes them, and calls `visit` with the key's hash, the row and how often it is added.
    fn visit_taken(collector: &mut RowCollector, workers: usize, mut visit: impl FnMut(u64, &[Datum], i64)) {
        collector.take_rows(workers, &mut |rows| match rows {
            GroupRows::One { hash, row, diff } => visit(hash, &row, diff),
            GroupRows::Block(block) => block.rows().for_each(|(hash, row, diff)| visit(hash, row, diff)),
        });
    }

    #[test]
    fn rows_are_taken_once_for_their_worker_and_rows_of_a_group_together() {
        let mut collector = RowCollector::new(1);
        let rows = 9 * BLOCK_ROWS_MAX as i64;
        let row_of = |number: i64| [Datum::text(&(number % 7).to_string()), Datum::Long(number)];
        (0..rows).for_each(|number| collector.push(row_of(number), number));
        let mut seen = vec![false; rows as usize];
        let mut taken = Vec::new();
        collector.take_rows(3, &mut |rows| taken.push(rows));
        for rows in &taken {
            let GroupRows::Block(block) = rows else { panic!("{rows:?} of many") };
            let mut groups = Vec::new();
            assert!(block.diffs.len() <= BLOCK_ROWS_MAX);
            for (hash, row, diff) in block.rows() {
                assert_eq!((row, hash), (row_of(diff).as_slice(), row_hash(&row[..1])));
                assert_eq!(hash % 3, rows.exchange_hash() % 3);
                assert!(!std::mem::replace(&mut seen[diff as usize], true), "row {diff} comes twice");
                if groups.last() != Some(&hash) {
                    groups.push(hash);
                }
            }
            let runs = groups.len();
            groups.sort_unstable();
            groups.dedup();
            assert_eq!(groups.len(), runs, "the rows of a group are together");
        }
        assert!(seen.iter().all(|seen| *seen));
        collector.take_rows(3, &mut |rows| panic!("{rows:?} after all rows were given"));
    }

    #[test]
    fn blocks_are_small_however_long_the_texts_are() {
        let mut collector = RowCollector::new(1);
        (0..100).for_each(|number| collector.push([Datum::text(&"x".repeat(3_000)), Datum::Long(number)], 1));
        let mut blocks = Vec::new();
        collector.take_rows(2, &mut |rows| blocks.push(rows));
        assert_eq!(blocks.len(), 17);
        for rows in blocks {
            let GroupRows::Block(block) = rows else { panic!("{rows:?} of several") };
            let bytes = block.values.iter().map(Datum::allocated_bytes).sum::<usize>();
            assert!(bytes < BLOCK_BYTES_MAX + 3_100, "{bytes} bytes");
        }
    }

    #[test]
    fn row_that_is_alone_on_its_worker_is_taken_without_a_block() {
        let mut collector = RowCollector::new(1);
        let rows = (0..).map(|number: i64| [Datum::Long(number)]);
        let (mut of_first, mut of_second): (Vec<_>, Vec<_>) =
            rows.take(99).partition(|row| row_hash(row).is_multiple_of(2));
        of_first.truncate(1);
        of_second.truncate(9);
        of_first.iter().chain(&of_second).for_each(|row| collector.push(row.clone(), 1));
        let mut taken = Vec::new();
        collector.take_rows(2, &mut |rows| taken.push(rows));
        let [GroupRows::One { row, .. }, GroupRows::Block(block)] = taken.as_slice() else { panic!("{taken:?}") };
        assert_eq!((&**row, block.rows().count()), (of_first[0].as_slice(), 9));
    }

    #[test]
    fn few_rows_are_taken_one_by_one() {
        let mut collector = RowCollector::new(1);
        let row_of = |number: i64| [Datum::text(&number.to_string()), Datum::Long(number)];
        for _ in 0..2 {
            let numbers = 0..SINGLE_ROWS_MAX as i64;
            numbers.clone().for_each(|number| collector.push(row_of(number), -number));
            let mut taken = Vec::new();
            collector.take_rows(3, &mut |rows| taken.push(rows));
            let single = |number: i64| {
                let row = row_of(number);
                GroupRows::One { hash: row_hash(&row[..1]), row: row.into(), diff: -number }
            };
            assert_eq!(taken, numbers.map(single).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rows_without_values_are_counted() {
        for count in [3, SINGLE_ROWS_MAX as i64 + 1] {
            let mut collector = RowCollector::new(0);
            (1..=count).for_each(|diff| collector.push([], diff));
            let mut diffs = Vec::new();
            visit_taken(&mut collector, 2, |_, row, diff| diffs.push((row.len(), diff)));
            assert_eq!(diffs, (1..=count).map(|diff| (0, diff)).collect::<Vec<_>>());
        }
    }
}
