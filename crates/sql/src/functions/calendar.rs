//! Moments, and the calendar in UTC.
//!
//! Moments outside the years -9999 to 9999 have no date: functions have no result for them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

use crate::datum::Datum;
use crate::functions::{FunctionResult, NoResult};

pub(crate) const MICROS_PER_MILLI: i64 = 1_000;
pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub(crate) const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub(crate) const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;
pub(crate) const MICROS_PER_WEEK: i64 = 7 * MICROS_PER_DAY;
/// From the Monday before 1970-01-01, a Thursday, to it.
const MICROS_SINCE_MONDAY: i64 = 3 * MICROS_PER_DAY;

/// The date and time of day.
pub(crate) fn civil_time(micros: i64) -> Result<DateTime, NoResult> {
    Timestamp::from_microsecond(micros).map(|moment| Offset::UTC.to_datetime(moment)).map_err(|_| NoResult)
}

/// The moment at which a date and time of day is in UTC.
pub(crate) fn micros_of(civil: DateTime) -> Result<i64, NoResult> {
    Offset::UTC.to_timestamp(civil).map(Timestamp::as_microsecond).map_err(|_| NoResult)
}

/// A moment, if it has a date.
pub(crate) fn moment(micros: Option<i64>) -> FunctionResult {
    let micros = micros.ok_or(NoResult)?;
    Timestamp::from_microsecond(micros).map(|_| Datum::Time(micros)).map_err(|_| NoResult)
}

/// The first moment of the day of this number of months since year 0.
fn micros_of_month(month: i64) -> Result<i64, NoResult> {
    let year = i16::try_from(month.div_euclid(12)).map_err(|_| NoResult)?;
    let month = i8::try_from(month.rem_euclid(12) + 1).map_err(|_| NoResult)?;
    let date = Date::new(year, month, 1).map_err(|_| NoResult)?;
    micros_of(date.at(0, 0, 0, 0))
}

/// The number of months since year 0.
fn month_number(civil: DateTime) -> i64 {
    i64::from(civil.year()) * 12 + i64::from(civil.month()) - 1
}

/// A moment some months later. A day that the month does not have becomes its last one.
pub(crate) fn add_months(micros: i64, months: i64) -> Result<i64, NoResult> {
    let civil = civil_time(micros)?;
    let first = micros_of_month(month_number(civil).checked_add(months).ok_or(NoResult)?)?;
    let last_day = civil_time(first)?.days_in_month();
    let day = i64::from(civil.day().min(last_day)) - 1;
    Ok(first + day * MICROS_PER_DAY + micros.rem_euclid(MICROS_PER_DAY))
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    /// Always of the same length, in microseconds. Multiples are counted from 1970-01-01, weeks from a Monday.
    Fixed(i64),
    /// A number of months.
    Months(i64),
}

/// The names of the units: the first of each row is the one that plans use.
const UNIT_NAMES: [(&[&str], TimeUnit); 11] = [
    (&["microsecond", "microseconds", "us", "usec", "usecs"], TimeUnit::Fixed(1)),
    (&["millisecond", "milliseconds", "ms", "msec", "msecs"], TimeUnit::Fixed(MICROS_PER_MILLI)),
    (&["second", "seconds", "s", "sec", "secs"], TimeUnit::Fixed(MICROS_PER_SECOND)),
    (&["minute", "minutes", "m", "min", "mins"], TimeUnit::Fixed(MICROS_PER_MINUTE)),
    (&["hour", "hours", "h", "hr", "hrs"], TimeUnit::Fixed(MICROS_PER_HOUR)),
    (&["day", "days", "d", "dd"], TimeUnit::Fixed(MICROS_PER_DAY)),
    (&["week", "weeks", "w"], TimeUnit::Fixed(MICROS_PER_WEEK)),
    (&["month", "months", "mon", "mons", "mm"], TimeUnit::Months(1)),
    (&["quarter", "quarters"], TimeUnit::Months(3)),
    (&["year", "years", "y", "yr", "yrs", "yyyy", "yy"], TimeUnit::Months(12)),
    (&["decade", "decades"], TimeUnit::Months(120)),
];

impl TimeUnit {
    /// The unit of this name, in any case, and the name that plans use for it.
    pub(crate) fn find(name: &str) -> Option<(&'static str, TimeUnit)> {
        let name = name.trim().to_ascii_lowercase();
        let (names, unit) = UNIT_NAMES.iter().find(|(names, _)| names.contains(&name.as_str()))?;
        Some((names.first()?, *unit))
    }

    /// The unit of a name that plans use.
    pub(crate) fn named(name: &str) -> Result<TimeUnit, NoResult> {
        let unit = UNIT_NAMES.iter().find(|(names, _)| names.first() == Some(&name));
        unit.map(|(_, unit)| *unit).ok_or(NoResult)
    }

    /// The names that plans use.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        UNIT_NAMES.iter().filter_map(|(names, _)| names.first().copied())
    }

    /// How many of these units begin from some fixed moment up to this one.
    pub(crate) fn index(self, micros: i64) -> Result<i64, NoResult> {
        match self {
            TimeUnit::Fixed(MICROS_PER_WEEK) => {
                let since_monday = micros.checked_add(MICROS_SINCE_MONDAY).ok_or(NoResult)?;
                Ok(since_monday.div_euclid(MICROS_PER_WEEK))
            }
            TimeUnit::Fixed(length) => Ok(micros.div_euclid(length)),
            TimeUnit::Months(months) => Ok(month_number(civil_time(micros)?).div_euclid(months)),
        }
    }

    /// The moment at which the unit of this index begins.
    fn start(self, index: i64) -> Result<i64, NoResult> {
        match self {
            TimeUnit::Fixed(MICROS_PER_WEEK) => {
                let monday = index.checked_mul(MICROS_PER_WEEK).ok_or(NoResult)?;
                monday.checked_sub(MICROS_SINCE_MONDAY).ok_or(NoResult)
            }
            TimeUnit::Fixed(length) => index.checked_mul(length).ok_or(NoResult),
            TimeUnit::Months(months) => micros_of_month(index * months),
        }
    }

    /// The moment at which the unit that a moment is in begins.
    pub(crate) fn truncate(self, micros: i64) -> Result<i64, NoResult> {
        self.start(self.index(micros)?)
    }

    /// The moment that is a number of units later.
    pub(crate) fn add(self, micros: i64, count: i64) -> Result<i64, NoResult> {
        match self {
            TimeUnit::Fixed(length) => {
                count.checked_mul(length).and_then(|length| micros.checked_add(length)).ok_or(NoResult)
            }
            TimeUnit::Months(months) => add_months(micros, count.checked_mul(months).ok_or(NoResult)?),
        }
    }
}

/// The number of months of a unit (0 if its length is fixed), and its length in microseconds (0 if it is in months).
pub(crate) fn unit_lengths(unit: TimeUnit) -> (i64, i64) {
    match unit {
        TimeUnit::Fixed(length) => (0, length),
        TimeUnit::Months(months) => (months, 0),
    }
}
