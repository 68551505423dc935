//! The memory layout of the arrangements by key. Everything that depends on the layout of traces is here.
//!
//! With `duplicates = "keep"` a key mostly has one row, a row was delivered once, and after merging all rows of a batch
//! have the same time. So the offsets from keys to values to times are 0, 1, 2, … and 0, 1, 1, 1, …, which
//! [`OffsetRuns`] stores in a few numbers. Times and counts are few as well: [`UnreservedVec`] grows as needed instead
//! of reserving one place per row. A row and its key id take 12 to 20 bytes instead of 36 to 44.

use std::rc::Rc;

use differential_dataflow::batcher::merge::MergeBatcher;
use differential_dataflow::batcher::merge::vec::VecMerger;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ord_neu::{OrdValBatch, OrdValBuilder};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{BatchContainer, ContainerChunker, OffsetList};

use crate::keys::{KeyId, KeyedUpdate};

/// The containers of keys, values, times, counts and offsets.
type TraceLayout<R> = (Vec<KeyId>, Vec<R>, UnreservedVec<u64>, UnreservedVec<i64>, OffsetRuns);

/// Sorts changes, and builds batches of them.
pub(super) type TraceBatcher<R> = MergeBatcher<
    ContainerChunker<Vec<KeyedUpdate<R>>>,
    VecMerger<(KeyId, R), u64, i64>,
    OrdValBuilder<TraceLayout<R>, Vec<KeyedUpdate<R>>>,
>;

/// Rows arranged by key id.
pub(super) type KeyArrangement<'s, R> = Arranged<'s, TraceAgent<Spine<Rc<OrdValBatch<TraceLayout<R>>>>>>;

/// A list that does not reserve the length of both inputs when two lists are merged, because the result is far shorter.
#[derive(Debug)]
pub(super) struct UnreservedVec<T>(Vec<T>);

impl<T: Ord + Copy + 'static> BatchContainer for UnreservedVec<T> {
    type Owned = T;
    type ReadItem<'a> = &'a T;

    fn into_owned(item: &T) -> T {
        *item
    }

    fn reborrow<'b, 'a: 'b>(item: &'a T) -> &'b T {
        item
    }

    fn push_ref(&mut self, item: &T) {
        self.0.push(*item);
    }

    fn push_own(&mut self, item: &T) {
        self.0.push(*item);
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn with_capacity(_: usize) -> UnreservedVec<T> {
        UnreservedVec(Vec::new())
    }

    fn merge_capacity(_: &UnreservedVec<T>, _: &UnreservedVec<T>) -> UnreservedVec<T> {
        UnreservedVec(Vec::new())
    }

    fn index(&self, index: usize) -> &T {
        &self.0[index]
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Non-decreasing offsets: first 0, 1, 2, …, then the last of these repeated, then others one by one.
#[derive(Debug)]
pub(super) struct OffsetRuns {
    rising: usize,
    level: usize,
    others: OffsetList,
}

impl BatchContainer for OffsetRuns {
    type Owned = usize;
    type ReadItem<'a> = usize;

    fn into_owned(item: usize) -> usize {
        item
    }

    fn reborrow<'b, 'a: 'b>(item: usize) -> usize {
        item
    }

    fn push_ref(&mut self, item: usize) {
        if self.others.len() > 0 {
            self.others.push(item);
        } else if self.level == 0 && item == self.rising {
            self.rising += 1;
        } else if item + 1 == self.rising {
            self.level += 1;
        } else {
            self.others.push(item);
        }
    }

    fn push_own(&mut self, item: &usize) {
        self.push_ref(*item);
    }

    fn clear(&mut self) {
        (self.rising, self.level) = (0, 0);
        self.others.clear();
    }

    fn with_capacity(_: usize) -> OffsetRuns {
        OffsetRuns { rising: 0, level: 0, others: OffsetList::with_capacity(0) }
    }

    fn merge_capacity(_: &OffsetRuns, _: &OffsetRuns) -> OffsetRuns {
        OffsetRuns::with_capacity(0)
    }

    fn index(&self, index: usize) -> usize {
        if index < self.rising {
            index
        } else if index < self.rising + self.level {
            self.rising - 1
        } else {
            self.others.index(index - self.rising - self.level)
        }
    }

    fn len(&self) -> usize {
        self.rising + self.level + self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn offset_runs_return_pushed_offsets(rising in 0..20usize, level in 0..20usize, more in vec(0..3usize, 0..20)) {
            let mut offsets: Vec<usize> = (0..rising).collect();
            let last = rising.saturating_sub(1);
            offsets.extend(std::iter::repeat_n(last, if rising == 0 { 0 } else { level }));
            offsets.extend(more.iter().scan(last, |sum, step| {
                *sum += step;
                Some(*sum)
            }));
            let mut steps = OffsetRuns::with_capacity(0);
            offsets.iter().for_each(|offset| steps.push_ref(*offset));
            let kept: Vec<_> = (0..steps.len()).map(|index| steps.index(index)).collect();
            prop_assert_eq!(kept, offsets);
        }
    }
}
