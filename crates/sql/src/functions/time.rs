//! Functions of moments, all in UTC.

use jiff::civil::Date;

use crate::datum::Datum;
use crate::functions::calendar::{
    MICROS_PER_DAY, MICROS_PER_MILLI, MICROS_PER_SECOND, TimeUnit, add_months, civil_time, micros_of, moment,
};
use crate::functions::{CallArguments, FunctionResult, NoResult};

fn long(value: impl Into<i64>) -> FunctionResult {
    Ok(Datum::Long(value.into()))
}

pub(super) fn year(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.year())
}

pub(super) fn decade(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.year().div_euclid(10))
}

pub(super) fn quarter(arguments: CallArguments<'_>) -> FunctionResult {
    long((civil_time(arguments.time(0)?)?.month() + 2) / 3)
}

pub(super) fn month(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.month())
}

pub(super) fn iso_year(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.iso_week_date().year())
}

pub(super) fn iso_week(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.iso_week_date().week())
}

pub(super) fn year_and_week(arguments: CallArguments<'_>) -> FunctionResult {
    let week = civil_time(arguments.time(0)?)?.iso_week_date();
    long(i64::from(week.year()) * 100 + i64::from(week.week()))
}

pub(super) fn day_of_year(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.day_of_year())
}

pub(super) fn day(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.day())
}

pub(super) fn weekday_from_sunday(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.weekday().to_sunday_zero_offset())
}

pub(super) fn weekday_from_monday(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.weekday().to_monday_zero_offset())
}

pub(super) fn iso_weekday(arguments: CallArguments<'_>) -> FunctionResult {
    long(civil_time(arguments.time(0)?)?.weekday().to_monday_one_offset())
}

/// The names of the days from Monday, then of the months.
pub(super) const DAY_NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
pub(super) const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The name of the day of the week.
pub(super) fn name_of_day(civil: jiff::civil::DateTime) -> &'static str {
    let index = usize::try_from(civil.weekday().to_monday_zero_offset()).unwrap_or_default();
    DAY_NAMES.get(index).copied().unwrap_or_default()
}

/// The name of the month.
pub(super) fn name_of_month(civil: jiff::civil::DateTime) -> &'static str {
    let index = usize::try_from(civil.month() - 1).unwrap_or_default();
    MONTH_NAMES.get(index).copied().unwrap_or_default()
}

pub(super) fn day_name(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::text(name_of_day(civil_time(arguments.time(0)?)?)))
}

pub(super) fn month_name(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::text(name_of_month(civil_time(arguments.time(0)?)?)))
}

pub(super) fn hour(arguments: CallArguments<'_>) -> FunctionResult {
    long(arguments.time(0)?.rem_euclid(MICROS_PER_DAY) / (3_600 * MICROS_PER_SECOND))
}

pub(super) fn minute(arguments: CallArguments<'_>) -> FunctionResult {
    long(arguments.time(0)?.rem_euclid(3_600 * MICROS_PER_SECOND) / (60 * MICROS_PER_SECOND))
}

pub(super) fn second(arguments: CallArguments<'_>) -> FunctionResult {
    long(arguments.time(0)?.rem_euclid(60 * MICROS_PER_SECOND) / MICROS_PER_SECOND)
}

pub(super) fn millisecond(arguments: CallArguments<'_>) -> FunctionResult {
    long(arguments.time(0)?.rem_euclid(60 * MICROS_PER_SECOND) / MICROS_PER_MILLI)
}

pub(super) fn microsecond(arguments: CallArguments<'_>) -> FunctionResult {
    long(arguments.time(0)?.rem_euclid(60 * MICROS_PER_SECOND))
}

pub(super) fn epoch_seconds(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::Double(arguments.time(0)? as f64 / MICROS_PER_SECOND as f64))
}

pub(super) fn unix_timestamp(arguments: CallArguments<'_>) -> FunctionResult {
    long(arguments.time(0)?.div_euclid(MICROS_PER_SECOND))
}

pub(super) fn epoch_millis(arguments: CallArguments<'_>) -> FunctionResult {
    long(arguments.time(0)?.div_euclid(MICROS_PER_MILLI))
}

pub(super) fn epoch_micros(arguments: CallArguments<'_>) -> FunctionResult {
    long(arguments.time(0)?)
}

pub(super) fn from_epoch_seconds(arguments: CallArguments<'_>) -> FunctionResult {
    match arguments.get(0)? {
        Datum::Long(seconds) => moment(seconds.checked_mul(MICROS_PER_SECOND)),
        Datum::Double(seconds) => super::cast::moment_of_seconds(*seconds),
        _ => Err(NoResult),
    }
}

pub(super) fn from_epoch_millis(arguments: CallArguments<'_>) -> FunctionResult {
    moment(arguments.long(0)?.checked_mul(MICROS_PER_MILLI))
}

pub(super) fn from_epoch_micros(arguments: CallArguments<'_>) -> FunctionResult {
    moment(Some(arguments.long(0)?))
}

pub(super) fn start_of_unit(arguments: CallArguments<'_>) -> FunctionResult {
    let unit = TimeUnit::named(arguments.text(0)?)?;
    moment(Some(unit.truncate(arguments.time(1)?)?))
}

/// Spark's order of arguments.
pub(super) fn start_of_unit_swapped(arguments: CallArguments<'_>) -> FunctionResult {
    let unit = TimeUnit::named(arguments.text(1)?)?;
    moment(Some(unit.truncate(arguments.time(0)?)?))
}

pub(super) fn start_of_day(arguments: CallArguments<'_>) -> FunctionResult {
    let micros = arguments.time(0)?;
    moment(micros.checked_sub(micros.rem_euclid(MICROS_PER_DAY)))
}

/// The same moment: the binder made one of the argument.
pub(super) fn same_moment(arguments: CallArguments<'_>) -> FunctionResult {
    arguments.get(0).cloned()
}

pub(super) fn crossed_boundaries(arguments: CallArguments<'_>) -> FunctionResult {
    let unit = TimeUnit::named(arguments.text(0)?)?;
    let (start, end) = (unit.index(arguments.time(1)?)?, unit.index(arguments.time(2)?)?);
    end.checked_sub(start).map(Datum::Long).ok_or(NoResult)
}

/// Complete units between two moments.
pub(super) fn complete_units(arguments: CallArguments<'_>) -> FunctionResult {
    let unit = TimeUnit::named(arguments.text(0)?)?;
    let (start, end) = (arguments.time(1)?, arguments.time(2)?);
    let crossed = match unit {
        TimeUnit::Fixed(length) => return end.checked_sub(start).map(|it| Datum::Long(it / length)).ok_or(NoResult),
        TimeUnit::Months(_) => TimeUnit::Months(1).index(end)? - TimeUnit::Months(1).index(start)?,
    };
    let reached = add_months(start, crossed)?;
    let months = if crossed > 0 && reached > end {
        crossed - 1
    } else if crossed < 0 && reached < end {
        crossed + 1
    } else {
        crossed
    };
    let (months_per_unit, _) = super::calendar::unit_lengths(unit);
    long(months / months_per_unit)
}

/// Spark's `datediff(end, start)`.
pub(super) fn days_between(arguments: CallArguments<'_>) -> FunctionResult {
    let day = |index| arguments.time(index).map(|micros| micros.div_euclid(MICROS_PER_DAY));
    long(day(0)? - day(1)?)
}

/// Spark's `months_between(end, start)`: whole months if both are the same day of the month, or both the last one; else
/// with the rest in months of 31 days, rounded to 8 decimals.
pub(super) fn months_between(arguments: CallArguments<'_>) -> FunctionResult {
    let (end, start) = (arguments.time(0)?, arguments.time(1)?);
    let (to, from) = (civil_time(end)?, civil_time(start)?);
    let months = (TimeUnit::Months(1).index(end)? - TimeUnit::Months(1).index(start)?) as f64;
    let is_last = |civil: jiff::civil::DateTime| civil.day() == civil.days_in_month();
    if to.day() == from.day() || (is_last(to) && is_last(from)) {
        return Ok(Datum::Double(months));
    }
    let within = |civil: jiff::civil::DateTime, micros: i64| {
        i64::from(civil.day()) * MICROS_PER_DAY + micros.rem_euclid(MICROS_PER_DAY)
    };
    let rest = (within(to, end) - within(from, start)) as f64 / (31 * MICROS_PER_DAY) as f64;
    Ok(Datum::Double(((months + rest) * 1e8).round() / 1e8))
}

fn add_days(micros: i64, days: Option<i64>) -> FunctionResult {
    let length = days.and_then(|days| days.checked_mul(MICROS_PER_DAY));
    moment(length.and_then(|length| micros.checked_add(length)))
}

pub(super) fn days_later(arguments: CallArguments<'_>) -> FunctionResult {
    add_days(arguments.time(0)?, Some(arguments.long(1)?))
}

pub(super) fn days_earlier(arguments: CallArguments<'_>) -> FunctionResult {
    add_days(arguments.time(0)?, arguments.long(1)?.checked_neg())
}

pub(super) fn units_later(arguments: CallArguments<'_>) -> FunctionResult {
    let unit = TimeUnit::named(arguments.text(0)?)?;
    moment(Some(unit.add(arguments.time(2)?, arguments.long(1)?)?))
}

pub(super) fn months_later(arguments: CallArguments<'_>) -> FunctionResult {
    moment(Some(add_months(arguments.time(0)?, arguments.long(1)?)?))
}

/// CallArguments: the moment, months, microseconds.
pub(super) fn interval_later(arguments: CallArguments<'_>) -> FunctionResult {
    let (mut micros, months) = (arguments.time(0)?, arguments.long(1)?);
    if months != 0 {
        micros = add_months(micros, months)?;
    }
    moment(micros.checked_add(arguments.long(2)?))
}

/// 2000-01-03, a Monday, and 2000-01-01.
const BUCKET_ORIGIN_DAYS: i64 = 10_959;
const BUCKET_ORIGIN_MONTHS: i64 = 2_000 * 12;

/// CallArguments: the moment, months or 0, microseconds or 0.
pub(super) fn start_of_bucket(arguments: CallArguments<'_>) -> FunctionResult {
    let (micros, months, length) = (arguments.time(0)?, arguments.long(1)?, arguments.long(2)?);
    if months > 0 {
        let index = TimeUnit::Months(1).index(micros)? - BUCKET_ORIGIN_MONTHS;
        let origin = BUCKET_ORIGIN_DAYS * MICROS_PER_DAY - 2 * MICROS_PER_DAY;
        return moment(Some(add_months(origin, index.div_euclid(months) * months)?));
    }
    let origin = BUCKET_ORIGIN_DAYS * MICROS_PER_DAY;
    let since = micros.checked_sub(origin).ok_or(NoResult)?;
    let index = since.checked_div_euclid(length).ok_or(NoResult)?;
    moment(index.checked_mul(length).and_then(|start| start.checked_add(origin)))
}

pub(super) fn last_day(arguments: CallArguments<'_>) -> FunctionResult {
    let last = civil_time(arguments.time(0)?)?.date().last_of_month();
    Ok(Datum::Time(micros_of(last.at(0, 0, 0, 0))?))
}

fn days_in_month_of(arguments: CallArguments<'_>) -> Result<i8, NoResult> {
    Ok(civil_time(arguments.time(0)?)?.days_in_month())
}

pub(super) fn days_in_month(arguments: CallArguments<'_>) -> FunctionResult {
    long(days_in_month_of(arguments)?)
}

fn date_of(arguments: CallArguments<'_>) -> Result<Date, NoResult> {
    let year = i16::try_from(arguments.long(0)?).map_err(|_| NoResult)?;
    let month = i8::try_from(arguments.long(1)?).map_err(|_| NoResult)?;
    let day = i8::try_from(arguments.long(2)?).map_err(|_| NoResult)?;
    Date::new(year, month, day).map_err(|_| NoResult)
}

pub(super) fn make_date(arguments: CallArguments<'_>) -> FunctionResult {
    moment(Some(micros_of(date_of(arguments)?.at(0, 0, 0, 0))?))
}

pub(super) fn make_timestamp(arguments: CallArguments<'_>) -> FunctionResult {
    let midnight = micros_of(date_of(arguments)?.at(0, 0, 0, 0))?;
    let (hour, minute, second) = (arguments.long(3)?, arguments.long(4)?, arguments.double(5)?);
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60.0).contains(&second) {
        return Err(NoResult);
    }
    let micros = (second * MICROS_PER_SECOND as f64).round() as i64;
    moment(midnight.checked_add((hour * 3_600 + minute * 60) * MICROS_PER_SECOND + micros))
}
