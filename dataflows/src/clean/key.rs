//! Reads the key of a row.

use crate::record::{Field, Ind, JsonValue, RawRow};
use crate::rejection::{Rejection, RejectionReason};

use super::number::{numeric_text, parse_whole};

/// The most characters of an unreadable key that a message repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// The key of a row: a whole number in 0…2^63−1, as a number or a string.
///
/// # Errors
/// `no_key` if the row has neither `ind` nor `index`, `bad_key` if the value is not such a number.
pub fn parse_key(raw: &RawRow<'_>) -> Result<Ind, Rejection> {
    if !raw.is_present(Field::Ind) {
        let detail = "neither `ind` nor `index`".to_owned();
        return Err(Rejection { reason: RejectionReason::NoKey, detail });
    }
    let text = match raw.get(Field::Ind) {
        value @ (JsonValue::Number(_) | JsonValue::Text(_)) => numeric_text(Field::Ind, value)?.unwrap_or_default(),
        other => return Err(bad_key(other.kind())),
    };
    parse_whole(&text).and_then(|number| Ind::try_from(number).ok()).ok_or_else(|| {
        let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        bad_key(&format!("`{shown}{more}`"))
    })
}

#[cold]
fn bad_key(found: &str) -> Rejection {
    Rejection {
        reason: RejectionReason::BadKey, detail: format!("`ind` is {found}, not a whole number in 0…2^63−1")
    }
}

#[cfg(test)]
mod tests {
    use crate::record::JsonString;

    use super::*;

    fn key_of(value: JsonValue<'_>) -> Result<Ind, Rejection> {
        let mut raw = RawRow::default();
        assert!(raw.set_field(Field::Ind, value));
        parse_key(&raw)
    }

    #[test]
    fn key_is_read_from_number_or_string() {
        for (text, ind) in [("0", 0), ("-0", 0), ("7528", 7528), ("1.0", 1), ("9223372036854775807", (1 << 63) - 1)] {
            assert_eq!(key_of(JsonValue::Number(text)), Ok(ind));
            assert_eq!(key_of(JsonValue::Text(JsonString::without_escapes(text))), Ok(ind));
            let padded = format!("\u{a0} {text}\n");
            assert_eq!(key_of(JsonValue::Text(JsonString::without_escapes(&padded))), Ok(ind));
        }
    }

    #[test]
    fn invalid_key_is_rejected_with_short_detail() {
        assert_eq!(parse_key(&RawRow::default()).expect_err("none").reason, RejectionReason::NoKey);
        let long = "9".repeat(1000);
        for value in [
            JsonValue::Null,
            JsonValue::Bool(true),
            JsonValue::Array("[1]"),
            JsonValue::Object("{}"),
            JsonValue::Text(JsonString::without_escapes("")),
            JsonValue::Text(JsonString::without_escapes("12abc")),
            JsonValue::Number("-1"),
            JsonValue::Number("1.5"),
            JsonValue::Number("9223372036854775808"),
            JsonValue::Number("1e400"),
            JsonValue::Number(&long),
        ] {
            let refusal = key_of(value).expect_err("no key");
            assert_eq!(refusal.reason, RejectionReason::BadKey, "{value:?}");
            assert!(refusal.detail.chars().count() < 100, "{refusal}");
        }
    }
}
