//! A row as the message that the posting emulator sends: an object with the table's columns, in their order.

use std::io::Write;

use crate::json;
use pinflow_mysql::{ColumnKind, ResultColumn, TextCell};

/// How times from a database are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TimeFormat {
    /// 2020-08-28T03:52:47
    T,
    /// 2020-08-28 03:52:47
    Space,
}

/// Appends a row as one JSON object without a line feed. Numbers keep the digits of the server, NULL is null.
///
/// # Errors
/// The name of a column whose value JSON cannot represent.
pub(super) fn write_row<'c>(
    columns: &'c [ResultColumn],
    row: &[TextCell],
    times: TimeFormat,
    out: &mut Vec<u8>,
) -> Result<(), &'c str> {
    for (at, (column, cell)) in columns.iter().zip(row).enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        json::push_string(&column.name, false, out);
        out.push(b':');
        let Some(text) = cell else {
            out.extend_from_slice(b"null");
            continue;
        };
        let text = std::str::from_utf8(text).map_err(|_| column.name.as_str())?;
        write_value(column.kind, text, times, out).ok_or(column.name.as_str())?;
    }
    out.push(b'}');
    Ok(())
}

/// `None` if the text does not match its kind.
fn write_value(kind: ColumnKind, text: &str, times: TimeFormat, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        ColumnKind::Decimal => write_decimal(text, out)?,
        ColumnKind::Float => {
            let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
            // As Python prints it: the shortest digits with the same value, always with a point. Writing to memory
            // cannot fail.
            drop(write!(out, "{number:?}"));
        }
        ColumnKind::DateTime if times == TimeFormat::T => json::push_string(&text.replacen(' ', "T", 1), false, out),
        ColumnKind::DateTime | ColumnKind::Text => json::push_string(text, false, out),
    }
    Some(())
}

/// Appends a decimal number without leading zeros, which JSON forbids.
fn write_decimal(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = digits.split('.').next().unwrap_or(digits);
    let kept = whole.trim_start_matches('0').len().max(1);
    let digits = &digits[whole.len().checked_sub(kept)?..];
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    if text.starts_with('-') {
        out.push(b'-');
    }
    out.extend_from_slice(digits.as_bytes());
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write_one(kind: ColumnKind, text: Option<&str>, times: TimeFormat) -> Result<String, String> {
        let columns = [ResultColumn { name: "a \"b\"".to_owned(), kind }];
        let mut out = Vec::new();
        write_row(&columns, &[text.map(|text| text.as_bytes().to_vec())], times, &mut out).map_err(str::to_owned)?;
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        Ok(text.strip_prefix("{\"a \\\"b\\\"\":").unwrap().strip_suffix('}').unwrap().to_owned())
    }

    #[test]
    fn values_of_every_kind_are_json() {
        for (kind, text, json) in [
            (ColumnKind::Decimal, "0", "0"),
            (ColumnKind::Decimal, "-12", "-12"),
            (ColumnKind::Decimal, "18446744073709551615", "18446744073709551615"),
            (ColumnKind::Decimal, "00042", "42"),
            (ColumnKind::Decimal, "000", "0"),
            (ColumnKind::Decimal, "0.50", "0.50"),
            (ColumnKind::Decimal, "-0.5", "-0.5"),
            (ColumnKind::Float, "-89.9787", "-89.9787"),
            (ColumnKind::Float, "5", "5.0"),
            (ColumnKind::Float, "1e20", "1e20"),
            (ColumnKind::Float, "0.0000012", "1.2e-6"),
            (ColumnKind::DateTime, "2020-08-28 03:52:47", "\"2020-08-28T03:52:47\""),
            (ColumnKind::Text, "🎄 \"a\"\n", "\"🎄 \\\"a\\\"\\n\""),
        ] {
            assert_eq!(write_one(kind, Some(text), TimeFormat::T).as_deref(), Ok(json), "{kind:?} {text}");
        }
        assert_eq!(
            write_one(ColumnKind::DateTime, Some("2020-08-28 03:52:47"), TimeFormat::Space).unwrap(),
            "\"2020-08-28 03:52:47\""
        );
        assert_eq!(write_one(ColumnKind::Text, None, TimeFormat::T).unwrap(), "null");
        assert_eq!(write_one(ColumnKind::Float, Some("inf"), TimeFormat::T).unwrap_err(), "a \"b\"");
        assert_eq!(write_one(ColumnKind::Decimal, Some("1x"), TimeFormat::T).unwrap_err(), "a \"b\"");
    }

    #[test]
    fn value_that_is_not_utf8_is_refused_with_its_column() {
        let columns = [ResultColumn { name: "photo".to_owned(), kind: ColumnKind::Text }];
        assert_eq!(write_row(&columns, &[Some(vec![0xff])], TimeFormat::T, &mut Vec::new()), Err("photo"));
    }
}
