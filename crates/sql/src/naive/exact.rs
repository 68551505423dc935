//! Exact sums, products and quotients of numbers, rounded once.
//!
//! A finite double is a whole number times a power of two, so sums and products of doubles are as well. They are
//! computed with whole numbers of any length. Only the end result is rounded, to the nearest double, of two equally
//! near ones the even.

use std::cmp::Ordering;

use crate::datum::Datum;

/// An exact number: a whole number, times two to the power of `exponent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExactNumber {
    negative: bool,
    magnitude: BigMagnitude,
    exponent: i32,
}

/// A whole number that is not negative: 32 bits each, the low ones first, without zeros at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BigMagnitude(Vec<u32>);

/// The number of quotient bits that are computed: those of a double, one that decides on rounding, and some to spare.
const QUOTIENT_BITS: u32 = 66;

impl ExactNumber {
    pub(super) const ZERO: ExactNumber =
        ExactNumber { negative: false, magnitude: BigMagnitude(Vec::new()), exponent: 0 };

    /// The exact value of a long or a double. Other values are zero: the binder passes none.
    pub(super) fn of_datum(value: &Datum) -> ExactNumber {
        match value {
            Datum::Long(value) => ExactNumber {
                negative: *value < 0,
                magnitude: BigMagnitude::of_whole(u128::from(value.unsigned_abs())),
                exponent: 0,
            },
            Datum::Double(value) => ExactNumber::of_double(*value),
            _ => ExactNumber::ZERO,
        }
    }

    fn of_double(value: f64) -> ExactNumber {
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        let (whole, exponent) = match (bits >> 52) & 0x7ff {
            0 => (fraction, -1074),
            biased => (fraction | 1 << 52, i32::try_from(biased).unwrap_or_default() - 1075),
        };
        // Without trailing zeros, sums of ordinary numbers stay short.
        let zeros = if whole == 0 { 0 } else { whole.trailing_zeros() };
        ExactNumber {
            negative: value.is_sign_negative() && whole != 0,
            magnitude: BigMagnitude::of_whole(u128::from(whole >> zeros)),
            exponent: exponent + zeros.cast_signed(),
        }
    }

    /// A count.
    pub(super) fn of_count(count: usize) -> ExactNumber {
        ExactNumber { negative: false, magnitude: BigMagnitude::of_whole(count as u128), exponent: 0 }
    }

    /// The sum.
    pub(super) fn plus(&self, other: &ExactNumber) -> ExactNumber {
        let exponent = self.exponent.min(other.exponent);
        let one = self.magnitude.shifted_left((self.exponent - exponent).unsigned_abs());
        let two = other.magnitude.shifted_left((other.exponent - exponent).unsigned_abs());
        let (negative, magnitude) = if self.negative == other.negative {
            (self.negative, one.plus(&two))
        } else if one.compare(&two).is_ge() {
            (self.negative, one.minus(&two))
        } else {
            (other.negative, two.minus(&one))
        };
        ExactNumber { negative: negative && !magnitude.is_zero(), magnitude, exponent }
    }

    /// The difference.
    pub(super) fn minus(&self, other: &ExactNumber) -> ExactNumber {
        let negative = !other.negative && !other.magnitude.is_zero();
        self.plus(&ExactNumber { negative, ..other.clone() })
    }

    /// The product.
    pub(super) fn times(&self, other: &ExactNumber) -> ExactNumber {
        let magnitude = self.magnitude.times(&other.magnitude);
        let negative = self.negative != other.negative && !magnitude.is_zero();
        ExactNumber { negative, magnitude, exponent: self.exponent + other.exponent }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.magnitude.is_zero()
    }

    /// 1 or -1: the sign. 1 for zero.
    pub(super) fn sign(&self) -> f64 {
        if self.negative { -1.0 } else { 1.0 }
    }

    /// The quotient, rounded to a double. `None` if it is too great. The divisor is greater than zero.
    pub(super) fn rounded_over(&self, divisor: &ExactNumber) -> Option<f64> {
        if self.magnitude.is_zero() {
            return Some(0.0);
        }
        let (dividend, by) = (&self.magnitude, &divisor.magnitude);
        let shift = i64::from(QUOTIENT_BITS) + i64::from(by.bits()) - i64::from(dividend.bits());
        let shift = i32::try_from(shift).ok()?;
        let (quotient, exact) = if shift >= 0 {
            dividend.shifted_left(shift.unsigned_abs()).divided_by(by)
        } else {
            dividend.divided_by(&by.shifted_left(shift.unsigned_abs()))
        };
        let absolute = round_to_double(quotient, exact, self.exponent - divisor.exponent - shift)?;
        Some(if self.negative { -absolute } else { absolute })
    }

    /// The number, rounded to a double. `None` if it is too great.
    pub(super) fn rounded(&self) -> Option<f64> {
        self.rounded_over(&ExactNumber::of_count(1))
    }
}

/// The double nearest to `whole · 2^exponent`, or to a little more than that if it is not `exact`. `whole` has more
/// bits than a double.
fn round_to_double(whole: u128, exact: bool, exponent: i32) -> Option<f64> {
    let bits = 128 - whole.leading_zeros().cast_signed();
    // The exponent of the last bit that the result has: subnormal numbers have fewer bits.
    let unit = (exponent + bits - 53).max(-1074);
    let dropped = (unit - exponent).unsigned_abs();
    if dropped > 127 {
        return Some(0.0);
    }
    let (kept, rest, half) = (whole >> dropped, whole & ((1 << dropped) - 1), 1 << (dropped - 1));
    let round_up = match rest.cmp(&half) {
        Ordering::Less => false,
        Ordering::Equal => !exact || kept % 2 == 1,
        Ordering::Greater => true,
    };
    // At most 2^53, so this and the product are exact.
    let kept = (kept + u128::from(round_up)) as f64;
    let result = kept * power_of_two(unit)?;
    result.is_finite().then_some(result)
}

fn power_of_two(exponent: i32) -> Option<f64> {
    match exponent {
        -1074..-1022 => Some(f64::from_bits(1 << (exponent + 1074))),
        -1022..=1023 => Some(f64::from_bits(u64::from((exponent + 1023).unsigned_abs()) << 52)),
        _ => None,
    }
}

impl BigMagnitude {
    fn of_whole(mut value: u128) -> BigMagnitude {
        let mut limbs = Vec::new();
        while value > 0 {
            limbs.push((value & u128::from(u32::MAX)) as u32);
            value >>= 32;
        }
        BigMagnitude(limbs)
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> u32 {
        let last = self.0.last().map_or(0, |limb| 32 - limb.leading_zeros());
        let others = u32::try_from(self.0.len().saturating_sub(1)).unwrap_or(u32::MAX);
        others.saturating_mul(32) + last
    }

    fn compare(&self, other: &BigMagnitude) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    fn limb(&self, index: usize) -> u32 {
        self.0.get(index).copied().unwrap_or(0)
    }

    fn trimmed(mut limbs: Vec<u32>) -> BigMagnitude {
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        BigMagnitude(limbs)
    }

    fn plus(&self, other: &BigMagnitude) -> BigMagnitude {
        let mut carry = 0_u64;
        let mut sum = Vec::new();
        for index in 0..=self.0.len().max(other.0.len()) {
            carry += u64::from(self.limb(index)) + u64::from(other.limb(index));
            sum.push(carry as u32);
            carry >>= 32;
        }
        BigMagnitude::trimmed(sum)
    }

    /// The difference. `other` is not greater.
    fn minus(&self, other: &BigMagnitude) -> BigMagnitude {
        let mut borrow = 0_i64;
        let mut difference = Vec::new();
        for index in 0..self.0.len() {
            borrow += i64::from(self.limb(index)) - i64::from(other.limb(index));
            difference.push(borrow as u32);
            borrow >>= 32;
        }
        BigMagnitude::trimmed(difference)
    }

    fn times(&self, other: &BigMagnitude) -> BigMagnitude {
        let mut product = vec![0_u32; self.0.len() + other.0.len()];
        for (at, &one) in self.0.iter().enumerate() {
            let mut carry = 0_u64;
            for index in 0..=other.0.len() {
                // Less than 2^64: (2^32 − 1)² + 2·(2^32 − 1).
                let Some(limb) = product.get_mut(at + index) else { break };
                carry += u64::from(one) * u64::from(other.limb(index)) + u64::from(*limb);
                *limb = carry as u32;
                carry >>= 32;
            }
        }
        BigMagnitude::trimmed(product)
    }

    fn shifted_left(&self, bits: u32) -> BigMagnitude {
        let mut shifted = vec![0; (bits / 32) as usize];
        let mut carry = 0_u64;
        for limb in self.0.iter().chain([&0]) {
            carry |= u64::from(*limb) << (bits % 32);
            shifted.push(carry as u32);
            carry >>= 32;
        }
        BigMagnitude::trimmed(shifted)
    }

    /// The whole quotient, which has at most [`QUOTIENT_BITS`] and one bits, and whether it is exact.
    fn divided_by(&self, divisor: &BigMagnitude) -> (u128, bool) {
        let (mut rest, mut quotient) = (self.clone(), 0_u128);
        for bit in (0..=QUOTIENT_BITS).rev() {
            let part = divisor.shifted_left(bit);
            if rest.compare(&part).is_ge() {
                rest = rest.minus(&part);
                quotient |= 1 << bit;
            }
        }
        (quotient, rest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact_sum(values: &[f64]) -> ExactNumber {
        values.iter().fold(ExactNumber::ZERO, |sum, value| sum.plus(&ExactNumber::of_double(*value)))
    }

    #[test]
    fn sum_of_doubles_is_exact_where_additions_in_turn_are_not() {
        assert_eq!(exact_sum(&[1e308, 1e308, 1.0, -1e308, -1e308]).rounded(), Some(1.0));
        assert_eq!(exact_sum(&[0.1; 10]).rounded(), Some(1.0));
        assert_eq!(exact_sum(&[5e-324, 1.0, -1.0]).rounded(), Some(5e-324));
        assert_eq!(exact_sum(&[1.0, -1.0]).rounded().map(f64::to_bits), Some(0));
    }

    #[test]
    fn sum_that_is_halfway_between_doubles_is_rounded_to_even() {
        let half = f64::EPSILON / 2.0;
        assert_eq!(exact_sum(&[1.0, half]).rounded(), Some(1.0));
        assert_eq!(exact_sum(&[1.0, half, 5e-324]).rounded(), Some(1.0 + f64::EPSILON));
        assert_eq!(exact_sum(&[1.0 + f64::EPSILON, half]).rounded(), Some(1.0 + 2.0 * f64::EPSILON));
    }

    #[test]
    fn sum_beyond_the_greatest_double_has_no_value() {
        assert_eq!(exact_sum(&[f64::MAX, f64::MAX]).rounded(), None);
        assert_eq!(exact_sum(&[f64::MAX, 2_f64.powi(969)]).rounded(), Some(f64::MAX));
        assert_eq!(exact_sum(&[f64::MAX, 2_f64.powi(970)]).rounded(), None);
    }

    #[test]
    fn quotient_is_rounded_once_also_where_it_is_subnormal() {
        let over = |value: f64, count| ExactNumber::of_double(value).rounded_over(&ExactNumber::of_count(count));
        assert_eq!(over(5e-324, 2), Some(0.0));
        assert_eq!(over(1.5e-323, 2), Some(1e-323));
        assert_eq!(over(-1.0, 3), Some(-1.0 / 3.0));
        assert_eq!(over(f64::MIN_POSITIVE, 2), Some(f64::MIN_POSITIVE / 2.0));
    }

    proptest! {
        #[test]
        fn sum_of_whole_numbers_is_that_of_longs(values in prop::collection::vec(any::<i64>(), 0..20)) {
            let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
            let exact = values.iter().fold(ExactNumber::ZERO, |sum, value| sum.plus(&ExactNumber::of_datum(&Datum::Long(*value))));
            prop_assert_eq!(exact.rounded(), Some(sum as f64));
        }

        #[test]
        fn double_survives(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            prop_assert_eq!(ExactNumber::of_double(value).rounded(), Some(value));
        }

        #[test]
        fn sum_product_and_quotient_of_two_doubles_are_those_of_the_processor(
            one in any::<f64>().prop_filter("finite", |value| value.is_finite()),
            two in any::<f64>().prop_filter("finite", |value| value.is_finite() && *value != 0.0),
            small in -1e9_f64..1e9,
        ) {
            let finite = |value: f64| value.is_finite().then_some(value);
            let [exact_one, exact_two, exact_small] = [one, two, small].map(ExactNumber::of_double);
            prop_assert_eq!(exact_one.plus(&exact_two).rounded(), finite(one + two));
            prop_assert_eq!(exact_small.minus(&exact_one).rounded(), finite(small - one));
            prop_assert_eq!(exact_one.times(&exact_two).rounded(), finite(one * two));
            prop_assert_eq!(exact_one.times(&exact_small).rounded(), finite(one * small));
            let positive = ExactNumber::of_double(two.abs());
            prop_assert_eq!(exact_one.rounded_over(&positive), finite(one / two.abs()));
        }
    }
}
