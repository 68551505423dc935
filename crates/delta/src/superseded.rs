//! Finds rows that do not count while the tables are read back: another row of the same `ind` is newer.
//!
//! With `duplicates = "latest"` such a row changes no answer, but its texts would be interned before the joins drop it.
//! A sender that posts one `ind` again and again with different texts would then fill the memory at each restart. So
//! the decoders leave out the rows that they know to be superseded.
//!
//! A filter remembers the newest row of a fixed number of `ind`s, so its memory does not depend on the tables. Rows are
//! seen newest first: the newest files first, their last row groups first, and each chunk from its end. Then the texts
//! of an `ind` that repeats a lot are interned once. Each decoder thread has its own filter, because cores that write to
//! one table wait for each other's cache lines.
//!
//! A filter misses a superseded row if another `ind` took the slot, if the newer row comes later, or if another thread
//! saw it. The joins drop that row, and the sweep at the end of the read-back frees its texts.

use std::hash::BuildHasher;

use pinflow_dataflows::hash::KeyedState;
use pinflow_dataflows::record::{Ind, Lineage};

use super::schema::Table;

/// The number of `ind`s that are remembered: 512 KiB, which fits the cache of a core.
const SLOTS: usize = 1 << 13;

/// The newest row of an `ind` that was seen.
#[derive(Debug, Clone, Copy)]
struct NewestRow {
    table: Table,
    ind: Ind,
    lineage: Lineage,
}

/// The newest rows of some `ind`s.
#[derive(Debug)]
pub(crate) struct SupersededFilter {
    slots: Box<[Option<NewestRow>]>,
}

impl SupersededFilter {
    pub(crate) fn new() -> SupersededFilter {
        SupersededFilter { slots: vec![None; SLOTS].into_boxed_slice() }
    }

    /// Returns for each row of a chunk whether a newer row of its `ind` is known.
    pub(crate) fn find_superseded(&mut self, table: Table, inds: &[Ind], lineages: &[Lineage]) -> Vec<bool> {
        let mut superseded = vec![false; lineages.len()];
        for ((&ind, &lineage), is_superseded) in inds.iter().zip(lineages).zip(&mut superseded).rev() {
            let slot = &mut self.slots[slot_of(table, ind)];
            let known = slot.filter(|newest| (newest.table, newest.ind) == (table, ind));
            *is_superseded = known.is_some_and(|newest| newest.lineage > lineage);
            if !*is_superseded {
                *slot = Some(NewestRow { table, ind, lineage });
            }
        }
        superseded
    }
}

/// The slot of an `ind`. The seed is secret, so that no sender can choose `ind`s that share one.
fn slot_of(table: Table, ind: Ind) -> usize {
    KeyedState.hash_one((table as u64) << 62 ^ ind) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use pinflow_dataflows::symbol::Symbol;
    use proptest::prelude::*;

    use super::*;

    fn lineage(arrived_at: Option<i64>, position: u64) -> Lineage {
        Lineage { arrived_at, source: Symbol::new("kafka/pin/0"), position: position.into(), sub: 0 }
    }

    /// The rows of all chunks that are left, in the order in which they are seen.
    fn remaining_rows(filter: &mut SupersededFilter, chunks: &[Vec<(Ind, Lineage)>]) -> Vec<(Ind, Lineage)> {
        let mut rows_left = |chunk: &Vec<(Ind, Lineage)>| {
            let (inds, lineages): (Vec<Ind>, Vec<Lineage>) = chunk.iter().copied().unzip();
            let superseded = filter.find_superseded(Table::Pin, &inds, &lineages);
            let left = chunk.iter().zip(superseded).filter(|(_, superseded)| !superseded).map(|(row, _)| *row);
            left.collect::<Vec<_>>()
        };
        chunks.iter().flat_map(&mut rows_left).collect()
    }

    #[test]
    fn only_newest_row_of_one_ind_is_left_when_newest_chunks_come_first() {
        let rows: Vec<(Ind, Lineage)> = (0..100_000).map(|position| (7, lineage(Some(5), position))).collect();
        let chunks: Vec<_> = rows.chunks(1_000).rev().map(<[_]>::to_vec).collect();
        assert_eq!(remaining_rows(&mut SupersededFilter::new(), &chunks), [(7, lineage(Some(5), 99_999))]);
    }

    #[test]
    fn one_row_per_chunk_is_left_when_oldest_chunks_come_first() {
        let rows: Vec<(Ind, Lineage)> = (0..100_000).map(|position| (7, lineage(None, position))).collect();
        let chunks: Vec<_> = rows.chunks(1_000).map(<[_]>::to_vec).collect();
        let last: Vec<_> = chunks.iter().filter_map(|chunk| chunk.last().copied()).collect();
        assert_eq!(remaining_rows(&mut SupersededFilter::new(), &chunks), last);
    }

    #[test]
    fn rows_of_other_tables_do_not_supersede() {
        let mut filter = SupersededFilter::new();
        assert_eq!(filter.find_superseded(Table::Pin, &[7], &[lineage(None, 9)]), [false]);
        assert_eq!(filter.find_superseded(Table::Geo, &[7], &[lineage(None, 1)]), [false]);
        assert_eq!(filter.find_superseded(Table::User, &[7], &[lineage(None, 1)]), [false]);
    }

    #[test]
    fn other_inds_take_slots_but_memory_stays_the_same() {
        let mut filter = SupersededFilter::new();
        let chunks: Vec<Vec<_>> =
            (0..20).map(|_| (0..SLOTS as u64).map(|ind| (ind, lineage(None, 1))).collect()).collect();
        // Equal rows do not supersede each other.
        assert_eq!(remaining_rows(&mut filter, &chunks).len(), 20 * SLOTS);
        assert_eq!(filter.slots.len(), SLOTS);
    }

    proptest! {
        #[test]
        fn newest_row_of_each_ind_is_always_left(
            rows in proptest::collection::vec((0_u64..40, proptest::option::of(0_i64..5), 0_u64..20), 0..400),
            chunk_rows in 1_usize..50,
        ) {
            let rows: Vec<(Ind, Lineage)> =
                rows.into_iter().map(|(ind, arrived_at, position)| (ind, lineage(arrived_at, position))).collect();
            let mut newest = HashMap::new();
            for (ind, lineage) in &rows {
                let known = newest.entry(*ind).or_insert(*lineage);
                *known = (*known).max(*lineage);
            }
            let chunks: Vec<_> = rows.chunks(chunk_rows).map(<[_]>::to_vec).collect();
            let left = remaining_rows(&mut SupersededFilter::new(), &chunks);
            for (ind, lineage) in newest {
                prop_assert!(left.contains(&(ind, lineage)));
            }
        }
    }
}
