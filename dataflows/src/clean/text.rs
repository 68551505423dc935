//! Reads text columns: the text byte for byte, or null.

use std::borrow::Cow;

use crate::record::{Field, JsonString, JsonValue, LoneSurrogate, RawRow};
use crate::rejection::{Rejection, RejectionReason};

use super::{FieldFault, FieldFaults};

/// A text column. Null if it is absent, empty or one of the `placeholders`.
///
/// # Errors
/// `wrong_type` if it is neither a string nor null, `not_utf8` if an escape is half a surrogate pair.
#[inline]
pub(super) fn text_column<'a>(
    raw: &RawRow<'a>,
    field: Field,
    placeholders: &[&str],
) -> Result<Option<Cow<'a, str>>, Rejection> {
    match raw.get(field) {
        JsonValue::Null => Ok(None),
        JsonValue::Text(text) => Ok(keep_unless_placeholder(unescape_field(field, text)?, placeholders)),
        other => Err(wrong_type(field, &other, "a string")),
    }
}

/// A text column of at most `bytes_max` bytes. A longer one is null, and `fault` is added to `faults`.
///
/// # Errors
/// Those of [`text_column`].
#[inline]
pub(super) fn short_text<'a>(
    raw: &RawRow<'a>,
    field: Field,
    placeholders: &[&str],
    (bytes_max, fault): (usize, FieldFault),
    faults: &mut FieldFaults,
) -> Result<Option<Cow<'a, str>>, Rejection> {
    let found = text_column(raw, field, placeholders)?;
    if found.as_ref().is_some_and(|text| text.len() > bytes_max) {
        faults.insert(fault);
        return Ok(None);
    }
    Ok(found)
}

/// Returns the text unless it is empty or a placeholder.
pub(super) fn keep_unless_placeholder<'a>(text: Cow<'a, str>, placeholders: &[&str]) -> Option<Cow<'a, str>> {
    if is_empty(&text) || placeholders.contains(&&*text) { None } else { Some(text) }
}

/// The text of a string.
///
/// # Errors
/// `not_utf8` if an escape is half a surrogate pair.
#[inline]
pub(super) fn unescape_field(field: Field, text: JsonString<'_>) -> Result<Cow<'_, str>, Rejection> {
    text.unescape().map_err(|lone| no_text(field, lone))
}

#[cold]
pub(super) fn no_text(field: Field, lone: LoneSurrogate) -> Rejection {
    Rejection { reason: RejectionReason::NotUtf8, detail: format!("field `{}` has {lone}", field.name()) }
}

/// Whether the text is empty after trimming Unicode white space.
pub(super) fn is_empty(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// The rejection of a value whose JSON type is not allowed for its field.
#[cold]
pub(super) fn wrong_type(field: Field, found: &JsonValue<'_>, wanted: &str) -> Rejection {
    Rejection {
        reason: RejectionReason::WrongType,
        detail: format!("field `{}` is {}, not {wanted}", field.name(), found.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title_column(value: JsonValue<'_>) -> Result<Option<Cow<'_, str>>, Rejection> {
        let mut raw = RawRow::default();
        assert!(raw.set_field(Field::Title, value));
        text_column(&raw, Field::Title, &["No Title Data Available"])
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
            assert_eq!(title_column(JsonValue::Text(JsonString::without_escapes(kept))), Ok(Some(kept.into())));
        }
    }

    #[test]
    fn empty_text_and_placeholders_are_null() {
        for none in ["", " ", "\t\r\n", "\u{a0}", "\u{2003}\u{3000}", "No Title Data Available"] {
            assert_eq!(title_column(JsonValue::Text(JsonString::without_escapes(none))), Ok(None), "{none:?}");
        }
        assert_eq!(title_column(JsonValue::Null), Ok(None));
        assert_eq!(title_column(JsonValue::Text(JsonString::new(r"\u00a0\t", true))), Ok(None));
    }

    #[test]
    fn lone_surrogate_rejects_row() {
        let refusal = title_column(JsonValue::Text(JsonString::new(r"a\ud800", true))).expect_err("no text");
        let detail = "field `title` has a lone surrogate at byte 1 of the string, which no UTF-8 text holds";
        assert_eq!(refusal, Rejection { reason: RejectionReason::NotUtf8, detail: detail.to_owned() });
    }

    #[test]
    fn non_string_value_rejects_row() {
        for value in [JsonValue::Bool(true), JsonValue::Number("1"), JsonValue::Array("[]"), JsonValue::Object("{}")] {
            let kind = value.kind();
            let refusal = title_column(value).expect_err("not text");
            assert_eq!(refusal.to_string(), format!("wrong_type: field `title` is {kind}, not a string"));
        }
    }
}
