//! Functions of moments, in UTC.

use crate::datum::SqlType;
use crate::functions::FunctionSpec as Spec;
use crate::functions::ParameterType::{Exactly, LetterFormat, Number, PercentFormat, Unit};
use crate::functions::ResultType::Always;
use crate::functions::signature::{ParameterType, ResultType};
use crate::functions::{time, time_format};

const TIME: ParameterType = Exactly(SqlType::Time);
const LONG: ParameterType = Exactly(SqlType::Long);
const DOUBLE: ParameterType = Exactly(SqlType::Double);
const IS_TIME: ResultType = Always(SqlType::Time);
const IS_LONG: ResultType = Always(SqlType::Long);
const IS_DOUBLE: ResultType = Always(SqlType::Double);
const IS_TEXT: ResultType = Always(SqlType::Text);

/// `time + INTERVAL …`: the moment, months, microseconds. It has no name in SQL.
pub(crate) static ADD_INTERVAL: Spec = Spec::new("add_interval", &[TIME, LONG, LONG], IS_TIME, time::interval_later);

/// `time_bucket(INTERVAL …, time)`: the moment, months, microseconds.
pub(crate) static TIME_BUCKET: Spec = Spec::new("time_bucket", &[TIME, LONG, LONG], IS_TIME, time::start_of_bucket);

pub(super) static FUNCTIONS: &[Spec] = &[
    Spec::new("year", &[TIME], IS_LONG, time::year).doc("The year.", "year('2024-03-10')", "2024"),
    Spec::new("quarter", &[TIME], IS_LONG, time::quarter).doc("The quarter, 1 to 4.", "quarter('2024-05-10')", "2"),
    Spec::new("month", &[TIME], IS_LONG, time::month).doc("The month, 1 to 12.", "month('2024-03-10')", "3"),
    Spec::new("week", &[TIME], IS_LONG, time::iso_week)
        .aliases(&["weekofyear"])
        .doc("The ISO week of the year, 1 to 53.", "week('2024-12-30')", "1"),
    Spec::new("isoyear", &[TIME], IS_LONG, time::iso_year).doc("The year of the ISO week.", "isoyear('2024-12-30')", "2025"),
    Spec::new("yearweek", &[TIME], IS_LONG, time::year_and_week).doc(
        "The ISO year and week as one number.",
        "yearweek('2024-12-30')",
        "202501",
    ),
    Spec::new("decade", &[TIME], IS_LONG, time::decade).doc("The year divided by ten.", "decade('2024-03-10')", "202"),
    Spec::new("day", &[TIME], IS_LONG, time::day)
        .aliases(&["dayofmonth"])
        .doc("The day of the month.", "day('2024-03-10')", "10"),
    Spec::new("dayofyear", &[TIME], IS_LONG, time::day_of_year).doc("The day of the year, from 1.", "dayofyear('2024-03-10')", "70"),
    Spec::new("dayofweek", &[TIME], IS_LONG, time::weekday_from_sunday).doc(
        "The day of the week from Sunday, 0, to Saturday, 6, as in DuckDB and Postgres. (Spark's is one more.)",
        "dayofweek('2024-03-10')",
        "0",
    ),
    Spec::new("isodow", &[TIME], IS_LONG, time::iso_weekday).doc(
        "The day of the week from Monday, 1, to Sunday, 7.",
        "isodow('2024-03-10')",
        "7",
    ),
    Spec::new("weekday", &[TIME], IS_LONG, time::weekday_from_monday).doc(
        "The day of the week from Monday, 0, to Sunday, 6, as in Spark. (DuckDB's is that of `dayofweek`.)",
        "weekday('2024-03-10')",
        "6",
    ),
    Spec::new("dayname", &[TIME], IS_TEXT, time::day_name).doc(
        "The English name of the day of the week. (Spark's has three letters.)",
        "dayname('2024-03-10')",
        "Sunday",
    ),
    Spec::new("monthname", &[TIME], IS_TEXT, time::month_name).doc(
        "The English name of the month. (Spark's has three letters.)",
        "monthname('2024-03-10')",
        "March",
    ),
    Spec::new("hour", &[TIME], IS_LONG, time::hour).doc("The hour, 0 to 23.", "hour('2024-03-10 14:30:05')", "14"),
    Spec::new("minute", &[TIME], IS_LONG, time::minute).doc("The minute, 0 to 59.", "minute('2024-03-10 14:30:05')", "30"),
    Spec::new("second", &[TIME], IS_LONG, time::second).doc("The whole second, 0 to 59.", "second('2024-03-10 14:30:05.9')", "5"),
    Spec::new("millisecond", &[TIME], IS_LONG, time::millisecond).doc(
        "The milliseconds since the minute began.",
        "millisecond('2024-03-10 14:30:05.9')",
        "5900",
    ),
    Spec::new("microsecond", &[TIME], IS_LONG, time::microsecond).doc(
        "The microseconds since the minute began.",
        "microsecond('2024-03-10 14:30:05.9')",
        "5900000",
    ),
    Spec::new("epoch", &[TIME], IS_DOUBLE, time::epoch_seconds).doc(
        "The seconds since 1970, with fraction.",
        "epoch('1970-01-02')",
        "86400.0",
    ),
    Spec::new("unix_timestamp", &[TIME], IS_LONG, time::unix_timestamp)
        .aliases(&["to_unix_timestamp", "unixepoch", "unix_seconds"])
        .doc("The whole seconds since 1970.", "unix_timestamp('1970-01-02')", "86400"),
    Spec::new("epoch_ms", &[TIME], IS_LONG, time::epoch_millis)
        .aliases(&["unix_millis"])
        .doc("The milliseconds since 1970.", "epoch_ms('1970-01-01 00:00:01')", "1000"),
    Spec::new("epoch_us", &[TIME], IS_LONG, time::epoch_micros)
        .aliases(&["unix_micros"])
        .doc("The microseconds since 1970.", "epoch_us('1970-01-01 00:00:01')", "1000000"),
    Spec::new("to_timestamp", &[Number], IS_TIME, time::from_epoch_seconds)
        .aliases(&["from_unixtime", "timestamp_seconds"])
        .doc("The moment at a number of seconds since 1970. (Spark's `from_unixtime` gives a text.)", "to_timestamp(86400)", "1970-01-02 00:00:00"),
    Spec::new("to_timestamp", &[TIME], IS_TIME, time::same_moment)
        .aliases(&["timestamp"])
        .doc("The moment that a text says: a cast to timestamp.", "to_timestamp('1970-01-02')", "1970-01-02 00:00:00"),
    Spec::new("make_timestamp_ms", &[LONG], IS_TIME, time::from_epoch_millis)
        .aliases(&["epoch_ms", "timestamp_millis"])
        .doc("The moment at a number of milliseconds since 1970.", "make_timestamp_ms(1000)", "1970-01-01 00:00:01"),
    Spec::new("make_timestamp", &[LONG], IS_TIME, time::from_epoch_micros)
        .aliases(&["timestamp_micros"])
        .doc("The moment at a number of microseconds since 1970.", "make_timestamp(1000000)", "1970-01-01 00:00:01"),
    Spec::new("make_timestamp", &[LONG, LONG, LONG, LONG, LONG, DOUBLE], IS_TIME, time::make_timestamp).doc(
        "The moment of year, month, day, hour, minute and second.",
        "make_timestamp(2024, 3, 10, 14, 30, 5)",
        "2024-03-10 14:30:05",
    ),
    Spec::new("make_date", &[LONG, LONG, LONG], IS_TIME, time::make_date).doc(
        "The start of the day of year, month and day.",
        "make_date(2024, 3, 10)",
        "2024-03-10 00:00:00",
    ),
    Spec::new("to_date", &[TIME], IS_TIME, time::start_of_day)
        .aliases(&["date"])
        .doc("The start of the day. Also `cast(time AS date)`.", "to_date('2024-03-10 14:30:00')", "2024-03-10 00:00:00"),
    Spec::new("date_trunc", &[Unit, TIME], IS_TIME, time::start_of_unit).doc(
        "The start of the unit that the moment is in. Units are microsecond, millisecond, second, minute, hour, day, week (from Monday), month, quarter, year and decade.",
        "date_trunc('month', '2024-03-10')",
        "2024-03-01 00:00:00",
    ),
    Spec::new("trunc", &[TIME, Unit], IS_TIME, time::start_of_unit_swapped).doc(
        "Spark's `date_trunc`, with the unit behind.",
        "trunc('2024-03-10', 'year')",
        "2024-01-01 00:00:00",
    ),
    Spec::new("date_diff", &[Unit, TIME, TIME], IS_LONG, time::crossed_boundaries)
        .aliases(&["datediff", "timestampdiff"])
        .doc(
            "How many units begin after the first moment up to the second one. `date_sub` counts complete units.",
            "date_diff('year', '2023-12-31', '2024-01-01')",
            "1",
        ),
    Spec::new("datediff", &[TIME, TIME], IS_LONG, time::days_between)
        .aliases(&["date_diff"])
        .doc("Spark's: the days from the second moment, the start, to the first one, the end.", "datediff('2024-03-10', '2024-03-01')", "9"),
    Spec::new("date_sub", &[Unit, TIME, TIME], IS_LONG, time::complete_units)
        .aliases(&["datesub"])
        .doc("How many complete units lie between two moments.", "date_sub('year', '2023-12-31', '2024-01-01')", "0"),
    Spec::new("months_between", &[TIME, TIME], IS_DOUBLE, time::months_between).doc(
        "Spark's: the months from the second moment to the first one. A part of a month is counted in months of 31 days.",
        "months_between('2024-03-10', '2024-01-10')",
        "2.0",
    ),
    Spec::new("date_add", &[TIME, LONG], IS_TIME, time::days_later)
        .aliases(&["dateadd"])
        .doc("The moment so many days later. (Spark's gives a date, which is the start of the day.)", "date_add('2024-02-28', 2)", "2024-03-01 00:00:00"),
    Spec::new("date_sub", &[TIME, LONG], IS_TIME, time::days_earlier).doc(
        "The moment so many days earlier.",
        "date_sub('2024-03-01', 2)",
        "2024-02-28 00:00:00",
    ),
    Spec::new("dateadd", &[Unit, LONG, TIME], IS_TIME, time::units_later)
        .aliases(&["date_add", "timestampadd"])
        .doc("The moment so many units later.", "dateadd('hour', 36, '2024-03-01')", "2024-03-02 12:00:00"),
    Spec::new("add_months", &[TIME, LONG], IS_TIME, time::months_later).doc(
        "The moment so many months later. A day that the month does not have becomes its last one.",
        "add_months('2024-01-31', 1)",
        "2024-02-29 00:00:00",
    ),
    Spec::new("last_day", &[TIME], IS_TIME, time::last_day).doc(
        "The start of the last day of the month.",
        "last_day('2024-02-10')",
        "2024-02-29 00:00:00",
    ),
    Spec::new("days_in_month", &[TIME], IS_LONG, time::days_in_month).doc(
        "The number of days of the month.",
        "days_in_month('2024-02-10')",
        "29",
    ),
    Spec::new("strftime", &[TIME, PercentFormat], IS_TEXT, time_format::strftime).doc(
        "The moment as text. Codes: %Y %y %m %d %e %H %I %M %S %f %g %p %j %a %A %b %B %u %w %U %W %G %V %F %T %s %%; %-d and the like leave out leading zeros.",
        "strftime('2024-03-10 14:30:00', '%d.%m.%Y %H:%M')",
        "10.03.2024 14:30",
    ),
    Spec::new("strftime", &[PercentFormat, TIME], IS_TEXT, time_format::strftime_swapped).doc(
        "SQLite's order of arguments.",
        "strftime('%Y', '2024-03-10')",
        "2024",
    ),
    Spec::new("date_format", &[TIME, LetterFormat], IS_TEXT, time_format::date_format)
        .doc(
            "Spark's: the moment as text. Letters: y M d D Q E H h K k m s S a, repeated for the width; quoted text stands as it is.",
            "date_format('2024-03-10 14:30:00', 'yyyy-MM-dd HH:mm')",
            "2024-03-10 14:30",
        ),
];
