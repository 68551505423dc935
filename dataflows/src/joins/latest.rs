//! Joins for `duplicates = "latest"`: at most one row per stream and key.
//!
//! The pin, geo and user rows of a key (`ind`) are stored side by side in a slab indexed by key id. Every join reads
//! that one entry (72 bytes) instead of probing three arrangements, which costs one cache miss per delivery.
//!
//! An epoch is applied once it is complete on all workers for all three streams. So the result does not depend on
//! arrival order within the epoch, and no row is joined with one of a later epoch. A newer row overwrites the older one
//! and emits `-old, +new` for each join. A delivery with an older version is ignored. A newer version with equal values
//! only updates the version.
//!
//! Walks over all keys pass some of them in each epoch, after its deliveries: see [`KeyChangeConsumer`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use pinflow_sql::catalog::{GEO_RELATION, PIN_RELATION};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use super::{
    ExtraSlabs, FillInput, FillRow, GeoProjection, JoinOutputs, JoinedRow, KeyChangeConsumer, PinProjection,
    ProjectedRow, RelationSet, RowsOfKey, UpdateStream, UserProjection, joined_row,
};
use crate::epoch::message_epoch;
use crate::keys::{KeyId, KeyInterner, route_by_ind};
use crate::record::Ind;
use crate::slab::ChunkedVec;
use crate::symbol::{MarkRequest, Symbol, SymbolHolder};
use crate::version::{ExtraValues, PackedVersion, VersionPrefixes, VersionedRow};
use crate::wire::{EdgePact, WireRecord, WorkerPlacement};

/// The deliveries of one stream.
pub type DeliveryStream<'s, R> = StreamVec<'s, u64, VersionedRow<R>>;

/// The number of stored pin, geo and user rows.
pub type RowCounters = [Rc<Cell<usize>>; 3];

/// The operator's name, as `GET /graph` shows it.
pub(crate) const LATEST_OPERATOR: &str = "Latest";

/// The most keys that walks pass in one epoch. Can be changed at any time.
pub type WalkStep = Rc<Cell<KeyId>>;

/// The inputs of the operator: rows of the three streams, and rows of the tables for questions that are added.
pub struct LatestInputs<'s> {
    pub(crate) pins: DeliveryStream<'s, PinProjection>,
    pub(crate) geos: DeliveryStream<'s, GeoProjection>,
    pub(crate) users: DeliveryStream<'s, UserProjection>,
    pub(crate) fills: StreamVec<'s, u64, FillInput>,
    /// Whether deliveries can come from another process.
    pub(crate) placement: WorkerPlacement,
}

/// Installs the operator that stores the latest rows and joins them. Returns the updates of all `outputs`, and what
/// `consumer` makes of the changed rows.
///
/// `held` is kept at the number of stored rows, and `bytes` at their size in memory.
pub fn latest_joins<'s, D: Clone + 'static, K: KeyChangeConsumer>(
    inputs: LatestInputs<'s>,
    keys: Rc<RefCell<KeyInterner>>,
    (held, bytes): (RowCounters, Rc<Cell<usize>>),
    (outputs, consumer, step): (JoinOutputs<D>, K, WalkStep),
    (sweeps, holds_symbols): (MarkRequest, Rc<SymbolHolder>),
) -> (UpdateStream<'s, D>, StreamVec<'s, u64, K::Update>) {
    let mut builder = OperatorBuilder::new(LATEST_OPERATOR.to_owned(), inputs.pins.scope());
    let placement = inputs.placement;
    let mut pins = builder.new_input(inputs.pins, EdgePact::new(placement, route_by_ind));
    let mut geos = builder.new_input(inputs.geos, EdgePact::new(placement, route_by_ind));
    let mut users = builder.new_input(inputs.users, EdgePact::new(placement, route_by_ind));
    let mut fills = builder.new_input(inputs.fills, Exchange::new(FillInput::route));
    let (output, changes) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(D, u64, i64)>>>::from(output);
    let (consumed, consumed_updates) = builder.new_output();
    let mut consumed = OutputBuilder::<_, CapacityContainerBuilder<Vec<K::Update>>>::from(consumed);
    builder.build(move |_| {
        let mut pending = PendingDeliveries::default();
        let (rows, extra) = (ChunkedVec::default(), ExtraSlabs::default());
        let prefixes = VersionPrefixes::default();
        let mut posts = LatestJoin { keys, rows, extra, prefixes, outputs, consumer, step };
        move |frontiers| {
            let _ = &holds_symbols;
            pins.for_each(|time, data| pending.deliveries_at(&time).pins.push(std::mem::take(data)));
            geos.for_each(|time, data| pending.deliveries_at(&time).geos.push(std::mem::take(data)));
            users.for_each(|time, data| pending.deliveries_at(&time).users.push(std::mem::take(data)));
            fills.for_each(|time, data| pending.deliveries_at(&time).fills.append(data));
            let mut output = output.activate();
            let mut consumed = consumed.activate();
            let is_complete = |epoch: u64| !frontiers.iter().any(|frontier| frontier.less_equal(&epoch));
            loop {
                let next = pending.0.keys().next().copied().filter(|epoch| is_complete(*epoch));
                let marks = |cut: u64| is_complete(cut) && next.is_none_or(|next| next > cut);
                if let Some((_, sweep)) = sweeps.borrow_mut().take_if(|(cut, _)| marks(*cut)) {
                    posts.symbols().chain(pending.symbols()).for_each(|symbol| sweep.mark(symbol));
                    sweep.operator_marked();
                }
                let Some((epoch, waiting)) = next.and_then(|_| pending.0.pop_first()) else { break };
                let ((capability, consumed_capability), deliveries) = waiting;
                let mut session = output.session(&capability);
                let mut consumed_session = consumed.session(&consumed_capability);
                let (mut emit, mut emit_update) =
                    (|datum, diff| session.give((datum, epoch, diff)), |update| consumed_session.give(update));
                let needs_epoch = posts.apply_epoch((epoch, deliveries), &held, &mut emit, &mut emit_update);
                bytes.set(posts.allocated_bytes());
                if needs_epoch {
                    // The walk goes on in the next epoch, also if that has no deliveries.
                    let later = || (capability.delayed(&(epoch + 1)), consumed_capability.delayed(&(epoch + 1)));
                    pending.0.entry(epoch + 1).or_insert_with(|| (later(), EpochDeliveries::default()));
                }
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
    fills: Vec<FillInput>,
}

/// Deliveries of epochs that are not complete yet.
#[derive(Default)]
struct PendingDeliveries(BTreeMap<u64, (OutputCapabilities, EpochDeliveries)>);

/// The capabilities for both outputs.
type OutputCapabilities = (Capability<u64>, Capability<u64>);

impl PendingDeliveries {
    fn deliveries_at(&mut self, time: &InputCapability<u64>) -> &mut EpochDeliveries {
        let epoch = message_epoch(time);
        let capabilities = || (time.delayed(&epoch, 0), time.delayed(&epoch, 1));
        &mut self.0.entry(epoch).or_insert_with(|| (capabilities(), EpochDeliveries::default())).1
    }

    /// The symbols of all deliveries.
    fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.0.values().flat_map(|(_, deliveries)| {
            let pins = deliveries.pins.iter().flatten().map(|(_, _, row, _)| row.texts());
            let geos = deliveries.geos.iter().flatten().map(|(_, _, row, _)| row.texts());
            let users = deliveries.users.iter().flatten().map(|(_, _, row, _)| row.texts());
            pins.chain(geos).chain(users).flatten().flatten()
        })
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
    fn of_key<'a>(&'a self, (key, ind): (KeyId, Ind), extra: [&'a ExtraValues; 3]) -> RowsOfKey<'a> {
        let row = joined_row(self.pin(), self.geo(), self.user());
        RowsOfKey { key, ind, row, present: self.present(), extra }
    }

    /// The version of the row of a relation, by index in the catalog.
    fn version(&self, relation: usize) -> Option<PackedVersion> {
        match relation {
            PIN_RELATION => self.pin.map(|(version, _)| version),
            GEO_RELATION => self.geo.map(|(version, _)| version),
            _ => self.user.map(|(version, _)| version),
        }
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
trait JoinSide: ProjectedRow + ExchangeData + WireRecord + Eq {
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
struct LatestJoin<D, K> {
    keys: Rc<RefCell<KeyInterner>>,
    rows: ChunkedVec<KeyRows>,
    extra: ExtraSlabs,
    prefixes: VersionPrefixes,
    outputs: JoinOutputs<D>,
    consumer: K,
    step: WalkStep,
}

/// What a row that is not there has.
const NO_EXTRA: &ExtraValues = &None;

impl<D, K: KeyChangeConsumer> LatestJoin<D, K> {
    /// The size of the slabs, bytes. Extra values count without what they hold on the heap.
    fn allocated_bytes(&self) -> usize {
        self.rows.allocated_bytes() + self.extra.allocated_bytes()
    }

    /// Applies a complete epoch. Returns whether a walk is under way, which needs the next epoch.
    fn apply_epoch(
        &mut self,
        (epoch, deliveries): (u64, EpochDeliveries),
        [held_pins, held_geos, held_users]: &RowCounters,
        emit: &mut impl FnMut(D, i64),
        emit_update: &mut dyn FnMut(K::Update),
    ) -> bool {
        let EpochDeliveries { pins, geos, users, fills } = deliveries;
        self.consumer.begin_epoch(epoch, &mut self.extra);
        pins.into_iter().for_each(|pins| self.apply_deliveries(pins, held_pins, emit));
        geos.into_iter().for_each(|geos| self.apply_deliveries(geos, held_geos, emit));
        users.into_iter().for_each(|users| self.apply_deliveries(users, held_users, emit));
        for fill in fills {
            if let FillInput::Row(row) = fill {
                self.fill_row(row);
            }
        }
        let left = self.walk_keys();
        let is_freeing = self.extra.walk_freed(left);
        self.consumer.finish_epoch(epoch, emit_update) || is_freeing
    }

    /// Stores the extra values of a row of the tables, if it is still the stored row: a newer one came with its own.
    fn fill_row(&mut self, FillRow { question, relation, ind, version, values }: FillRow) {
        let relation = usize::from(relation);
        let Some(columns) = self.consumer.filled_columns(question, relation) else { return };
        let Some(key) = self.keys.borrow().find_id(ind) else { return };
        let held = self.rows.get(key).and_then(|rows| rows.version(relation));
        if held.is_some_and(|held| self.prefixes.unpack(held) == version) {
            self.extra.set_values(relation, key, columns.iter().copied().zip(values));
        }
    }

    /// Gives the rows of some keys to the consumer. Returns how many more keys could be walked over in this epoch.
    fn walk_keys(&mut self) -> KeyId {
        let keys = self.keys.borrow();
        self.consumer.begin_walks(keys.len() as KeyId);
        let mut left = self.step.get();
        while left > 0
            && let Some(key) = self.consumer.next_walked_key()
        {
            left -= 1;
            let rows = self.rows.get(key).copied().unwrap_or_default();
            let ind = keys.ind(key).unwrap_or_default();
            self.consumer.walk_key(&rows.of_key((key, ind), self.extra.of_key(key)));
        }
        left
    }

    /// The symbols of all stored rows.
    fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.rows.iter().flat_map(|rows| {
            let [pin, geo, user] = [
                rows.pin().map(ProjectedRow::texts),
                rows.geo().map(ProjectedRow::texts),
                rows.user().map(ProjectedRow::texts),
            ];
            [pin, geo, user].into_iter().flatten().flatten().flatten()
        })
    }

    /// Stores the deliveries that are newer than the stored row, and emits the changed outputs with +1 or −1.
    fn apply_deliveries<R: JoinSide>(
        &mut self,
        deliveries: Vec<VersionedRow<R>>,
        held: &Cell<usize>,
        emit: &mut impl FnMut(D, i64),
    ) {
        let LatestJoin { keys, rows, extra, prefixes, outputs, consumer, .. } = self;
        let mut keys = keys.borrow_mut();
        let mut consumer = consumer.is_active().then_some(consumer);
        let index = R::RELATION.only_index();
        let has_extra = extra.has_columns(index);
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
            let Some(consumer) = &mut consumer else {
                *R::stored_row(rows) = Some((prefixes.pack(version), row));
                continue;
            };
            let rows_before = *rows;
            *R::stored_row(rows) = Some((prefixes.pack(version), row));
            if has_extra {
                extra.swap_values(index, key, &mut row_extra);
            }
            // Now `row_extra` has the values of the old row.
            let stored = extra.of_key(key);
            if same_row && row_extra == *stored[index] {
                continue;
            }
            let mut old = stored;
            old[index] = if before.is_some() { &row_extra } else { NO_EXTRA };
            let (before, after) = (rows_before.of_key((key, ind), old), rows.of_key((key, ind), stored));
            consumer.rows_changed(R::RELATION, &before, &after);
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
