//! Text columns: kept byte for byte, or null.

use std::borrow::Cow;

use crate::record::{Field, LoneSurrogate, Raw, Text, Value};
use crate::rejection::{Reason, Rejection};

use super::{FieldFault, FieldFaults};

/// A text field. Null where it is absent, empty or one of the `placeholders`.
///
/// # Errors
/// `wrong_type` if it is neither a string nor null, `not_utf8` if an escape in it means no character.
#[inline]
pub(super) fn text<'a>(raw: &Raw<'a>, field: Field, placeholders: &[&str]) -> Result<Option<Cow<'a, str>>, Rejection> {
    match raw.get(field) {
        Value::Null => Ok(None),
        Value::Text(text) => Ok(kept(read(field, text)?, placeholders)),
        other => Err(wrong_type(field, &other, "a string")),
    }
}

/// A text field of at most `bytes_max` bytes; a longer one is null, and adds `fault` to `faults`.
///
/// # Errors
/// As [`text`].
#[inline]
pub(super) fn short_text<'a>(
    raw: &Raw<'a>,
    field: Field,
    placeholders: &[&str],
    (bytes_max, fault): (usize, FieldFault),
    faults: &mut FieldFaults,
) -> Result<Option<Cow<'a, str>>, Rejection> {
    let found = text(raw, field, placeholders)?;
    if found.as_ref().is_some_and(|text| text.len() > bytes_max) {
        faults.add(fault);
        return Ok(None);
    }
    Ok(found)
}

/// A text, unless it is empty or a placeholder.
pub(super) fn kept<'a>(text: Cow<'a, str>, placeholders: &[&str]) -> Option<Cow<'a, str>> {
    if is_empty(&text) || placeholders.contains(&&*text) { None } else { Some(text) }
}

/// What a string says.
///
/// # Errors
/// `not_utf8` if an escape in it means no character.
#[inline]
pub(super) fn read(field: Field, text: Text<'_>) -> Result<Cow<'_, str>, Rejection> {
    text.read().map_err(|lone| no_text(field, lone))
}

#[cold]
pub(super) fn no_text(field: Field, lone: LoneSurrogate) -> Rejection {
    Rejection { reason: Reason::NotUtf8, detail: format!("field `{}` has {lone}", field.name()) }
}

/// Empty means empty after trimming Unicode white space.
pub(super) fn is_empty(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// The refusal of a value whose JSON type no rule reads.
#[cold]
pub(super) fn wrong_type(field: Field, found: &Value<'_>, wanted: &str) -> Rejection {
    Rejection {
        reason: Reason::WrongType,
        detail: format!("field `{}` is {}, not {wanted}", field.name(), found.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(value: Value<'_>) -> Result<Option<Cow<'_, str>>, Rejection> {
        let mut raw = Raw::default();
        assert!(raw.put(Field::Title, value));
        text(&raw, Field::Title, &["No Title Data Available"])
    }

    #[test]
    fn text_is_kept_byte_for_byte() {
        for kept in [
            " edge ",
            "\u{a0}x\u{a0}",
            "🎄",
            "a\0b",
            "No title data available",
            "No Title Data Available ",
            "<b>",
            "=1+1",
        ] {
            assert_eq!(title(Value::Text(Text::plain(kept))), Ok(Some(kept.into())));
        }
    }

    #[test]
    fn empty_text_and_placeholders_are_null() {
        for none in ["", " ", "\t\r\n", "\u{a0}", "\u{2003}\u{3000}", "No Title Data Available"] {
            assert_eq!(title(Value::Text(Text::plain(none))), Ok(None), "{none:?}");
        }
        assert_eq!(title(Value::Null), Ok(None));
        assert_eq!(title(Value::Text(Text::new(r"\u00a0\t", true))), Ok(None));
    }

    #[test]
    fn half_a_character_refuses_the_row() {
        let refusal = title(Value::Text(Text::new(r"a\ud800", true))).expect_err("no text");
        let detail = "field `title` has a lone surrogate at byte 1 of the string, which no UTF-8 text holds";
        assert_eq!(refusal, Rejection { reason: Reason::NotUtf8, detail: detail.to_owned() });
    }

    #[test]
    fn other_types_refuse_the_row() {
        for value in [Value::Bool(true), Value::Number("1"), Value::Array("[]"), Value::Object("{}")] {
            let kind = value.kind();
            let refusal = title(value).expect_err("not text");
            assert_eq!(refusal.to_string(), format!("wrong_type: field `title` is {kind}, not a string"));
        }
    }
}
