//! Errors for values that do not have the type of their key.

use toml::de::DeValue;

pub(super) use pinflow_connect::config_key::{ConfigKey, ValueType};

/// The error for a value of the wrong type, with what to write instead.
///
/// `written` is the value as it is written in the file.
pub(super) fn type_error(key: &ConfigKey, value: &DeValue<'_>, written: &str) -> String {
    let found = describe(value, written, key.value.is_secret());
    let remedy = suggest_fix(key, value, written).unwrap_or_else(|| format!("write {} = {}", key.name, key.example));
    format!("expected {}, found {found}; {remedy}", key.value.expected())
}

/// Describes a value by its type and text.
fn describe(value: &DeValue<'_>, written: &str, is_secret: bool) -> String {
    let kind = match value {
        DeValue::String(_) => "the text",
        DeValue::Integer(_) => "the whole number",
        DeValue::Float(_) => "the float",
        DeValue::Boolean(_) => "the flag",
        DeValue::Datetime(_) => "the time",
        DeValue::Array(_) => return "a list".to_owned(),
        DeValue::Table(_) => return "a table".to_owned(),
    };
    if is_secret { format!("{kind} (not shown)") } else { format!("{kind} {}", shorten(written)) }
}

/// The text of a value, cut to one short line.
pub(super) fn shorten(written: &str) -> String {
    const CHARS_MAX: usize = 60;
    let line = written.lines().next().unwrap_or_default();
    if line.len() == written.len() && line.chars().count() <= CHARS_MAX {
        return written.to_owned();
    }
    line.chars().take(CHARS_MAX).chain(['…']).collect()
}

/// What to write instead, if the value shows what was intended.
fn suggest_fix(key: &ConfigKey, value: &DeValue<'_>, written: &str) -> Option<String> {
    match (key.value, value) {
        (ValueType::Whole { .. }, DeValue::Float(float)) => {
            let number: f64 = float.as_str().parse().ok()?;
            let fits = number.fract() == 0.0 && (0.0..=9e15).contains(&number);
            fits.then(|| format!("write {}", grouped(number as u64)))
        }
        (ValueType::Whole { .. } | ValueType::Number, DeValue::String(text)) => {
            let number: f64 = text.replace(['_', ','], "").trim().parse().ok()?;
            number.is_finite().then(|| format!("write {} without quotes", text.replace(',', "").trim()))
        }
        (ValueType::Flag, DeValue::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some("write true without quotes".to_owned()),
            "false" | "no" | "off" | "0" => Some("write false without quotes".to_owned()),
            _ => None,
        },
        (
            ValueType::Text | ValueType::Choice(_) | ValueType::Moment(_),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_),
        ) => Some(format!("write it in quotes: \"{written}\"")),
        (ValueType::TextList, DeValue::String(_)) => Some(format!("write [{}]", shorten(written))),
        (ValueType::Table(_), DeValue::Array(_)) => Some("write a table with single brackets, not a list".to_owned()),
        _ => None,
    }
}

/// A number with its digits in groups of three, as TOML allows.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1_000"), (100_000, "100_000"), (1_234_567, "1_234_567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn long_values_are_cut_to_one_line() {
        assert_eq!(shorten("\"short\""), "\"short\"");
        assert_eq!(shorten("[1,\n2]"), "[1,…");
        assert_eq!(shorten(&"x".repeat(100)).chars().count(), 61);
    }
}
