//! Functions of numbers. A result that is not finite counts as none.

use crate::datum::Datum;
use crate::functions::{CallArguments, FunctionResult, NoResult};

fn double(value: f64) -> FunctionResult {
    Datum::double(value).ok_or(NoResult)
}

pub(super) fn abs(arguments: CallArguments<'_>) -> FunctionResult {
    match arguments.get(0)? {
        Datum::Long(value) => value.checked_abs().map(Datum::Long).ok_or(NoResult),
        Datum::Double(value) => double(value.abs()),
        _ => Err(NoResult),
    }
}

pub(super) fn sign(arguments: CallArguments<'_>) -> FunctionResult {
    match arguments.get(0)? {
        Datum::Long(value) => Ok(Datum::Long(value.signum())),
        Datum::Double(value) => Ok(Datum::Long(i64::from(*value > 0.0) - i64::from(*value < 0.0))),
        _ => Err(NoResult),
    }
}

/// A number rounded to decimals: to whole tens, hundreds, … for negative ones.
fn to_decimals(
    arguments: CallArguments<'_>,
    round_double: fn(f64) -> f64,
    round_long: fn(i128, i128) -> i128,
) -> FunctionResult {
    let decimals = arguments.long_or(1, 0)?;
    match arguments.get(0)? {
        Datum::Long(value) => to_decimals_long(*value, decimals, round_long),
        Datum::Double(value) => double(to_decimals_double(*value, decimals, round_double)),
        _ => Err(NoResult),
    }
}

fn to_decimals_long(value: i64, decimals: i64, round_long: fn(i128, i128) -> i128) -> FunctionResult {
    match decimals {
        0.. => Ok(Datum::Long(value)),
        ..-19 => Ok(Datum::Long(0)),
        _ => {
            let unit = 10_i128.pow(u32::try_from(-decimals).map_err(|_| NoResult)?);
            let rounded = round_long(i128::from(value), unit);
            i64::try_from(rounded).map(Datum::Long).map_err(|_| NoResult)
        }
    }
}

/// As DuckDB does it: scaled, rounded, and scaled back. A scale that is not finite leaves the value.
fn to_decimals_double(value: f64, decimals: i64, round_double: fn(f64) -> f64) -> f64 {
    if decimals == 0 {
        return round_double(value);
    }
    let exponent = i32::try_from(decimals.unsigned_abs()).unwrap_or(i32::MAX);
    let scale = 10_f64.powi(exponent);
    if decimals < 0 {
        return if scale.is_finite() { round_double(value / scale) * scale } else { 0.0 };
    }
    let rounded = round_double(value * scale) / scale;
    if rounded.is_finite() { rounded } else { value }
}

/// Half away from zero.
pub(super) fn round(arguments: CallArguments<'_>) -> FunctionResult {
    to_decimals(arguments, f64::round, |value, unit| {
        let half = if value < 0 { -unit / 2 } else { unit / 2 };
        (value + half) / unit * unit
    })
}

/// Half to the even neighbour.
pub(super) fn round_even(arguments: CallArguments<'_>) -> FunctionResult {
    to_decimals(arguments, f64::round_ties_even, |value, unit| {
        let (whole, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
        let up = 2 * rest > unit || (2 * rest == unit && whole % 2 != 0);
        (whole + i128::from(up)) * unit
    })
}

pub(super) fn trunc(arguments: CallArguments<'_>) -> FunctionResult {
    to_decimals(arguments, f64::trunc, |value, unit| value / unit * unit)
}

pub(super) fn floor(arguments: CallArguments<'_>) -> FunctionResult {
    to_decimals(arguments, f64::floor, |value, unit| value.div_euclid(unit) * unit)
}

pub(super) fn ceil(arguments: CallArguments<'_>) -> FunctionResult {
    to_decimals(arguments, f64::ceil, |value, unit| -(-value).div_euclid(unit) * unit)
}

pub(super) fn sqrt(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.sqrt())
}

pub(super) fn cbrt(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.cbrt())
}

pub(super) fn exp(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.exp())
}

pub(super) fn ln(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.ln())
}

pub(super) fn log10(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.log10())
}

pub(super) fn log2(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.log2())
}

pub(super) fn log1p(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.ln_1p())
}

/// The base comes first.
pub(super) fn log(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(1)?.log10() / arguments.double(0)?.log10())
}

pub(super) fn power(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.powf(arguments.double(1)?))
}

/// The remainder with the sign of the divisor.
pub(super) fn positive_remainder(arguments: CallArguments<'_>) -> FunctionResult {
    match (arguments.get(0)?, arguments.get(1)?) {
        (Datum::Long(_), Datum::Long(-1)) => Ok(Datum::Long(0)),
        (Datum::Long(value), Datum::Long(divisor)) => {
            let rest = value.checked_rem(*divisor).ok_or(NoResult)?;
            Ok(Datum::Long(if rest != 0 && (rest < 0) != (*divisor < 0) { rest + divisor } else { rest }))
        }
        (Datum::Double(value), Datum::Double(divisor)) => {
            let rest = value % divisor;
            double(if rest != 0.0 && (rest < 0.0) != (*divisor < 0.0) { rest + divisor } else { rest })
        }
        _ => Err(NoResult),
    }
}

pub(super) fn greatest(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(arguments.all().filter(|value| !value.is_null()).max().cloned().unwrap_or(Datum::Null))
}

pub(super) fn least(arguments: CallArguments<'_>) -> FunctionResult {
    // Null is the greatest value.
    arguments.all().min().cloned().ok_or(NoResult)
}

pub(super) fn pi(_: CallArguments<'_>) -> FunctionResult {
    double(std::f64::consts::PI)
}

pub(super) fn euler(_: CallArguments<'_>) -> FunctionResult {
    double(std::f64::consts::E)
}

pub(super) fn radians(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.to_radians())
}

pub(super) fn degrees(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.to_degrees())
}

pub(super) fn sin(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.sin())
}

pub(super) fn cos(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.cos())
}

pub(super) fn tan(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.tan())
}

pub(super) fn cot(arguments: CallArguments<'_>) -> FunctionResult {
    double(1.0 / arguments.double(0)?.tan())
}

pub(super) fn asin(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.asin())
}

pub(super) fn acos(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.acos())
}

pub(super) fn atan(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.atan())
}

pub(super) fn atan2(arguments: CallArguments<'_>) -> FunctionResult {
    double(arguments.double(0)?.atan2(arguments.double(1)?))
}

/// The bucket of a value among equal ones between two bounds: 0 below, one more than the number above.
pub(super) fn width_bucket(arguments: CallArguments<'_>) -> FunctionResult {
    let (value, low, high) = (arguments.double(0)?, arguments.double(1)?, arguments.double(2)?);
    let buckets = arguments.long(3)?;
    if buckets <= 0 || buckets == i64::MAX || low == high {
        return Err(NoResult);
    }
    let share = if low < high { (value - low) / (high - low) } else { (low - value) / (low - high) };
    let bucket = (share * buckets as f64).floor() + 1.0;
    Ok(Datum::Long((bucket.max(0.0) as i64).min(buckets + 1)))
}
