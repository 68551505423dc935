//! The labels of a group in order of their values.

use std::cmp::{Ordering, Reverse};
use std::collections::btree_set::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

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
        self.ranking.apply(moves, terms, emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.rows.len()
    }
}

/// Labels ranked by the greatest value of the rows that have them.
#[derive(Debug, Default)]
pub struct ByGreatest {
    rows: Rows,
    ranking: Ranking,
}

impl ByGreatest {
    pub(super) fn apply(&mut self, updates: &[Update], terms: &Terms, emit: &mut Emit<'_>) -> Result<(), Negative> {
        let mut moves = Vec::new();
        for run in updates.chunk_by(|one, next| one.label == next.label) {
            let Some(label) = run[0].label else { continue };
            let from = self.rows.greatest(label);
            let mut to = from;
            for update in run {
                let rows = self.rows.add(label, update)?;
                if rows > 0 {
                    to = to.max(Some(update.value));
                } else if to == Some(update.value) {
                    to = self.rows.greatest(label);
                }
            }
            moves.push(Move { label, from, to });
        }
        self.ranking.apply(moves, terms, emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.rows.once.len() + self.rows.often.len()
    }
}

/// How many rows have a label and a value. Most pairs occur once: those need no count.
#[derive(Debug, Default)]
struct Rows {
    once: BTreeSet<Pair>,
    /// Twice or more.
    often: BTreeMap<Pair, i64>,
}

/// A label, by its number (only neighbourhood counts here), and a value: 12 bytes, compared as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair(u32, Packed);

impl Pair {
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

impl Rows {
    /// Adds some rows, and says how many there are then.
    fn add(&mut self, label: Symbol, update: &Update) -> Result<i64, Negative> {
        let pair = Pair(label.number(), Packed::new(update.value));
        let count = |before| counted(Some(label), update.value, before, update.diff);
        if let Some(rows) = self.often.get_mut(&pair) {
            *rows = count(*rows)?;
            let rows = *rows;
            if rows < 2 {
                self.often.remove(&pair);
                if rows == 1 {
                    self.once.insert(pair);
                }
            }
            return Ok(rows);
        }
        if update.diff == 1 && self.once.insert(pair) {
            return Ok(1);
        }
        let rows = count(i64::from(self.once.remove(&pair)))?;
        match rows {
            0 => {}
            1 => drop(self.once.insert(pair)),
            _ => drop(self.often.insert(pair, rows)),
        }
        Ok(rows)
    }

    fn greatest(&self, label: Symbol) -> Option<i64> {
        let label = label.number();
        let all = Pair(label, Packed::new(i64::MIN))..=Pair(label, Packed::new(i64::MAX));
        let once = self.once.range(all.clone()).next_back();
        let often = self.often.range(all).next_back().map(|(pair, _)| pair);
        once.max(often).map(|pair| pair.1.get())
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

    fn value(&self) -> i64 {
        self.0.0.get()
    }

    /// Before all places with smaller values, after all others; `None` if no value is smaller.
    fn next_value(&self) -> Option<Place> {
        self.value().checked_sub(1).map(|smaller| Place::new(smaller, None))
    }
}

/// Labels in order, and how far down they are listed.
///
/// The boundary is the last place that is listed (with `ties = "all"` its value decides, and its label means nothing).
/// After each epoch it moves by neighbours until the wanted number of ranks stand at or before it; no more steps are
/// needed than labels moved. So an epoch costs a logarithm for each label that moved and for each row that is emitted.
#[derive(Debug, Default)]
struct Ranking {
    places: BTreeSet<Place>,
    boundary: Option<Place>,
    /// Ranks at or before the boundary.
    ranks: usize,
}

impl Ranking {
    /// Moves labels, each at most once and sorted by number, and emits what is listed no longer and newly.
    fn apply(&mut self, mut moves: Vec<Move>, terms: &Terms, emit: &mut Emit<'_>) {
        moves.retain(|it| it.from != it.to);
        let before = self.boundary;
        for it in &moves {
            it.from.into_iter().for_each(|value| self.remove(Place::new(value, Some(it.label)), terms));
            it.to.into_iter().for_each(|value| self.insert(Place::new(value, Some(it.label)), terms));
        }
        self.settle(terms);
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
    fn settle(&mut self, terms: &Terms) {
        let Top::Ranks(wanted) = terms.top else { return };
        let wanted = wanted.get() as usize;
        while self.ranks > wanted {
            let last = *self.listed(terms).next_back().expect("more ranks than wanted are listed");
            let start = if terms.ties == Ties::All { Place(last.0, None) } else { last };
            self.boundary = self.places.range(..start).next_back().copied();
            self.ranks -= 1;
        }
        while self.ranks < wanted {
            let Some(next) = self.behind(&self.boundary, terms).next().copied() else { break };
            self.boundary = Some(next);
            self.ranks += 1;
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
            (Some(last), Ties::All) => match last.next_value() {
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
            (Some(last), Ties::All) => last.next_value().map_or_else(Range::default, |next| self.places.range(next..)),
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
