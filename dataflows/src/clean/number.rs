//! Reads numbers exactly.

use std::borrow::Cow;

use crate::record::{Field, JsonValue};
use crate::rejection::Rejection;

use super::text::{unescape_field, wrong_type};

/// The text of a field that holds a number as a number or a string, trimmed. `None` for null.
///
/// # Errors
/// `wrong_type` for a boolean, an array or an object, `not_utf8` for a string that is not text.
#[inline]
pub(super) fn numeric_text<'a>(field: Field, value: JsonValue<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    match value {
        JsonValue::Null => Ok(None),
        JsonValue::Number(text) => Ok(Some(Cow::Borrowed(text))),
        JsonValue::Text(text) => Ok(Some(trim_text(unescape_field(field, text)?))),
        other => Err(wrong_type(field, &other, "a number")),
    }
}

/// Trims Unicode white space.
#[inline]
pub(super) fn trim_text(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Parses a decimal number whose value is whole and fits an `i64`, in any notation (`7`, `007`, `7.0`, `70e-1`, `-0`).
/// It never passes through a float.
pub(super) fn parse_whole(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let magnitude = match parse_plain_digits(unsigned.as_bytes()) {
        Some(magnitude) => magnitude,
        None => parse_decimal_notation(unsigned)?,
    };
    let signed = i128::from(magnitude);
    i64::try_from(if negative { -signed } else { signed }).ok()
}

/// Parses up to 18 digits without sign or point: nearly all numbers are written so.
fn parse_plain_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    })
}

fn parse_decimal_notation(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    // The value is `digits` × 10^`power`, without trailing zeros in `digits`.
    let fraction = fraction.trim_end_matches('0');
    let digits = if fraction.is_empty() { whole.trim_end_matches('0') } else { whole };
    if digits.bytes().chain(fraction.bytes()).all(|byte| byte == b'0') {
        return Some(0);
    }
    let power = i64::try_from(whole.len() - digits.len()).ok()? - i64::try_from(fraction.len()).ok()? + exponent;
    let scale = 10_u64.checked_pow(u32::try_from(power).ok()?)?;
    let number = digits
        .bytes()
        .chain(fraction.bytes())
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    number.checked_mul(scale)
}

/// Parses an exponent, clamped to ±10^9: no number that fits has a greater one.
fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0, |size, digit| (size * 10 + i64::from(digit - b'0')).min(1_000_000_000));
    Some(if negative { -size } else { size })
}

/// Parses a count such as `94`, `1,234`, `136k`, `1.2K`, `2M` or `1B`. The value must be whole and not negative.
pub(super) fn parse_abbreviated_count(text: &str) -> Option<i64> {
    let (number, zeros) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 3),
        b'M' => (&text[..text.len() - 1], 6),
        b'B' => (&text[..text.len() - 1], 9),
        _ => (text, 0),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > zeros {
        return None;
    }
    let mut total = parse_grouped_digits(whole)?;
    for digit in fraction.bytes().chain(std::iter::repeat_n(b'0', zeros - fraction.len())) {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        total = total.checked_mul(10)?.checked_add(i64::from(digit))?;
    }
    Some(total)
}

/// Parses digits, in groups of three if there is a comma.
fn parse_grouped_digits(text: &str) -> Option<i64> {
    let mut groups = text.split(',');
    let first = groups.next()?;
    if text.len() > first.len() && first.len() > 3 {
        return None;
    }
    let digits = |total: i64, group: &str| {
        group.bytes().try_fold(total, |total, digit| {
            let digit = digit.wrapping_sub(b'0');
            if digit > 9 { None } else { total.checked_mul(10)?.checked_add(i64::from(digit)) }
        })
    };
    let total = if first.is_empty() { None } else { digits(0, first) }?;
    groups.try_fold(total, |total, group| if group.len() == 3 { digits(total, group) } else { None })
}

/// Parses a JSON number to the nearest double. `None` if the text is not a JSON number.
pub(super) fn parse_decimal(text: &str) -> Option<f64> {
    parse_exact_decimal(text.as_bytes()).or_else(|| {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        // `f64` accepts more than JSON: a plus sign, words, and points without digits.
        let well_formed = unsigned.starts_with(|first: char| first.is_ascii_digit())
            && !unsigned.ends_with('.')
            && !unsigned.contains(".e")
            && !unsigned.contains(".E");
        if well_formed { text.parse().ok() } else { None }
    })
}

/// Clinger's fast path (*How to Read Floating Point Numbers Accurately*, 1990): with up to 15 digits and a power of ten
/// that doubles hold exactly, one division rounds once.
fn parse_exact_decimal(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if unsigned.len() > 16 || !unsigned.first()?.is_ascii_digit() || !unsigned.last()?.is_ascii_digit() {
        return None;
    }
    let (mut mantissa, mut point, mut count) = (0_u64, None, 0);
    for &byte in unsigned {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(count),
            _ => return None,
        }
    }
    if count > 15 {
        return None;
    }
    let value = mantissa as f64 / POWERS[point.map_or(0, |before| count - before)];
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_are_read_exactly() {
        let max = i64::MAX;
        for (text, number) in [
            ("0", 0),
            ("-0", 0),
            ("7528", 7528),
            ("-7", -7),
            ("007", 7),
            ("1.0", 1),
            ("20.000", 20),
            ("-0.0", 0),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("70e-1", 7),
            ("1.5e1", 15),
            ("0e999999999999", 0),
            ("0.0e-5", 0),
            ("9223372036854775807", max),
            ("9223372036854775807.0", max),
            ("9007199254740993", 9_007_199_254_740_993),
            ("-9223372036854775808", i64::MIN),
            ("0000000000000000000000012", 12),
            ("922337203685477580.7e1", max),
        ] {
            assert_eq!(parse_whole(text), Some(number), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "1.",
            ".5",
            "1.5",
            "12abc",
            "1e-1",
            "1e",
            "1e+",
            "0x10",
            "1_000",
            "1,000",
            "--1",
            "NaN",
            "9223372036854775808",
            "18446744073709551616",
            "1e400",
            "1e18446744073709551616",
            "９",
            "1 2",
            "1.0.0",
            "-9223372036854775809",
        ] {
            assert_eq!(parse_whole(text), None, "{text}");
        }
    }

    #[test]
    fn counts_with_units_and_commas_are_read_exactly() {
        for (text, number) in [
            ("94", 94),
            ("0", 0),
            ("136k", 136_000),
            ("136K", 136_000),
            ("1.2k", 1200),
            ("2M", 2_000_000),
            ("1B", 1_000_000_000),
            ("1,234", 1234),
            ("1,234,567", 1_234_567),
            ("1,234.5k", 1_234_500),
            ("1.20k", 1200),
            ("9223372036854775807", i64::MAX),
            ("1.123456789B", 1_123_456_789),
            ("5.0", 5),
            ("0.5k", 500),
        ] {
            assert_eq!(parse_abbreviated_count(text), Some(number), "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "-5k",
            "+5",
            "1.2345k",
            "1.5",
            "2m",
            "3b",
            "1T",
            "12abc",
            "1,23",
            "1234,567",
            ",123",
            "1,234,",
            "1,,234",
            ".5k",
            "5.k",
            "5 k",
            "1e3",
            "9223372036854775808",
            "9223372036854776k",
            "99999999999B",
            "User Info",
            "٣k",
            "1.2.3k",
            "1.-5k",
        ] {
            assert_eq!(parse_abbreviated_count(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_beyond_json_syntax_are_refused() {
        for text in
            ["", "-", ".5", "5.", "+5", "inf", "NaN", "1.e3", "1e", "0x1", "1_0", "1,5", "infinity", "-inf", "1..2"]
        {
            assert_eq!(parse_decimal(text), None, "{text}");
        }
        assert_eq!(parse_decimal("1e400"), Some(f64::INFINITY));
        assert_eq!(parse_decimal("-89.9787"), Some(-89.9787));
        assert_eq!(parse_decimal("-0").map(f64::to_bits), Some((-0.0_f64).to_bits()));
    }

    proptest! {
        #[test]
        fn decimals_equal_standard_library_parse(number in "-?[0-9]{1,12}(\\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?") {
            let expected: f64 = number.parse().expect("a number");
            prop_assert_eq!(parse_decimal(&number).map(f64::to_bits), Some(expected.to_bits()));
        }

        #[test]
        fn whole_numbers_equal_standard_library_parse(number: i64) {
            prop_assert_eq!(parse_whole(&number.to_string()), Some(number));
            prop_assert_eq!(parse_whole(&format!("{number}.0")), Some(number));
        }
    }
}
