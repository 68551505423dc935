//! Text columns: kept byte for byte, or null.

use std::borrow::Cow;

use crate::record::{Field, Raw, Value};
use crate::rejection::{Reason, Rejection};

/// Takes a text field. Null where it is absent, empty or one of the `placeholders`.
///
/// # Errors
/// `wrong_type` if it is neither a string nor null.
pub(super) fn text<'a>(
    raw: &mut Raw<'a>,
    field: Field,
    placeholders: &[&str],
) -> Result<Option<Cow<'a, str>>, Rejection> {
    match raw.take(field) {
        Value::Null => Ok(None),
        Value::Text(text) if is_empty(&text) || placeholders.contains(&&*text) => Ok(None),
        Value::Text(text) => Ok(Some(text)),
        other => Err(wrong_type(field, &other, "a string")),
    }
}

/// Empty means empty after trimming Unicode white space.
pub(super) fn is_empty(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// The refusal of a value whose JSON type no rule reads.
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
        text(&mut raw, Field::Title, &["No Title Data Available"])
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
            assert_eq!(title(Value::Text(kept.into())), Ok(Some(kept.into())));
        }
    }

    #[test]
    fn empty_text_and_placeholders_are_null() {
        for none in ["", " ", "\t\r\n", "\u{a0}", "\u{2003}\u{3000}", "No Title Data Available"] {
            assert_eq!(title(Value::Text(none.into())), Ok(None), "{none:?}");
        }
        assert_eq!(title(Value::Null), Ok(None));
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
