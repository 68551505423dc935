//! Which delivery of an `ind` counts.
//!
//! The emulator draws with replacement, producers retry, a restart replays: the same `ind` comes again and
//! again. [`latest`] holds one row per `ind` and stream, the one with the greatest [`Version`], and tells of
//! a change only when the values of that row change; so what is held is bounded by the distinct `ind`,
//! however long the streams repeat. [`keep`] lets every delivery count.
//!
//! Both bring all rows of an `ind` to the same worker, and replace the `ind` by its [`Slot`], a number of
//! that worker: four bytes where the arrangements behind would hold eight, and an index where a hash table
//! would be needed for each stream.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

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

/// A [`Version`] in 16 bytes, as it is held for every row. What repeats is in [`Origins`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    arrived_at: i64,
    /// The low half of the position; of one that is wider than 64 bits, its place in [`Origins::wide`].
    position: u32,
    origin: NonZeroU32,
}

/// What versions share with many others: source, the high half of the position (none where it is wide), and sub. A
/// stream has few of these: as many as it has partitions and rows in a message.
type Origin = (Symbol, Option<u32>, u32);

/// What held versions share, each once, and the positions of those that are wider than 64 bits.
///
/// The halves of a wide position repeat nowhere: consecutive sequence numbers of Kinesis differ in their upper half. So
/// these positions stand in places of their own, which are used again once a version is held no more.
#[derive(Debug, Default)]
struct Origins {
    numbers: HashMap<Origin, NonZeroU32, FixedState>,
    origins: Vec<Origin>,
    wide: Vec<Position>,
    free: Vec<u32>,
}

impl Origins {
    fn hold(&mut self, version: Version) -> Held {
        let Version { arrived_at, source, position, sub } = version;
        let (high, low) = match position.narrow() {
            Some(position) => (Some((position >> 32) as u32), position as u32),
            None => (None, self.keep(position)),
        };
        let origin = (source, high, sub);
        let number = *self.numbers.entry(origin).or_insert_with(|| {
            self.origins.push(origin);
            let number = u32::try_from(self.origins.len()).ok().and_then(NonZeroU32::new);
            number.expect("a worker meets fewer than 2^32 pairs of partition and place in a message")
        });
        Held { arrived_at, position: low, origin: number }
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
    fn release(&mut self, held: Held) {
        if let (_, None, _) = self.origin(held) {
            self.free.push(held.position);
        }
    }

    fn version(&self, held: Held) -> Version {
        let (source, high, sub) = self.origin(held);
        let position = match high {
            Some(high) => Position::from(u64::from(high) << 32 | u64::from(held.position)),
            None => self.wide[held.position as usize],
        };
        Version { arrived_at: held.arrived_at, source, position, sub }
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
    fn of(&mut self, inds: impl Iterator<Item = Ind> + Clone) -> impl Iterator<Item = Slot> {
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

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// Values by slot, in chunks of their own: growing moves nothing and leaves no doubled room behind.
#[derive(Debug)]
struct Chunks<T>(Vec<Box<[T]>>);

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

    /// The value at a slot, after making room for it.
    fn grow_to(&mut self, slot: Slot) -> &mut T {
        let slot = slot as usize;
        while self.0.len() <= slot / CHUNK {
            self.0.push(vec![T::default(); CHUNK].into_boxed_slice());
        }
        &mut self.0[slot / CHUNK][slot % CHUNK]
    }
}

fn hash(ind: Ind) -> u64 {
    FixedState::with_seed(0x0069_6e64).hash_one(ind)
}

/// Brings all rows of an `ind` to one worker, by bits of the hash that the tables there do not use.
fn by_ind<R>(delivery: &Delivery<R>) -> u64 {
    hash(delivery.0) >> 24
}

/// Deliveries that wait for their epoch to be complete, as they came in containers.
type Pending<R> = BTreeMap<u64, (Capability<u64>, Vec<Vec<Delivery<R>>>)>;

/// The rows that count when the greatest version of each `ind` wins.
///
/// An epoch is taken up when it is complete on all workers, so the order in which deliveries meet inside an
/// epoch, or epochs meet each other, does not matter. A later delivery with a lower version changes nothing; one
/// with a greater version and the same values only raises the version. `held` is kept at the number of rows.
pub fn latest<'s, R>(
    deliveries: StreamVec<'s, u64, Delivery<R>>,
    slots: Rc<RefCell<Slots>>,
    held: Rc<Cell<usize>>,
) -> StreamVec<'s, u64, RowChange<R>>
where
    R: ExchangeData + Copy + Eq,
{
    deliveries.unary_frontier(Exchange::new(by_ind), "Latest", move |_, _| {
        let mut pending: Pending<R> = BTreeMap::new();
        let mut winners: Chunks<Option<(Held, R)>> = Chunks::default();
        let mut origins = Origins::default();
        move |(input, frontier), output| {
            input.for_each(|time, data| {
                let (_, waiting) = pending.entry(*time.time()).or_insert_with(|| (time.retain(0), Vec::new()));
                waiting.push(std::mem::take(data));
            });
            while let Some(entry) = pending.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) {
                    break;
                }
                let (capability, waiting) = entry.remove();
                let mut session = output.session(&capability);
                let mut slots = slots.borrow_mut();
                for deliveries in waiting {
                    let found = slots.of(deliveries.iter().map(|(ind, _, _)| *ind));
                    for (slot, (_, version, row)) in found.zip(&deliveries) {
                        let winner = winners.grow_to(slot);
                        match winner {
                            Some((before, _)) if origins.version(*before) >= *version => continue,
                            Some((_, same)) if same == row => {}
                            Some((_, old)) => {
                                session.give(((slot, *old), epoch, -1));
                                session.give(((slot, *row), epoch, 1));
                            }
                            None => {
                                held.set(held.get() + 1);
                                session.give(((slot, *row), epoch, 1));
                            }
                        }
                        if let Some((before, _)) = winner {
                            origins.release(*before);
                        }
                        *winner = Some((origins.hold(*version), *row));
                    }
                }
            }
        }
    })
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

    #[test]
    fn what_is_held_is_small() {
        use crate::posts::{GeoPost, PinPost, UserPost};
        assert_eq!(size_of::<Option<(Held, PinPost)>>(), 32);
        assert_eq!(size_of::<Option<(Held, GeoPost)>>(), 24);
        assert_eq!(size_of::<Option<(Held, UserPost)>>(), 24);
    }
}
