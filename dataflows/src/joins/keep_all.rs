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
use differential_dataflow::trace::implementations::{ContainerChunker, ValBatcher};
use differential_dataflow::trace::{Cursor, Navigable};
use timely::ExchangeData;
use timely::container::{CapacityContainerBuilder, PushInto};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;

use super::trace_layout::{KeyArrangement, TraceBuilder};
use super::{GeoProjection, JoinOutputs, PinProjection, UpdateStream, UserProjection};
use crate::keys::{KeyId, KeyInterner, KeyedUpdate, route_by_ind};
use crate::version::VersionedRow;

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
        let mut all = Vec::new();
        all.extend((!outputs.users.is_empty()).then(|| self.output_users(Rc::clone(&outputs))));
        all.extend((!outputs.pins_geos.is_empty()).then(|| self.join_pins_geos(Rc::clone(&outputs))));
        all.extend((!outputs.pins_users.is_empty()).then(|| self.join_pins_users(Rc::clone(&outputs))));
        all.extend((!outputs.pins_geos_users.is_empty()).then(|| self.join_pins_geos_users(Rc::clone(&outputs))));
        all
    }

    fn output_users<D: Clone + 'static>(&self, outputs: Rc<JoinOutputs<D>>) -> UpdateStream<'s, D> {
        self.users.stream.clone().unary(Pipeline, "Users", move |_, _| {
            move |input, output| {
                input.for_each(|capability, batches| {
                    let mut session = output.session(&capability);
                    for batch in batches.drain(..) {
                        let mut cursor = batch.cursor();
                        while cursor.key_valid(&batch) {
                            while let Some(user) = cursor.get_val(&batch) {
                                for datum in outputs.user_outputs(user) {
                                    cursor.map_times(&batch, |time, n| session.give((datum.clone(), *time, *n)));
                                }
                                cursor.step_val(&batch);
                            }
                            cursor.step_key(&batch);
                        }
                    }
                });
            }
        })
    }

    fn join_pins_geos<D: Clone + 'static>(&self, outputs: Rc<JoinOutputs<D>>) -> UpdateStream<'s, D> {
        join_arrangements(&self.pins, &self.geos, move |pin, geo, give| {
            outputs.pin_geo_outputs(pin, geo).for_each(give);
        })
    }

    fn join_pins_users<D: Clone + 'static>(&self, outputs: Rc<JoinOutputs<D>>) -> UpdateStream<'s, D> {
        join_arrangements(&self.pins, &self.users, move |pin, user, give| {
            outputs.pin_user_outputs(pin, user).for_each(give);
        })
    }

    fn join_pins_geos_users<D: Clone + 'static>(&self, outputs: Rc<JoinOutputs<D>>) -> UpdateStream<'s, D> {
        // Join the two narrow sides first: their rows of 16 bytes are the smallest that can be arranged for this join.
        let geos_users = join_rows(&self.geos, &self.users);
        let geos_users = arrange_by_key(geos_users, "Arrange: geo ⋈ user");
        join_arrangements(&self.pins, &geos_users, move |pin, (geo, user), give| {
            outputs.pin_geo_user_outputs(pin, geo, user).for_each(give);
        })
    }
}

fn arrange_by_key<'s, R>(rows: StreamVec<'s, u64, KeyedUpdate<R>>, name: &str) -> KeyArrangement<'s, R>
where
    R: Ord + Clone + std::fmt::Debug + 'static,
{
    arrange_core::<_, _, ContainerChunker<_>, ValBatcher<_, _, _, _>, TraceBuilder<R>, _>(rows, Pipeline, name)
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
    join_traces(one.clone(), other.clone(), move |_, a, b, time, n, m, output: &mut JoinBuffer<D>| {
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
    join_traces(one.clone(), other.clone(), |key, a, b, time, n, m, output: &mut JoinBuffer<(KeyId, (A, B))>| {
        output.push_into(((*key, (*a, *b)), time, multiply_counts(*n, *m)));
    })
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
) -> StreamVec<'s, u64, KeyedUpdate<R>>
where
    R: ExchangeData + Copy,
{
    deliveries.unary(Exchange::new(route_by_ind), "Keep", move |_, _| {
        move |input, output| {
            input.for_each(|time, data| {
                let epoch = *time.time();
                let mut keys = keys.borrow_mut();
                held.set(held.get() + data.len());
                let mut session = output.session(&time);
                let found = keys.intern_all(data.iter().map(|(ind, _, _)| *ind));
                session.give_iterator(found.zip(data.iter()).map(|(key, (_, _, row))| ((key, *row), epoch, 1)));
                data.clear();
            });
        }
    })
}
