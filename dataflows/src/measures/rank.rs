//! The labels of a group in order of their values.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::collections::btree_set::Range;
use std::ops::Bound;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::foremost::{Foremost, Ranked};
use super::terms::{Terms, Ties, Top};
use super::{Emit, Negative, Update, counted};
use crate::answer::Cell;
use crate::symbol::Symbol;

/// Labels ranked by how many rows have them.
#[derive(Debug, Default)]
pub struct ByRows {
    rows: HashMap<Symbol, i64, FixedState>,
    ranking: Ranking,
}

impl ByRows {
    pub(super) fn apply(&mut self, updates: &[Update], terms: &Terms, emit: &mut Emit<'_>) -> Result<(), Negative> {
        let mut moves = Vec::new();
        for run in updates.chunk_by(|one, next| one.label == next.label) {
            let Some(label) = run[0].label else { continue };
            let before = self.rows.get(&label).copied().unwrap_or(0);
            let after = counted(Some(label), 0, before, run.iter().map(|update| update.diff).sum())?;
            if after == 0 {
                self.rows.remove(&label);
            } else {
                self.rows.insert(label, after);
            }
            let there = |rows| (rows > 0).then_some(rows);
            moves.push(Move { label, from: there(before), to: there(after) });
        }
        let ByRows { rows, ranking } = self;
        ranking.apply(moves, terms, || rows.iter().map(|(label, rows)| Place::new(*rows, Some(*label))), emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.rows.len()
    }
}

/// Labels ranked by the greatest value of the rows that have them.
#[derive(Debug, Default)]
pub struct ByGreatest {
    /// The greatest value of each label. One row with it stands here; most labels have no other.
    greatest: HashMap<Symbol, Packed, FixedState>,
    others: Others,
    ranking: Ranking,
}

impl ByGreatest {
    pub(super) fn apply(&mut self, updates: &[Update], terms: &Terms, emit: &mut Emit<'_>) -> Result<(), Negative> {
        let mut moves = Vec::new();
        for run in updates.chunk_by(|one, next| one.label == next.label) {
            let Some(label) = run[0].label else { continue };
            let from = self.greatest(label);
            for update in run {
                self.add(label, update.value, update.diff)?;
            }
            moves.push(Move { label, from, to: self.greatest(label) });
        }
        let ByGreatest { greatest, ranking, .. } = self;
        let all = || greatest.iter().map(|(label, value)| Place::new(value.get(), Some(*label)));
        ranking.apply(moves, terms, all, emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.greatest.len() + self.others.rows.len()
    }

    fn greatest(&self, label: Symbol) -> Option<i64> {
        self.greatest.get(&label).map(|value| value.get())
    }

    fn add(&mut self, label: Symbol, value: i64, diff: i64) -> Result<(), Negative> {
        match self.greatest(label) {
            None if diff > 0 => {
                self.greatest.insert(label, Packed::new(value));
                self.others.add(label, value, diff - 1)
            }
            Some(greatest) if value > greatest && diff > 0 => {
                self.greatest.insert(label, Packed::new(value));
                self.others.add(label, greatest, 1)?;
                self.others.add(label, value, diff - 1)
            }
            Some(greatest) if value == greatest && self.others.count(label, value) + diff == -1 => {
                // The last row with the greatest value goes: the next greatest takes its place.
                self.others.add(label, value, diff + 1)?;
                match self.others.greatest(label) {
                    Some(next) => {
                        self.greatest.insert(label, Packed::new(next));
                        self.others.add(label, next, -1)?;
                    }
                    None => drop(self.greatest.remove(&label)),
                }
                Ok(())
            }
            greatest => self.others.add(label, value, diff).map_err(|negative| {
                let apart = i64::from(greatest == Some(value));
                Negative { count: negative.count + apart, ..negative }
            }),
        }
    }
}

/// How many rows have a label and a value: 16 bytes a pair, as long as there are fewer than [`MANY`] of them.
#[derive(Debug, Default)]
struct Others {
    rows: BTreeMap<Pair, u32>,
    /// Where `rows` says [`MANY`].
    many: BTreeMap<Pair, i64>,
}

/// Too many rows for a count of four bytes. One `ind`, delivered often enough in two streams, comes here under `keep`.
const MANY: u32 = u32::MAX;

impl Others {
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
