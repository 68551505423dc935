//! The labels of a group in order of their values.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::collections::btree_set::Range;
use std::ops::Bound;

use hashbrown::HashMap;

use super::foremost::{Foremost, Ranked};
use super::tally::{Counts, MANY};
use super::terms::{Terms, Ties, Top};
use super::{Emit, Negative, Update, counted};
use crate::answer::Cell;
use crate::hash::KeyedState;
use crate::symbol::Symbol;

/// Labels ranked by how many rows have them.
#[derive(Debug, Default)]
pub struct ByRows {
    rows: Counts,
    ranking: Ranking,
}

impl ByRows {
    pub(super) fn apply(&mut self, updates: &[Update], terms: &Terms, emit: &mut Emit<'_>) -> Result<(), Negative> {
        let mut moves = Vec::new();
        for run in updates.chunk_by(|one, next| one.label == next.label) {
            let Some(label) = run[0].label else { continue };
            let (before, after) = self.rows.add(label, run.iter().map(|update| update.diff).sum())?;
            let there = |rows| (rows > 0).then_some(rows);
            moves.push(Move { label, from: there(before), to: there(after) });
        }
        let ByRows { rows, ranking } = self;
        ranking.apply(moves, terms, || rows.iter().map(|(label, rows)| Place::new(rows, Some(label))), emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.rows.len()
    }
}

/// Labels ranked by the greatest value of the rows that have them.
#[derive(Debug, Default)]
pub struct ByGreatest {
    greatest: HashMap<Symbol, Greatest, KeyedState>,
    others: Others,
    ranking: Ranking,
}

/// The greatest value of a label, and how many rows have it. Most labels have no other: a poster has one number of
/// followers, however many posts.
#[derive(Debug, Clone, Copy)]
struct Greatest {
    value: Packed,
    /// At most [`MANY`]; rows beyond stand among the others.
    rows: u32,
}

impl ByGreatest {
    pub(super) fn apply(&mut self, updates: &[Update], terms: &Terms, emit: &mut Emit<'_>) -> Result<(), Negative> {
        let ByGreatest { greatest, others, ranking } = self;
        let runs =
            || updates.chunk_by(|one, next| one.label == next.label).filter_map(|run| Some((run[0].label?, run)));
        // Look-ups first: none depends on another, so that their waits for memory overlap.
        let looked_up = runs().map(|(label, _)| greatest.get(&label).copied());
        let looked_up: Vec<Option<Greatest>> = looked_up.collect();
        let mut moves = Vec::with_capacity(looked_up.len());
        for ((label, run), before) in runs().zip(looked_up) {
            let mut after = before;
            for update in run {
                others.take_up(&mut after, label, update.value, update.diff)?;
            }
            match after {
                Some(after) => drop(greatest.insert(label, after)),
                None => drop(greatest.remove(&label)),
            }
            let value = |held: Option<Greatest>| held.map(|held| held.value.get());
            moves.push(Move { label, from: value(before), to: value(after) });
        }
        let all = || greatest.iter().map(|(label, held)| Place::new(held.value.get(), Some(*label)));
        ranking.apply(moves, terms, all, emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.greatest.len() + self.others.rows.len()
    }
}

/// How many rows have a label and a value, where that is not its greatest: 16 bytes a pair, as long as there are fewer
/// than [`MANY`] of them.
#[derive(Debug, Default)]
struct Others {
    rows: BTreeMap<Pair, u32>,
    /// Where `rows` says [`MANY`].
    many: BTreeMap<Pair, i64>,
}

impl Others {
    /// Adds rows with a label and a value, of which the greatest value is `held` apart.
    fn take_up(&mut self, held: &mut Option<Greatest>, label: Symbol, value: i64, diff: i64) -> Result<(), Negative> {
        match *held {
            Some(Greatest { value: greatest, rows }) if greatest.get() == value => {
                let beyond = if rows == MANY { self.take(label, value)? } else { 0 };
                match counted(Some(label), value, beyond + i64::from(rows), diff)? {
                    0 => {
                        // The last row with the greatest value goes: the next greatest takes its place.
                        *held = None;
                        if let Some(next) = self.greatest(label) {
                            let rows = self.take(label, next)?;
                            *held = Some(self.hold(label, next, rows)?);
                        }
                    }
                    rows => *held = Some(self.hold(label, value, rows)?),
                }
                Ok(())
            }
            Some(Greatest { value: greatest, .. }) if greatest.get() > value => self.add(label, value, diff),
            smaller => {
                let rows = counted(Some(label), value, 0, diff)?;
                if rows > 0 {
                    if let Some(smaller) = smaller {
                        self.add(label, smaller.value.get(), smaller.rows.into())?;
                    }
                    *held = Some(self.hold(label, value, rows)?);
                }
                Ok(())
            }
        }
    }

    /// The greatest value of a label, apart; rows that cannot be counted there stay here.
    fn hold(&mut self, label: Symbol, value: i64, rows: i64) -> Result<Greatest, Negative> {
        let few = u32::try_from(rows).unwrap_or(MANY);
        self.add(label, value, rows - i64::from(few))?;
        Ok(Greatest { value: Packed::new(value), rows: few })
    }

    /// Takes all rows with a label and a value away, and says how many they were.
    fn take(&mut self, label: Symbol, value: i64) -> Result<i64, Negative> {
        let rows = self.count(label, value);
        self.add(label, value, -rows)?;
        Ok(rows)
    }

    fn count(&self, label: Symbol, value: i64) -> i64 {
        let pair = Pair::new(label, value);
        match self.rows.get(&pair) {
            Some(&MANY) => self.many.get(&pair).copied().unwrap_or(0),
            few => few.copied().unwrap_or(0).into(),
        }
    }

    fn add(&mut self, label: Symbol, value: i64, diff: i64) -> Result<(), Negative> {
        if diff == 0 {
            return Ok(());
        }
        let pair = Pair::new(label, value);
        let entry = self.rows.entry(pair);
        let before = match &entry {
            Entry::Occupied(rows) if *rows.get() == MANY => self.many.remove(&pair).unwrap_or(0),
            Entry::Occupied(rows) => (*rows.get()).into(),
            Entry::Vacant(_) => 0,
        };
        let rows = counted(Some(label), value, before, diff)?;
        let few = u32::try_from(rows).unwrap_or(MANY);
        if few == MANY {
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

    fn greatest(&self, label: Symbol) -> Option<i64> {
        let all = Pair::new(label, i64::MIN)..=Pair::new(label, i64::MAX);
        self.rows.range(all).next_back().map(|(pair, _)| pair.1.get())
    }
}

/// A label, by its number (only neighbourhood counts here), and a value: 12 bytes, compared as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair(u32, Packed);

impl Pair {
    fn new(label: Symbol, value: i64) -> Pair {
        Pair(label.number(), Packed::new(value))
    }

    fn key(self) -> u128 {
        u128::from(self.0) << 64 | u128::from(self.1.biased())
    }
}

impl Ord for Pair {
    fn cmp(&self, other: &Pair) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Pair) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A whole number in eight bytes that may stand at every fourth, so that it packs tightly with a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed([u32; 2]);

impl Packed {
    fn new(value: i64) -> Packed {
        let biased = value.cast_unsigned() ^ 1 << 63;
        Packed([(biased >> 32) as u32, biased as u32])
    }

    /// The number, moved so that the least is 0.
    fn biased(self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }

    fn get(self) -> i64 {
        (self.biased() ^ 1 << 63).cast_signed()
    }
}

impl Ord for Packed {
    fn cmp(&self, other: &Packed) -> Ordering {
        self.biased().cmp(&other.biased())
    }
}

impl PartialOrd for Packed {
    fn partial_cmp(&self, other: &Packed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A label's value changes; `None` where the label is not there.
#[derive(Debug, Clone, Copy)]
struct Move {
    label: Symbol,
    from: Option<i64>,
    to: Option<i64>,
}

/// A label at its value. The greatest value comes first, among equals the smallest text; a place without a label
/// stands before all labels of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(Reverse<Packed>, Option<Symbol>);

impl Place {
    fn new(value: i64, label: Option<Symbol>) -> Place {
        Place(Reverse(Packed::new(value)), label)
    }
}

impl Ranked for Place {
    fn value(&self) -> i64 {
        self.0.0.get()
    }

    fn behind_all(value: i64) -> Option<Place> {
        value.checked_sub(1).map(|smaller| Place::new(smaller, None))
    }
}

/// Labels in order, and how far down they are listed.
///
/// The boundary is the last place that is listed (with `ties = "all"` its value decides, and its label means nothing).
/// After each epoch it moves by neighbours until the wanted number of ranks stand at or before it; no more steps are
/// needed than labels moved. So an epoch costs a logarithm for each label that moved and for each row that is emitted.
///
/// Only the [foremost](Foremost) places are kept in order: of a million labels, one is listed.
#[derive(Debug, Default)]
struct Ranking {
    places: Foremost<Place>,
    boundary: Option<Place>,
    /// Ranks at or before the boundary.
    ranks: usize,
    /// Whether the label of the boundary has moved away.
    boundary_gone: bool,
}

impl Ranking {
    /// Moves labels, each at most once and sorted by number, and emits what is listed no longer and newly. `all` gives
    /// the places of all labels, after the moves.
    fn apply<A: ExactSizeIterator<Item = Place>>(
        &mut self,
        mut moves: Vec<Move>,
        terms: &Terms,
        all: impl Fn() -> A,
        emit: &mut Emit<'_>,
    ) {
        moves.retain(|it| it.from != it.to);
        let before = self.boundary;
        for it in &moves {
            it.from.into_iter().for_each(|value| self.remove(Place::new(value, Some(it.label)), terms));
            it.to.into_iter().for_each(|value| self.insert(Place::new(value, Some(it.label)), terms));
        }
        self.settle(terms, &all);
        if std::mem::take(&mut self.boundary_gone) {
            // Its label may be freed soon: the last place that is still listed bounds the same.
            self.boundary = self.listed(terms).next_back().copied();
        }
        let after = self.boundary;
        for Move { label, from, to } in &moves {
            let place = |value| Place::new(value, Some(*label));
            if let Some(value) = from.filter(|value| is_listed(&place(*value), &before, terms)) {
                emit(Some(*label), Cell::Long(value), -1);
            }
            if let Some(value) = to.filter(|value| is_listed(&place(*value), &after, terms)) {
                emit(Some(*label), Cell::Long(value), 1);
            }
        }
        if terms.top != Top::All {
            let moved = |label: Symbol| moves.binary_search_by_key(&label.number(), |it| it.label.number()).is_ok();
            self.pass_between(before, after, terms, |label, value, diff| {
                if !moved(label) {
                    emit(Some(label), Cell::Long(value), diff);
                }
            });
            self.places.forget_behind(self.boundary, all().len());
        }
    }

    fn remove(&mut self, place: Place, terms: &Terms) {
        self.boundary_gone |= self.boundary == Some(place);
        self.places.remove(&place);
        if is_listed(&place, &self.boundary, terms) && self.makes_rank(place, terms) {
            self.ranks -= 1;
        }
    }

    fn insert(&mut self, place: Place, terms: &Terms) {
        if is_listed(&place, &self.boundary, terms) && self.makes_rank(place, terms) {
            self.ranks += 1;
        }
        self.places.insert(place);
    }

    /// Moves the boundary until as many ranks are listed as there should be.
    fn settle<A: ExactSizeIterator<Item = Place>>(&mut self, terms: &Terms, all: impl Fn() -> A) {
        let Top::Ranks(wanted) = terms.top else { return };
        let wanted = wanted.get() as usize;
        while self.ranks > wanted {
            let last = *self.listed(terms).next_back().expect("more ranks than wanted are listed");
            let start = if terms.ties == Ties::All { Place(last.0, None) } else { last };
            self.boundary = self.places.range(..start).next_back().copied();
            self.ranks -= 1;
        }
        while self.ranks < wanted {
            match self.behind(&self.boundary, terms).next().copied() {
                Some(next) => {
                    self.boundary = Some(next);
                    self.ranks += 1;
                }
                None if self.places.lacks(all().len()) => self.places.recall(all()),
                None => break,
            }
        }
    }

    /// Calls `each` with 1 for places that the boundary moved past, with −1 for those that it moved back over.
    fn pass_between(
        &self,
        before: Option<Place>,
        after: Option<Place>,
        terms: &Terms,
        mut each: impl FnMut(Symbol, i64, i64),
    ) {
        // `None` stands before every place, as `Option` is ordered.
        let (low, high, diff) = if before < after { (before, after, 1) } else { (after, before, -1) };
        for place in self.behind(&low, terms) {
            match place.1 {
                Some(label) if is_listed(place, &high, terms) => each(label, place.value(), diff),
                _ => break,
            }
        }
    }

    /// The places at or before the boundary.
    fn listed(&self, terms: &Terms) -> Range<'_, Place> {
        match (self.boundary, terms.ties) {
            (None, _) => Range::default(),
            (Some(last), Ties::First) => self.places.range(..=last),
            (Some(last), Ties::All) => match Place::behind_all(last.value()) {
                Some(next) => self.places.range(..next),
                None => self.places.range(..),
            },
        }
    }

    /// The places after a boundary.
    fn behind(&self, boundary: &Option<Place>, terms: &Terms) -> Range<'_, Place> {
        match (*boundary, terms.ties) {
            (None, _) => self.places.range(..),
            (Some(last), Ties::First) => self.places.range((Bound::Excluded(last), Bound::Unbounded)),
            (Some(last), Ties::All) => {
                Place::behind_all(last.value()).map_or_else(Range::default, |next| self.places.range(next..))
            }
        }
    }

    /// Whether a place that is not there makes one more rank when it comes.
    fn makes_rank(&self, Place(value, _): Place, terms: &Terms) -> bool {
        let same_value = || self.places.range(Place(value, None)..).next().is_some_and(|place| place.0 == value);
        terms.ties == Ties::First || !same_value()
    }
}

/// Whether a place stands at or before the boundary.
fn is_listed(place: &Place, boundary: &Option<Place>, terms: &Terms) -> bool {
    match (terms.top, boundary) {
        (Top::All, _) => true,
        (_, None) => false,
        (_, Some(last)) if terms.ties == Ties::All => place.0 <= last.0,
        (_, Some(last)) => place <= last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greatest_value_of_very_many_rows_is_held_and_let_go() {
        let (label, many) = (Symbol::new("many"), i64::from(MANY));
        let (mut others, mut held) = (Others::default(), None);
        // Value, how many more rows have it, and the greatest value after.
        let steps = [(5, 3, Some(5)), (7, many + 9, Some(7)), (7, 5, Some(7)), (8, 1, Some(8)), (8, -1, Some(7))];
        for (value, diff, greatest) in steps.into_iter().chain([(7, -many - 14, Some(5)), (5, -3, None)]) {
            others.take_up(&mut held, label, value, diff).expect("never negative");
            assert_eq!(held.map(|held| held.value.get()), greatest);
        }
        assert!(others.rows.is_empty() && others.many.is_empty());
        let negative = others.take_up(&mut held, label, 5, -1);
        assert_eq!(negative, Err(Negative { label: Some(label), value: 5, count: -1 }));
    }

    #[test]
    fn counts_beyond_four_bytes_are_exact() {
        let label = Symbol::new("many");
        let mut others = Others::default();
        let many = i64::from(MANY);
        for (diff, after) in [(many - 1, many - 1), (1, many), (5, many + 5), (-6, many - 1), (1 - many, 0)] {
            others.add(label, 7, diff).expect("never negative");
            assert_eq!(others.count(label, 7), after);
        }
        assert!(others.rows.is_empty() && others.many.is_empty());
    }
}
