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

use std::cmp::Ordering;
use std::num::{NonZeroU16, NonZeroU64};

use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::operators::join::join_traces;
use differential_dataflow::trace::implementations::{ContainerChunker, ValBatcher, ValBuilder, ValSpine};
use differential_dataflow::trace::{Cursor, Navigable};
use serde::{Deserialize, Serialize};
use timely::container::{CapacityContainerBuilder, PushInto};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::latest::{RowChange, Slot};
use crate::record::{Geo, Micros, Pin, User};
use crate::symbol::Symbol;

/// What questions read of a pin: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinPost {
    /// The category.
    pub category: Option<Symbol>,
    /// Who posted.
    pub poster: Option<Symbol>,
    /// Followers of the poster, one more than they are: zero is the niche for "absent".
    followers: Option<NonZeroU64>,
}

impl PinPost {
    /// Followers of the poster.
    #[must_use]
    pub fn followers(&self) -> Option<i64> {
        self.followers.map(|followers| (followers.get() - 1).cast_signed())
    }
}

impl From<&Pin<'_>> for PinPost {
    fn from(pin: &Pin<'_>) -> PinPost {
        PinPost {
            category: pin.category.as_deref().map(Symbol::new),
            poster: pin.poster_name.as_deref().map(Symbol::new),
            followers: pin.follower_count.and_then(|count| NonZeroU64::new(u64::try_from(count).ok()? + 1)),
        }
    }
}

/// What questions read of a geo post: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeoPost {
    /// The country.
    pub country: Option<Symbol>,
    year: Option<NonZeroU16>,
}

impl GeoPost {
    /// The year of the post.
    #[must_use]
    pub fn year(&self) -> Option<i32> {
        self.year.map(|year| year.get().into())
    }
}

impl From<&Geo<'_>> for GeoPost {
    fn from(geo: &Geo<'_>) -> GeoPost {
        GeoPost { country: geo.country.as_deref().map(Symbol::new), year: geo.timestamp.and_then(year) }
    }
}

/// What questions read of a user: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPost {
    /// First and last name.
    pub name: Option<Symbol>,
    /// Years.
    pub age: Option<u8>,
    joined: Option<NonZeroU16>,
}

impl UserPost {
    /// The year in which the user joined.
    #[must_use]
    pub fn year_joined(&self) -> Option<i32> {
        self.joined.map(|year| year.get().into())
    }
}

impl From<&User<'_>> for UserPost {
    fn from(user: &User<'_>) -> UserPost {
        UserPost {
            name: user.user_name.as_deref().map(Symbol::new),
            age: user.age,
            joined: user.date_joined.and_then(year),
        }
    }
}

/// The UTC year of a moment, 1…65535; earlier and later ones count as absent.
///
/// Days to years as in Howard Hinnant, *chrono-compatible low-level date algorithms*, `civil_from_days`.
fn year(moment: Micros) -> Option<NonZeroU16> {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    // Counted from 0000-03-01, so that the leap day is the last day of a year.
    let days = moment.div_euclid(DAY) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March is month 0: January and February, from day 306, belong to the next calendar year.
    let year = era * 400 + year_of_era + i64::from(day_of_year >= 306);
    u16::try_from(year).ok().and_then(NonZeroU16::new)
}

/// Arrangements need some order of the values, not the order of their texts.
macro_rules! ordered_by_number {
    ($row:ident, |$it:ident| $key:expr) => {
        impl Ord for $row {
            fn cmp(&self, other: &$row) -> Ordering {
                let key = |$it: &$row| $key;
                key(self).cmp(&key(other))
            }
        }

        impl PartialOrd for $row {
            fn partial_cmp(&self, other: &$row) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
    };
}

ordered_by_number!(PinPost, |it| (it.category.map(Symbol::number), it.poster.map(Symbol::number), it.followers));
ordered_by_number!(GeoPost, |it| (it.country.map(Symbol::number), it.year));
ordered_by_number!(UserPost, |it| (it.name.map(Symbol::number), it.age, it.joined));

/// How rows are arranged by slot. Everything that depends on the layout of traces goes by this alias.
type BySlot<'s, R> = Arranged<'s, TraceAgent<ValSpine<Slot, R, u64, i64>>>;

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
    arrange_core::<_, _, ContainerChunker<_>, ValBatcher<_, _, _, _>, ValBuilder<_, _, _, _>, _>(rows, Pipeline, name)
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
