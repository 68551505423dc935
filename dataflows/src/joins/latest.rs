//! Joins for `duplicates = "latest"`: at most one row per stream and key.
//!
//! The pin, geo and user rows of a key (`ind`) are stored side by side in a slab indexed by key id. Every join reads
//! that one entry (72 bytes) instead of probing three arrangements, which costs one cache miss per delivery.
//!
//! An epoch is applied once it is complete on all workers for all three streams. So the result does not depend on
//! arrival order within the epoch, and no row is joined with one of a later epoch. A newer row overwrites the older one
//! and emits `-old, +new` for each join. A delivery with an older version is ignored. A newer version with equal values
//! only updates the version.

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

use super::{GeoProjection, JoinOutputs, PinProjection, UpdateStream, UserProjection};
use crate::keys::{KeyInterner, route_by_ind};
use crate::slab::ChunkedVec;
use crate::symbol::{SymbolHolder, SymbolSweep};
use crate::version::{PackedVersion, VersionPrefixes, VersionedRow};

/// The deliveries of one stream.
pub type DeliveryStream<'s, R> = StreamVec<'s, u64, VersionedRow<R>>;

/// The number of stored pin, geo and user rows.
pub type RowCounters = [Rc<Cell<usize>>; 3];

/// The operator's name, as `GET /graph` shows it.
pub(crate) const LATEST_OPERATOR: &str = "Latest";

/// A sweep for which this worker must mark its rows. It does so once the given epoch, and nothing after it, has been
/// applied.
pub type MarkRequest = Rc<RefCell<Option<(u64, Arc<SymbolSweep>)>>>;

/// Installs the operator that stores the latest rows and joins them. Returns the updates of all `outputs`.
///
/// `held` is kept at the number of stored rows, and `bytes` at their size in memory.
pub fn latest_joins<'s, D: Clone + 'static>(
    (pins, geos, users): (
        DeliveryStream<'s, PinProjection>,
        DeliveryStream<'s, GeoProjection>,
        DeliveryStream<'s, UserProjection>,
    ),
    keys: Rc<RefCell<KeyInterner>>,
    (held, bytes): (RowCounters, Rc<Cell<usize>>),
    outputs: JoinOutputs<D>,
    (sweeps, holds_symbols): (MarkRequest, Rc<SymbolHolder>),
) -> UpdateStream<'s, D> {
    let mut builder = OperatorBuilder::new(LATEST_OPERATOR.to_owned(), pins.scope());
    let mut pins = builder.new_input(pins, Exchange::new(route_by_ind));
    let mut geos = builder.new_input(geos, Exchange::new(route_by_ind));
    let mut users = builder.new_input(users, Exchange::new(route_by_ind));
    let (output, changes) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(D, u64, i64)>>>::from(output);
    builder.build(move |_| {
        let mut pending = PendingDeliveries::default();
        let mut posts = LatestJoin { keys, rows: ChunkedVec::default(), prefixes: VersionPrefixes::default(), outputs };
        move |frontiers| {
            let _ = &holds_symbols;
            pins.for_each(|time, data| pending.deliveries_at(&time).pins.push(std::mem::take(data)));
            geos.for_each(|time, data| pending.deliveries_at(&time).geos.push(std::mem::take(data)));
            users.for_each(|time, data| pending.deliveries_at(&time).users.push(std::mem::take(data)));
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
                let (capability, EpochDeliveries { pins, geos, users }) = entry.remove();
                let mut session = output.session(&capability);
                let mut emit = |datum, diff| session.give((datum, epoch, diff));
                let [held_pins, held_geos, held_users] = &held;
                pins.iter().for_each(|pins| posts.apply_deliveries(pins, held_pins, &mut emit));
                geos.iter().for_each(|geos| posts.apply_deliveries(geos, held_geos, &mut emit));
                users.iter().for_each(|users| posts.apply_deliveries(users, held_users, &mut emit));
                bytes.set(posts.rows.allocated_bytes());
            }
        }
    });
    changes
}

/// The deliveries of one epoch, in the containers they arrived in.
#[derive(Default)]
struct EpochDeliveries {
    pins: Vec<Vec<VersionedRow<PinProjection>>>,
    geos: Vec<Vec<VersionedRow<GeoProjection>>>,
    users: Vec<Vec<VersionedRow<UserProjection>>>,
}

/// Deliveries of epochs that are not complete yet.
#[derive(Default)]
struct PendingDeliveries(BTreeMap<u64, (Capability<u64>, EpochDeliveries)>);

impl PendingDeliveries {
    fn deliveries_at(&mut self, time: &InputCapability<u64>) -> &mut EpochDeliveries {
        &mut self.0.entry(*time.time()).or_insert_with(|| (time.retain(0), EpochDeliveries::default())).1
    }
}

/// The latest rows of one key, with their versions.
#[derive(Debug, Clone, Copy, Default)]
struct KeyRows {
    pin: Option<(PackedVersion, PinProjection)>,
    geo: Option<(PackedVersion, GeoProjection)>,
    user: Option<(PackedVersion, UserProjection)>,
}

impl KeyRows {
    fn pin(&self) -> Option<&PinProjection> {
        self.pin.as_ref().map(|(_, pin)| pin)
    }

    fn geo(&self) -> Option<&GeoProjection> {
        self.geo.as_ref().map(|(_, geo)| geo)
    }

    fn user(&self) -> Option<&UserProjection> {
        self.user.as_ref().map(|(_, user)| user)
    }
}

/// A row of one of the three streams.
trait JoinSide: ExchangeData + Copy + Eq {
    /// The place of this stream's row in the entry of a key.
    fn stored_row(rows: &mut KeyRows) -> &mut Option<(PackedVersion, Self)>;

    /// Emits the outputs of this row and of its joins with the other rows of its key.
    fn emit_joined<D>(&self, others: &KeyRows, outputs: &JoinOutputs<D>, emit: impl FnMut(D));
}

impl JoinSide for PinProjection {
    fn stored_row(rows: &mut KeyRows) -> &mut Option<(PackedVersion, PinProjection)> {
        &mut rows.pin
    }

    fn emit_joined<D>(&self, others: &KeyRows, outputs: &JoinOutputs<D>, mut emit: impl FnMut(D)) {
        if let Some(geo) = others.geo() {
            outputs.pin_geo_outputs(self, geo).for_each(&mut emit);
        }
        if let Some(user) = others.user() {
            outputs.pin_user_outputs(self, user).for_each(&mut emit);
        }
        if let (Some(geo), Some(user)) = (others.geo(), others.user()) {
            outputs.pin_geo_user_outputs(self, geo, user).for_each(&mut emit);
        }
    }
}

impl JoinSide for GeoProjection {
    fn stored_row(rows: &mut KeyRows) -> &mut Option<(PackedVersion, GeoProjection)> {
        &mut rows.geo
    }

    fn emit_joined<D>(&self, others: &KeyRows, outputs: &JoinOutputs<D>, mut emit: impl FnMut(D)) {
        if let Some(pin) = others.pin() {
            outputs.pin_geo_outputs(pin, self).for_each(&mut emit);
        }
        if let (Some(pin), Some(user)) = (others.pin(), others.user()) {
            outputs.pin_geo_user_outputs(pin, self, user).for_each(&mut emit);
        }
    }
}

impl JoinSide for UserProjection {
    fn stored_row(rows: &mut KeyRows) -> &mut Option<(PackedVersion, UserProjection)> {
        &mut rows.user
    }

    fn emit_joined<D>(&self, others: &KeyRows, outputs: &JoinOutputs<D>, mut emit: impl FnMut(D)) {
        outputs.user_outputs(self).for_each(&mut emit);
        if let Some(pin) = others.pin() {
            outputs.pin_user_outputs(pin, self).for_each(&mut emit);
        }
        if let (Some(pin), Some(geo)) = (others.pin(), others.geo()) {
            outputs.pin_geo_user_outputs(pin, geo, self).for_each(&mut emit);
        }
    }
}

/// The latest rows on this worker.
struct LatestJoin<D> {
    keys: Rc<RefCell<KeyInterner>>,
    rows: ChunkedVec<KeyRows>,
    prefixes: VersionPrefixes,
    outputs: JoinOutputs<D>,
}

impl<D> LatestJoin<D> {
    /// Marks the symbols of all stored rows.
    fn mark(&self, sweep: &SymbolSweep) {
        for rows in self.rows.iter() {
            let pin = rows.pin().map(|pin| [pin.category, pin.poster]).unwrap_or_default();
            let others = [rows.geo().and_then(|geo| geo.country), rows.user().and_then(|user| user.name)];
            pin.into_iter().chain(others).flatten().for_each(|symbol| sweep.mark(symbol));
        }
        sweep.worker_marked();
    }

    /// Stores the deliveries that are newer than the stored row, and emits the changed outputs with +1 or −1.
    fn apply_deliveries<R: JoinSide>(
        &mut self,
        deliveries: &[VersionedRow<R>],
        held: &Cell<usize>,
        emit: &mut impl FnMut(D, i64),
    ) {
        let LatestJoin { keys, rows, prefixes, outputs } = self;
        let mut keys = keys.borrow_mut();
        let found = keys.intern_all(deliveries.iter().map(|(ind, _, _)| *ind));
        for (key, (_, version, row)) in found.zip(deliveries) {
            let rows = rows.get_or_grow(key);
            let before = *R::stored_row(rows);
            match before {
                Some((before, _)) if prefixes.unpack(before) >= *version => continue,
                Some((_, same)) if same == *row => {}
                Some((_, old)) => {
                    old.emit_joined(rows, outputs, |datum| emit(datum, -1));
                    row.emit_joined(rows, outputs, |datum| emit(datum, 1));
                }
                None => {
                    held.set(held.get() + 1);
                    row.emit_joined(rows, outputs, |datum| emit(datum, 1));
                }
            }
            if let Some((before, _)) = before {
                prefixes.release(before);
            }
            *R::stored_row(rows) = Some((prefixes.pack(*version), *row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_key_have_72_bytes() {
        assert_eq!(size_of::<KeyRows>(), 72);
    }
}
