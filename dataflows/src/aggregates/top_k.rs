//! Rankings: the labels of a group, ordered by count or by maximum value.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::collections::btree_set::Range;
use std::ops::Bound;

use hashbrown::HashMap;

use super::counts::{COUNT_OVERFLOW, LabelCounts};
use super::query_options::{QueryOptions, RankLimit, TieRule};
use super::top_k_buffer::{RankedItem, TopKBuffer};
use super::{EmitChange, GroupUpdate, NegativeCount, checked_count};
use crate::answer::AnswerCell;
use crate::hash::KeyedState;
use crate::symbol::Symbol;

/// Labels ranked by their number of rows.
#[derive(Debug, Default)]
pub struct TopByCount {
    rows: LabelCounts,
    ranking: LabelRanking,
}

impl TopByCount {
    pub(super) fn apply(
        &mut self,
        updates: &[GroupUpdate],
        options: &QueryOptions,
        emit: &mut EmitChange<'_>,
    ) -> Result<(), NegativeCount> {
        let mut moves = Vec::new();
        for run in updates.chunk_by(|one, next| one.label == next.label) {
            let Some(label) = run[0].label else { continue };
            let (before, after) = self.rows.add_rows(label, run.iter().map(|update| update.diff).sum())?;
            let there = |rows| (rows > 0).then_some(rows);
            moves.push(RankChange { label, from: there(before), to: there(after) });
        }
        let TopByCount { rows, ranking } = self;
        ranking.apply(moves, options, || rows.iter().map(|(label, rows)| RankedLabel::new(rows, Some(label))), emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.rows.len()
    }

    /// The labels.
    pub(super) fn labels(&self) -> impl Iterator<Item = Symbol> {
        self.rows.iter().map(|(label, _)| label)
    }
}

/// Labels ranked by the maximum value of their rows.
#[derive(Debug, Default)]
pub struct TopByMax {
    greatest: HashMap<Symbol, MaxEntry, KeyedState>,
    others: NonMaxValues,
    ranking: LabelRanking,
}

/// The maximum value of a label and its number of rows. Most labels have no other value: a poster has one follower
/// count in all posts.
#[derive(Debug, Clone, Copy)]
struct MaxEntry {
    value: PackedInt,
    /// At most [`COUNT_OVERFLOW`]. Further rows are counted in [`NonMaxValues`].
    rows: u32,
}

impl TopByMax {
    pub(super) fn apply(
        &mut self,
        updates: &[GroupUpdate],
        options: &QueryOptions,
        emit: &mut EmitChange<'_>,
    ) -> Result<(), NegativeCount> {
        let TopByMax { greatest, others, ranking } = self;
        let runs =
            || updates.chunk_by(|one, next| one.label == next.label).filter_map(|run| Some((run[0].label?, run)));
        // Look up all labels first: the lookups are independent, so their cache misses overlap.
        let looked_up = runs().map(|(label, _)| greatest.get(&label).copied());
        let looked_up: Vec<Option<MaxEntry>> = looked_up.collect();
        let mut moves = Vec::with_capacity(looked_up.len());
        for ((label, run), before) in runs().zip(looked_up) {
            let mut after = before;
            for update in run {
                others.apply_update(&mut after, label, update.value, update.diff)?;
            }
            match after {
                Some(after) => drop(greatest.insert(label, after)),
                None => drop(greatest.remove(&label)),
            }
            let value = |held: Option<MaxEntry>| held.map(|held| held.value.get());
            moves.push(RankChange { label, from: value(before), to: value(after) });
        }
        let all = || greatest.iter().map(|(label, held)| RankedLabel::new(held.value.get(), Some(*label)));
        ranking.apply(moves, options, all, emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.greatest.len() + self.others.rows.len()
    }

    /// The labels.
    pub(super) fn labels(&self) -> impl Iterator<Item = Symbol> {
        self.greatest.keys().copied()
    }
}

/// The number of rows per label and value, except for the label's maximum: 16 bytes a pair while the count is below
/// [`COUNT_OVERFLOW`].
#[derive(Debug, Default)]
struct NonMaxValues {
    rows: BTreeMap<LabelValue, u32>,
    /// The exact counts of pairs whose entry in `rows` is [`COUNT_OVERFLOW`].
    many: BTreeMap<LabelValue, i64>,
}

impl NonMaxValues {
    /// Adds `diff` rows with a label and a value. `held` is the label's maximum, which is stored outside.
    fn apply_update(
        &mut self,
        held: &mut Option<MaxEntry>,
        label: Symbol,
        value: i64,
        diff: i64,
    ) -> Result<(), NegativeCount> {
        match *held {
            Some(MaxEntry { value: greatest, rows }) if greatest.get() == value => {
                let beyond = if rows == COUNT_OVERFLOW { self.remove_all(label, value)? } else { 0 };
                match checked_count(Some(label), value, beyond + i64::from(rows), diff)? {
                    0 => {
                        // The last row with the maximum is gone: promote the next smaller value.
                        *held = None;
                        if let Some(next) = self.max_value(label) {
                            let rows = self.remove_all(label, next)?;
                            *held = Some(self.split_max_entry(label, next, rows)?);
                        }
                    }
                    rows => *held = Some(self.split_max_entry(label, value, rows)?),
                }
                Ok(())
            }
            Some(MaxEntry { value: greatest, .. }) if greatest.get() > value => self.add_rows(label, value, diff),
            smaller => {
                let rows = checked_count(Some(label), value, 0, diff)?;
                if rows > 0 {
                    if let Some(smaller) = smaller {
                        self.add_rows(label, smaller.value.get(), smaller.rows.into())?;
                    }
                    *held = Some(self.split_max_entry(label, value, rows)?);
                }
                Ok(())
            }
        }
    }

    /// Makes the entry for a label's maximum. Rows beyond its four-byte count stay here.
    fn split_max_entry(&mut self, label: Symbol, value: i64, rows: i64) -> Result<MaxEntry, NegativeCount> {
        let few = u32::try_from(rows).unwrap_or(COUNT_OVERFLOW);
        self.add_rows(label, value, rows - i64::from(few))?;
        Ok(MaxEntry { value: PackedInt::new(value), rows: few })
    }

    /// Removes all rows with a label and a value, and returns their number.
    fn remove_all(&mut self, label: Symbol, value: i64) -> Result<i64, NegativeCount> {
        let rows = self.row_count(label, value);
        self.add_rows(label, value, -rows)?;
        Ok(rows)
    }

    fn row_count(&self, label: Symbol, value: i64) -> i64 {
        let pair = LabelValue::new(label, value);
        match self.rows.get(&pair) {
            Some(&COUNT_OVERFLOW) => self.many.get(&pair).copied().unwrap_or(0),
            few => few.copied().unwrap_or(0).into(),
        }
    }

    fn add_rows(&mut self, label: Symbol, value: i64, diff: i64) -> Result<(), NegativeCount> {
        if diff == 0 {
            return Ok(());
        }
        let pair = LabelValue::new(label, value);
        let entry = self.rows.entry(pair);
        let before = match &entry {
            Entry::Occupied(rows) if *rows.get() == COUNT_OVERFLOW => self.many.remove(&pair).unwrap_or(0),
            Entry::Occupied(rows) => (*rows.get()).into(),
            Entry::Vacant(_) => 0,
        };
        let rows = checked_count(Some(label), value, before, diff)?;
        let few = u32::try_from(rows).unwrap_or(COUNT_OVERFLOW);
        if few == COUNT_OVERFLOW {
            self.many.insert(pair, rows);
        }
        match entry {
            Entry::Occupied(entry) if few == 0 => drop(entry.remove()),
            Entry::Occupied(mut entry) => drop(entry.insert(few)),
            Entry::Vacant(entry) => {
                entry.insert(few);
            }
        }
        Ok(())
    }

    fn max_value(&self, label: Symbol) -> Option<i64> {
        let all = LabelValue::new(label, i64::MIN)..=LabelValue::new(label, i64::MAX);
        self.rows.range(all).next_back().map(|(pair, _)| pair.1.get())
    }
}

/// A label by its symbol number and a value: 12 bytes, compared as one integer. Only adjacency matters, not the order
/// of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LabelValue(u32, PackedInt);

impl LabelValue {
    fn new(label: Symbol, value: i64) -> LabelValue {
        LabelValue(label.number(), PackedInt::new(value))
    }

    fn sort_key(self) -> u128 {
        u128::from(self.0) << 64 | u128::from(self.1.order_bits())
    }
}

impl Ord for LabelValue {
    fn cmp(&self, other: &LabelValue) -> Ordering {
        self.sort_key().cmp(&other.sort_key())
    }
}

impl PartialOrd for LabelValue {
    fn partial_cmp(&self, other: &LabelValue) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An `i64` with an alignment of four bytes, so that it packs tightly with a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackedInt([u32; 2]);

impl PackedInt {
    fn new(value: i64) -> PackedInt {
        let biased = value.cast_unsigned() ^ 1 << 63;
        PackedInt([(biased >> 32) as u32, biased as u32])
    }

    /// The value with its sign bit flipped: unsigned order is the order of the values.
    fn order_bits(self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }

    fn get(self) -> i64 {
        (self.order_bits() ^ 1 << 63).cast_signed()
    }
}

impl Ord for PackedInt {
    fn cmp(&self, other: &PackedInt) -> Ordering {
        self.order_bits().cmp(&other.order_bits())
    }
}

impl PartialOrd for PackedInt {
    fn partial_cmp(&self, other: &PackedInt) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A label moves from one ranked value to another. `None` means that it is not in the ranking.
#[derive(Debug, Clone, Copy)]
struct RankChange {
    label: Symbol,
    from: Option<i64>,
    to: Option<i64>,
}

/// A position in the ranking: greatest value first, then the smallest label text. A position without a label comes
/// before all labels of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RankedLabel(Reverse<PackedInt>, Option<Symbol>);

impl RankedLabel {
    fn new(value: i64, label: Option<Symbol>) -> RankedLabel {
        RankedLabel(Reverse(PackedInt::new(value)), label)
    }
}

impl RankedItem for RankedLabel {
    fn value(&self) -> i64 {
        self.0.0.get()
    }

    fn first_below(value: i64) -> Option<RankedLabel> {
        value.checked_sub(1).map(|smaller| RankedLabel::new(smaller, None))
    }
}

/// The labels of a group in ranked order, and the boundary down to which they are listed.
///
/// The boundary is the last listed position. With `ties = "all"` only its value matters. After each epoch it moves by
/// neighbours until the wanted number of ranks is listed, in at most as many steps as labels moved. So an epoch costs
/// O(log n) per moved label and per emitted row.
///
/// Only the top of the ranking is kept in order ([`TopKBuffer`]): of a million labels, one may be listed.
#[derive(Debug, Default)]
struct LabelRanking {
    places: TopKBuffer<RankedLabel>,
    boundary: Option<RankedLabel>,
    /// The number of ranks at or before the boundary.
    ranks: usize,
    /// Whether the label at the boundary has moved away.
    boundary_gone: bool,
}

impl LabelRanking {
    /// Applies rank changes and emits the rows that are no longer or newly listed.
    ///
    /// `moves` has each label at most once, sorted by symbol number. `all` returns the positions of all labels after
    /// the moves.
    fn apply<A: ExactSizeIterator<Item = RankedLabel>>(
        &mut self,
        mut moves: Vec<RankChange>,
        options: &QueryOptions,
        all: impl Fn() -> A,
        emit: &mut EmitChange<'_>,
    ) {
        moves.retain(|it| it.from != it.to);
        let before = self.boundary;
        for it in &moves {
            it.from.into_iter().for_each(|value| self.remove(RankedLabel::new(value, Some(it.label)), options));
            it.to.into_iter().for_each(|value| self.insert(RankedLabel::new(value, Some(it.label)), options));
        }
        self.move_boundary(options, &all);
        if std::mem::take(&mut self.boundary_gone) {
            // Its symbol may be freed soon: use the last listed position instead, which is an equivalent boundary.
            self.boundary = self.listed_range(options).next_back().copied();
        }
        let after = self.boundary;
        for RankChange { label, from, to } in &moves {
            let place = |value| RankedLabel::new(value, Some(*label));
            if let Some(value) = from.filter(|value| is_listed(&place(*value), &before, options)) {
                emit(Some(*label), AnswerCell::Long(value), -1);
            }
            if let Some(value) = to.filter(|value| is_listed(&place(*value), &after, options)) {
                emit(Some(*label), AnswerCell::Long(value), 1);
            }
        }
        if options.top != RankLimit::All {
            let moved = |label: Symbol| moves.binary_search_by_key(&label.number(), |it| it.label.number()).is_ok();
            self.for_each_passed(before, after, options, |label, value, diff| {
                if !moved(label) {
                    emit(Some(label), AnswerCell::Long(value), diff);
                }
            });
            self.places.trim(self.boundary, all().len());
        }
    }

    fn remove(&mut self, place: RankedLabel, options: &QueryOptions) {
        self.boundary_gone |= self.boundary == Some(place);
        self.places.remove(&place);
        if is_listed(&place, &self.boundary, options) && self.starts_rank(place, options) {
            self.ranks -= 1;
        }
    }

    fn insert(&mut self, place: RankedLabel, options: &QueryOptions) {
        if is_listed(&place, &self.boundary, options) && self.starts_rank(place, options) {
            self.ranks += 1;
        }
        self.places.insert(place);
    }

    /// Moves the boundary until the wanted number of ranks is listed.
    fn move_boundary<A: ExactSizeIterator<Item = RankedLabel>>(&mut self, options: &QueryOptions, all: impl Fn() -> A) {
        let RankLimit::Ranks(wanted) = options.top else { return };
        let wanted = wanted.get() as usize;
        while self.ranks > wanted {
            let last = *self.listed_range(options).next_back().expect("more ranks than wanted are listed");
            let start = if options.ties == TieRule::All { RankedLabel(last.0, None) } else { last };
            self.boundary = self.places.range(..start).next_back().copied();
            self.ranks -= 1;
        }
        while self.ranks < wanted {
            match self.range_after(&self.boundary, options).next().copied() {
                Some(next) => {
                    self.boundary = Some(next);
                    self.ranks += 1;
                }
                None if self.places.is_partial(all().len()) => self.places.refill(all()),
                None => break,
            }
        }
    }

    /// Calls `each` with +1 for positions that the boundary moved past, and with −1 for those that it moved back over.
    fn for_each_passed(
        &self,
        before: Option<RankedLabel>,
        after: Option<RankedLabel>,
        options: &QueryOptions,
        mut each: impl FnMut(Symbol, i64, i64),
    ) {
        // `None` is before every position in the order of `Option`.
        let (low, high, diff) = if before < after { (before, after, 1) } else { (after, before, -1) };
        for place in self.range_after(&low, options) {
            match place.1 {
                Some(label) if is_listed(place, &high, options) => each(label, place.value(), diff),
                _ => break,
            }
        }
    }

    /// The positions at or before the boundary.
    fn listed_range(&self, options: &QueryOptions) -> Range<'_, RankedLabel> {
        match (self.boundary, options.ties) {
            (None, _) => Range::default(),
            (Some(last), TieRule::First) => self.places.range(..=last),
            (Some(last), TieRule::All) => match RankedLabel::first_below(last.value()) {
                Some(next) => self.places.range(..next),
                None => self.places.range(..),
            },
        }
    }

    /// The positions after a boundary.
    fn range_after(&self, boundary: &Option<RankedLabel>, options: &QueryOptions) -> Range<'_, RankedLabel> {
        match (*boundary, options.ties) {
            (None, _) => self.places.range(..),
            (Some(last), TieRule::First) => self.places.range((Bound::Excluded(last), Bound::Unbounded)),
            (Some(last), TieRule::All) => {
                RankedLabel::first_below(last.value()).map_or_else(Range::default, |next| self.places.range(next..))
            }
        }
    }

    /// Whether inserting or removing this position changes the number of ranks: with `ties = "all"` only if no other
    /// label has its value.
    fn starts_rank(&self, RankedLabel(value, _): RankedLabel, options: &QueryOptions) -> bool {
        let same_value = || self.places.range(RankedLabel(value, None)..).next().is_some_and(|place| place.0 == value);
        options.ties == TieRule::First || !same_value()
    }
}

/// Whether a position is at or before the boundary.
fn is_listed(place: &RankedLabel, boundary: &Option<RankedLabel>, options: &QueryOptions) -> bool {
    match (options.top, boundary) {
        (RankLimit::All, _) => true,
        (_, None) => false,
        (_, Some(last)) if options.ties == TieRule::All => place.0 <= last.0,
        (_, Some(last)) => place <= last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maximum_with_overflowing_count_is_promoted_and_removed() {
        let (label, many) = (Symbol::new("many"), i64::from(COUNT_OVERFLOW));
        let (mut others, mut held) = (NonMaxValues::default(), None);
        // Value, change of its row count, and the maximum afterwards.
        let steps = [(5, 3, Some(5)), (7, many + 9, Some(7)), (7, 5, Some(7)), (8, 1, Some(8)), (8, -1, Some(7))];
        for (value, diff, greatest) in steps.into_iter().chain([(7, -many - 14, Some(5)), (5, -3, None)]) {
            others.apply_update(&mut held, label, value, diff).expect("never negative");
            assert_eq!(held.map(|held| held.value.get()), greatest);
        }
        assert!(others.rows.is_empty() && others.many.is_empty());
        let negative = others.apply_update(&mut held, label, 5, -1);
        assert_eq!(negative, Err(NegativeCount { label: Some(label), value: 5, count: -1 }));
    }

    #[test]
    fn counts_beyond_32_bits_are_exact() {
        let label = Symbol::new("many");
        let mut others = NonMaxValues::default();
        let many = i64::from(COUNT_OVERFLOW);
        for (diff, after) in [(many - 1, many - 1), (1, many), (5, many + 5), (-6, many - 1), (1 - many, 0)] {
            others.add_rows(label, 7, diff).expect("never negative");
            assert_eq!(others.row_count(label, 7), after);
        }
        assert!(others.rows.is_empty() && others.many.is_empty());
    }
}
