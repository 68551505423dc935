//! A buffer of the top items of a large set, in order.
//!
//! Listing the first rank of a million labels does not need a million labels in order. The buffer holds, sorted, all
//! items with a value of at least `min_value`. The caller holds the whole set unsorted. An item below `min_value` costs
//! one comparison per insertion or removal. When the buffer runs empty, [`refill`](TopKBuffer::refill) lowers
//! `min_value`. When it has grown too large, [`trim`](TopKBuffer::trim) raises it.
//!
//! The amortised cost of an update is constant, however large the set. A refill scans all `n` items but takes 1/32 of
//! them, so at least `n / 64` removals happen before the next one. Each trimmed item was inserted once.

use std::collections::BTreeSet;
use std::collections::btree_set::Range;
use std::ops::RangeBounds;

/// An item ordered by value, greatest first.
pub(super) trait RankedItem: Ord + Copy {
    /// The value.
    fn value(&self) -> i64;

    /// The position after all items with `value` and before all items with a smaller one. `None` if no value is
    /// smaller.
    fn first_below(value: i64) -> Option<Self>;
}

/// The items of a set with a value of at least `min_value`, in order.
#[derive(Debug)]
pub(super) struct TopKBuffer<T> {
    sorted: BTreeSet<T>,
    /// `sorted` holds exactly the items with this value or a greater one.
    min_value: i64,
    /// The number of items above which `trim` removes some.
    capacity: usize,
}

/// The least number of items that is kept in order.
const CAPACITY_MIN: usize = 64;
/// A refill takes one item in this many.
const REFILL_DIVISOR: usize = 32;
/// A trim keeps one in this many items of the set after the boundary.
const TRIM_DIVISOR: usize = 64;

impl<T> Default for TopKBuffer<T> {
    fn default() -> Self {
        TopKBuffer { sorted: BTreeSet::new(), min_value: i64::MIN, capacity: CAPACITY_MIN }
    }
}

impl<T: RankedItem> TopKBuffer<T> {
    /// Adds an item of the set.
    pub(super) fn insert(&mut self, item: T) {
        if item.value() >= self.min_value {
            self.sorted.insert(item);
        }
    }

    /// Removes an item of the set.
    pub(super) fn remove(&mut self, item: &T) {
        if item.value() >= self.min_value {
            self.sorted.remove(item);
        }
    }

    /// The buffered items of a range, in order.
    pub(super) fn range(&self, range: impl RangeBounds<T>) -> Range<'_, T> {
        self.sorted.range(range)
    }

    /// Whether fewer than all `count` items of the set are buffered.
    pub(super) fn is_partial(&self, count: usize) -> bool {
        self.sorted.len() < count
    }

    /// Lowers `min_value` so that more items of the set (`all`) are buffered, if there are more.
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

    /// Raises `min_value` if more items than `capacity` are buffered. Keeps all items up to the value of `boundary`,
    /// and some after it. `count` is the size of the set.
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

    /// Greatest value first, then the greatest number: number 0 comes last.
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
        fn buffered_items_are_the_top_of_the_set(
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
                // The buffer never ends within a run of equal values.
                let next = all.iter().nth(kept.len()).map(RankedItem::value);
                prop_assert!(next.is_none() || kept.last().map(RankedItem::value) != next);
            }
        }
    }

    #[test]
    fn large_set_is_mostly_not_buffered_and_read_in_order() {
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
