//! Lengths of time, as `INTERVAL '3 days'` writes them.

use crate::datum::{Datum, SqlType};
use crate::expr::{ExprKind, ScalarExpr};
use crate::functions::calendar::{TimeUnit, unit_lengths};
use crate::functions::catalog;

/// A constant length of time: calendar months, then microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CalendarInterval {
    /// Calendar months. A year has twelve.
    pub months: i64,
    /// Microseconds. A day has 24 hours, since moments are in UTC.
    pub micros: i64,
}

impl CalendarInterval {
    /// The interval of this many units (`day`, `hours`, …), with at most six decimals for units of fixed length.
    /// `None` if there is no such unit, or the interval is too long.
    #[must_use]
    pub fn of_units(count: f64, unit: &str) -> Option<CalendarInterval> {
        let (_, unit) = TimeUnit::find(unit)?;
        let (months, micros) = unit_lengths(unit);
        if months > 0 {
            let months = whole(count * months as f64)?;
            return Some(CalendarInterval { months, micros: 0 });
        }
        Some(CalendarInterval { months: 0, micros: whole((count * micros as f64).round())? })
    }

    /// The interval in the other direction.
    #[must_use]
    pub fn negated(self) -> Option<CalendarInterval> {
        Some(CalendarInterval { months: self.months.checked_neg()?, micros: self.micros.checked_neg()? })
    }

    fn plus(self, other: CalendarInterval) -> Option<CalendarInterval> {
        let months = self.months.checked_add(other.months)?;
        Some(CalendarInterval { months, micros: self.micros.checked_add(other.micros)? })
    }
}

fn whole(value: f64) -> Option<i64> {
    // Beyond 2^53 not all whole numbers are doubles. That is 285 years of microseconds.
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i64)
}

/// The interval that a text says: `3 days`, `1 year 2 months`, `-90 minutes`; with a unit also `3`.
///
/// `default_unit` is the unit outside the text, as in `INTERVAL '3' DAY`.
#[must_use]
pub fn parse_interval(text: &str, default_unit: Option<&str>) -> Option<CalendarInterval> {
    let words = split_numbers(text);
    let mut words = words.iter().map(String::as_str).filter(|word| !word.eq_ignore_ascii_case("interval")).peekable();
    let mut total = CalendarInterval::default();
    words.peek()?;
    while let Some(count) = words.next() {
        let count: f64 = count.parse().ok().filter(|count: &f64| count.is_finite())?;
        let unit = words.next().or(default_unit)?;
        total = total.plus(CalendarInterval::of_units(count, unit)?)?;
    }
    Some(total)
}

/// The words of a text, where a number and the unit written next to it (`3d`) are two.
fn split_numbers(text: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(text.len() + 8);
    let mut previous = ' ';
    for letter in text.chars() {
        if previous.is_ascii_digit() && letter.is_alphabetic() {
            spaced.push(' ');
        }
        spaced.push(letter);
        previous = letter;
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// `time + interval`. Months are added first; a day that the month does not have becomes its last one.
#[must_use]
pub fn add_interval(time: ScalarExpr, interval: CalendarInterval) -> ScalarExpr {
    with_interval(&catalog::ADD_INTERVAL, time, interval)
}

/// `time_bucket(interval, time)`: the moment at which the bucket of this length begins. Buckets are counted from
/// Monday 2000-01-03; those of months from 2000-01-01, as DuckDB does it. `None` unless the interval is positive, and
/// either months or microseconds.
#[must_use]
pub fn time_bucket(time: ScalarExpr, interval: CalendarInterval) -> Option<ScalarExpr> {
    let valid = match (interval.months, interval.micros) {
        (months, 0) => months > 0,
        (0, micros) => micros > 0,
        _ => false,
    };
    valid.then(|| with_interval(&catalog::TIME_BUCKET, time, interval))
}

fn with_interval(
    spec: &'static crate::functions::FunctionSpec,
    time: ScalarExpr,
    interval: CalendarInterval,
) -> ScalarExpr {
    let constant = |value| ScalarExpr::literal(Datum::Long(value));
    let arguments = vec![time, constant(interval.months), constant(interval.micros)];
    ScalarExpr { kind: ExprKind::Call(crate::functions::ScalarFunction(spec), arguments), ty: SqlType::Time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_with_units_inside_and_outside_the_text() {
        let interval = |months, micros| Some(CalendarInterval { months, micros });
        assert_eq!(parse_interval("3 days", None), interval(0, 3 * 86_400_000_000));
        assert_eq!(parse_interval("3", Some("DAY")), interval(0, 3 * 86_400_000_000));
        assert_eq!(parse_interval("1 year 2 months -1.5 hours", None), interval(14, -5_400_000_000));
        assert_eq!(parse_interval("15min", None), interval(0, 900_000_000));
        assert_eq!(parse_interval("0.5 years", None), interval(6, 0));
        for wrong in ["", "days", "3", "3 moons", "1 day 2", "0.3 months", "1e300 days", "nan days"] {
            assert_eq!(parse_interval(wrong, None), None, "{wrong}");
        }
    }
}
