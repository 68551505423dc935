//! Which delivery of an `ind` counts.
//!
//! The emulator draws with replacement, producers retry, a restart replays: the same `ind` comes again and
//! again. [`Duplicates::Latest`] lets one row per `ind` and stream count, the one with the greatest [`Version`]; so
//! what is held is bounded by the distinct `ind`, however long the streams repeat. [`keep`] lets every delivery count.
//!
//! In both cases all rows of an `ind` come to the same worker, which replaces the `ind` by its [`Slot`], a number of its
//! own: four bytes where eight would be held, and an index where a hash table would be needed for each stream.

use std::cell::{Cell, RefCell};
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::rc::Rc;

use hashbrown::{HashMap, HashTable};
use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use crate::hash::KeyedState;
use crate::record::{Ind, Lineage, Position};
use crate::symbol::Symbol;

/// Whether repeats of an `ind` count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// Each stream holds at most one row per `ind`: the one with the greatest version.
    #[default]
    Latest,
    /// Every delivery counts, and joins multiply.
    Keep,
}

/// The number a worker gave to an `ind`, from 0 in the order in which it met them.
pub type Slot = u32;

/// A [`Lineage`] in 40 bytes, in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// `i64::MIN` where there is none: the moment it would otherwise stand for is 292,000 years ago.
    arrived_at: i64,
    source: Symbol,
    position: Position,
    sub: u32,
}

impl From<Lineage> for Version {
    fn from(lineage: Lineage) -> Version {
        let Lineage { arrived_at, source, position, sub } = lineage;
        Version { arrived_at: arrived_at.unwrap_or(i64::MIN), source, position, sub }
    }
}

/// A [`Version`] in 12 bytes, as it is held for every row. What repeats is in [`Origins`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// The low half of the time.
    arrived_at: u32,
    /// The low half of the position; of one that is wider than 64 bits, its place in [`Origins::wide`].
    position: u32,
    origin: NonZeroU32,
}

/// What versions share with many others: the high half of the time (71 minutes have the same), source, the high half of
/// the position (none where it is wide), and sub.
type Origin = (i32, Symbol, Option<u32>, u32);

/// The origins that were met, and the positions of held versions that are wider than 64 bits. There are few origins
/// beside the rows: one for each partition and place in a message, each 71 minutes.
///
/// The halves of a wide position repeat nowhere: consecutive sequence numbers of Kinesis differ in their upper half. So
/// these positions stand in places of their own, which are used again once a version is held no more.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    numbers: HashMap<Origin, NonZeroU32, KeyedState>,
    origins: Vec<Origin>,
    wide: Vec<Position>,
    free: Vec<u32>,
}

impl Origins {
    pub(crate) fn hold(&mut self, version: Version) -> Held {
        let Version { arrived_at, source, position, sub } = version;
        let (high, low) = match position.narrow() {
            Some(position) => (Some((position >> 32) as u32), position as u32),
            None => (None, self.keep(position)),
        };
        let origin = ((arrived_at >> 32) as i32, source, high, sub);
        let number = *self.numbers.entry(origin).or_insert_with(|| {
            self.origins.push(origin);
            let number = u32::try_from(self.origins.len()).ok().and_then(NonZeroU32::new);
            number.expect("a worker meets fewer than 2^32 origins")
        });
        Held { arrived_at: arrived_at as u32, position: low, origin: number }
    }

    fn keep(&mut self, position: Position) -> u32 {
        if let Some(place) = self.free.pop() {
            self.wide[place as usize] = position;
            return place;
        }
        self.wide.push(position);
        u32::try_from(self.wide.len() - 1).expect("a worker holds fewer than 2^32 versions")
    }

    fn origin(&self, held: Held) -> Origin {
        self.origins[held.origin.get() as usize - 1]
    }

    /// Says that a version is held no more.
    pub(crate) fn release(&mut self, held: Held) {
        if let (_, _, None, _) = self.origin(held) {
            self.free.push(held.position);
        }
    }

    pub(crate) fn version(&self, held: Held) -> Version {
        let (time, source, high, sub) = self.origin(held);
        let arrived_at = i64::from(time) << 32 | i64::from(held.arrived_at);
        let position = match high {
            Some(high) => Position::from(u64::from(high) << 32 | u64::from(held.position)),
            None => self.wide[held.position as usize],
        };
        Version { arrived_at, source, position, sub }
    }
}

/// One row as it came: its key, its version, its values.
pub type Delivery<R> = (Ind, Version, R);

/// A change of the rows that count.
pub type RowChange<R> = ((Slot, R), u64, i64);

/// The inds that a worker has met, each with its slot.
#[derive(Debug, Default)]
pub struct Slots {
    slots: HashTable<Slot>,
    inds: Chunks<Ind>,
    /// Room for what is looked up together.
    found: Vec<Option<Slot>>,
}

impl Slots {
    /// The slots of inds, in their order; new ones for inds that were not met before.
    ///
    /// Look-ups first: none depends on another, so that their waits for memory overlap.
    pub(crate) fn of(&mut self, inds: impl Iterator<Item = Ind> + Clone) -> impl Iterator<Item = Slot> {
        let mut found = std::mem::take(&mut self.found);
        found.extend(inds.clone().map(|ind| self.find(ind)));
        for (ind, slot) in inds.zip(&mut found) {
            *slot = slot.or_else(|| Some(self.add(ind)));
        }
        self.found = found;
        self.found.drain(..).flatten()
    }

    fn find(&self, ind: Ind) -> Option<Slot> {
        self.slots.find(hash(ind), |slot| self.inds.get(*slot) == Some(&ind)).copied()
    }

    /// The slot of an ind that was not met a moment ago.
    fn add(&mut self, ind: Ind) -> Slot {
        if let Some(slot) = self.find(ind) {
            return slot;
        }
        let slot = Slot::try_from(self.slots.len()).expect("a worker holds fewer than 2^32 distinct inds");
        *self.inds.grow_to(slot) = ind;
        self.slots.insert_unique(hash(ind), slot, |slot| self.inds.get(*slot).map_or(0, |ind| hash(*ind)));
        slot
    }

    /// How many distinct inds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slots.allocation_size() + self.inds.bytes()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// Values by slot, in chunks of their own: growing moves nothing and leaves no doubled room behind.
#[derive(Debug)]
pub(crate) struct Chunks<T>(Vec<Box<[T]>>);

/// Values in one chunk.
const CHUNK: usize = 4096;

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Chunks(Vec::new())
    }
}

impl<T: Copy + Default> Chunks<T> {
    fn get(&self, slot: Slot) -> Option<&T> {
        let slot = slot as usize;
        self.0.get(slot / CHUNK).map(|chunk| &chunk[slot % CHUNK])
    }

    /// All values, those of slots that are not used among them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * CHUNK * size_of::<T>()
    }

    /// The value at a slot, after making room for it.
    pub(crate) fn grow_to(&mut self, slot: Slot) -> &mut T {
        let slot = slot as usize;
        while self.0.len() <= slot / CHUNK {
            self.0.push(vec![T::default(); CHUNK].into_boxed_slice());
        }
        &mut self.0[slot / CHUNK][slot % CHUNK]
    }
}

fn hash(ind: Ind) -> u64 {
    KeyedState.hash_one(ind)
}

/// Brings all rows of an `ind` to one worker, by bits of the hash that the tables there do not use.
pub(crate) fn by_ind<R>(delivery: &Delivery<R>) -> u64 {
    hash(delivery.0) >> 24
}

/// The rows that count when every delivery does. `held` is kept at the number of rows.
pub fn keep<'s, R>(
    deliveries: StreamVec<'s, u64, Delivery<R>>,
    slots: Rc<RefCell<Slots>>,
    held: Rc<Cell<usize>>,
) -> StreamVec<'s, u64, RowChange<R>>
where
    R: ExchangeData + Copy,
{
    deliveries.unary(Exchange::new(by_ind), "Keep", move |_, _| {
        move |input, output| {
            input.for_each(|time, data| {
                let epoch = *time.time();
                let mut slots = slots.borrow_mut();
                held.set(held.get() + data.len());
                let mut session = output.session(&time);
                let found = slots.of(data.iter().map(|(ind, _, _)| *ind));
                session.give_iterator(found.zip(data.iter()).map(|(slot, (_, _, row))| ((slot, *row), epoch, 1)));
                data.clear();
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wide() -> impl Strategy<Value = Position> {
        "[1-9][0-9]{20,55}".prop_map(|digits| Position::parse(digits.as_bytes()).unwrap_or_default())
    }

    fn any_version() -> impl Strategy<Value = Version> {
        let position = prop_oneof![any::<u64>().prop_map(Position::from), wide()];
        let lineage = (any::<Option<i64>>(), "[ab]{0,2}", position, any::<u32>());
        lineage.prop_map(|(arrived_at, source, position, sub)| {
            Version::from(Lineage { arrived_at, source: Symbol::new(&source), position, sub })
        })
    }

    proptest! {
        #[test]
        fn a_held_version_is_the_version(versions in proptest::collection::vec(any_version(), 1..20)) {
            let mut origins = Origins::default();
            let held: Vec<_> = versions.iter().map(|version| origins.hold(*version)).collect();
            let back: Vec<_> = held.into_iter().map(|held| origins.version(held)).collect();
            prop_assert_eq!(back, versions);
        }

        #[test]
        fn what_is_held_no_more_takes_no_room(one in any_version(), others in proptest::collection::vec(wide(), 2..20)) {
            let mut origins = Origins::default();
            let mut held = origins.hold(one);
            for position in others {
                origins.release(held);
                held = origins.hold(Version { position, ..one });
                prop_assert_eq!(origins.version(held), Version { position, ..one });
                prop_assert_eq!(origins.wide.len(), 1);
            }
        }
    }
}
