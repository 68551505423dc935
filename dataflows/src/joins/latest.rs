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

use super::{
    GeoProjection, JoinOutputs, JoinedRow, OptionalConsumer, PinProjection, ProjectedRow, RelationSet, RowsOfKey,
    UpdateStream, UserProjection, joined_row,
};
use crate::keys::{KeyInterner, route_by_ind};
use crate::record::Ind;
use crate::slab::ChunkedVec;
use crate::symbol::{SymbolHolder, SymbolSweep};
use crate::version::{ExtraValues, PackedVersion, VersionPrefixes, VersionedRow};

/// The deliveries of one stream.
pub type DeliveryStream<'s, R> = StreamVec<'s, u64, VersionedRow<R>>;

/// The number of stored pin, geo and user rows.
pub type RowCounters = [Rc<Cell<usize>>; 3];

/// The operator's name, as `GET /graph` shows it.
pub(crate) const LATEST_OPERATOR: &str = "Latest";

/// A sweep for which this worker must mark its rows. It does so once the given epoch, and nothing after it, has been
/// applied.
pub type MarkRequest = Rc<RefCell<Option<(u64, Arc<SymbolSweep>)>>>;

/// Installs the operator that stores the latest rows and joins them. Returns the updates of all `outputs`, and what
/// `consumer` makes of the changed rows.
///
/// `held` is kept at the number of stored rows, and `bytes` at their size in memory.
pub fn latest_joins<'s, D: Clone + 'static, U: Clone + 'static>(
    (pins, geos, users): (
        DeliveryStream<'s, PinProjection>,
        DeliveryStream<'s, GeoProjection>,
        DeliveryStream<'s, UserProjection>,
    ),
    keys: Rc<RefCell<KeyInterner>>,
    (held, bytes): (RowCounters, Rc<Cell<usize>>),
    (outputs, consumer): (JoinOutputs<D>, OptionalConsumer<U>),
    (sweeps, holds_symbols): (MarkRequest, Rc<SymbolHolder>),
) -> (UpdateStream<'s, D>, StreamVec<'s, u64, U>) {
    let mut builder = OperatorBuilder::new(LATEST_OPERATOR.to_owned(), pins.scope());
    let mut pins = builder.new_input(pins, Exchange::new(route_by_ind));
    let mut geos = builder.new_input(geos, Exchange::new(route_by_ind));
    let mut users = builder.new_input(users, Exchange::new(route_by_ind));
    let (output, changes) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(D, u64, i64)>>>::from(output);
    let (consumed, consumed_updates) = builder.new_output();
    let mut consumed = OutputBuilder::<_, CapacityContainerBuilder<Vec<U>>>::from(consumed);
    builder.build(move |_| {
        let mut pending = PendingDeliveries::default();
        let (rows, extra) = (ChunkedVec::default(), Default::default());
        let mut posts = LatestJoin { keys, rows, extra, prefixes: VersionPrefixes::default(), outputs, consumer };
        move |frontiers| {
            let _ = &holds_symbols;
            pins.for_each(|time, data| pending.deliveries_at(&time).pins.push(std::mem::take(data)));
            geos.for_each(|time, data| pending.deliveries_at(&time).geos.push(std::mem::take(data)));
            users.for_each(|time, data| pending.deliveries_at(&time).users.push(std::mem::take(data)));
            let mut output = output.activate();
            let mut consumed = consumed.activate();
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
                let ((capability, consumed_capability), EpochDeliveries { pins, geos, users }) = entry.remove();
                let mut session = output.session(&capability);
                let mut emit = |datum, diff| session.give((datum, epoch, diff));
                let [held_pins, held_geos, held_users] = &held;
                pins.into_iter().for_each(|pins| posts.apply_deliveries(pins, held_pins, &mut emit));
                geos.into_iter().for_each(|geos| posts.apply_deliveries(geos, held_geos, &mut emit));
                users.into_iter().for_each(|users| posts.apply_deliveries(users, held_users, &mut emit));
                if let Some(consumer) = &mut posts.consumer {
                    let mut session = consumed.session(&consumed_capability);
                    consumer.finish_epoch(&mut |update| session.give(update));
                }
                bytes.set(posts.allocated_bytes());
            }
        }
    });
    (changes, consumed_updates)
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
struct PendingDeliveries(BTreeMap<u64, (OutputCapabilities, EpochDeliveries)>);

/// The capabilities for both outputs.
type OutputCapabilities = (Capability<u64>, Capability<u64>);

impl PendingDeliveries {
    fn deliveries_at(&mut self, time: &InputCapability<u64>) -> &mut EpochDeliveries {
        let capabilities = || (time.retain(0), time.retain(1));
        &mut self.0.entry(*time.time()).or_insert_with(|| (capabilities(), EpochDeliveries::default())).1
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

    /// All rows, with the values of their extra columns.
    fn of_key<'a>(&'a self, ind: Ind, extra: [&'a ExtraValues; 3]) -> RowsOfKey<'a> {
        let row = joined_row(self.pin(), self.geo(), self.user());
        RowsOfKey { ind, row, present: self.present(), extra }
    }

    /// The relations of which there is a row.
    fn present(&self) -> RelationSet {
        let of = |present: bool, relation| if present { relation } else { RelationSet::default() };
        of(self.pin.is_some(), RelationSet::PIN)
            .with(of(self.geo.is_some(), RelationSet::GEO))
            .with(of(self.user.is_some(), RelationSet::USER))
    }
}

/// A row of one of the three streams.
trait JoinSide: ProjectedRow + ExchangeData + Eq {
    /// The place of this stream's row in the entry of a key.
    fn stored_row(rows: &mut KeyRows) -> &mut Option<(PackedVersion, Self)>;

    /// The joined row of this row and the other rows of its key.
    fn joined<'a>(&'a self, others: &'a KeyRows) -> JoinedRow<'a>;
}

impl JoinSide for PinProjection {
    fn stored_row(rows: &mut KeyRows) -> &mut Option<(PackedVersion, PinProjection)> {
        &mut rows.pin
    }

    fn joined<'a>(&'a self, others: &'a KeyRows) -> JoinedRow<'a> {
        joined_row(Some(self), others.geo(), others.user())
    }
}

impl JoinSide for GeoProjection {
    fn stored_row(rows: &mut KeyRows) -> &mut Option<(PackedVersion, GeoProjection)> {
        &mut rows.geo
    }

    fn joined<'a>(&'a self, others: &'a KeyRows) -> JoinedRow<'a> {
        joined_row(others.pin(), Some(self), others.user())
    }
}

impl JoinSide for UserProjection {
    fn stored_row(rows: &mut KeyRows) -> &mut Option<(PackedVersion, UserProjection)> {
        &mut rows.user
    }

    fn joined<'a>(&'a self, others: &'a KeyRows) -> JoinedRow<'a> {
        joined_row(others.pin(), others.geo(), Some(self))
    }
}

/// The latest rows on this worker.
struct LatestJoin<D, U> {
    keys: Rc<RefCell<KeyInterner>>,
    rows: ChunkedVec<KeyRows>,
    /// The extra values of the stored rows, by relation: empty where a relation has no extra columns.
    extra: ExtraSlabs,
    prefixes: VersionPrefixes,
    outputs: JoinOutputs<D>,
    consumer: OptionalConsumer<U>,
}

/// The extra values of the rows of each key, by index of the relation.
type ExtraSlabs = [ChunkedVec<ExtraValues>; 3];

/// What a row without extra values has.
const NO_EXTRA: &ExtraValues = &None;

impl<D, U> LatestJoin<D, U> {
    /// The size of the slabs, bytes. Extra values count without what they hold on the heap.
    fn allocated_bytes(&self) -> usize {
        self.rows.allocated_bytes() + self.extra.iter().map(ChunkedVec::allocated_bytes).sum::<usize>()
    }

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
        deliveries: Vec<VersionedRow<R>>,
        held: &Cell<usize>,
        emit: &mut impl FnMut(D, i64),
    ) {
        let LatestJoin { keys, rows, extra, prefixes, outputs, consumer } = self;
        let mut keys = keys.borrow_mut();
        let has_extra = consumer.as_ref().is_some_and(|consumer| consumer.has_extra(R::RELATION));
        let found = keys.intern_all(deliveries.iter().map(|(ind, ..)| *ind));
        for (key, (ind, version, row, mut row_extra)) in found.zip(deliveries) {
            let rows = rows.get_or_grow(key);
            let before = *R::stored_row(rows);
            if before.is_some_and(|(before, _)| prefixes.unpack(before) >= version) {
                continue;
            }
            let present = rows.present().with(R::RELATION);
            let mut emit_joined = |row: &R, rows: &KeyRows, diff| {
                let joined = row.joined(rows);
                outputs.for_each_changed(R::RELATION, present, &joined, |datum| emit(datum, diff));
            };
            let same_row = before.is_some_and(|(_, stored)| stored == row);
            match before {
                _ if same_row => {}
                Some((_, old)) => {
                    emit_joined(&old, rows, -1);
                    emit_joined(&row, rows, 1);
                }
                None => {
                    held.set(held.get() + 1);
                    emit_joined(&row, rows, 1);
                }
            }
            if let Some((before, _)) = before {
                prefixes.release(before);
            }
            let Some(consumer) = consumer else {
                *R::stored_row(rows) = Some((prefixes.pack(version), row));
                continue;
            };
            let rows_before = *rows;
            *R::stored_row(rows) = Some((prefixes.pack(version), row));
            let index = R::RELATION.only_index();
            if has_extra {
                std::mem::swap(extra[index].get_or_grow(key), &mut row_extra);
            }
            // Now `row_extra` has the values of the old row.
            let stored = [0, 1, 2].map(|relation: usize| extra[relation].get(key).unwrap_or(NO_EXTRA));
            if same_row && row_extra == *stored[index] {
                continue;
            }
            let mut old = stored;
            old[index] = if before.is_some() { &row_extra } else { NO_EXTRA };
            consumer.rows_changed(R::RELATION, &rows_before.of_key(ind, old), &rows.of_key(ind, stored));
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
