//! Counts and sums: accumulators that can be added to each other.

use serde::{Deserialize, Serialize};

use super::exact_sum::ExactSum;
use super::pair_moments::PairSums;
use crate::datum::Datum;

/// An accumulator that is a sum over rows. Parts of it can be made anywhere and added up in any order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum LinearCell {
    /// The values that are not null.
    Count(i64),
    /// The values and the sum of longs, in halves: a 128-bit number would make the type larger.
    LongSum { count: i64, high: i64, low: u64 },
    /// The values and the sum of doubles.
    DoubleSum { count: i64, sum: ExactSum },
    /// What a variance needs.
    Moments(Box<MomentSums>),
    /// What a covariance needs.
    PairMoments(Box<PairSums>),
    /// Conditions by their values.
    Truth { yes: i64, no: i64 },
}

/// The sums of values and of their squares.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct MomentSums {
    /// The number of values.
    pub(crate) count: i64,
    /// Their sum.
    pub(crate) sum: ExactSum,
    /// The sum of their squares.
    pub(crate) squares: ExactSum,
}

impl LinearCell {
    /// Adds a value `diff` times. Nulls do not count. Pairs are added by [`PairSums::update`].
    pub(super) fn update(&mut self, value: &Datum, diff: i64) {
        if value.is_null() {
            return;
        }
        match self {
            LinearCell::Count(count) => add_count(count, diff),
            LinearCell::LongSum { count, high, low } => {
                add_count(count, diff);
                if let Datum::Long(value) = value {
                    add_halves((high, low), i128::from(*value).wrapping_mul(i128::from(diff)));
                }
            }
            LinearCell::DoubleSum { count, sum } => {
                add_count(count, diff);
                sum.add(number_of(value), diff);
            }
            LinearCell::Moments(moments) => {
                add_count(&mut moments.count, diff);
                moments.sum.add(number_of(value), diff);
                moments.squares.add_square(number_of(value), diff);
            }
            LinearCell::Truth { yes, no } => add_count(if value.is_true() { yes } else { no }, diff),
            LinearCell::PairMoments(_) => debug_assert!(false, "a pair has two values"),
        }
    }

    /// Adds another cell of the same kind.
    pub(super) fn merge(&mut self, other: &LinearCell) {
        match (self, other) {
            (LinearCell::Count(count), LinearCell::Count(added)) => add_count(count, *added),
            (
                LinearCell::LongSum { count, high, low },
                LinearCell::LongSum { count: added, high: other_high, low: other_low },
            ) => {
                add_count(count, *added);
                add_halves((high, low), i128::from(*other_high) << 64 | i128::from(*other_low));
            }
            (LinearCell::DoubleSum { count, sum }, LinearCell::DoubleSum { count: added, sum: other }) => {
                add_count(count, *added);
                sum.merge(other);
            }
            (LinearCell::Moments(moments), LinearCell::Moments(other)) => {
                add_count(&mut moments.count, other.count);
                moments.sum.merge(&other.sum);
                moments.squares.merge(&other.squares);
            }
            (LinearCell::PairMoments(sums), LinearCell::PairMoments(other)) => sums.merge(other),
            (LinearCell::Truth { yes, no }, LinearCell::Truth { yes: other_yes, no: other_no }) => {
                add_count(yes, *other_yes);
                add_count(no, *other_no);
            }
            (one, other) => debug_assert!(false, "{one:?} and {other:?} are cells of one aggregate"),
        }
    }

    /// Whether the cell is as if it had no values.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            LinearCell::Count(count) => *count == 0,
            LinearCell::LongSum { count, high, low } => *count == 0 && *high == 0 && *low == 0,
            LinearCell::DoubleSum { count, sum } => *count == 0 && sum.is_zero(),
            LinearCell::Moments(moments) => moments.count == 0 && moments.sum.is_zero() && moments.squares.is_zero(),
            LinearCell::PairMoments(sums) => sums.is_zero(),
            LinearCell::Truth { yes, no } => *yes == 0 && *no == 0,
        }
    }

    /// Whether more values were retracted than inserted.
    pub(super) fn is_negative(&self) -> bool {
        match self {
            LinearCell::Count(count) | LinearCell::LongSum { count, .. } | LinearCell::DoubleSum { count, .. } => {
                *count < 0
            }
            LinearCell::Moments(moments) => moments.count < 0,
            LinearCell::PairMoments(sums) => sums.count() < 0,
            LinearCell::Truth { yes, no } => *yes < 0 || *no < 0,
        }
    }

    /// The number of values.
    pub(super) fn count(&self) -> i64 {
        match self {
            LinearCell::Count(count) | LinearCell::LongSum { count, .. } | LinearCell::DoubleSum { count, .. } => {
                *count
            }
            LinearCell::Moments(moments) => moments.count,
            LinearCell::PairMoments(sums) => sums.count(),
            LinearCell::Truth { yes, no } => yes.saturating_add(*no),
        }
    }

    /// The bytes owned on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            LinearCell::DoubleSum { sum, .. } => sum.heap_bytes(),
            LinearCell::Moments(moments) => {
                size_of::<MomentSums>() + moments.sum.heap_bytes() + moments.squares.heap_bytes()
            }
            LinearCell::PairMoments(sums) => size_of::<PairSums>() + sums.heap_bytes(),
            _ => 0,
        }
    }
}

/// A number as a double. The binder casts arguments, so that no other value comes here.
pub(super) fn number_of(value: &Datum) -> f64 {
    match value {
        Datum::Double(value) => *value,
        Datum::Long(value) => *value as f64,
        _ => 0.0,
    }
}

pub(super) fn add_count(count: &mut i64, diff: i64) {
    *count = count.saturating_add(diff);
}

/// Adds to a sum of longs. Fewer than 2^63 longs fit in 127 bits.
fn add_halves((high, low): (&mut i64, &mut u64), added: i128) {
    let sum = (i128::from(*high) << 64 | i128::from(*low)).wrapping_add(added);
    *high = (sum >> 64) as i64;
    *low = sum as u64;
}
