//! Joins for `duplicates = "keep"`: every delivery counts, and joins multiply.
//!
//! Each stream is arranged once by [`KeyId`], and the joins share the arrangements:
//!
//! ```text
//! pins  ──┬──────────── pin ⋈ geo
//!         ├──────────── pin ⋈ user
//! geos  ──┼─┬─ arranged geo ⋈ user ── ⋈ pins
//! users ──┴─┘
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::join::join_traces;
use differential_dataflow::trace::{Cursor, Navigable};
use timely::ExchangeData;
use timely::container::{CapacityContainerBuilder, PushInto};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::trace_layout::{KeyArrangement, TraceBatcher};
use super::{GeoProjection, JoinOutputs, PinProjection, RelationSet, UpdateStream, UserProjection, joined_row};
use crate::epoch::message_epoch;
use crate::keys::{KeyId, KeyInterner, KeyedUpdate, route_by_ind};
use crate::version::VersionedRow;
use crate::wire::{EdgePact, WireRecord, WorkerPlacement};

/// The arrangements of the three streams by key, which all joins share.
pub struct KeepAllJoins<'s> {
    pins: KeyArrangement<'s, PinProjection>,
    geos: KeyArrangement<'s, GeoProjection>,
    users: KeyArrangement<'s, UserProjection>,
}

impl<'s> KeepAllJoins<'s> {
    /// Arranges the rows of each stream. They must already be on the worker of their `ind`.
    pub fn arrange(
        pins: StreamVec<'s, u64, KeyedUpdate<PinProjection>>,
        geos: StreamVec<'s, u64, KeyedUpdate<GeoProjection>>,
        users: StreamVec<'s, u64, KeyedUpdate<UserProjection>>,
    ) -> KeepAllJoins<'s> {
        KeepAllJoins {
            pins: arrange_by_key(pins, "Arrange: pin"),
            geos: arrange_by_key(geos, "Arrange: geo"),
            users: arrange_by_key(users, "Arrange: user"),
        }
    }

    /// Makes the joins that have outputs, and returns one stream of updates for each.
    pub fn join_all<D: Clone + 'static>(&self, outputs: JoinOutputs<D>) -> Vec<UpdateStream<'s, D>> {
        let outputs = Rc::new(outputs);
        let (pin, geo, user) = (RelationSet::PIN, RelationSet::GEO, RelationSet::USER);
        let asked = |relations| outputs.has_outputs(relations).then(|| Rc::clone(&outputs));
        let mut all = Vec::new();
        all.extend(asked(pin).map(|outputs| {
            output_rows(&self.pins, "Pins", move |it, give| give_outputs(&outputs, pin, (Some(it), None, None), give))
        }));
        all.extend(asked(geo).map(|outputs| {
            output_rows(&self.geos, "Geos", move |it, give| give_outputs(&outputs, geo, (None, Some(it), None), give))
        }));
        all.extend(asked(user).map(|outputs| {
            output_rows(&self.users, "Users", move |it, give| {
                give_outputs(&outputs, user, (None, None, Some(it)), give);
            })
        }));
        all.extend(asked(pin.with(geo)).map(|outputs| {
            join_arrangements(&self.pins, &self.geos, move |one, other, give| {
                give_outputs(&outputs, pin.with(geo), (Some(one), Some(other), None), give);
            })
        }));
        all.extend(asked(pin.with(user)).map(|outputs| {
            join_arrangements(&self.pins, &self.users, move |one, other, give| {
                give_outputs(&outputs, pin.with(user), (Some(one), None, Some(other)), give);
            })
        }));
        all.extend(asked(geo.with(user)).map(|outputs| {
            join_arrangements(&self.geos, &self.users, move |one, other, give| {
                give_outputs(&outputs, geo.with(user), (None, Some(one), Some(other)), give);
            })
        }));
        all.extend(asked(pin.with(geo).with(user)).map(|outputs| self.join_all_three(outputs)));
        all
    }

    fn join_all_three<D: Clone + 'static>(&self, outputs: Rc<JoinOutputs<D>>) -> UpdateStream<'s, D> {
        // Join the two narrow sides first: their rows of 16 bytes are the smallest that can be arranged for this join.
        let geos_users = join_rows(&self.geos, &self.users);
        let geos_users = arrange_by_key(geos_users, "Arrange: geo ⋈ user");
        let relations = RelationSet::PIN.with(RelationSet::GEO).with(RelationSet::USER);
        join_arrangements(&self.pins, &geos_users, move |pin, (geo, user), give| {
            give_outputs(&outputs, relations, (Some(pin), Some(geo), Some(user)), give);
        })
    }
}

/// Rows of the three relations, where they are joined.
type RowParts<'a> = (Option<&'a PinProjection>, Option<&'a GeoProjection>, Option<&'a UserProjection>);

fn give_outputs<D>(
    outputs: &JoinOutputs<D>,
    relations: RelationSet,
    (pin, geo, user): RowParts<'_>,
    give: &mut dyn FnMut(D),
) {
    outputs.of_join(relations, &joined_row(pin, geo, user)).for_each(give);
}

/// The outputs of the rows of one relation. `logic` passes each output of a row to its last argument.
fn output_rows<'s, R, D>(
    rows: &KeyArrangement<'s, R>,
    name: &str,
    logic: impl Fn(&R, &mut dyn FnMut(D)) + 'static,
) -> UpdateStream<'s, D>
where
    R: Ord + Clone + 'static,
    D: Clone + 'static,
{
    rows.stream.clone().unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each(|capability, batches| {
                let mut session = output.session(&capability);
                for batch in batches.drain(..).filter_map(|span| span.inner) {
                    let mut cursor = batch.cursor();
                    while cursor.key_valid(&batch) {
                        while let Some(row) = cursor.get_val(&batch) {
                            logic(row, &mut |datum| {
                                cursor.map_times(&batch, |time, n| session.give((datum.clone(), *time, *n)));
                            });
                            cursor.step_val(&batch);
                        }
                        cursor.step_key(&batch);
                    }
                }
            });
        }
    })
}

fn arrange_by_key<'s, R>(rows: StreamVec<'s, u64, KeyedUpdate<R>>, name: &str) -> KeyArrangement<'s, R>
where
    R: Ord + Clone + std::fmt::Debug + 'static,
{
    arrange_core(rows, Pipeline, name, TraceBatcher::<R>::new)
}

/// An inner join on `ind`. `logic` passes each output of two joined rows to its last argument.
fn join_arrangements<'s, A, B, D>(
    one: &KeyArrangement<'s, A>,
    other: &KeyArrangement<'s, B>,
    mut logic: impl FnMut(&A, &B, &mut dyn FnMut(D)) + 'static,
) -> UpdateStream<'s, D>
where
    A: Ord + Clone + 'static,
    B: Ord + Clone + 'static,
    D: Clone + 'static,
{
    join_traces(one.clone(), other.clone(), "Join", move |_, a, b, time, n, m, output: &mut JoinBuffer<D>| {
        logic(a, b, &mut |datum| output.push_into((datum, time, multiply_counts(*n, *m))));
    })
}

/// An inner join on `ind` that returns the key and both rows.
fn join_rows<'s, A, B>(
    one: &KeyArrangement<'s, A>,
    other: &KeyArrangement<'s, B>,
) -> StreamVec<'s, u64, KeyedUpdate<(A, B)>>
where
    A: Ord + Copy + 'static,
    B: Ord + Copy + 'static,
{
    join_traces(
        one.clone(),
        other.clone(),
        "Join rows",
        |key, a, b, time, n, m, output: &mut JoinBuffer<(KeyId, (A, B))>| {
            output.push_into(((*key, (*a, *b)), time, multiply_counts(*n, *m)));
        },
    )
}

/// The container builder that joins write into.
type JoinBuffer<D> = CapacityContainerBuilder<Vec<(D, u64, i64)>>;

fn multiply_counts(n: i64, m: i64) -> i64 {
    n.checked_mul(m).expect("the product of two multiplicities fits 63 bits")
}

/// Replaces the `ind` of each row by its key id. `held` is increased by the number of rows.
pub(crate) fn keep_all<'s, R>(
    deliveries: StreamVec<'s, u64, VersionedRow<R>>,
    keys: Rc<RefCell<KeyInterner>>,
    held: Rc<Cell<usize>>,
    placement: WorkerPlacement,
) -> StreamVec<'s, u64, KeyedUpdate<R>>
where
    R: ExchangeData + WireRecord + Copy,
{
    deliveries.unary(EdgePact::new(placement, route_by_ind), "Keep", move |_, _| {
        move |input, output| {
            input.for_each(|time, data| {
                let epoch = message_epoch(&time);
                let mut keys = keys.borrow_mut();
                held.set(held.get() + data.len());
                let mut session = output.session(&time);
                let found = keys.intern_all(data.iter().map(|(ind, ..)| *ind));
                session.give_iterator(found.zip(data.iter()).map(|(key, (_, _, row, _))| ((key, *row), epoch, 1)));
                data.clear();
            });
        }
    })
}
