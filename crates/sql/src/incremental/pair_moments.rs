//! Covariance, correlation and linear regression, exact until the result is rounded.

use serde::{Deserialize, Serialize};

use super::big_uint::BigUint;
use super::exact_sum::ExactSum;
use super::linear_cell::{add_count, number_of};
use crate::datum::Datum;
use crate::plan::PairFunction;

/// The sums over pairs of numbers. Parts of them can be made anywhere and added up in any order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PairSums {
    count: i64,
    x: ExactSum,
    y: ExactSum,
    x_squares: ExactSum,
    y_squares: ExactSum,
    products: ExactSum,
}

impl PairSums {
    /// Adds a pair `diff` times. It does not count if one of the two is null.
    pub(super) fn update(&mut self, y: &Datum, x: &Datum, diff: i64) {
        if y.is_null() || x.is_null() {
            return;
        }
        let (y, x) = (number_of(y), number_of(x));
        add_count(&mut self.count, diff);
        self.x.add(x, diff);
        self.y.add(y, diff);
        self.x_squares.add_square(x, diff);
        self.y_squares.add_square(y, diff);
        self.products.add_product(x, y, diff);
    }

    /// Adds other sums.
    pub(super) fn merge(&mut self, other: &PairSums) {
        add_count(&mut self.count, other.count);
        for (sum, added) in self.sums_mut().into_iter().zip(other.sums()) {
            sum.merge(added);
        }
    }

    /// The number of pairs.
    pub(super) fn count(&self) -> i64 {
        self.count
    }

    /// Whether the sums are as if there had been no pair.
    pub(super) fn is_zero(&self) -> bool {
        self.count == 0 && self.sums().into_iter().all(ExactSum::is_zero)
    }

    /// The bytes owned on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.sums().into_iter().map(ExactSum::heap_bytes).sum()
    }

    fn sums(&self) -> [&ExactSum; 5] {
        [&self.x, &self.y, &self.x_squares, &self.y_squares, &self.products]
    }

    fn sums_mut(&mut self) -> [&mut ExactSum; 5] {
        [&mut self.x, &mut self.y, &mut self.x_squares, &mut self.y_squares, &mut self.products]
    }

    /// The result over at least one pair. `Ok(None)` is null, `Err` a result that is too great.
    pub(super) fn result(&self, function: PairFunction) -> Result<Option<f64>, ResultOverflow> {
        let (x, y) = (BigNumber::of_sum(&self.x), BigNumber::of_sum(&self.y));
        let (x_squares, products) = (BigNumber::of_sum(&self.x_squares), BigNumber::of_sum(&self.products));
        let count = BigNumber::of_count(self.count.unsigned_abs());
        let both = count.times(&products).minus(&x.times(&y));
        let of_x = || count.times(&x_squares).minus(&x.times(&x));
        let of_y = || count.times(&BigNumber::of_sum(&self.y_squares)).minus(&y.times(&y));
        let (number, divisor) = match function {
            PairFunction::CovariancePopulation => (both, count.times(&count)),
            PairFunction::CovarianceSample => {
                (both, count.times(&BigNumber::of_count(self.count.unsigned_abs().saturating_sub(1))))
            }
            PairFunction::Slope => (both, of_x()),
            PairFunction::SpreadOfX => (of_x(), count.clone()),
            PairFunction::SpreadOfY => (of_y(), count.clone()),
            PairFunction::SpreadOfBoth => (both, count.clone()),
            PairFunction::Intercept => (y.times(&x_squares).minus(&x.times(&products)), of_x()),
            PairFunction::Correlation | PairFunction::Determination => {
                let (of_x, of_y) = (of_x(), of_y());
                if of_x.is_zero() || of_y.is_zero() {
                    let fits = function == PairFunction::Determination && !of_x.is_zero();
                    return Ok(fits.then_some(1.0));
                }
                let share = both.times(&both).rounded_over(&of_x.times(&of_y)).ok_or(ResultOverflow)?;
                let sign = if both.negative { -1.0 } else { 1.0 };
                return Ok(Some(if function == PairFunction::Correlation { share.sqrt() * sign } else { share }));
            }
        };
        if divisor.is_zero() {
            return Ok(None);
        }
        number.rounded_over(&divisor).map(Some).ok_or(ResultOverflow)
    }
}

/// A result is greater than the greatest double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResultOverflow;

/// A whole number with a sign, times two to the power of `exponent`.
#[derive(Debug, Clone)]
struct BigNumber {
    negative: bool,
    magnitude: BigUint,
    exponent: i32,
}

impl BigNumber {
    fn new(negative: bool, magnitude: &BigUint, exponent: i32) -> BigNumber {
        // Zeros at the end would only make products longer.
        let zeros = magnitude.trailing_zeros();
        let negative = negative && !magnitude.is_zero();
        BigNumber { negative, magnitude: magnitude.shifted_right(zeros), exponent: exponent + zeros as i32 }
    }

    fn of_sum(sum: &ExactSum) -> BigNumber {
        let (negative, magnitude, exponent) = sum.sign_and_magnitude();
        BigNumber::new(negative, &magnitude, exponent)
    }

    fn of_count(count: u64) -> BigNumber {
        BigNumber::new(false, &BigUint::from_u128(count.into()), 0)
    }

    fn is_zero(&self) -> bool {
        self.magnitude.is_zero()
    }

    fn times(&self, other: &BigNumber) -> BigNumber {
        let magnitude = self.magnitude.multiplied_by(&other.magnitude);
        BigNumber::new(self.negative != other.negative, &magnitude, self.exponent + other.exponent)
    }

    fn minus(&self, other: &BigNumber) -> BigNumber {
        if self.is_zero() || other.is_zero() {
            let negated = BigNumber { negative: !other.negative, ..other.clone() };
            return if other.is_zero() { self.clone() } else { negated };
        }
        let exponent = self.exponent.min(other.exponent);
        let aligned =
            |number: &BigNumber| number.magnitude.shifted_left((number.exponent - exponent).unsigned_abs() as usize);
        let (one, two) = (aligned(self), aligned(other));
        if self.negative != other.negative {
            return BigNumber::new(self.negative, &one.plus(&two), exponent);
        }
        match one.is_less_than(&two) {
            true => BigNumber::new(!self.negative, &two.minus(&one), exponent),
            false => BigNumber::new(self.negative, &one.minus(&two), exponent),
        }
    }

    /// The quotient, rounded to the nearest double, of two equally near ones to the even. `None` if it is too great. The
    /// divisor is greater than zero.
    fn rounded_over(&self, divisor: &BigNumber) -> Option<f64> {
        /// Digits of the quotient: those of a double, one that decides on rounding, and some to spare.
        const QUOTIENT_BITS: usize = 70;
        if self.is_zero() {
            return Some(0.0);
        }
        let wanted = divisor.magnitude.bit_length() + QUOTIENT_BITS;
        let own = self.magnitude.bit_length();
        // Digits that are dropped count as a remainder, so that a division has few steps.
        let (added, dropped) = (wanted.saturating_sub(own), own.saturating_sub(wanted));
        let is_cut = self.magnitude.trailing_zeros() < dropped;
        let dividend = self.magnitude.shifted_left(added).shifted_right(dropped);
        let (quotient, inexact) = dividend.divided_by(&divisor.magnitude);
        let inexact = inexact || is_cut;
        let exponent = self.exponent - divisor.exponent + dropped as i32 - added as i32;
        let value = quotient.round_to_double(exponent, inexact)?;
        Some(if self.negative && value != 0.0 { -value } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums_of(pairs: &[(f64, f64)]) -> PairSums {
        let mut sums = PairSums::default();
        pairs.iter().for_each(|(y, x)| sums.update(&Datum::Double(*y), &Datum::Double(*x), 1));
        sums
    }

    #[test]
    fn line_through_points_is_found_exactly_also_far_from_zero() {
        // y = 3x − 7 at x around 2^40, where sums of squares in doubles have lost everything.
        let base = 2_f64.powi(40);
        let points: Vec<(f64, f64)> = (0..5).map(|step| base + f64::from(step)).map(|x| (3.0 * x - 7.0, x)).collect();
        let sums = sums_of(&points);
        let result = |function| sums.result(function).expect("fits");
        assert_eq!(result(PairFunction::Slope), Some(3.0));
        assert_eq!(result(PairFunction::Intercept), Some(-7.0));
        assert_eq!(result(PairFunction::Correlation), Some(1.0));
        assert_eq!(result(PairFunction::Determination), Some(1.0));
        assert_eq!(result(PairFunction::CovariancePopulation), Some(6.0));
        assert_eq!(result(PairFunction::CovarianceSample), Some(7.5));
        assert_eq!(result(PairFunction::SpreadOfX), Some(10.0));
        assert_eq!(result(PairFunction::SpreadOfY), Some(90.0));
        assert_eq!(result(PairFunction::SpreadOfBoth), Some(30.0));
    }

    #[test]
    fn sums_of_no_spread_have_no_slope_and_retracted_ones_are_zero() {
        let mut sums = sums_of(&[(1.0, 4.0), (2.0, 4.0)]);
        for function in
            [PairFunction::Slope, PairFunction::Intercept, PairFunction::Correlation, PairFunction::Determination]
        {
            assert_eq!(sums.result(function), Ok(None), "{function:?}");
        }
        assert_eq!(sums_of(&[(4.0, 1.0), (4.0, 2.0)]).result(PairFunction::Determination), Ok(Some(1.0)));
        assert_eq!(sums_of(&[(4.0, 1.0)]).result(PairFunction::CovarianceSample), Ok(None));
        sums.update(&Datum::Null, &Datum::Double(9.0), 1);
        assert_eq!(sums.count(), 2, "a pair with a null does not count");
        sums.merge(&sums_of(&[(1e300, 1e-300)]));
        [(1.0, 4.0), (2.0, 4.0), (1e300, 1e-300)]
            .iter()
            .for_each(|(y, x)| sums.update(&Datum::Double(*y), &Datum::Double(*x), -1));
        assert!(sums.is_zero(), "{sums:?}");
    }
}
