//! Window functions: each result is computed from the sorted rows of the partition.

use std::collections::BTreeMap;
use std::ops::Range;

use super::aggregates::aggregate_rows;
use super::{eval_all, extend_row, ordering, saturating_usize};
use crate::datum::{Datum, Row};
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;
use crate::plan::{FrameBound, SortKey, WindowCall, WindowFrame, WindowFunction};

/// The rows with the results of the functions at their ends.
pub(super) fn window_rows(
    rows: Vec<Row>,
    partition: &[ScalarExpr],
    order: &[SortKey],
    functions: &[WindowCall],
    faults: &FaultCounter,
) -> Vec<Row> {
    let mut partitions: BTreeMap<Row, Vec<Row>> = BTreeMap::new();
    for row in rows {
        partitions.entry(eval_all(partition, &row, faults)).or_default().push(row);
    }
    let mut results = Vec::new();
    for rows in partitions.into_values() {
        let partition = SortedPartition::sort(rows, order, faults);
        let columns: Vec<Vec<Datum>> =
            functions.iter().map(|call| partition.function_results(&call.function, faults)).collect();
        for (index, row) in partition.rows.iter().enumerate() {
            let values: Vec<Datum> = columns.iter().map(|column| column[index].clone()).collect();
            results.push(extend_row(row, &values));
        }
    }
    results
}

/// The rows of a partition in their order.
struct SortedPartition {
    rows: Vec<Row>,
    /// The values of the order's keys for each row.
    keys: Vec<Row>,
    /// Whether great values of the first key come first.
    descending: bool,
    /// For each row the places of its peers.
    peers: Vec<Range<usize>>,
    /// For each row the number of different keys up to it.
    dense_ranks: Vec<usize>,
}

impl SortedPartition {
    fn sort(rows: Vec<Row>, order: &[SortKey], faults: &FaultCounter) -> SortedPartition {
        let (keys, rows): (Vec<Row>, Vec<Row>) = ordering::sort_rows(rows, order, faults).into_iter().unzip();
        let (mut peers, mut dense_ranks) = (Vec::new(), Vec::new());
        for (index, run) in keys.chunk_by(|one, other| one == other).enumerate() {
            let run = peers.len()..peers.len() + run.len();
            dense_ranks.extend(run.clone().map(|_| index + 1));
            peers.extend(run.clone().map(|_| run.clone()));
        }
        let descending = order.first().is_some_and(|key| key.descending);
        SortedPartition { rows, keys, descending, peers, dense_ranks }
    }

    /// The result of a function for each row.
    fn function_results(&self, function: &WindowFunction, faults: &FaultCounter) -> Vec<Datum> {
        if let WindowFunction::Aggregate(call, frame) = function {
            return self.frame_results(*frame, |rows| aggregate_rows(call, &rows.iter().collect::<Vec<_>>(), faults));
        }
        (0..self.rows.len()).map(|index| self.result_at(index, function, faults)).collect()
    }

    /// A function of the frame's rows, for each row. Rows that follow each other often have the same frame.
    fn frame_results(&self, frame: WindowFrame, compute: impl Fn(&[Row]) -> Datum) -> Vec<Datum> {
        let mut latest: Option<(Range<usize>, Datum)> = None;
        let mut results = Vec::new();
        for index in 0..self.rows.len() {
            let range = self.frame_range(index, frame);
            let result = match latest {
                Some((known, result)) if known == range => result,
                _ => compute(&self.rows[range.clone()]),
            };
            results.push(result.clone());
            latest = Some((range, result));
        }
        results
    }

    fn result_at(&self, index: usize, function: &WindowFunction, faults: &FaultCounter) -> Datum {
        let count = self.rows.len();
        let value_of =
            |value: &ScalarExpr, row: Option<&Row>| row.map_or(Datum::Null, |row| value.eval(row, faults).into_owned());
        let framed = |frame: &WindowFrame| &self.rows[self.frame_range(index, *frame)];
        match function {
            WindowFunction::RowNumber => long_datum(index + 1),
            WindowFunction::Rank => long_datum(self.peers[index].start + 1),
            WindowFunction::DenseRank => long_datum(self.dense_ranks[index]),
            WindowFunction::PercentRank if count == 1 => Datum::Double(0.0),
            WindowFunction::PercentRank => share_datum(self.peers[index].start, count - 1),
            WindowFunction::CumeDist => share_datum(self.peers[index].end, count),
            WindowFunction::Ntile(buckets) => long_datum(bucket_of(index, count, saturating_usize(*buckets))),
            WindowFunction::Offset { value, distance, default } => {
                let place = i64::try_from(index).ok().and_then(|index| index.checked_add(*distance));
                match place.and_then(|place| usize::try_from(place).ok()).and_then(|place| self.rows.get(place)) {
                    Some(row) => value_of(value, Some(row)),
                    None => value_of(default, Some(&self.rows[index])),
                }
            }
            WindowFunction::KnownOffset { value, distance, default } => {
                let known = |row: &&Row| !value_of(value, Some(*row)).is_null();
                let nth = saturating_usize(distance.unsigned_abs());
                let found = match distance.signum() {
                    0 => Some(&self.rows[index]),
                    -1 => self.rows[..index].iter().rev().filter(known).nth(nth - 1),
                    _ => self.rows[index + 1..].iter().filter(known).nth(nth - 1),
                };
                match found {
                    Some(row) => value_of(value, Some(row)),
                    None => value_of(default, Some(&self.rows[index])),
                }
            }
            WindowFunction::KnownValue { value, place, frame } => {
                let known = framed(frame).iter().map(|row| value_of(value, Some(row))).filter(|value| !value.is_null());
                let mut known: Vec<Datum> = known.collect();
                if *place < 0 {
                    known.reverse();
                }
                let place = saturating_usize(place.unsigned_abs()).checked_sub(1);
                place.and_then(|place| known.get(place)).cloned().unwrap_or(Datum::Null)
            }
            WindowFunction::FirstValue(value, frame) => value_of(value, framed(frame).first()),
            WindowFunction::LastValue(value, frame) => value_of(value, framed(frame).last()),
            WindowFunction::NthValue(value, nth, frame) => {
                let place = nth.checked_sub(1).map(saturating_usize);
                value_of(value, place.and_then(|place| framed(frame).get(place)))
            }
            WindowFunction::Aggregate(call, frame) => {
                aggregate_rows(call, &framed(frame).iter().collect::<Vec<_>>(), faults)
            }
        }
    }

    /// The places of the rows of the frame of a row.
    fn frame_range(&self, index: usize, frame: WindowFrame) -> Range<usize> {
        let count = self.rows.len();
        let peers = &self.peers[index];
        let has_distance = |bound| matches!(bound, FrameBound::Preceding(_) | FrameBound::Following(_));
        if !frame.rows && (has_distance(frame.start) || has_distance(frame.end)) {
            return self.range_by_distance(index, frame);
        }
        let start = match frame.start {
            FrameBound::Unbounded => 0,
            FrameBound::Current if frame.rows => index,
            FrameBound::Current => peers.start,
            FrameBound::Preceding(rows) => index.saturating_sub(saturating_usize(rows)),
            FrameBound::Following(rows) => index.saturating_add(saturating_usize(rows)),
        };
        let end = match frame.end {
            FrameBound::Unbounded => count,
            FrameBound::Current if frame.rows => index + 1,
            FrameBound::Current => peers.end,
            FrameBound::Preceding(rows) => (index + 1).saturating_sub(saturating_usize(rows)),
            FrameBound::Following(rows) => (index + 1).saturating_add(saturating_usize(rows)),
        };
        let end = end.min(count);
        start.min(end)..end
    }
}

impl SortedPartition {
    /// The places of the rows whose keys are inside the bounds: each row is looked at by itself.
    fn range_by_distance(&self, index: usize, frame: WindowFrame) -> Range<usize> {
        let inside = |other: usize| {
            let difference = self.distance_between(index, other);
            let is_peer = self.peers[index].contains(&other);
            let after_start = match (frame.start, difference) {
                (FrameBound::Unbounded, _) => true,
                (FrameBound::Current, _) | (_, None) => other >= self.peers[index].start,
                (FrameBound::Preceding(distance), Some(difference)) => difference >= -i128::from(distance),
                (FrameBound::Following(distance), Some(difference)) => difference >= i128::from(distance),
            };
            let before_end = match (frame.end, difference) {
                (FrameBound::Unbounded, _) => true,
                (FrameBound::Current, _) | (_, None) => other < self.peers[index].end,
                (FrameBound::Preceding(distance), Some(difference)) => difference <= -i128::from(distance),
                (FrameBound::Following(distance), Some(difference)) => difference <= i128::from(distance),
            };
            let bounded_by_value = |bound| matches!(bound, FrameBound::Preceding(_) | FrameBound::Following(_));
            // A null is at no distance from other values, in either direction.
            let is_comparable = difference.is_some()
                || is_peer
                || !(bounded_by_value(frame.start) && other < self.peers[index].start
                    || bounded_by_value(frame.end) && other >= self.peers[index].end);
            after_start && before_end && is_comparable
        };
        let places: Vec<usize> = (0..self.rows.len()).filter(|other| inside(*other)).collect();
        match (places.first(), places.last()) {
            (Some(first), Some(last)) => *first..*last + 1,
            _ => 0..0,
        }
    }

    /// How far the key of another row is after that of a row, in the direction of the order. `None` if one is null.
    fn distance_between(&self, index: usize, other: usize) -> Option<i128> {
        let value = |index: usize| match self.keys[index].first() {
            Some(Datum::Long(value) | Datum::Time(value)) => Some(i128::from(*value)),
            _ => None,
        };
        let difference = value(other)? - value(index)?;
        Some(if self.descending { -difference } else { difference })
    }
}

/// The number of a row's bucket, from 1. The first buckets have one row more than the others.
fn bucket_of(index: usize, rows: usize, buckets: usize) -> usize {
    let buckets = buckets.max(1);
    let (size, greater) = (rows / buckets, rows % buckets);
    let mut end = 0;
    let sizes = (0..buckets).map(|bucket| if bucket < greater { size + 1 } else { size });
    let full = sizes.take_while(|size| {
        end += size;
        end <= index
    });
    full.count() + 1
}

fn long_datum(value: usize) -> Datum {
    Datum::Long(i64::try_from(value).unwrap_or(i64::MAX))
}

fn share_datum(part: usize, whole: usize) -> Datum {
    Datum::double(part as f64 / whole as f64).unwrap_or(Datum::Null)
}
