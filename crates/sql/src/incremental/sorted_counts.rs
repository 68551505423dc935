//! An ordered map of counts that is small while it has few keys.

use std::collections::BTreeMap;

use super::state_usage::tree_bytes;

/// Keys in their order, with counts that are not zero.
///
/// Most groups have few different values. A tree has nodes of eleven places, so up to [`FEW_KEYS`] keys are a sorted list.
#[derive(Debug, Clone)]
pub(super) enum SortedCounts<K> {
    /// A sorted list.
    Few(Vec<(K, i64)>),
    /// A tree.
    Many(BTreeMap<K, i64>),
}

/// Up to this many keys a list is smaller than a tree, and not slower.
const FEW_KEYS: usize = 16;

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CountChange {
    /// The count before.
    pub(super) before: i64,
    /// The count after.
    pub(super) after: i64,
}

impl<K> Default for SortedCounts<K> {
    fn default() -> SortedCounts<K> {
        SortedCounts::Few(Vec::new())
    }
}

impl<K: Ord> SortedCounts<K> {
    /// Whether there is no key.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        match self {
            SortedCounts::Few(list) => list.len(),
            SortedCounts::Many(tree) => tree.len(),
        }
    }

    /// The least key.
    pub(super) fn first(&self) -> Option<&K> {
        match self {
            SortedCounts::Few(list) => list.first().map(|(key, _)| key),
            SortedCounts::Many(tree) => tree.first_key_value().map(|(key, _)| key),
        }
    }

    /// The greatest key.
    pub(super) fn last(&self) -> Option<&K> {
        match self {
            SortedCounts::Few(list) => list.last().map(|(key, _)| key),
            SortedCounts::Many(tree) => tree.last_key_value().map(|(key, _)| key),
        }
    }

    /// All keys with their counts, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, i64)> {
        match self {
            SortedCounts::Few(list) => EitherIterator::List(list.iter().map(|(key, count)| (key, *count))),
            SortedCounts::Many(tree) => EitherIterator::Tree(tree.iter().map(|(key, count)| (key, *count))),
        }
    }

    /// The keys from this one on, upwards.
    pub(super) fn iter_from<'a>(&'a self, start: &K) -> impl Iterator<Item = (&'a K, i64)> + use<'a, K> {
        match self {
            SortedCounts::Few(list) => {
                let index = list.partition_point(|(key, _)| key < start);
                EitherIterator::List(list[index..].iter().map(|(key, count)| (key, *count)))
            }
            SortedCounts::Many(tree) => EitherIterator::Tree(tree.range(start..).map(|(key, count)| (key, *count))),
        }
    }

    /// The keys before this one, downwards.
    pub(super) fn iter_below<'a>(&'a self, end: &K) -> impl Iterator<Item = (&'a K, i64)> + use<'a, K> {
        match self {
            SortedCounts::Few(list) => {
                let index = list.partition_point(|(key, _)| key < end);
                EitherIterator::List(list[..index].iter().rev().map(|(key, count)| (key, *count)))
            }
            SortedCounts::Many(tree) => EitherIterator::Tree(tree.range(..end).rev().map(|(key, count)| (key, *count))),
        }
    }

    /// Adds a key `diff` times.
    pub(super) fn update(&mut self, key: K, diff: i64) -> CountChange {
        let change = match self {
            SortedCounts::Few(list) => update_list(list, key, diff),
            SortedCounts::Many(tree) => update_tree(tree, key, diff),
        };
        match self {
            SortedCounts::Few(list) if list.len() > FEW_KEYS => {
                *self = SortedCounts::Many(std::mem::take(list).into_iter().collect());
            }
            SortedCounts::Many(tree) if tree.is_empty() => *self = SortedCounts::default(),
            _ => {}
        }
        change
    }

    /// The bytes of the list or tree, without what the keys own.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            SortedCounts::Few(list) => list.capacity() * size_of::<(K, i64)>(),
            SortedCounts::Many(tree) => tree_bytes(tree.len(), size_of::<(K, i64)>()),
        }
    }
}

fn update_list<K: Ord>(list: &mut Vec<(K, i64)>, key: K, diff: i64) -> CountChange {
    match list.binary_search_by(|(other, _)| other.cmp(&key)) {
        Ok(index) => {
            let before = list[index].1;
            let after = before.saturating_add(diff);
            list[index].1 = after;
            if after == 0 {
                list.remove(index);
                if list.len() * 4 <= list.capacity() {
                    list.shrink_to_fit();
                }
            }
            CountChange { before, after }
        }
        Err(index) => {
            if diff != 0 {
                if list.is_empty() {
                    // Many groups have one value.
                    list.reserve_exact(1);
                }
                list.insert(index, (key, diff));
            }
            CountChange { before: 0, after: diff }
        }
    }
}

fn update_tree<K: Ord>(tree: &mut BTreeMap<K, i64>, key: K, diff: i64) -> CountChange {
    use std::collections::btree_map::Entry;
    match tree.entry(key) {
        Entry::Vacant(entry) => {
            if diff != 0 {
                entry.insert(diff);
            }
            CountChange { before: 0, after: diff }
        }
        Entry::Occupied(mut entry) => {
            let before = *entry.get();
            let after = before.saturating_add(diff);
            if after == 0 {
                entry.remove();
            } else {
                entry.insert(after);
            }
            CountChange { before, after }
        }
    }
}

/// An iterator over a list or over a tree.
enum EitherIterator<L, T> {
    List(L),
    Tree(T),
}

impl<L: Iterator, T: Iterator<Item = L::Item>> Iterator for EitherIterator<L, T> {
    type Item = L::Item;

    fn next(&mut self) -> Option<L::Item> {
        match self {
            EitherIterator::List(list) => list.next(),
            EitherIterator::Tree(tree) => tree.next(),
        }
    }
}
