//! The key.

use crate::record::{Field, Ind, Raw, Value};
use crate::rejection::{Reason, Rejection};

use super::number::{digits, whole};

/// How much of an unreadable value a message to a person repeats.
const SHOWN_CHARS: usize = 40;

/// The key of a row: a whole number in 0…2^63−1, as a number or a string.
///
/// # Errors
/// `no_key` if the row has neither `ind` nor `index`; `bad_key` if it is no such number.
pub fn key(raw: &Raw<'_>) -> Result<Ind, Rejection> {
    if !raw.has(Field::Ind) {
        let detail = "neither `ind` nor `index`".to_owned();
        return Err(Rejection { reason: Reason::NoKey, detail });
    }
    let text = match raw.get(Field::Ind) {
        value @ (Value::Number(_) | Value::Text(_)) => digits(Field::Ind, value)?.unwrap_or_default(),
        other => return Err(bad_key(other.kind())),
    };
    whole(&text).and_then(|number| Ind::try_from(number).ok()).ok_or_else(|| {
        let shown: String = text.chars().take(SHOWN_CHARS).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        bad_key(&format!("`{shown}{more}`"))
    })
}

#[cold]
fn bad_key(found: &str) -> Rejection {
    Rejection { reason: Reason::BadKey, detail: format!("`ind` is {found}, not a whole number in 0…2^63−1") }
}

#[cfg(test)]
mod tests {
    use crate::record::Text;

    use super::*;

    fn read(value: Value<'_>) -> Result<Ind, Rejection> {
        let mut raw = Raw::default();
        assert!(raw.put(Field::Ind, value));
        key(&raw)
    }

    #[test]
    fn whole_numbers_as_numbers_or_strings() {
        for (text, ind) in [("0", 0), ("-0", 0), ("7528", 7528), ("1.0", 1), ("9223372036854775807", (1 << 63) - 1)] {
            assert_eq!(read(Value::Number(text)), Ok(ind));
            assert_eq!(read(Value::Text(Text::plain(text))), Ok(ind));
            let padded = format!("\u{a0} {text}\n");
            assert_eq!(read(Value::Text(Text::plain(&padded))), Ok(ind));
        }
    }

    #[test]
    fn what_is_no_key() {
        assert_eq!(key(&Raw::default()).expect_err("none").reason, Reason::NoKey);
        let long = "9".repeat(1000);
        for value in [
            Value::Null,
            Value::Bool(true),
            Value::Array("[1]"),
            Value::Object("{}"),
            Value::Text(Text::plain("")),
            Value::Text(Text::plain("12abc")),
            Value::Number("-1"),
            Value::Number("1.5"),
            Value::Number("9223372036854775808"),
            Value::Number("1e400"),
            Value::Number(&long),
        ] {
            let refusal = read(value).expect_err("no key");
            assert_eq!(refusal.reason, Reason::BadKey, "{value:?}");
            assert!(refusal.detail.chars().count() < 100, "{refusal}");
        }
    }
}
