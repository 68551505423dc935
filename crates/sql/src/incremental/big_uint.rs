//! Whole numbers of any size: what exact sums need to be divided, compared and rounded.

/// A whole number, not negative.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BigUint {
    /// The digits of base 2^64, the least significant first. The last one is not zero.
    words: Vec<u64>,
}

impl BigUint {
    /// The number with these digits of base 2^64, the least significant first.
    pub(crate) fn from_words(words: Vec<u64>) -> BigUint {
        let mut number = BigUint { words };
        number.trim();
        number
    }

    /// The number of this value.
    pub(crate) fn from_u128(value: u128) -> BigUint {
        BigUint::from_words(vec![value as u64, (value >> 64) as u64])
    }

    /// Whether the number is zero.
    pub(crate) fn is_zero(&self) -> bool {
        self.words.is_empty()
    }

    /// The number of binary digits.
    pub(crate) fn bit_length(&self) -> usize {
        self.words.last().map_or(0, |top| self.words.len() * 64 - top.leading_zeros() as usize)
    }

    /// The number of zeros at the end of the binary digits. Zero for zero.
    pub(crate) fn trailing_zeros(&self) -> usize {
        let whole = self.words.iter().take_while(|word| **word == 0).count();
        self.words.get(whole).map_or(0, |word| whole * 64 + word.trailing_zeros() as usize)
    }

    /// The number times 2^`bits`.
    pub(crate) fn shifted_left(&self, bits: usize) -> BigUint {
        let (whole, shift) = (bits / 64, bits % 64);
        let mut words = vec![0; whole];
        let mut carry = 0;
        for word in &self.words {
            words.push(word << shift | carry);
            carry = if shift == 0 { 0 } else { word >> (64 - shift) };
        }
        words.push(carry);
        BigUint::from_words(words)
    }

    /// The whole part of the number divided by 2^`bits`.
    pub(crate) fn shifted_right(&self, bits: usize) -> BigUint {
        let (whole, shift) = (bits / 64, bits % 64);
        let rest = self.words.get(whole..).unwrap_or_default();
        let shifted = rest.iter().enumerate().map(|(index, word)| {
            let above = rest.get(index + 1).copied().unwrap_or(0);
            if shift == 0 { *word } else { word >> shift | above << (64 - shift) }
        });
        BigUint::from_words(shifted.collect())
    }

    /// The product.
    pub(crate) fn multiplied_by(&self, other: &BigUint) -> BigUint {
        let mut words = vec![0_u64; self.words.len() + other.words.len()];
        for (index, one) in self.words.iter().enumerate() {
            let mut carry = 0_u128;
            for (offset, two) in other.words.iter().enumerate() {
                let word = &mut words[index + offset];
                let sum = u128::from(*one) * u128::from(*two) + u128::from(*word) + carry;
                *word = sum as u64;
                carry = sum >> 64;
            }
            words[index + other.words.len()] = carry as u64;
        }
        BigUint::from_words(words)
    }

    /// The sum.
    pub(crate) fn plus(&self, other: &BigUint) -> BigUint {
        let mut carry = false;
        let count = self.words.len().max(other.words.len());
        let mut words: Vec<u64> = (0..count)
            .map(|index| {
                let word = |number: &BigUint| number.words.get(index).copied().unwrap_or(0);
                let (first, one) = word(self).overflowing_add(word(other));
                let (second, two) = first.overflowing_add(u64::from(carry));
                carry = one || two;
                second
            })
            .collect();
        words.push(u64::from(carry));
        BigUint::from_words(words)
    }

    /// Whether the number is less than another one.
    pub(crate) fn is_less_than(&self, other: &BigUint) -> bool {
        let by_length = self.words.len().cmp(&other.words.len());
        by_length.then_with(|| self.words.iter().rev().cmp(other.words.iter().rev())).is_lt()
    }

    /// The whole quotient, and whether there is a remainder. The divisor must not be zero. Takes a step for each binary
    /// digit of the quotient.
    pub(crate) fn divided_by(&self, divisor: &BigUint) -> (BigUint, bool) {
        let digits = (self.bit_length() + 1).saturating_sub(divisor.bit_length());
        let (mut rest, mut quotient) = (self.clone(), vec![0_u64; digits.div_ceil(64)]);
        for digit in (0..digits).rev() {
            let part = divisor.shifted_left(digit);
            if !rest.is_less_than(&part) {
                rest = rest.minus(&part);
                quotient[digit / 64] |= 1 << (digit % 64);
            }
        }
        (BigUint::from_words(quotient), !rest.is_zero())
    }

    /// The difference to a number that is not greater; zero if it is greater.
    pub(crate) fn minus(&self, other: &BigUint) -> BigUint {
        let mut borrow = false;
        let words = self.words.iter().enumerate().map(|(index, word)| {
            let (first, one) = word.overflowing_sub(other.words.get(index).copied().unwrap_or(0));
            let (second, two) = first.overflowing_sub(u64::from(borrow));
            borrow = one || two;
            second
        });
        let words = words.collect();
        if borrow || other.words.len() > self.words.len() {
            return BigUint::default();
        }
        BigUint::from_words(words)
    }

    /// Divides the number. Returns whether there is a remainder. The divisor must not be zero.
    pub(crate) fn divide(&mut self, divisor: u64) -> bool {
        let mut remainder = 0_u128;
        for word in self.words.iter_mut().rev() {
            let value = remainder << 64 | u128::from(*word);
            *word = (value / u128::from(divisor)) as u64;
            remainder = value % u128::from(divisor);
        }
        self.trim();
        remainder != 0
    }

    /// The double nearest to the number times 2^`exponent`; of two equally near ones the even. `None` if it is too
    /// great. With `inexact` the number has a further fraction, not zero, and must have 66 binary digits or more.
    pub(crate) fn round_to_double(&self, exponent: i32, inexact: bool) -> Option<f64> {
        const LEAST_EXPONENT: i32 = -1074;
        if self.is_zero() {
            return Some(0.0);
        }
        let bits = i32::try_from(self.bit_length()).ok()?;
        // The exponent of the last digit that the double has.
        let unit = (bits + exponent - 53).max(LEAST_EXPONENT);
        let dropped = unit - exponent;
        let mut digits = if dropped > 0 { self.shifted_right(dropped as usize).low_word() } else { self.low_word() };
        if dropped > 0 {
            let half = self.bit(dropped as usize - 1);
            let beyond_half = inexact || self.trailing_zeros() < dropped as usize - 1;
            digits += u64::from(half && (beyond_half || digits & 1 == 1));
        } else {
            digits = digits.checked_shl(dropped.unsigned_abs())?;
        }
        // Digits of 53 bits add one to the exponent's field: the leading digit is not stored.
        let field = u64::try_from(unit - LEAST_EXPONENT).ok()?;
        let value = f64::from_bits(field.checked_shl(52).filter(|_| field < 2047)?.checked_add(digits)?);
        value.is_finite().then_some(value)
    }

    fn low_word(&self) -> u64 {
        self.words.first().copied().unwrap_or(0)
    }

    fn bit(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}

/// The double nearest to `±number · 2^exponent / (divisors[0] · divisors[1] · …)`. `None` if it is too great. There are
/// at most two divisors, and none is zero.
pub(crate) fn round_quotient(negative: bool, number: &BigUint, exponent: i32, divisors: &[u64]) -> Option<f64> {
    // Digits enough that the quotient has more than a double, whatever the divisors.
    const ADDED_BITS: usize = 64 * 4;
    let mut quotient = number.shifted_left(ADDED_BITS);
    // A whole number divided in steps: the fractions of all steps together are less than one.
    let mut inexact = false;
    for divisor in divisors {
        inexact |= quotient.divide(*divisor);
    }
    let value = quotient.round_to_double(exponent - ADDED_BITS as i32, inexact)?;
    Some(if negative && value != 0.0 { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_round_to_the_nearest_double_and_ties_to_even() {
        let round = |value: u128, exponent| BigUint::from_u128(value).round_to_double(exponent, false);
        assert_eq!(round((1 << 53) + 1, 0), Some(9_007_199_254_740_992.0));
        assert_eq!(round((1 << 53) + 3, 0), Some(9_007_199_254_740_996.0));
        assert_eq!(round(1, -1074), Some(f64::from_bits(1)));
        assert_eq!(round(1, -1075), Some(0.0));
        assert_eq!(round(3, -1075), Some(f64::from_bits(2)));
        assert_eq!(round(1, 1023), Some(2.0_f64.powi(1023)));
        assert_eq!(round((1 << 54) - 1, 970), None);
        assert_eq!(round(1, 1024), None);
        assert_eq!(round(1, 9_000), None);
    }

    proptest! {
        #[test]
        fn rounding_agrees_with_the_conversion_of_the_machine(value: u128, shift in 0_u32..128) {
            let value = value >> shift;
            prop_assert_eq!(BigUint::from_u128(value).round_to_double(0, false), Some(value as f64));
        }

        #[test]
        fn quotients_of_small_numbers_are_those_of_the_machine(one in 0_u64..1 << 53, other in 1_u64..1 << 53) {
            let quotient = round_quotient(false, &BigUint::from_u128(one.into()), 0, &[other]);
            prop_assert_eq!(quotient, Some(one as f64 / other as f64));
        }

        #[test]
        fn quotient_times_divisor_with_the_remainder_is_the_number(one: u128, other: u128, by in 1_u64.., more: u64) {
            let number = BigUint::from_u128(one).multiplied_by(&BigUint::from_u128(other)).plus(&BigUint::from_u128(more.into()));
            let divisor = BigUint::from_u128(u128::from(by) * u128::from(by));
            let (quotient, inexact) = number.divided_by(&divisor);
            let product = quotient.multiplied_by(&divisor);
            let rest = number.minus(&product);
            prop_assert!(rest.is_less_than(&divisor));
            prop_assert_eq!(inexact, !rest.is_zero());
            prop_assert_eq!(product.plus(&rest), number);
        }

        #[test]
        fn shifts_products_and_differences_are_inverse(one: u128, other: u128, bits in 0_usize..300) {
            let (one, other) = (BigUint::from_u128(one), BigUint::from_u128(other));
            prop_assert_eq!(&one.shifted_left(bits).shifted_right(bits), &one);
            let product = one.multiplied_by(&other);
            let power = BigUint::from_u128(1).shifted_left(bits);
            prop_assert_eq!(one.multiplied_by(&power), one.shifted_left(bits));
            // (x + 1)·y − y = x·y, with x + 1 written as 2x − (x − 1).
            let twice = product.shifted_left(1);
            prop_assert_eq!(twice.minus(&product), product.clone());
            prop_assert_eq!(product.minus(&twice).is_zero(), true);
        }
    }
}
