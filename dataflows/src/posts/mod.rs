//! The rows narrowed to what questions read, arranged once, joined on `ind`.
//!
//! Whole rows never enter the graph. A narrow row is small, is compared without reading text, and holds no
//! floats. Each stream is arranged once; the joins share the arrangements:
//!
//! ```text
//! pins  ──┬──────────── pin ⋈ geo
//!         ├──────────── pin ⋈ user
//! geos  ──┼─┬─ arranged geo ⋈ user ── ⋈ pins
//! users ──┴─┘
//! ```

mod layout;
mod row;

pub use row::{GeoPost, Narrow, PinPost, Texts, UserPost};

use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::join::join_traces;
use differential_dataflow::trace::implementations::{ContainerChunker, ValBatcher};
use differential_dataflow::trace::{Cursor, Navigable};
use timely::container::{CapacityContainerBuilder, PushInto};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use self::layout::{Builder, BySlot};
use crate::latest::{RowChange, Slot};

/// Changes of some data, as differential counts them.
pub type Changes<'s, D> = StreamVec<'s, u64, (D, u64, i64)>;

/// The three streams and the inner join of two of them, each arranged by `ind` once.
pub struct Posts<'s> {
    pins: BySlot<'s, PinPost>,
    geos: BySlot<'s, GeoPost>,
    users: BySlot<'s, UserPost>,
}

impl<'s> Posts<'s> {
    /// Arranges the rows that count. They are where they belong already: each `ind` at one worker.
    pub fn arrange(
        pins: StreamVec<'s, u64, RowChange<PinPost>>,
        geos: StreamVec<'s, u64, RowChange<GeoPost>>,
        users: StreamVec<'s, u64, RowChange<UserPost>>,
    ) -> Posts<'s> {
        Posts {
            pins: by_slot(pins, "Arrange: pin"),
            geos: by_slot(geos, "Arrange: geo"),
            users: by_slot(users, "Arrange: user"),
        }
    }

    /// What `asks` say of each user.
    pub fn users<D: Clone + 'static>(&self, asks: Vec<impl Fn(&UserPost) -> Option<D> + 'static>) -> Changes<'s, D> {
        self.users.stream.clone().unary(Pipeline, "Users", move |_, _| {
            move |input, output| {
                input.for_each(|capability, batches| {
                    let mut session = output.session(&capability);
                    for batch in batches.drain(..) {
                        let mut cursor = batch.cursor();
                        while cursor.key_valid(&batch) {
                            while let Some(user) = cursor.get_val(&batch) {
                                for datum in asks.iter().filter_map(|ask| ask(user)) {
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

    /// What `asks` say of each pin ⋈ geo.
    pub fn pins_geos<D: Clone + 'static>(
        &self,
        asks: Vec<impl Fn(&PinPost, &GeoPost) -> Option<D> + 'static>,
    ) -> Changes<'s, D> {
        join(&self.pins, &self.geos, move |pin, geo, give| {
            asks.iter().filter_map(|ask| ask(pin, geo)).for_each(give);
        })
    }

    /// What `asks` say of each pin ⋈ user.
    pub fn pins_users<D: Clone + 'static>(
        &self,
        asks: Vec<impl Fn(&PinPost, &UserPost) -> Option<D> + 'static>,
    ) -> Changes<'s, D> {
        join(&self.pins, &self.users, move |pin, user, give| {
            asks.iter().filter_map(|ask| ask(pin, user)).for_each(give);
        })
    }

    /// What `asks` say of each pin ⋈ geo ⋈ user.
    pub fn pins_geos_users<D: Clone + 'static>(
        &self,
        asks: Vec<impl Fn(&PinPost, &GeoPost, &UserPost) -> Option<D> + 'static>,
    ) -> Changes<'s, D> {
        // The two narrow sides first: 16 bytes a row is the least that can be arranged for this join.
        let geos_users = join_rows(&self.geos, &self.users);
        let geos_users = by_slot(geos_users, "Arrange: geo ⋈ user");
        join(&self.pins, &geos_users, move |pin, (geo, user), give| {
            asks.iter().filter_map(|ask| ask(pin, geo, user)).for_each(give);
        })
    }
}

fn by_slot<'s, R>(rows: StreamVec<'s, u64, RowChange<R>>, name: &str) -> BySlot<'s, R>
where
    R: Ord + Clone + std::fmt::Debug + 'static,
{
    arrange_core::<_, _, ContainerChunker<_>, ValBatcher<_, _, _, _>, Builder<R>, _>(rows, Pipeline, name)
}

/// An inner join on `ind`; `logic` gives what it makes of two rows to its last argument.
fn join<'s, A, B, D>(
    one: &BySlot<'s, A>,
    other: &BySlot<'s, B>,
    mut logic: impl FnMut(&A, &B, &mut dyn FnMut(D)) + 'static,
) -> Changes<'s, D>
where
    A: Ord + Clone + 'static,
    B: Ord + Clone + 'static,
    D: Clone + 'static,
{
    join_traces(one.clone(), other.clone(), move |_, a, b, time, n, m, output: &mut Buffer<D>| {
        logic(a, b, &mut |datum| output.push_into((datum, time, times(*n, *m))));
    })
}

/// An inner join on `ind` that keeps the slot and both rows.
fn join_rows<'s, A, B>(one: &BySlot<'s, A>, other: &BySlot<'s, B>) -> StreamVec<'s, u64, RowChange<(A, B)>>
where
    A: Ord + Copy + 'static,
    B: Ord + Copy + 'static,
{
    join_traces(one.clone(), other.clone(), |slot, a, b, time, n, m, output: &mut Buffer<(Slot, (A, B))>| {
        output.push_into(((*slot, (*a, *b)), time, times(*n, *m)));
    })
}

/// What joins write into.
type Buffer<D> = CapacityContainerBuilder<Vec<(D, u64, i64)>>;

fn times(n: i64, m: i64) -> i64 {
    n.checked_mul(m).expect("the product of two multiplicities fits 63 bits")
}
