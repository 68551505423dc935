//! A row of a table as the message that the original posts for it: an object with the table's columns, in their order.

use std::io::Write;

use crate::emit::json;
use crate::mysql::{Cell, Column, Form};

/// How moments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Times {
    /// `2020-08-28T03:52:47`, as half of the producers write them.
    T,
    /// `2020-08-28 03:52:47`, as the others do.
    Space,
}

/// Appends a row as one JSON object without a line break. Values are as the server writes them: numbers keep their
/// digits, NULL is null.
///
/// # Errors
/// The name of the column that holds what JSON cannot say.
pub(super) fn write<'c>(columns: &'c [Column], row: &[Cell], times: Times, out: &mut Vec<u8>) -> Result<(), &'c str> {
    for (at, (column, cell)) in columns.iter().zip(row).enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        json::string(&column.name, false, out);
        out.push(b':');
        let Some(text) = cell else {
            out.extend_from_slice(b"null");
            continue;
        };
        let text = std::str::from_utf8(text).map_err(|_| column.name.as_str())?;
        value(column.form, text, times, out).ok_or(column.name.as_str())?;
    }
    out.push(b'}');
    Ok(())
}

/// `None` if the text is not what its form says.
fn value(form: Form, text: &str, times: Times, out: &mut Vec<u8>) -> Option<()> {
    match form {
        Form::Number => number(text, out)?,
        Form::Fraction => {
            let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
            // As Python does: the shortest digits that mean the same, and a point in each. Memory is never full.
            drop(write!(out, "{number:?}"));
        }
        Form::Moment if times == Times::T => json::string(&text.replacen(' ', "T", 1), false, out),
        Form::Moment | Form::Text => json::string(text, false, out),
    }
    Some(())
}

/// Appends decimal digits without the zeros before them, which JSON forbids.
fn number(text: &str, out: &mut Vec<u8>) -> Option<()> {
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

    fn written(form: Form, text: Option<&str>, times: Times) -> Result<String, String> {
        let columns = [Column { name: "a \"b\"".to_owned(), form }];
        let mut out = Vec::new();
        write(&columns, &[text.map(|text| text.as_bytes().to_vec())], times, &mut out).map_err(str::to_owned)?;
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        Ok(text.strip_prefix("{\"a \\\"b\\\"\":").unwrap().strip_suffix('}').unwrap().to_owned())
    }

    #[test]
    fn values_are_json() {
        for (form, text, json) in [
            (Form::Number, "0", "0"),
            (Form::Number, "-12", "-12"),
            (Form::Number, "18446744073709551615", "18446744073709551615"),
            (Form::Number, "00042", "42"),
            (Form::Number, "000", "0"),
            (Form::Number, "0.50", "0.50"),
            (Form::Number, "-0.5", "-0.5"),
            (Form::Fraction, "-89.9787", "-89.9787"),
            (Form::Fraction, "5", "5.0"),
            (Form::Fraction, "1e20", "1e20"),
            (Form::Fraction, "0.0000012", "1.2e-6"),
            (Form::Moment, "2020-08-28 03:52:47", "\"2020-08-28T03:52:47\""),
            (Form::Text, "🎄 \"a\"\n", "\"🎄 \\\"a\\\"\\n\""),
        ] {
            assert_eq!(written(form, Some(text), Times::T).as_deref(), Ok(json), "{form:?} {text}");
        }
        assert_eq!(
            written(Form::Moment, Some("2020-08-28 03:52:47"), Times::Space).unwrap(),
            "\"2020-08-28 03:52:47\""
        );
        assert_eq!(written(Form::Text, None, Times::T).unwrap(), "null");
        assert_eq!(written(Form::Fraction, Some("inf"), Times::T).unwrap_err(), "a \"b\"");
        assert_eq!(written(Form::Number, Some("1x"), Times::T).unwrap_err(), "a \"b\"");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_by_name() {
        let columns = [Column { name: "photo".to_owned(), form: Form::Text }];
        assert_eq!(write(&columns, &[Some(vec![0xff])], Times::T, &mut Vec::new()), Err("photo"));
    }
}
