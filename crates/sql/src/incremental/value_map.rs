//! The values of a group with their counts, in order: for the least, the greatest, percentiles, the mode and `DISTINCT`.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::sorted::SortValue;
use super::sorted_counts::{CountChange, SortedCounts};
use super::state_usage::{StateUsage, tree_bytes};
use crate::datum::Datum;

/// A bag of values in their order, with their counts.
///
/// Between [`CountedMap::update`] calls of one epoch counts may be negative: updates of an epoch come in any order.
#[derive(Debug, Clone)]
pub(super) struct CountedMap<K> {
    counts: SortedCounts<K>,
    /// The number of values whose count is negative.
    negative: usize,
    /// What the keys own.
    keys: StateUsage,
}

/// What an update did to the presence of a value: whether its count is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PresenceChange {
    Unchanged,
    Appeared,
    Vanished,
}

/// A key of a [`CountedMap`].
pub(super) trait MapKey: Ord {
    /// What the key owns, beside the place that it takes itself.
    fn owned_usage(&self) -> StateUsage;
}

impl MapKey for Datum {
    fn owned_usage(&self) -> StateUsage {
        StateUsage::of_value(self)
    }
}

impl MapKey for (Datum, Datum) {
    fn owned_usage(&self) -> StateUsage {
        StateUsage::of_values([&self.0, &self.1])
    }
}

impl MapKey for Box<[SortValue]> {
    fn owned_usage(&self) -> StateUsage {
        let mut usage = StateUsage::of_values(self.iter().map(|part| &part.value));
        usage.bytes += size_of_val(&**self);
        usage
    }
}

impl<K> Default for CountedMap<K> {
    fn default() -> CountedMap<K> {
        CountedMap { counts: SortedCounts::default(), negative: 0, keys: StateUsage::default() }
    }
}

impl<K: MapKey> CountedMap<K> {
    /// The map, with positive counts once an epoch is complete.
    pub(super) fn counts(&self) -> &SortedCounts<K> {
        &self.counts
    }

    /// Whether a count is negative.
    pub(super) fn is_negative(&self) -> bool {
        self.negative > 0
    }

    /// What is owned on the heap.
    pub(super) fn usage(&self) -> StateUsage {
        let mut usage = self.keys;
        usage.bytes += self.counts.heap_bytes();
        usage
    }

    /// Adds a key `diff` times.
    pub(super) fn update(&mut self, key: K, diff: i64) -> CountChange {
        let owned = key.owned_usage();
        let change = self.counts.update(key, diff);
        self.keys.track(change, || owned);
        self.negative = self.negative + usize::from(change.after < 0) - usize::from(change.before < 0);
        change
    }
}

impl PresenceChange {
    /// What the change of a count does to presence.
    pub(super) fn of_count(change: CountChange) -> PresenceChange {
        match (change.before > 0, change.after > 0) {
            (false, true) => PresenceChange::Appeared,
            (true, false) => PresenceChange::Vanished,
            _ => PresenceChange::Unchanged,
        }
    }
}

/// Values in the order of their frequency, then their own.
pub(super) type FrequencySet = BTreeSet<(Reverse<i64>, Datum)>;

/// The values of a group: a counted map with what percentiles and the mode need besides.
///
/// An update costs a logarithm of the number of distinct values, and as much for each cursor and for the mode.
#[derive(Debug, Clone, Default)]
pub(super) struct ValueMap {
    values: CountedMap<Datum>,
    /// The number of values, repeated ones included.
    total: i64,
    cursors: Box<[PlaceCursor]>,
    /// The values by their frequency, for the mode.
    by_count: Option<Box<FrequencySet>>,
}

/// A place in the sorted values. It moves by neighbours: one update moves a percentile by at most one element.
#[derive(Debug, Clone)]
pub(super) struct PlaceCursor {
    /// The value at the place. While an epoch is applied, any value.
    value: Datum,
    /// The number of elements smaller than `value`.
    below: i64,
}

impl ValueMap {
    /// An empty map with this many cursors, and the order by frequency if the mode is read.
    pub(super) fn new(cursors: usize, by_count: bool) -> ValueMap {
        // No value is smaller than false.
        let start = PlaceCursor { value: Datum::Bool(false), below: 0 };
        let by_count = by_count.then(Box::default);
        ValueMap { cursors: vec![start; cursors].into_boxed_slice(), by_count, ..ValueMap::default() }
    }

    /// The values with their counts.
    pub(super) fn counts(&self) -> &SortedCounts<Datum> {
        self.values.counts()
    }

    /// The number of values, repeated ones included.
    pub(super) fn total(&self) -> i64 {
        self.total
    }

    /// Whether a value was retracted more often than inserted.
    pub(super) fn is_negative(&self) -> bool {
        self.values.is_negative()
    }

    /// What is owned on the heap. Values count once, whatever reads them.
    pub(super) fn usage(&self) -> StateUsage {
        let mut usage = self.values.usage();
        usage.bytes += size_of_val(&*self.cursors);
        usage.bytes += StateUsage::of_values(self.cursors.iter().map(|cursor| &cursor.value)).bytes;
        if let Some(by_count) = &self.by_count {
            let tree = tree_bytes(by_count.len(), size_of::<(Reverse<i64>, Datum)>());
            usage.bytes += size_of::<FrequencySet>() + tree + self.values.keys.bytes;
        }
        usage
    }

    /// Adds a value `diff` times.
    pub(super) fn update(&mut self, value: &Datum, diff: i64) -> PresenceChange {
        let change = self.values.update(value.clone(), diff);
        let CountChange { before, after } = change;
        self.total = self.total.saturating_add(diff);
        for cursor in &mut self.cursors {
            if *value < cursor.value {
                cursor.below = cursor.below.saturating_add(diff);
            }
        }
        if let Some(by_count) = &mut self.by_count {
            if before > 0 {
                by_count.remove(&(Reverse(before), value.clone()));
            }
            if after > 0 {
                by_count.insert((Reverse(after), value.clone()));
            }
        }
        PresenceChange::of_count(change)
    }

    /// Moves a cursor to the element at `place`, from 0. All counts must be positive, and the place within the values.
    pub(super) fn move_cursor(&mut self, cursor: usize, place: i64) {
        let Some(cursor) = self.cursors.get_mut(cursor) else { return };
        let counts = self.values.counts();
        for (value, count) in counts.iter_below(&cursor.value) {
            if cursor.below <= place {
                break;
            }
            cursor.below -= count;
            cursor.value.clone_from(value);
        }
        let mut found = None;
        for (value, count) in counts.iter_from(&cursor.value) {
            found = Some(value);
            if place < cursor.below + count {
                break;
            }
            cursor.below += count;
        }
        if let Some(value) = found.filter(|value| **value != cursor.value) {
            let value = value.clone();
            cursor.value = value;
        }
    }

    /// The value at a cursor, and the value of the next element. The cursor must have been moved to `place`.
    pub(super) fn values_at(&self, cursor: usize, place: i64) -> Option<(&Datum, Option<&Datum>)> {
        let cursor = self.cursors.get(cursor)?;
        let mut upwards = self.counts().iter_from(&cursor.value);
        let (value, count) = upwards.next()?;
        let next = if place + 1 < cursor.below + count { Some(value) } else { upwards.next().map(|(next, _)| next) };
        Some((value, next))
    }

    /// The most frequent value, the least of those equally frequent.
    pub(super) fn most_frequent(&self) -> Option<&Datum> {
        self.by_count.as_ref()?.first().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_and_mode_agree_with_the_sorted_values(
            epochs in prop::collection::vec(prop::collection::vec((0_i64..12, 0_u8..4), 0..12), 1..20),
            shares in prop::collection::vec(0_usize..=100, 1..4),
        ) {
            let mut map = ValueMap::new(shares.len(), true);
            let mut held: Vec<i64> = Vec::new();
            for epoch in epochs {
                for (value, action) in epoch {
                    match held.iter().position(|other| *other == value).filter(|_| action > 1) {
                        Some(index) => {
                            held.remove(index);
                            map.update(&Datum::Long(value), -1);
                        }
                        None => {
                            held.push(value);
                            map.update(&Datum::Long(value), 1);
                        }
                    }
                }
                held.sort_unstable();
                prop_assert_eq!(map.total(), held.len() as i64);
                for (cursor, share) in shares.iter().enumerate().filter(|_| !held.is_empty()) {
                    let place = (held.len() - 1) * share / 100;
                    map.move_cursor(cursor, place as i64);
                    let (value, next) = map.values_at(cursor, place as i64).expect("a value");
                    prop_assert_eq!(value, &Datum::Long(held[place]));
                    prop_assert_eq!(next.cloned(), held.get(place + 1).copied().map(Datum::Long));
                }
                let count = |value: i64| held.iter().filter(|other| **other == value).count();
                let mode = held.iter().copied().min_by_key(|value| (Reverse(count(*value)), *value));
                prop_assert_eq!(map.most_frequent().cloned(), mode.map(Datum::Long));
            }
        }
    }
}
