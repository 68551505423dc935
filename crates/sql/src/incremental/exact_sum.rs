//! Exact sums of doubles, under insertions and retractions.
//!
//! A sum is kept as a whole number of units of a power of two, so that nothing is rounded before the result is. The sum
//! does not depend on the order of updates, and is exactly zero once everything was retracted.
//!
//! Values of similar size fit in 128 bits: an update is a shift and an addition. Others make the sum *wide*: a
//! fixed-point number with all digits that the square of a double can have, 536 bytes.

use serde::{Deserialize, Serialize};

use super::big_uint::{BigUint, round_quotient};

/// An exact sum of doubles, or of their squares.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExactSum {
    form: SumForm,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum SumForm {
    /// `units · 2^exponent`, with the units split in halves, since a 128-bit number would make the type larger.
    Narrow { high: i64, low: u64, exponent: i32 },
    /// A number in two's complement, the least significant word first, times 2^[`WIDE_EXPONENT`].
    Wide { words: Box<[u64]> },
}

/// The exponent of the last digit of a double.
const LEAST_EXPONENT: i32 = -1074;
/// The exponent of the last digit of the square of a double.
const WIDE_EXPONENT: i32 = 2 * LEAST_EXPONENT;
/// The words of a wide sum: 4,196 digits of a square, 63 more for 2^63 of them, and the sign.
const WIDE_WORDS: usize = 67;

impl Default for ExactSum {
    fn default() -> ExactSum {
        ExactSum::narrow(0, 0)
    }
}

impl ExactSum {
    /// Adds a finite value, `diff` times.
    pub fn add(&mut self, value: f64, diff: i64) {
        let (units, exponent) = split_double(value);
        self.add_units(i128::from(units) * i128::from(diff), exponent);
    }

    /// Adds the square of a finite value, `diff` times.
    pub fn add_square(&mut self, value: f64, diff: i64) {
        self.add_product(value, value, diff);
    }

    /// Adds the product of two finite values, `diff` times.
    pub fn add_product(&mut self, one: f64, other: f64, diff: i64) {
        /// The product has 106 digits: so much more fits in 127.
        const PIECE_BITS: u32 = 20;
        let ((one, one_exponent), (other, other_exponent)) = (split_double(one), split_double(other));
        let product = i128::from(one) * i128::from(other);
        let exponent = one_exponent + other_exponent;
        let (mut rest, mut shift) = (diff, 0);
        while rest != 0 {
            // All pieces but the last are positive: the remainder of a division that rounds down.
            let piece = if (-(1 << PIECE_BITS)..1 << PIECE_BITS).contains(&rest) {
                std::mem::take(&mut rest)
            } else {
                let piece = rest & ((1 << PIECE_BITS) - 1);
                rest >>= PIECE_BITS;
                piece
            };
            self.add_units(product * i128::from(piece), exponent + shift);
            shift += PIECE_BITS as i32;
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        match &other.form {
            SumForm::Narrow { high, low, exponent } => self.add_units(join_halves(*high, *low), *exponent),
            SumForm::Wide { words } => {
                let mut sum = words.clone();
                match &self.form {
                    SumForm::Narrow { high, low, exponent } => {
                        add_shifted(&mut sum, join_halves(*high, *low), *exponent - WIDE_EXPONENT);
                    }
                    SumForm::Wide { words } => add_words(&mut sum, words),
                }
                self.form = SumForm::Wide { words: sum };
                self.narrow_if_zero();
            }
        }
    }

    /// Whether the sum is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match &self.form {
            SumForm::Narrow { high, low, .. } => *high == 0 && *low == 0,
            SumForm::Wide { words } => words.iter().all(|word| *word == 0),
        }
    }

    /// The sum, rounded to the nearest double. `None` if it is too great.
    #[must_use]
    pub fn to_double(&self) -> Option<f64> {
        if let Some(sum) = self.narrow_quotient(1) {
            return Some(sum);
        }
        let (negative, number, exponent) = self.sign_and_magnitude();
        round_quotient(negative, &number, exponent, &[])
    }

    /// The sum divided by a number that is not zero, rounded once. `None` if it is too great.
    #[must_use]
    pub fn divided_by(&self, divisor: u64) -> Option<f64> {
        if let Some(quotient) = self.narrow_quotient(divisor) {
            return Some(quotient);
        }
        let (negative, number, exponent) = self.sign_and_magnitude();
        round_quotient(negative, &number, exponent, &[divisor])
    }

    /// The bytes that the sum owns on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.form {
            SumForm::Narrow { .. } => 0,
            SumForm::Wide { words } => size_of_val(&**words),
        }
    }

    /// The sum divided by a number, if the machine's own division rounds it correctly.
    fn narrow_quotient(&self, divisor: u64) -> Option<f64> {
        match &self.form {
            SumForm::Narrow { high, low, exponent } => {
                quotient_of_doubles(join_halves(*high, *low), *exponent, divisor)
            }
            SumForm::Wide { .. } => None,
        }
    }

    fn narrow(units: i128, exponent: i32) -> ExactSum {
        ExactSum { form: SumForm::Narrow { high: (units >> 64) as i64, low: units as u64, exponent } }
    }

    /// Adds `units · 2^exponent`.
    fn add_units(&mut self, units: i128, exponent: i32) {
        if units == 0 {
            return;
        }
        match &mut self.form {
            SumForm::Narrow { high, low, exponent: own } => {
                let held = join_halves(*high, *low);
                if let Some((sum, common)) = add_aligned((held, *own), (units, exponent)) {
                    *self = ExactSum::narrow(sum, common);
                    return;
                }
                let mut words = vec![0; WIDE_WORDS].into_boxed_slice();
                add_shifted(&mut words, held, *own - WIDE_EXPONENT);
                add_shifted(&mut words, units, exponent - WIDE_EXPONENT);
                self.form = SumForm::Wide { words };
            }
            SumForm::Wide { words } => {
                add_shifted(words, units, exponent - WIDE_EXPONENT);
                self.narrow_if_zero();
            }
        }
    }

    fn narrow_if_zero(&mut self) {
        if self.is_zero() {
            *self = ExactSum::default();
        }
    }

    /// Whether the sum is negative, and its absolute value: a number times a power of two.
    pub(super) fn sign_and_magnitude(&self) -> (bool, BigUint, i32) {
        match &self.form {
            SumForm::Narrow { high, low, exponent } => {
                let units = join_halves(*high, *low);
                (units < 0, BigUint::from_u128(units.unsigned_abs()), *exponent)
            }
            SumForm::Wide { words } => {
                let negative = words.last().is_some_and(|word| word >> 63 == 1);
                let mut words = words.to_vec();
                if negative {
                    negate_words(&mut words);
                }
                (negative, BigUint::from_words(words), WIDE_EXPONENT)
            }
        }
    }
}

/// `units · 2^exponent / divisor`, rounded once, if both numbers are doubles and the result is far from the limits of
/// doubles: then the machine's division is exact but for its own rounding. The divisor must not be zero.
pub(super) fn quotient_of_doubles(units: i128, exponent: i32, divisor: u64) -> Option<f64> {
    const GREATEST_WHOLE: u64 = 1 << 53;
    let units = i64::try_from(units).ok().filter(|units| units.unsigned_abs() <= GREATEST_WHOLE)?;
    if divisor > GREATEST_WHOLE || !(-900..=900).contains(&exponent) {
        return None;
    }
    let power = f64::from_bits(((exponent + 1023) as u64) << 52);
    Some(units as f64 / divisor as f64 * power)
}

/// The variance of `count` values with this sum and this sum of squares: the exact
/// `(count · Σx² − (Σx)²) / (count · divisor)`, rounded once. `None` if it is too great. Neither number may be zero.
#[must_use]
pub fn exact_variance(sum: &ExactSum, squares: &ExactSum, count: u64, divisor: u64) -> Option<f64> {
    let (_, sum, exponent) = sum.sign_and_magnitude();
    let (_, squares, squares_exponent) = squares.sign_and_magnitude();
    // Zeros at the end would only make the products longer.
    let zeros = sum.trailing_zeros();
    let sum = sum.shifted_right(zeros);
    let sum_exponent = 2 * (exponent + zeros as i32);
    let least = if sum.is_zero() { squares_exponent } else { squares_exponent.min(sum_exponent) };
    let squared = sum.multiplied_by(&sum).shifted_left(sum_exponent.saturating_sub(least).max(0) as usize);
    let scaled = squares.multiplied_by(&BigUint::from_u128(count.into()));
    let scaled = scaled.shifted_left((squares_exponent - least) as usize);
    round_quotient(false, &scaled.minus(&squared), least, &[count, divisor])
}

/// A finite double as `units · 2^exponent`, with as few digits as possible.
fn split_double(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let field = (bits >> 52 & 0x7ff) as i32;
    let fraction = (bits & ((1 << 52) - 1)) as i64;
    let (units, exponent) = if field == 0 { (fraction, LEAST_EXPONENT) } else { (fraction | 1 << 52, field - 1075) };
    if units == 0 {
        return (0, 0);
    }
    let zeros = units.trailing_zeros();
    let units = units >> zeros;
    (if value < 0.0 { -units } else { units }, exponent + zeros as i32)
}

/// The sum of two numbers of units with the exponent of its units, if it fits in 128 bits.
fn add_aligned((one, one_exponent): (i128, i32), (other, other_exponent): (i128, i32)) -> Option<(i128, i32)> {
    if one == 0 {
        return Some((other, other_exponent));
    }
    let common = one_exponent.min(other_exponent);
    let one = shift_checked(one, one_exponent - common)?;
    let other = shift_checked(other, other_exponent - common)?;
    Some((one.checked_add(other)?, common))
}

/// `value · 2^bits`, if it fits.
fn shift_checked(value: i128, bits: i32) -> Option<i128> {
    let unused = value.unsigned_abs().leading_zeros() as i32 - 1;
    (bits <= unused).then(|| value << bits)
}

fn join_halves(high: i64, low: u64) -> i128 {
    i128::from(high) << 64 | i128::from(low)
}

/// Adds `units · 2^bits` to a number in two's complement. Bits are not negative.
fn add_shifted(words: &mut [u64], units: i128, bits: i32) {
    let (whole, shift) = ((bits / 64) as usize, bits % 64);
    let (low, high) = (units as u64, (units >> 64) as u64);
    let sign = if units < 0 { u64::MAX } else { 0 };
    let parts = if shift == 0 {
        [low, high, sign]
    } else {
        [low << shift, low >> (64 - shift) | high << shift, high >> (64 - shift) | sign << shift]
    };
    let mut carry = false;
    for (index, word) in words.iter_mut().skip(whole).enumerate() {
        let part = parts.get(index).copied().unwrap_or(sign);
        // Beyond the parts nothing changes any more once the sign and the carry cancel.
        if index >= parts.len() && (sign == 0) != carry {
            return;
        }
        carry = add_with_carry(word, part, carry);
    }
}

fn add_words(words: &mut [u64], other: &[u64]) {
    let mut carry = false;
    for (word, part) in words.iter_mut().zip(other) {
        carry = add_with_carry(word, *part, carry);
    }
}

fn add_with_carry(word: &mut u64, part: u64, carry: bool) -> bool {
    let (first, one) = word.overflowing_add(part);
    let (second, two) = first.overflowing_add(u64::from(carry));
    *word = second;
    one || two
}

fn negate_words(words: &mut [u64]) {
    let mut carry = true;
    for word in words {
        let (sum, overflow) = (!*word).overflowing_add(u64::from(carry));
        *word = sum;
        carry = overflow;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A rational number with a power of two as its denominator, without any of the tricks above: 4,600 binary digits
    /// after the point, in two numbers for the two signs.
    #[derive(Default)]
    struct PlainSum {
        positive: BigUint,
        negative: BigUint,
    }

    const PLAIN_EXPONENT: i32 = -2148;

    impl PlainSum {
        fn add(&mut self, value: f64, diff: i64, square: bool) {
            let (units, exponent) = split_double(value);
            let one = BigUint::from_u128(units.unsigned_abs().into());
            let (power, exponent) = if square { (one.multiplied_by(&one), 2 * exponent) } else { (one, exponent) };
            let scaled = power.multiplied_by(&BigUint::from_u128(diff.unsigned_abs().into()));
            let scaled = scaled.shifted_left((exponent - PLAIN_EXPONENT) as usize);
            let negative = (diff < 0) != (value < 0.0 && !square);
            let side = if negative { &mut self.negative } else { &mut self.positive };
            *side = plus(side, &scaled);
        }

        fn round(&self, divisor: u64) -> Option<f64> {
            let up = self.positive.minus(&self.negative);
            let down = self.negative.minus(&self.positive);
            let number = if up.is_zero() { &down } else { &up };
            round_quotient(up.is_zero(), number, PLAIN_EXPONENT, &[divisor])
        }
    }

    /// `one + other` as `2^k − ((2^k − one) − other)`.
    fn plus(one: &BigUint, other: &BigUint) -> BigUint {
        let power = BigUint::from_u128(1).shifted_left(6_000);
        power.minus(&power.minus(one).minus(other))
    }

    fn any_double() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-1_000_i64..1_000).prop_map(|number| number as f64 / 4.0),
            2 => any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite()),
            1 => (1_u64..100).prop_map(f64::from_bits),
            1 => prop::sample::select(vec![0.0, f64::MAX, -f64::MAX, f64::MIN_POSITIVE, 1e-39, 0.1, -0.1, 1e300]),
        ]
    }

    fn updates() -> impl Strategy<Value = Vec<(f64, i64)>> {
        let diff = prop_oneof![4 => -3_i64..4, 1 => any::<i32>().prop_map(i64::from), 1 => -(1_i64 << 50)..1 << 50];
        prop::collection::vec((any_double(), diff), 0..40)
    }

    proptest! {
        #[test]
        fn sums_and_quotients_are_those_of_exact_arithmetic(updates in updates(), square: bool, divisor in 1_u64..100) {
            let (mut sum, mut plain) = (ExactSum::default(), PlainSum::default());
            let add = |sum: &mut ExactSum, value, diff| if square { sum.add_square(value, diff) } else { sum.add(value, diff) };
            for (value, diff) in &updates {
                add(&mut sum, *value, *diff);
                plain.add(*value, *diff, square);
                prop_assert_eq!(sum.to_double().map(f64::to_bits), plain.round(1).map(f64::to_bits));
                prop_assert_eq!(sum.divided_by(divisor).map(f64::to_bits), plain.round(divisor).map(f64::to_bits));
            }
            for (value, diff) in updates.iter().rev() {
                add(&mut sum, *value, -diff);
            }
            prop_assert!(sum.is_zero());
            prop_assert_eq!(sum.to_double().map(f64::to_bits), Some(0));
        }

        #[test]
        fn sums_of_parts_are_the_sum_of_all(one in updates(), other in updates(), square: bool) {
            let sum_of = |updates: &[(f64, i64)]| {
                let mut sum = ExactSum::default();
                for (value, diff) in updates {
                    if square { sum.add_square(*value, *diff) } else { sum.add(*value, *diff) }
                }
                sum
            };
            let mut merged = sum_of(&one);
            merged.merge(&sum_of(&other));
            let whole = sum_of(&[one, other].concat());
            prop_assert_eq!(merged.to_double().map(f64::to_bits), whole.to_double().map(f64::to_bits));
            prop_assert_eq!(merged.is_zero(), whole.is_zero());
        }

        #[test]
        fn variance_is_that_of_whole_numbers(values in prop::collection::vec(-1_000_000_i64..1_000_000, 2..30), scale in -300_i32..300) {
            let (mut sum, mut squares) = (ExactSum::default(), ExactSum::default());
            let factor = 2.0_f64.powi(scale);
            for value in &values {
                sum.add(*value as f64 * factor, 1);
                squares.add_square(*value as f64 * factor, 1);
            }
            let count = values.len() as i128;
            let total: i128 = values.iter().copied().map(i128::from).sum();
            let squared: i128 = values.iter().map(|value| i128::from(*value).pow(2)).sum();
            let numerator = BigUint::from_u128((count * squared - total * total) as u128);
            let expected = round_quotient(false, &numerator, 2 * scale, &[count as u64, count as u64 - 1]);
            prop_assert_eq!(exact_variance(&sum, &squares, count as u64, count as u64 - 1), expected);
        }
    }

    proptest! {
        #[test]
        fn fast_division_is_that_of_exact_arithmetic(units in -(1_i128 << 54)..1 << 54, exponent in -1_000_i32..1_000, divisor in 1_u64..1 << 54) {
            if let Some(quotient) = quotient_of_doubles(units, exponent, divisor) {
                let magnitude = BigUint::from_u128(units.unsigned_abs());
                prop_assert_eq!(Some(quotient), round_quotient(units < 0, &magnitude, exponent, &[divisor]));
            }
        }
    }

    #[test]
    fn equal_values_have_no_variance() {
        let (mut sum, mut squares) = (ExactSum::default(), ExactSum::default());
        sum.add(0.1, 3);
        squares.add_square(0.1, 3);
        assert_eq!(exact_variance(&sum, &squares, 3, 2), Some(0.0));
    }

    #[test]
    fn sums_are_small() {
        assert!(size_of::<ExactSum>() <= 24, "{}", size_of::<ExactSum>());
    }
}
