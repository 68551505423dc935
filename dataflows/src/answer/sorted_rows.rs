//! Rows in an order, each with its count: a sorted list in shared chunks.

use std::cmp::Ordering;
use std::sync::Arc;

use super::AnswerRow;

/// Distinct rows in the order of the caller, each with how often it is there.
///
/// A clone shares all rows, and costs nothing. A change copies the chunk of its row if a clone still has it, and the list
/// of chunks once. So reading an answer of a million rows does not make its next change expensive.
#[derive(Debug, Clone, Default)]
pub(super) struct SortedRows {
    chunks: Arc<Vec<Arc<RowChunk>>>,
    len: usize,
}

/// Some rows in order, never none.
type RowChunk = Vec<(AnswerRow, i64)>;

/// The most rows of a chunk. Larger ones cost more to copy, smaller ones more to find.
const CHUNK_ROWS: usize = 64;
/// A chunk with fewer rows is joined with a neighbour, if both fit in three quarters of one.
const FEW_ROWS: usize = CHUNK_ROWS / 4;
/// By how many rows a chunk grows: doubling would leave a third of the memory unused.
const ROWS_GROWTH: usize = 8;

/// The memory that a row takes besides its cells, bytes: its place in a chunk that is mostly full, and its counters.
pub(super) const ROW_BYTES: usize =
    size_of::<(AnswerRow, i64)>() * CHUNK_ROWS / (CHUNK_ROWS - ROWS_GROWTH) + 2 * size_of::<usize>();

/// An order of rows, in which only equal rows are equal.
type ListingOrder<'a> = &'a dyn Fn(&AnswerRow, &AnswerRow) -> Ordering;

impl SortedRows {
    /// The number of distinct rows.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All rows in order.
    pub(super) fn iter(&self) -> SortedRowIter<'_> {
        SortedRowIter { chunks: self.chunks.iter(), rows: [].iter(), left: self.len }
    }

    /// How often a row is there.
    pub(super) fn count(&self, row: &AnswerRow, order: ListingOrder<'_>) -> i64 {
        let chunk = self.chunks.get(self.chunk_index(row, order));
        let found = chunk.and_then(|chunk| Some(chunk[find_row(chunk, row, order).ok()?].1));
        found.unwrap_or_default()
    }

    /// Changes how often a row is there.
    pub(super) fn change(&mut self, row: &AnswerRow, diff: i64, order: ListingOrder<'_>) {
        let index = self.chunk_index(row, order);
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(index) else {
            self.len += 1;
            return append_row(chunks, (row.clone(), diff));
        };
        let chunk = Arc::make_mut(chunk);
        match find_row(chunk, row, order) {
            Ok(place) => {
                chunk[place].1 += diff;
                if chunk[place].1 == 0 {
                    chunk.remove(place);
                    self.len -= 1;
                    join_few_rows(chunks, index);
                }
            }
            Err(place) => {
                if chunk.len() == chunk.capacity() {
                    chunk.reserve_exact(ROWS_GROWTH);
                }
                chunk.insert(place, (row.clone(), diff));
                self.len += 1;
                if chunk.len() > CHUNK_ROWS {
                    let rest = chunk.split_off(CHUNK_ROWS / 2);
                    chunk.shrink_to(CHUNK_ROWS / 2 + ROWS_GROWTH);
                    chunks.insert(index + 1, Arc::new(rest));
                }
            }
        }
    }

    /// The first chunk whose last row is not before a row: the one that has it, or in which it belongs.
    fn chunk_index(&self, row: &AnswerRow, order: ListingOrder<'_>) -> usize {
        let is_before = |chunk: &Arc<RowChunk>| chunk.last().is_some_and(|(last, _)| order(last, row).is_lt());
        self.chunks.partition_point(is_before)
    }
}

fn find_row(chunk: &RowChunk, row: &AnswerRow, order: ListingOrder<'_>) -> Result<usize, usize> {
    chunk.binary_search_by(|(other, _)| order(other, row))
}

/// Adds a row after all others.
fn append_row(chunks: &mut Vec<Arc<RowChunk>>, row: (AnswerRow, i64)) {
    match chunks.last_mut().filter(|last| last.len() < CHUNK_ROWS) {
        Some(last) => {
            let last = Arc::make_mut(last);
            if last.len() == last.capacity() {
                last.reserve_exact(ROWS_GROWTH);
            }
            last.push(row);
        }
        None => {
            let mut chunk = Vec::with_capacity(ROWS_GROWTH);
            chunk.push(row);
            chunks.push(Arc::new(chunk));
        }
    }
}

/// Removes a chunk without rows, and joins one that has few with the next one or the one before.
fn join_few_rows(chunks: &mut Vec<Arc<RowChunk>>, index: usize) {
    let rows = chunks[index].len();
    if rows == 0 {
        chunks.remove(index);
        return;
    }
    if rows >= FEW_ROWS {
        return;
    }
    let fits = |other: &usize| chunks.get(*other).is_some_and(|other| other.len() + rows <= CHUNK_ROWS * 3 / 4);
    let Some(other) = [index + 1, index.wrapping_sub(1)].into_iter().find(fits) else { return };
    let (first, second) = (index.min(other), index.max(other));
    let joined = chunks[first].iter().chain(&**chunks[second]).cloned().collect();
    chunks[first] = Arc::new(joined);
    chunks.remove(second);
}

/// The rows of an answer in order, each with its count.
#[derive(Debug, Clone)]
pub(super) struct SortedRowIter<'a> {
    chunks: std::slice::Iter<'a, Arc<RowChunk>>,
    rows: std::slice::Iter<'a, (AnswerRow, i64)>,
    left: usize,
}

impl<'a> Iterator for SortedRowIter<'a> {
    type Item = (&'a AnswerRow, i64);

    fn next(&mut self) -> Option<(&'a AnswerRow, i64)> {
        loop {
            if let Some((row, count)) = self.rows.next() {
                self.left -= 1;
                return Some((row, *count));
            }
            self.rows = self.chunks.next()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for SortedRowIter<'_> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::AnswerCell;
    use super::*;

    fn row(number: i64) -> AnswerRow {
        AnswerRow::new([AnswerCell::Long(number)])
    }

    fn descending(one: &AnswerRow, other: &AnswerRow) -> Ordering {
        other.cmp(one)
    }

    fn check_chunks(rows: &SortedRows) {
        assert!(rows.chunks.iter().all(|chunk| (1..=CHUNK_ROWS).contains(&chunk.len())));
        assert_eq!(rows.chunks.iter().map(|chunk| chunk.len()).sum::<usize>(), rows.len());
    }

    proptest! {
        #[test]
        fn rows_equal_those_of_a_map_and_clones_do_not_change(
            steps in prop::collection::vec((0_i64..400, 1_i64..3, prop::bool::weighted(0.4)), 1..1_500),
            clone_every in 1_usize..300,
        ) {
            let (mut rows, mut map) = (SortedRows::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for (step, (number, count, removes)) in steps.into_iter().enumerate() {
                let held = map.get(&-number).copied().unwrap_or(0);
                prop_assert_eq!(rows.count(&row(number), &descending), held);
                let diff = if removes && held > 0 { -held } else { count };
                rows.change(&row(number), diff, &descending);
                *map.entry(-number).or_insert(0) += diff;
                map.retain(|_, count| *count != 0);
                if step % clone_every == 0 {
                    clones.push((rows.clone(), map.clone()));
                }
            }
            clones.push((rows, map));
            for (rows, map) in clones {
                check_chunks(&rows);
                let expected: Vec<_> = map.iter().map(|(number, count)| (row(-number), *count)).collect();
                let listed: Vec<_> = rows.iter().map(|(row, count)| (row.clone(), count)).collect();
                prop_assert_eq!(&listed, &expected);
                prop_assert_eq!((rows.len(), rows.iter().len()), (map.len(), map.len()));
            }
        }
    }

    #[test]
    fn change_of_a_row_copies_one_chunk_and_leaves_the_others_shared() {
        let mut rows = SortedRows::default();
        (0..10_000).for_each(|number| rows.change(&row(number), 1, &AnswerRow::cmp));
        let read = rows.clone();
        rows.change(&row(5_000), 1, &AnswerRow::cmp);
        let shared = read.chunks.iter().filter(|chunk| Arc::strong_count(chunk) == 2).count();
        assert_eq!((read.chunks.len() - shared, rows.chunks.len()), (1, read.chunks.len()));
        assert_eq!((read.count(&row(5_000), &AnswerRow::cmp), rows.count(&row(5_000), &AnswerRow::cmp)), (1, 2));
    }
}
