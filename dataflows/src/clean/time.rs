//! Reads times such as `2020-08-28T03:52:47`, with a `T` or a space, an optional fraction, and an optional `Z` or
//! offset.

use crate::record::Micros;

const MICROS_PER_SEC: i64 = 1_000_000;

/// Parses a time to microseconds since 1970 UTC. `None` if the text is not a time.
///
/// Without an offset the time is UTC. An offset is `Z`, `±HH:MM`, `±HHMM` or `±HH`, of less than a day. A fraction may
/// have any number of digits, of which the first six count. The moment must be in the years 0001…9999 UTC, which every
/// reader of Delta timestamps supports. 24:00 and leap seconds (`:60`) are not times.
pub(super) fn parse_micros(text: &str) -> Option<Micros> {
    let (head, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let mut micros = parse_seconds(head)? * MICROS_PER_SEC;
    if rest.is_empty() {
        return Some(micros);
    }
    let mut rest = rest;
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let six = fraction[..digits].iter().chain(std::iter::repeat(&b'0')).take(6);
        micros += six.fold(0, |total, digit| total * 10 + i64::from(digit - b'0'));
        rest = &fraction[digits..];
    }
    let micros = micros - parse_offset_secs(rest)? * MICROS_PER_SEC;
    // Without an offset the year was checked already, but an offset can move the moment out of range.
    const FIRST: i64 = -62_135_596_800 * MICROS_PER_SEC;
    const END: i64 = 253_402_300_800 * MICROS_PER_SEC;
    (FIRST..END).contains(&micros).then_some(micros)
}

/// Parses `YYYY-MM-DDTHH:MM:SS` to seconds since 1970.
fn parse_seconds(text: &[u8; 19]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b' ', h1, h2, b':', n1, n2, b':', s1, s2] = *text else {
        return None;
    };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let (month, day) = (two_digits(m1, m2)?, two_digits(d1, d2)?);
    let (hour, minute, second) = (two_digits(h1, h2)?, two_digits(n1, n2)?, two_digits(s1, s2)?);
    if year == 0
        || !(1..=12).contains(&month)
        || day == 0
        || day > days_in(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, for years from 1. The algorithm is `days_from_civil` of
/// Howard Hinnant, *chrono-compatible low-level date algorithms*.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Let the year begin in March, so that the leap day is its last day.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

fn parse_offset_secs(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match *text {
        [] | [b'Z'] => return Some(0),
        [sign, h1, h2] => (sign, two_digits(h1, h2)?, 0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, two_digits(h1, h2)?, two_digits(m1, m2)?),
        _ => return None,
    };
    let size = hours * 3_600 + minutes * 60;
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(size),
        b'-' => Some(-size),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_with_fraction_and_offset_are_read_exactly() {
        let moment = 1_598_586_767_000_000;
        for (text, micros_expected) in [
            ("2020-08-28T03:52:47", moment),
            ("2020-08-28 03:52:47", moment),
            ("2020-08-28T03:52:47Z", moment),
            ("2020-08-28 03:52:47+00:00", moment),
            ("2020-08-28T05:52:47+02:00", moment),
            ("2020-08-28T05:52:47+0200", moment),
            ("2020-08-27T22:22:47-05:30", moment),
            ("2020-08-28T05:52:47+02", moment),
            ("2020-08-28T03:52:47.5", moment + 500_000),
            ("2020-08-28T03:52:47.123456", moment + 123_456),
            ("2020-08-28T03:52:47.1234569Z", moment + 123_456),
            ("2020-08-28T03:52:47.000000000000000001Z", moment),
            ("1970-01-01T00:00:00", 0),
            ("1969-12-31T23:59:59.999999", -1),
            ("2020-02-29 00:00:00", 1_582_934_400_000_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ] {
            assert_eq!(parse_micros(text), Some(micros_expected), "{text}");
        }
    }

    #[test]
    fn malformed_times_are_refused() {
        for text in [
            "",
            "2020-08-28",
            "2020-08-28T03:52",
            "2020-08-28t03:52:47",
            "2020-08-28T03:52:47z",
            "2020-08-28T03:52:47 Z",
            "2020-08-28T03:52:47.",
            "2020-08-28T03:52:47.Z",
            "2020-08-28T03:52:47+",
            "2020-08-28T03:52:47+2",
            "2020-08-28T03:52:47+24:00",
            "2020-08-28T03:52:47+02:60",
            "2020-08-28T03:52:47,5",
            "2020-08-28T03:52:47 UTC",
            "2020-08-28T03:52:47[Europe/Berlin]",
            "0000-01-01T00:00:00",
            "+275760-09-13T00:00:00",
            "10000-01-01T00:00:00",
            "-001-01-01T00:00:00",
            "2016-12-31T23:59:60",
            "2016-12-31T24:00:00",
            "2021-02-29T00:00:00",
            "1900-02-29T00:00:00",
            "2020-13-01T00:00:00",
            "2020-00-01T00:00:00",
            "2020-04-31T00:00:00",
            "2020-04-00T00:00:00",
            "2020-04-01T23:60:00",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "28/08/2020 03:52:47",
            "1598586767",
            "1598586767000",
            "1598586767000000",
            "２020-08-28T03:52:47",
            "2020-08-28T03:52:47\0",
        ] {
            assert_eq!(parse_micros(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn times_equal_jiff_parse(
            secs in -62_135_596_800_i64..253_402_300_800,
            sub in 0_i32..1_000_000,
            offset in -86_340_i32..=86_340,
        ) {
            let moment = jiff::Timestamp::new(secs, sub * 1000).expect("in range");
            let zone = jiff::tz::Offset::from_seconds(offset / 60 * 60).expect("in range");
            let local = zone.to_datetime(moment);
            prop_assume!((1..=9999).contains(&local.year()));
            let sign = if offset / 60 < 0 { '-' } else { '+' };
            let (hours, minutes) = ((offset / 3600).abs(), (offset / 60 % 60).abs());
            let text = format!("{}{sign}{hours:02}:{minutes:02}", local.strftime("%Y-%m-%dT%H:%M:%S.%6f"));
            prop_assert_eq!(parse_micros(&text), Some(moment.as_microsecond()), "{}", text);
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in "\\PC{0,40}|[0-9T:Z.+ -]{15,32}") {
            if let Some(moment) = parse_micros(&text) {
                prop_assert!(jiff::Timestamp::from_microsecond(moment).is_ok());
            }
        }
    }
}
