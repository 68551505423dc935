//! The rows that count when the greatest version of each `ind` does, joined where they stand.
//!
//! One row of each stream counts for an `ind` then, so the three stand abreast in one slab, by slot: an arrangement whose
//! keys are indices, in which a row takes the place of the one before it. All joins share it. A delivery that wins finds
//! the rows that it joins with beside it, one wait for memory instead of one for each arrangement and join; what it
//! contributes to the questions goes on as changes, `-old, +new`, as from any join.
//!
//! An epoch is taken up when it is complete on all workers in all three streams. So the order in which deliveries meet
//! inside an epoch, or epochs meet each other, does not matter, and no row meets one of a later epoch. A later delivery
//! with a lower version changes nothing; one with a greater version and the same values only raises the version.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use super::{Asks, Changes, GeoPost, PinPost, UserPost};
use crate::latest::{Chunks, Delivery, Held, Origins, Slots, by_ind};
use crate::symbol::{HoldsSymbols, Sweep};

/// Rows of a stream, as they come.
pub type Deliveries<'s, R> = StreamVec<'s, u64, Delivery<R>>;

/// How many rows of each stream count.
pub type Counts = [Rc<Cell<usize>>; 3];

/// The operator's name.
pub(crate) const LATEST: &str = "Latest";

/// A sweep that waits for this worker to mark its rows when an epoch, and nothing after it, has been applied.
pub type MarkRequest = Rc<RefCell<Option<(u64, Arc<Sweep>)>>>;

/// What the questions take from the rows that count and from their joins. `held` is kept at the number of rows, and
/// `bytes` at what they take.
pub fn latest<'s, D: Clone + 'static>(
    (pins, geos, users): (Deliveries<'s, PinPost>, Deliveries<'s, GeoPost>, Deliveries<'s, UserPost>),
    slots: Rc<RefCell<Slots>>,
    (held, bytes): (Counts, Rc<Cell<usize>>),
    asks: Asks<D>,
    (sweeps, holds_symbols): (MarkRequest, Rc<HoldsSymbols>),
) -> Changes<'s, D> {
    let mut builder = OperatorBuilder::new(LATEST.to_owned(), pins.scope());
    let mut pins = builder.new_input(pins, Exchange::new(by_ind));
    let mut geos = builder.new_input(geos, Exchange::new(by_ind));
    let mut users = builder.new_input(users, Exchange::new(by_ind));
    let (output, changes) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(D, u64, i64)>>>::from(output);
    builder.build(move |_| {
        let mut pending = Pending::default();
        let mut posts = Abreast { slots, rows: Chunks::default(), origins: Origins::default(), asks };
        move |frontiers| {
            let _ = &holds_symbols;
            pins.for_each(|time, data| pending.at(&time).pins.push(std::mem::take(data)));
            geos.for_each(|time, data| pending.at(&time).geos.push(std::mem::take(data)));
            users.for_each(|time, data| pending.at(&time).users.push(std::mem::take(data)));
            let mut output = output.activate();
            let is_complete = |epoch: u64| !frontiers.iter().any(|frontier| frontier.less_equal(&epoch));
            loop {
                let next = pending.0.first_entry().filter(|entry| is_complete(*entry.key()));
                let next_epoch = next.as_ref().map(|entry| *entry.key());
                let marks = |cut: u64| is_complete(cut) && next_epoch.is_none_or(|next| next > cut);
                if let Some((_, sweep)) = sweeps.borrow_mut().take_if(|(cut, _)| marks(*cut)) {
                    posts.mark(&sweep);
                }
                let Some(entry) = next else { break };
                let epoch = *entry.key();
                let (capability, Waiting { pins, geos, users }) = entry.remove();
                let mut session = output.session(&capability);
                let mut give = |datum, diff| session.give((datum, epoch, diff));
                let [held_pins, held_geos, held_users] = &held;
                pins.iter().for_each(|pins| posts.take_up(pins, held_pins, &mut give));
                geos.iter().for_each(|geos| posts.take_up(geos, held_geos, &mut give));
                users.iter().for_each(|users| posts.take_up(users, held_users, &mut give));
                bytes.set(posts.rows.bytes());
            }
        }
    });
    changes
}

/// Deliveries of one epoch, as they came in containers.
#[derive(Default)]
struct Waiting {
    pins: Vec<Vec<Delivery<PinPost>>>,
    geos: Vec<Vec<Delivery<GeoPost>>>,
    users: Vec<Vec<Delivery<UserPost>>>,
}

/// Deliveries that wait for their epoch to be complete.
#[derive(Default)]
struct Pending(BTreeMap<u64, (Capability<u64>, Waiting)>);

impl Pending {
    fn at(&mut self, time: &InputCapability<u64>) -> &mut Waiting {
        &mut self.0.entry(*time.time()).or_insert_with(|| (time.retain(0), Waiting::default())).1
    }
}

/// The rows of one `ind` that count, with their versions.
#[derive(Debug, Clone, Copy, Default)]
struct Rows {
    pin: Option<(Held, PinPost)>,
    geo: Option<(Held, GeoPost)>,
    user: Option<(Held, UserPost)>,
}

impl Rows {
    fn pin(&self) -> Option<&PinPost> {
        self.pin.as_ref().map(|(_, pin)| pin)
    }

    fn geo(&self) -> Option<&GeoPost> {
        self.geo.as_ref().map(|(_, geo)| geo)
    }

    fn user(&self) -> Option<&UserPost> {
        self.user.as_ref().map(|(_, user)| user)
    }
}

/// A row of one of the streams.
trait Row: ExchangeData + Copy + Eq {
    /// Where it stands.
    fn place(rows: &mut Rows) -> &mut Option<(Held, Self)>;

    /// Gives what is made of it, and of it with the rows beside it.
    fn contribute<D>(&self, beside: &Rows, asks: &Asks<D>, give: impl FnMut(D));
}

impl Row for PinPost {
    fn place(rows: &mut Rows) -> &mut Option<(Held, PinPost)> {
        &mut rows.pin
    }

    fn contribute<D>(&self, beside: &Rows, asks: &Asks<D>, mut give: impl FnMut(D)) {
        if let Some(geo) = beside.geo() {
            asks.pin_geo(self, geo).for_each(&mut give);
        }
        if let Some(user) = beside.user() {
            asks.pin_user(self, user).for_each(&mut give);
        }
        if let (Some(geo), Some(user)) = (beside.geo(), beside.user()) {
            asks.pin_geo_user(self, geo, user).for_each(&mut give);
        }
    }
}

impl Row for GeoPost {
    fn place(rows: &mut Rows) -> &mut Option<(Held, GeoPost)> {
        &mut rows.geo
    }

    fn contribute<D>(&self, beside: &Rows, asks: &Asks<D>, mut give: impl FnMut(D)) {
        if let Some(pin) = beside.pin() {
            asks.pin_geo(pin, self).for_each(&mut give);
        }
        if let (Some(pin), Some(user)) = (beside.pin(), beside.user()) {
            asks.pin_geo_user(pin, self, user).for_each(&mut give);
        }
    }
}

impl Row for UserPost {
    fn place(rows: &mut Rows) -> &mut Option<(Held, UserPost)> {
        &mut rows.user
    }

    fn contribute<D>(&self, beside: &Rows, asks: &Asks<D>, mut give: impl FnMut(D)) {
        asks.user(self).for_each(&mut give);
        if let Some(pin) = beside.pin() {
            asks.pin_user(pin, self).for_each(&mut give);
        }
        if let (Some(pin), Some(geo)) = (beside.pin(), beside.geo()) {
            asks.pin_geo_user(pin, geo, self).for_each(&mut give);
        }
    }
}

/// All rows that count on this worker.
struct Abreast<D> {
    slots: Rc<RefCell<Slots>>,
    rows: Chunks<Rows>,
    origins: Origins,
    asks: Asks<D>,
}

impl<D> Abreast<D> {
    /// Marks the symbols of all rows that count.
    fn mark(&self, sweep: &Sweep) {
        for rows in self.rows.iter() {
            let pin = rows.pin().map(|pin| [pin.category, pin.poster]).unwrap_or_default();
            let others = [rows.geo().and_then(|geo| geo.country), rows.user().and_then(|user| user.name)];
            pin.into_iter().chain(others).flatten().for_each(|symbol| sweep.mark(symbol));
        }
        sweep.worker_marked();
    }

    /// Puts deliveries that win in their places, and gives what changes.
    fn take_up<R: Row>(&mut self, deliveries: &[Delivery<R>], held: &Cell<usize>, give: &mut impl FnMut(D, i64)) {
        let Abreast { slots, rows, origins, asks } = self;
        let mut slots = slots.borrow_mut();
        let found = slots.of(deliveries.iter().map(|(ind, _, _)| *ind));
        for (slot, (_, version, row)) in found.zip(deliveries) {
            let rows = rows.grow_to(slot);
            let before = *R::place(rows);
            match before {
                Some((before, _)) if origins.version(before) >= *version => continue,
                Some((_, same)) if same == *row => {}
                Some((_, old)) => {
                    old.contribute(rows, asks, |datum| give(datum, -1));
                    row.contribute(rows, asks, |datum| give(datum, 1));
                }
                None => {
                    held.set(held.get() + 1);
                    row.contribute(rows, asks, |datum| give(datum, 1));
                }
            }
            if let Some((before, _)) = before {
                origins.release(before);
            }
            *R::place(rows) = Some((origins.hold(*version), *row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_of_an_ind_is_small() {
        assert_eq!(size_of::<Rows>(), 72);
    }
}
