//! The rows narrowed to what questions read, arranged once, joined on `ind`.
//!
//! Whole rows never enter the graph. A narrow row is small, is compared without reading text, and holds no
//! floats. Where one row of each stream counts for an `ind`, the three stand [abreast](latest) and are joined there.
//! Where every delivery counts, each stream is arranged once, and the joins share the arrangements:
//!
//! ```text
//! pins  ──┬──────────── pin ⋈ geo
//!         ├──────────── pin ⋈ user
//! geos  ──┼─┬─ arranged geo ⋈ user ── ⋈ pins
//! users ──┴─┘
//! ```

mod abreast;
mod asks;
mod layout;
mod row;

pub(crate) use abreast::LATEST;
pub use abreast::{Counts, Deliveries, MarkRequest, latest};
pub use asks::{Asks, OfOne, OfThree, OfTwo};
pub use row::{GeoPost, Narrow, PinPost, Texts, UserPost};

use std::rc::Rc;

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

    /// What the questions take; joins that nobody asks for are not made.
    pub fn contributions<D: Clone + 'static>(&self, asks: Asks<D>) -> Vec<Changes<'s, D>> {
        let asks = Rc::new(asks);
        let mut all = Vec::new();
        all.extend((!asks.users.is_empty()).then(|| self.of_users(Rc::clone(&asks))));
        all.extend((!asks.pins_geos.is_empty()).then(|| self.of_pins_geos(Rc::clone(&asks))));
        all.extend((!asks.pins_users.is_empty()).then(|| self.of_pins_users(Rc::clone(&asks))));
        all.extend((!asks.pins_geos_users.is_empty()).then(|| self.of_pins_geos_users(Rc::clone(&asks))));
        all
    }

    fn of_users<D: Clone + 'static>(&self, asks: Rc<Asks<D>>) -> Changes<'s, D> {
        self.users.stream.clone().unary(Pipeline, "Users", move |_, _| {
            move |input, output| {
                input.for_each(|capability, batches| {
                    let mut session = output.session(&capability);
                    for batch in batches.drain(..) {
                        let mut cursor = batch.cursor();
                        while cursor.key_valid(&batch) {
                            while let Some(user) = cursor.get_val(&batch) {
                                for datum in asks.user(user) {
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

    fn of_pins_geos<D: Clone + 'static>(&self, asks: Rc<Asks<D>>) -> Changes<'s, D> {
        join(&self.pins, &self.geos, move |pin, geo, give| asks.pin_geo(pin, geo).for_each(give))
    }

    fn of_pins_users<D: Clone + 'static>(&self, asks: Rc<Asks<D>>) -> Changes<'s, D> {
        join(&self.pins, &self.users, move |pin, user, give| asks.pin_user(pin, user).for_each(give))
    }

    fn of_pins_geos_users<D: Clone + 'static>(&self, asks: Rc<Asks<D>>) -> Changes<'s, D> {
        // The two narrow sides first: 16 bytes a row is the least that can be arranged for this join.
        let geos_users = join_rows(&self.geos, &self.users);
        let geos_users = by_slot(geos_users, "Arrange: geo ⋈ user");
        join(&self.pins, &geos_users, move |pin, (geo, user), give| asks.pin_geo_user(pin, geo, user).for_each(give))
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
