//! Conversions between types.

use compact_str::{CompactString, format_compact};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::datum::{Datum, SqlType};
use crate::functions::calendar::{MICROS_PER_SECOND, civil_time, moment};
use crate::functions::{FunctionResult, NoResult};

/// Whether values of one type can be converted to another.
#[must_use]
pub fn can_cast(from: SqlType, to: SqlType) -> bool {
    match (from, to) {
        (from, to) if from == to => true,
        (SqlType::Null, _) | (SqlType::Texts, SqlType::Doubles) | (SqlType::Doubles, SqlType::Texts) => true,
        (_, SqlType::Text) => from != SqlType::Null,
        (_, SqlType::Null | SqlType::Texts | SqlType::Doubles) | (SqlType::Texts | SqlType::Doubles, _) => false,
        (SqlType::Bool, SqlType::Time) | (SqlType::Time, SqlType::Bool) => false,
        _ => true,
    }
}

/// Converts a value.
///
/// - A double becomes the nearest long; of two equally near ones the even one, as in DuckDB and Postgres (Spark and SQLite
///   cut the fraction off).
/// - A text becomes a number if all of it, but for white space around it, is one. For a long it may have a fraction, which
///   is rounded as that of a double.
/// - A text becomes a moment if it is `2024-03-10`, or has a time `10:20`, `10:20:30` or `10:20:30.5` after it, with or
///   without an offset such as `Z` or `+02:00`.
/// - A number becomes a moment, and back, as seconds since 1970 UTC (as in Spark).
/// - A moment becomes a text such as `2024-03-10 10:20:30`, with a fraction if it has one.
/// - `true`, `t`, `yes`, `y`, `on`, `1` and their opposites become conditions, in any case. A number is true unless it is 0.
///
/// # Errors
///
/// If the value does not exist in the other type.
pub fn cast_value(value: &Datum, to: SqlType) -> FunctionResult {
    match (value, to) {
        (Datum::Null, _) => Ok(Datum::Null),
        (Datum::List(list), SqlType::Texts | SqlType::Doubles) => cast_elements(list, to),
        (_, SqlType::Text) => Ok(Datum::Text(text_of(value)?)),
        (_, SqlType::Bool) => bool_of(value),
        (_, SqlType::Long) => long_of(value),
        (_, SqlType::Double) => Datum::double(double_of(value)?).ok_or(NoResult),
        (_, SqlType::Time) => time_of(value),
        (_, SqlType::Null | SqlType::Texts | SqlType::Doubles) => Err(NoResult),
    }
}

fn cast_elements(list: &[Datum], to: SqlType) -> FunctionResult {
    let element = to.element().ok_or(NoResult)?;
    let elements: Result<Box<[Datum]>, NoResult> = list.iter().map(|value| cast_value(value, element)).collect();
    elements.map(Datum::List)
}

fn bool_of(value: &Datum) -> FunctionResult {
    let truth = match value {
        Datum::Bool(value) => *value,
        Datum::Long(value) => *value != 0,
        Datum::Double(value) => *value != 0.0,
        Datum::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => true,
            "false" | "f" | "no" | "n" | "off" | "0" => false,
            _ => return Err(NoResult),
        },
        _ => return Err(NoResult),
    };
    Ok(Datum::Bool(truth))
}

fn long_of(value: &Datum) -> FunctionResult {
    let long = match value {
        Datum::Bool(value) => i64::from(*value),
        Datum::Long(value) => *value,
        Datum::Double(value) => round_to_long(*value).ok_or(NoResult)?,
        Datum::Text(text) => match text.trim().parse() {
            Ok(value) => value,
            Err(_) => round_to_long(parse_double(text)?).ok_or(NoResult)?,
        },
        Datum::Time(micros) => micros.div_euclid(MICROS_PER_SECOND),
        _ => return Err(NoResult),
    };
    Ok(Datum::Long(long))
}

/// The nearest long; of two equally near ones the even one.
pub(super) fn round_to_long(value: f64) -> Option<i64> {
    let rounded = value.round_ties_even();
    // The greatest long is no double: the next one above it is 2^63.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
    fits.then_some(rounded as i64)
}

fn parse_double(text: &str) -> Result<f64, NoResult> {
    text.trim().parse().map_err(|_| NoResult)
}

fn double_of(value: &Datum) -> Result<f64, NoResult> {
    Ok(match value {
        Datum::Bool(value) => f64::from(u8::from(*value)),
        Datum::Long(value) => *value as f64,
        Datum::Double(value) => *value,
        Datum::Text(text) => parse_double(text)?,
        Datum::Time(micros) => *micros as f64 / MICROS_PER_SECOND as f64,
        _ => return Err(NoResult),
    })
}

/// The moment at a number of seconds since 1970 UTC.
pub(super) fn moment_of_seconds(seconds: f64) -> FunctionResult {
    moment(round_to_long(seconds * MICROS_PER_SECOND as f64))
}

fn time_of(value: &Datum) -> FunctionResult {
    match value {
        Datum::Time(micros) => Ok(Datum::Time(*micros)),
        Datum::Long(seconds) => moment(seconds.checked_mul(MICROS_PER_SECOND)),
        Datum::Double(seconds) => moment_of_seconds(*seconds),
        Datum::Text(text) => parse_moment(text).map(Datum::Time).ok_or(NoResult),
        _ => Err(NoResult),
    }
}

/// The moment, in microseconds since 1970 UTC, that a text says. Further decimals are cut off.
pub(crate) fn parse_moment(text: &str) -> Option<i64> {
    let text = text.trim();
    if !text.starts_with(|letter: char| letter.is_ascii_digit()) || text.contains('[') {
        return None;
    }
    // A date has two hyphens; a third one, a plus or a Z belong to an offset.
    let after_date = text.get(10..).unwrap_or_default();
    if after_date.contains(['Z', 'z', '+', '-']) {
        return text.parse().ok().map(floor_micros);
    }
    let civil: DateTime = text.parse().ok()?;
    Offset::UTC.to_timestamp(civil).ok().map(floor_micros)
}

fn floor_micros(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_nanosecond().div_euclid(1_000)).unwrap_or_default()
}

/// The value as text.
pub(super) fn text_of(value: &Datum) -> Result<CompactString, NoResult> {
    Ok(match value {
        Datum::Bool(value) => CompactString::new(if *value { "true" } else { "false" }),
        Datum::Long(value) => format_compact!("{value}"),
        Datum::Double(value) => text_of_double(*value),
        Datum::Text(text) => text.clone(),
        Datum::Time(micros) => text_of_moment(*micros)?,
        Datum::List(list) => text_of_list(list)?,
        Datum::Null => CompactString::new("NULL"),
    })
}

/// The shortest digits that give the same double; with an exponent of at least two digits, as in DuckDB, below 1e-5 and
/// from 1e16.
fn text_of_double(value: f64) -> CompactString {
    let text = format_compact!("{value:?}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.strip_prefix('-') {
        Some(exponent) => format_compact!("{digits}e-{exponent:0>2}"),
        None => format_compact!("{digits}e+{exponent:0>2}"),
    }
}

fn text_of_moment(micros: i64) -> Result<CompactString, NoResult> {
    let civil = civil_time(micros)?;
    let (date, time) = (civil.date(), civil.time());
    let mut text = format_compact!("{date} {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    if fraction > 0 {
        text.push('.');
        text.push_str(format!("{fraction:06}").trim_end_matches('0'));
    }
    Ok(text)
}

fn text_of_list(list: &[Datum]) -> Result<CompactString, NoResult> {
    let mut text = CompactString::new("[");
    for (index, value) in list.iter().enumerate() {
        text.push_str(if index > 0 { ", " } else { "" });
        text.push_str(&text_of(value)?);
    }
    text.push(']');
    Ok(text)
}
