//! The newest rejections of many, and how many there are of each kind.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use pinflow_dataflows::record::{Micros, Position};
use pinflow_dataflows::symbol::Symbol;

use super::args::RejectionProperty;
use super::filter::{stream_name, time_of};
use pinflow_connect::sink::RowId;
use pinflow_delta::StoredRejection;

/// The row that was rejected.
pub(super) fn row_id(rejection: &StoredRejection) -> RowId {
    RowId { source: Symbol::new(&rejection.source), position: rejection.position, sub: rejection.sub }
}

/// The order of rejections: by time, then by source, position and number of the row.
type RejectionOrder = (Micros, String, Position, u32);

/// Keeps the newest of the rejections that are added, a bounded number.
#[derive(Debug)]
pub(super) struct NewestRejections {
    limit: usize,
    /// The oldest one on top.
    kept: BinaryHeap<Reverse<OrderedRejection>>,
    added: u64,
}

#[derive(Debug)]
struct OrderedRejection {
    order: RejectionOrder,
    rejection: StoredRejection,
}

impl PartialEq for OrderedRejection {
    fn eq(&self, other: &OrderedRejection) -> bool {
        self.order == other.order
    }
}

impl Eq for OrderedRejection {}

impl PartialOrd for OrderedRejection {
    fn partial_cmp(&self, other: &OrderedRejection) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderedRejection {
    fn cmp(&self, other: &OrderedRejection) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

impl NewestRejections {
    /// Keeps at most `limit` rejections.
    pub(super) fn new(limit: usize) -> NewestRejections {
        NewestRejections { limit, kept: BinaryHeap::new(), added: 0 }
    }

    /// Adds a rejection.
    pub(super) fn add(&mut self, rejection: StoredRejection) {
        self.added += 1;
        let order = (time_of(&rejection), rejection.source.clone(), rejection.position, rejection.sub);
        self.kept.push(Reverse(OrderedRejection { order, rejection }));
        if self.kept.len() > self.limit {
            self.kept.pop();
        }
    }

    /// The rejections that were kept, the newest first, and how many were added.
    pub(super) fn into_newest_first(self) -> (Vec<StoredRejection>, u64) {
        // The order is reversed, so ascending is the newest first.
        let kept = self.kept.into_sorted_vec();
        (kept.into_iter().map(|Reverse(ordered)| ordered.rejection).collect(), self.added)
    }
}

/// How many rejections there are of each kind.
#[derive(Debug)]
pub(super) struct CountedRejections {
    by: Vec<RejectionProperty>,
    kinds: BTreeMap<Vec<String>, KindCount>,
}

/// The rejections of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KindCount {
    /// How many there are.
    pub(super) rejections: u64,
    /// The size of their messages, bytes.
    pub(super) bytes: u64,
}

impl CountedRejections {
    /// Counts by these properties, each once.
    pub(super) fn new(by: Vec<RejectionProperty>) -> CountedRejections {
        let mut distinct = Vec::new();
        for property in by {
            if !distinct.contains(&property) {
                distinct.push(property);
            }
        }
        CountedRejections { by: distinct, kinds: BTreeMap::new() }
    }

    /// The properties, in order.
    pub(super) fn properties(&self) -> &[RejectionProperty] {
        &self.by
    }

    /// Counts a rejection.
    pub(super) fn add(&mut self, rejection: &StoredRejection, is_replayed: bool) {
        let value = |property: &RejectionProperty| match property {
            RejectionProperty::Reason => rejection.reason.clone(),
            RejectionProperty::Stream => stream_name(rejection).to_owned(),
            RejectionProperty::Source => rejection.source.clone(),
            RejectionProperty::Replayed => if is_replayed { "yes" } else { "no" }.to_owned(),
        };
        let count = self.kinds.entry(self.by.iter().map(value).collect()).or_default();
        count.rejections += 1;
        count.bytes += rejection.payload_bytes;
    }

    /// The values of each kind with their counts, the most frequent first.
    pub(super) fn most_frequent_first(&self) -> Vec<(&[String], KindCount)> {
        let mut kinds: Vec<_> = self.kinds.iter().map(|(values, count)| (values.as_slice(), *count)).collect();
        // Kinds that are equally frequent stay in the order of their values.
        kinds.sort_by_key(|(_, count)| Reverse(count.rejections));
        kinds
    }

    /// The number of all rejections.
    pub(super) fn total(&self) -> u64 {
        self.kinds.values().map(|count| count.rejections).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::rejection;
    use super::*;

    #[test]
    fn newest_rejections_are_kept_up_to_the_limit() {
        let newest = |limit| {
            let mut newest = NewestRejections::new(limit);
            for (position, at) in [(1, Some(300)), (2, None), (3, Some(700)), (4, Some(300)), (5, Some(100))] {
                newest.add(rejection(position, at));
            }
            let (kept, added) = newest.into_newest_first();
            (kept.iter().filter_map(|of| of.position.narrow()).collect::<Vec<_>>(), added)
        };
        assert_eq!(newest(10), (vec![3, 2, 4, 1, 5], 5));
        assert_eq!(newest(3), (vec![3, 2, 4], 5));
        assert_eq!(newest(0), (vec![], 5));
    }

    #[test]
    fn rejections_are_counted_by_the_given_properties_the_most_frequent_first() {
        let mut counts = CountedRejections::new(vec![
            RejectionProperty::Stream,
            RejectionProperty::Reason,
            RejectionProperty::Stream,
        ]);
        counts.add(&rejection(1, None), true);
        for position in 2..4 {
            counts.add(&StoredRejection { stream: None, ..rejection(position, None) }, false);
        }
        let found: Vec<_> =
            counts.most_frequent_first().iter().map(|(of, count)| (of.join(" "), count.bytes)).collect();
        assert_eq!(found, [("unknown not_json".to_owned(), 6), ("pin not_json".to_owned(), 3)]);
        assert_eq!(counts.total(), 3);
    }
}
