//! The first of a set, in order; the rest only when it is needed.
//!
//! Who lists the first rank of a million labels needs no million labels in order. Here stand, sorted, all items down to
//! some value, and nothing of those below, which whoever calls holds anyway, unsorted. An item below the floor costs one
//! comparison when it comes and when it goes. When what is above is used up, [`refill`](TopKBuffer::refill) lowers the
//! floor, and when too much has gathered, [`trim`](TopKBuffer::trim) raises it.
//!
//! The cost of an update stays constant over the long run, however large the set: a recall looks at all `n` items, but
//! fetches a 32nd of them, so that it takes `n / 64` removals at least until the next one; and what is forgotten was
//! inserted before, once each.

use std::collections::BTreeSet;
use std::collections::btree_set::Range;
use std::ops::RangeBounds;

/// Has a value; what has a greater value comes before all that have a smaller one.
pub(super) trait RankedItem: Ord + Copy {
    /// The value.
    fn value(&self) -> i64;

    /// What stands behind everything of a value, and before everything of smaller values; `None` if none are smaller.
    fn first_below(value: i64) -> Option<Self>;
}

/// The items of a set down to some value, in order.
#[derive(Debug)]
pub(super) struct TopKBuffer<T> {
    sorted: BTreeSet<T>,
    /// All items of this value and greater ones are in `first`, no others.
    min_value: i64,
    /// How many may gather before it is worth a look at what can be forgotten.
    capacity: usize,
}

/// Fewer than these are not worth leaving out.
const CAPACITY_MIN: usize = 64;
/// The part of all items that a recall fetches.
const REFILL_DIVISOR: usize = 32;
/// The part of all items that is kept behind the boundary when others are forgotten.
const TRIM_DIVISOR: usize = 64;

impl<T> Default for TopKBuffer<T> {
    fn default() -> Self {
        TopKBuffer { sorted: BTreeSet::new(), min_value: i64::MIN, capacity: CAPACITY_MIN }
    }
}

impl<T: RankedItem> TopKBuffer<T> {
    /// Adds an item to the set.
    pub(super) fn insert(&mut self, item: T) {
        if item.value() >= self.min_value {
            self.sorted.insert(item);
        }
    }

    /// Takes an item from the set.
    pub(super) fn remove(&mut self, item: &T) {
        if item.value() >= self.min_value {
            self.sorted.remove(item);
        }
    }

    /// The items of a range, as far as they are kept in order.
    pub(super) fn range(&self, range: impl RangeBounds<T>) -> Range<'_, T> {
        self.sorted.range(range)
    }

    /// Whether some of all `count` items are not kept in order.
    pub(super) fn is_partial(&self, count: usize) -> bool {
        self.sorted.len() < count
    }

    /// Lowers the floor, so that more items are kept in order if there are more.
    pub(super) fn refill(&mut self, all: impl ExactSizeIterator<Item = T>) {
        let wanted = CAPACITY_MIN.max(all.len() / REFILL_DIVISOR);
        let mut below: Vec<T> = all.filter(|item| item.value() < self.min_value).collect();
        if below.len() <= wanted {
            self.min_value = i64::MIN;
        } else {
            let (_, last, _) = below.select_nth_unstable(wanted - 1);
            self.min_value = last.value();
            below.retain(|item| item.value() >= self.min_value);
        }
        self.sorted.extend(below);
        self.capacity = self.capacity.max(2 * self.sorted.len());
    }

    /// Raises the floor if many items have gathered. All up to the value of `boundary` stay, and some behind it.
    /// `count` is how many items the set has.
    pub(super) fn trim(&mut self, boundary: Option<T>, count: usize) {
        if self.sorted.len() <= self.capacity {
            return;
        }
        let kept = CAPACITY_MIN / 2 + count / TRIM_DIVISOR;
        let last = match boundary.map(|it| T::first_below(it.value())) {
            None => self.sorted.iter().nth(kept),
            Some(Some(behind)) => self.sorted.range(behind..).nth(kept),
            Some(None) => None,
        };
        if let Some((min_value, behind)) = last.and_then(|last| Some((last.value(), T::first_below(last.value())?))) {
            self.sorted.split_off(&behind);
            self.min_value = min_value;
        }
        self.capacity = CAPACITY_MIN.max(2 * self.sorted.len());
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::*;

    /// Greatest value first, then the smaller number; 0 is behind all.
    type Item = Reverse<(i64, u32)>;

    impl RankedItem for Item {
        fn value(&self) -> i64 {
            self.0.0
        }

        fn first_below(value: i64) -> Option<Item> {
            value.checked_sub(1).map(|smaller| Reverse((smaller, u32::MAX)))
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_beginning_of_all(
            steps in proptest::collection::vec((0..40_i64, 0..300_u32, any::<bool>()), 1..2000),
            wanted in 1..4_usize,
        ) {
            let (mut all, mut buffer) = (BTreeSet::new(), TopKBuffer::default());
            for (value, number, removes) in steps {
                let item = Reverse((value, number));
                if removes { all.remove(&item) } else { all.insert(item) };
                if removes { buffer.remove(&item) } else { buffer.insert(item) };
                while buffer.range(..).count() < wanted && buffer.is_partial(all.len()) {
                    buffer.refill(all.iter().copied());
                }
                let boundary = all.iter().nth(wanted - 1).copied();
                buffer.trim(boundary, all.len());
                let kept: Vec<_> = buffer.range(..).copied().collect();
                prop_assert!(kept.len() >= wanted.min(all.len()));
                prop_assert_eq!(&kept[..], &all.iter().copied().take(kept.len()).collect::<Vec<_>>()[..]);
                // Never in the middle of a value.
                let next = all.iter().nth(kept.len()).map(RankedItem::value);
                prop_assert!(next.is_none() || kept.last().map(RankedItem::value) != next);
            }
        }
    }

    #[test]
    fn a_large_set_is_mostly_left_out_and_every_item_is_found_in_order() {
        let mut all: BTreeSet<Item> = (0..100_000).map(|n| Reverse((i64::from(n * 7919 % 100_003), n))).collect();
        let mut buffer = TopKBuffer::default();
        let mut most = 0;
        for item in &all {
            buffer.insert(*item);
            buffer.trim(all.first().copied(), all.len());
            most = most.max(buffer.range(..).count());
        }
        assert!(most < 10_000, "{most} of 100,000 were kept in order");
        let mut recalls = 0;
        while let Some(first) = all.pop_first() {
            if buffer.range(..).next().is_none() {
                buffer.refill(all.iter().copied().chain([first]).collect::<Vec<_>>().into_iter());
                recalls += 1;
            }
            assert_eq!(buffer.range(..).next(), Some(&first));
            buffer.remove(&first);
        }
        assert!(recalls < 1_000, "{recalls} recalls for 100,000 removals");
    }
}
