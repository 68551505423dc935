//! Window functions over the ordered rows of one partition.

use super::aggregates::AggregateSet;
use super::cells::GroupCells;
use super::sorted::{SortValue, SortedRow};
use super::sorted_counts::SortedCounts;
use crate::datum::{Datum, Row};
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;
use crate::plan::{FrameBound, WindowFrame, WindowFunction};

/// A window function, compiled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WindowColumn {
    /// An aggregate over a frame that slides.
    Aggregate {
        /// What it reads of each row.
        inputs: Vec<ScalarExpr>,
        /// The aggregate.
        set: AggregateSet,
        /// The frame.
        frame: WindowFrame,
    },
    /// Another function.
    Function(WindowFunction),
}

impl WindowColumn {
    pub(super) fn new(function: &WindowFunction) -> WindowColumn {
        match function {
            WindowFunction::Aggregate(call, frame) => {
                let mut inputs = Vec::new();
                let set = AggregateSet::new(std::slice::from_ref(call), &mut inputs);
                WindowColumn::Aggregate { inputs, set, frame: *frame }
            }
            other => WindowColumn::Function(other.clone()),
        }
    }

    fn values(&self, partition: &OrderedPartition<'_>, faults: &FaultCounter) -> Vec<Datum> {
        match self {
            WindowColumn::Aggregate { inputs, set, frame } => aggregate_values(partition, inputs, set, *frame, faults),
            WindowColumn::Function(WindowFunction::KnownOffset { value, distance, default }) => {
                partition.known_offsets(value, *distance, default, faults)
            }
            WindowColumn::Function(WindowFunction::KnownValue { value, place, frame }) => {
                partition.known_values(value, *place, *frame, faults)
            }
            WindowColumn::Function(function) => {
                (0..partition.rows.len()).map(|index| partition.value_of(function, index, faults)).collect()
            }
        }
    }
}

/// A rank beyond which rows are not read by what is above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RankBound {
    kind: RankKind,
    /// The greatest rank that is read.
    most: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RankKind {
    RowNumber,
    Rank,
    DenseRank,
}

impl RankBound {
    /// The bound that ranks of this function are `most` at most. `None` if it is no rank.
    pub(crate) fn new(function: &WindowFunction, most: i64) -> Option<RankBound> {
        let kind = match function {
            WindowFunction::RowNumber => RankKind::RowNumber,
            WindowFunction::Rank => RankKind::Rank,
            WindowFunction::DenseRank => RankKind::DenseRank,
            _ => return None,
        };
        Some(RankBound { kind, most })
    }

    /// Whether a row is beyond the bound. Ranks only grow with the order, so all later ones are, too.
    fn is_beyond(self, index: usize, peer_starts: &[usize]) -> bool {
        let rank = match self.kind {
            RankKind::RowNumber => index + 1,
            RankKind::Rank => peer_starts.last().map_or(0, |start| start + 1),
            RankKind::DenseRank => peer_starts.len(),
        };
        i64::try_from(rank).is_ok_and(|rank| rank > self.most)
    }
}

/// Whether a function depends only on the row and on those before it.
pub(crate) fn reads_only_before(function: &WindowFunction) -> bool {
    match function {
        WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => true,
        WindowFunction::Offset { distance, .. } | WindowFunction::KnownOffset { distance, .. } => *distance <= 0,
        _ => false,
    }
}

/// Gives each row of a partition, followed by its window functions, to `emit`: as often as it is there.
pub(super) fn window_rows(
    columns: &[WindowColumn],
    bound: Option<RankBound>,
    rows: &SortedCounts<SortedRow>,
    faults: &FaultCounter,
    emit: &mut dyn FnMut(Row),
) {
    let partition = OrderedPartition::new(rows, bound);
    let values: Vec<Vec<Datum>> = columns.iter().map(|column| column.values(&partition, faults)).collect();
    let mut values: Vec<_> = values.into_iter().map(Vec::into_iter).collect();
    for row in &partition.rows {
        let functions = values.iter_mut().map(|column| column.next().unwrap_or(Datum::Null));
        emit(row.row.iter().cloned().chain(functions).collect());
    }
}

/// The rows of a partition in their order, repeated ones as often as they are there.
struct OrderedPartition<'a> {
    rows: Vec<&'a SortedRow>,
    /// Of each row: the group of peers that it is in.
    peers: Vec<usize>,
    /// The indexes of the first rows of all groups of peers, then the number of rows.
    peer_starts: Vec<usize>,
}

impl<'a> OrderedPartition<'a> {
    /// All rows, or those up to a bound.
    fn new(bag: &'a SortedCounts<SortedRow>, bound: Option<RankBound>) -> OrderedPartition<'a> {
        let (mut rows, mut peers, mut peer_starts) = (Vec::<&SortedRow>::new(), Vec::new(), Vec::new());
        let repeated = bag.iter().flat_map(|(row, count)| (0..count).map(move |_| row));
        for (index, row) in repeated.enumerate() {
            if rows.last().is_none_or(|last| last.keys != row.keys) {
                peer_starts.push(index);
            }
            if bound.is_some_and(|bound| bound.is_beyond(index, &peer_starts)) {
                // Only the start of a group of peers of which no row is taken may be too many.
                peer_starts.pop_if(|start| *start == index);
                break;
            }
            rows.push(row);
            peers.push(peer_starts.len() - 1);
        }
        peer_starts.push(rows.len());
        OrderedPartition { rows, peers, peer_starts }
    }

    fn peer_range(&self, index: usize) -> (usize, usize) {
        let peer = self.peers[index];
        (self.peer_starts[peer], self.peer_starts[peer + 1])
    }

    /// The rows of a frame: from the first to before the second. The second may be smaller, if there is none.
    fn frame_range(&self, frame: WindowFrame, index: usize) -> (usize, usize) {
        if !frame.rows {
            return self.value_range(frame, index);
        }
        let count = self.rows.len();
        let (first, last) = (index, index + 1);
        let distance = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let start = match frame.start {
            FrameBound::Unbounded => 0,
            FrameBound::Current => first,
            FrameBound::Preceding(rows) => first.saturating_sub(distance(rows)),
            FrameBound::Following(rows) => first.saturating_add(distance(rows)),
        };
        let end = match frame.end {
            FrameBound::Unbounded => count,
            FrameBound::Current => last,
            FrameBound::Preceding(rows) => last.saturating_sub(distance(rows)),
            FrameBound::Following(rows) => last.saturating_add(distance(rows)),
        };
        (start.min(count), end.min(count))
    }

    /// The rows of a frame whose bounds are values of the key.
    fn value_range(&self, frame: WindowFrame, index: usize) -> (usize, usize) {
        let (first_peer, last_peer) = self.peer_range(index);
        let start = match frame.start {
            FrameBound::Unbounded => 0,
            FrameBound::Current => first_peer,
            bound => self.place_of_value(index, bound).map_or(first_peer, |(start, _)| start),
        };
        let end = match frame.end {
            FrameBound::Unbounded => self.rows.len(),
            FrameBound::Current => last_peer,
            bound => self.place_of_value(index, bound).map_or(last_peer, |(_, end)| end),
        };
        (start, end)
    }

    /// The first row whose key is at a distance from that of a row or beyond it, and the first one beyond it. `None` if
    /// the key of the row is null.
    fn place_of_value(&self, index: usize, bound: FrameBound) -> Option<(usize, usize)> {
        let distance = match bound {
            FrameBound::Preceding(distance) => -i128::from(distance),
            FrameBound::Following(distance) => i128::from(distance),
            FrameBound::Unbounded | FrameBound::Current => 0,
        };
        let wanted = key_position(self.rows[index])? + distance;
        let nulls_first = self.rows[index].keys.first().is_some_and(|key| key.direction.nulls_first);
        let is_before = |row: &&SortedRow, wanted: i128| key_position(row).map_or(nulls_first, |at| at < wanted);
        let start = self.rows.partition_point(|row| is_before(row, wanted));
        let end = self.rows.partition_point(|row| is_before(row, wanted.saturating_add(1)));
        Some((start, end))
    }

    fn value_of(&self, function: &WindowFunction, index: usize, faults: &FaultCounter) -> Datum {
        let (first_peer, last_peer) = self.peer_range(index);
        let count = self.rows.len();
        match function {
            WindowFunction::RowNumber => Datum::Long(index as i64 + 1),
            WindowFunction::Rank => Datum::Long(first_peer as i64 + 1),
            WindowFunction::DenseRank => Datum::Long(self.peers[index] as i64 + 1),
            WindowFunction::PercentRank if count == 1 => Datum::Double(0.0),
            WindowFunction::PercentRank => Datum::Double(first_peer as f64 / (count - 1) as f64),
            WindowFunction::CumeDist => Datum::Double(last_peer as f64 / count as f64),
            WindowFunction::Ntile(buckets) => Datum::Long(bucket_of(index as u64, count as u64, *buckets)),
            WindowFunction::Offset { value, distance, default } => {
                let other = i64::try_from(index).ok().and_then(|index| index.checked_add(*distance));
                let other = other.and_then(|other| usize::try_from(other).ok()).and_then(|other| self.rows.get(other));
                match other {
                    Some(other) => value.eval(&other.row, faults).into_owned(),
                    None => default.eval(&self.rows[index].row, faults).into_owned(),
                }
            }
            WindowFunction::FirstValue(value, frame) => {
                let (start, end) = self.frame_range(*frame, index);
                self.evaluate_at((start < end).then_some(start), value, faults)
            }
            WindowFunction::LastValue(value, frame) => {
                let (start, end) = self.frame_range(*frame, index);
                self.evaluate_at((start < end).then(|| end - 1), value, faults)
            }
            WindowFunction::NthValue(value, number, frame) => {
                let (start, end) = self.frame_range(*frame, index);
                let place = number.checked_sub(1).and_then(|before| start.checked_add(usize::try_from(before).ok()?));
                self.evaluate_at(place.filter(|place| *place < end), value, faults)
            }
            // These are computed for all rows at once.
            WindowFunction::Aggregate(..) | WindowFunction::KnownOffset { .. } | WindowFunction::KnownValue { .. } => {
                Datum::Null
            }
        }
    }

    /// The indexes of the rows in which a value is not null, with the values.
    fn known_rows(&self, value: &ScalarExpr, faults: &FaultCounter) -> Vec<(usize, Datum)> {
        let values = self.rows.iter().map(|row| value.eval(&row.row, faults).into_owned());
        values.enumerate().filter(|(_, value)| !value.is_null()).collect()
    }

    /// `lag` and `lead` that ignore nulls.
    fn known_offsets(
        &self,
        value: &ScalarExpr,
        distance: i64,
        default: &ScalarExpr,
        faults: &FaultCounter,
    ) -> Vec<Datum> {
        let known = self.known_rows(value, faults);
        let steps = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
        let at = |index: usize| {
            let before = known.partition_point(|(row, _)| *row < index);
            let through = known.partition_point(|(row, _)| *row <= index);
            let place = match distance.signum() {
                // The row itself, also if its value is null.
                0 if before == through => return Datum::Null,
                0 => Some(before),
                -1 => before.checked_sub(steps),
                _ => through.checked_add(steps.saturating_sub(1)),
            };
            match place.and_then(|place| known.get(place)) {
                Some((_, value)) => value.clone(),
                None => default.eval(&self.rows[index].row, faults).into_owned(),
            }
        };
        (0..self.rows.len()).map(at).collect()
    }

    /// `first_value`, `last_value` and `nth_value` that ignore nulls.
    fn known_values(&self, value: &ScalarExpr, place: i64, frame: WindowFrame, faults: &FaultCounter) -> Vec<Datum> {
        let known = self.known_rows(value, faults);
        let steps = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
        let at = |index: usize| {
            let (start, end) = self.frame_range(frame, index);
            let first = known.partition_point(|(row, _)| *row < start);
            let framed = known.get(first..known.partition_point(|(row, _)| *row < end)).unwrap_or_default();
            let found = if place < 0 { framed.len().checked_sub(steps) } else { steps.checked_sub(1) };
            found.and_then(|found| framed.get(found)).map_or(Datum::Null, |(_, value)| value.clone())
        };
        (0..self.rows.len()).map(at).collect()
    }

    fn evaluate_at(&self, index: Option<usize>, value: &ScalarExpr, faults: &FaultCounter) -> Datum {
        let row = index.and_then(|index| self.rows.get(index));
        row.map_or(Datum::Null, |row| value.eval(&row.row, faults).into_owned())
    }
}

/// The value of a row's only sort key as a number that grows with the order. `None` if it is null.
fn key_position(row: &SortedRow) -> Option<i128> {
    let SortValue { value, direction } = row.keys.first()?;
    match value {
        Datum::Long(value) | Datum::Time(value) if direction.descending => Some(-i128::from(*value)),
        Datum::Long(value) | Datum::Time(value) => Some((*value).into()),
        _ => None,
    }
}

/// The bucket of a row, from 1: the first `count % buckets` ones have one row more.
fn bucket_of(index: u64, count: u64, buckets: u64) -> i64 {
    let buckets = buckets.max(1);
    let (size, larger) = (count / buckets, count % buckets);
    let in_larger = larger * (size + 1);
    let bucket = if index < in_larger { index / (size + 1) } else { larger + (index - in_larger) / size.max(1) };
    bucket as i64 + 1
}

/// An aggregate over the frame of each row. The bounds of frames only move forwards, so each row is added once and
/// removed once.
fn aggregate_values(
    partition: &OrderedPartition<'_>,
    inputs: &[ScalarExpr],
    set: &AggregateSet,
    frame: WindowFrame,
    faults: &FaultCounter,
) -> Vec<Datum> {
    let project =
        |row: &&SortedRow| -> Row { inputs.iter().map(|expr| expr.eval(&row.row, faults).into_owned()).collect() };
    let projected: Vec<Row> = partition.rows.iter().map(project).collect();
    let mut cells = GroupCells::new(set);
    let (mut first, mut last) = (0, 0);
    let mut values: Vec<Datum> = Vec::with_capacity(projected.len());
    for index in 0..projected.len() {
        let (start, end) = partition.frame_range(frame, index);
        let unchanged = index > 0 && (first, last) == (start.min(last.max(end)), last.max(end));
        if unchanged {
            values.extend(values.last().cloned());
            continue;
        }
        for row in projected.iter().take(end).skip(last) {
            cells.update(set, row, 1);
        }
        last = last.max(end);
        for row in projected.iter().take(start.min(last)).skip(first) {
            cells.update(set, row, -1);
        }
        first = first.max(start.min(last));
        cells.settle(set);
        values.push(cells.results(set, faults).next().unwrap_or(Datum::Null));
    }
    values
}
