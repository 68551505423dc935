//! What the value of a configuration key looks like, and what to say of a value that does not.

use toml::de::DeValue;

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfigKey {
    pub(super) name: &'static str,
    pub(super) value: ValueType,
    /// Whether the table is useless without it.
    pub(super) is_required: bool,
    /// A value that the key can have, as TOML: shown in errors.
    pub(super) example: &'static str,
}

impl ConfigKey {
    pub(super) const fn required(name: &'static str, value: ValueType, example: &'static str) -> ConfigKey {
        ConfigKey { name, value, is_required: true, example }
    }

    pub(super) const fn optional(name: &'static str, value: ValueType, example: &'static str) -> ConfigKey {
        ConfigKey { name, value, is_required: false, example }
    }
}

/// What a value can be.
#[derive(Debug, Clone, Copy)]
pub(super) enum ValueType {
    Text,
    Flag,
    /// A whole number that its type can hold. Narrower ranges are checked by those who use the number.
    Whole {
        min: u64,
        max: u64,
    },
    /// A number, whole or not.
    Number,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, or a time.
    Moment(&'static [&'static str]),
    /// An address and port to listen on.
    ListenAddress,
    /// Where a secret comes from. The value is never shown: it may be the secret itself.
    Secret,
    TextList,
    Table(&'static [ConfigKey]),
    /// Any keys with texts, numbers or flags.
    PropertyMap,
    /// Any keys with secrets.
    SecretMap,
    /// One of these types; the text says which.
    OneOf(&'static [ValueType], &'static str),
}

impl ValueType {
    /// What is expected, for people.
    pub(super) fn expected(self) -> &'static str {
        match self {
            ValueType::Text | ValueType::Choice(_) | ValueType::Moment(_) => "text in quotes",
            ValueType::Flag => "true or false",
            ValueType::Whole { .. } => "a whole number",
            ValueType::Number => "a number",
            ValueType::ListenAddress => "an address and port in quotes",
            ValueType::Secret => "\"env:NAME\" or \"file:PATH\"",
            ValueType::TextList => "a list of texts",
            ValueType::Table(_) | ValueType::PropertyMap | ValueType::SecretMap => "a table",
            ValueType::OneOf(_, expected) => expected,
        }
    }

    /// Whether a value is of this type. What is inside of a table is not looked at.
    pub(super) fn accepts(self, value: &DeValue<'_>) -> bool {
        match (self, value) {
            (ValueType::Text | ValueType::Choice(_) | ValueType::Moment(_) | ValueType::Secret, DeValue::String(_))
            | (ValueType::ListenAddress, DeValue::String(_) | DeValue::Integer(_))
            | (ValueType::Flag, DeValue::Boolean(_))
            | (ValueType::Whole { .. }, DeValue::Integer(_))
            | (ValueType::Number, DeValue::Integer(_) | DeValue::Float(_))
            | (ValueType::Table(_) | ValueType::PropertyMap | ValueType::SecretMap, DeValue::Table(_)) => true,
            (ValueType::TextList, DeValue::Array(list)) => {
                list.iter().all(|item| matches!(item.get_ref(), DeValue::String(_)))
            }
            (ValueType::OneOf(types, _), value) => types.iter().any(|one| one.accepts(value)),
            _ => false,
        }
    }

    /// The type that a value is to be checked by: of several, the one that it is of.
    pub(super) fn for_value(self, value: &DeValue<'_>) -> ValueType {
        match self {
            ValueType::OneOf(types, _) => types.iter().copied().find(|one| one.accepts(value)).unwrap_or(self),
            one => one,
        }
    }

    /// Whether what is written in its place may be a secret, which no error shows.
    pub(super) fn is_secret(self) -> bool {
        match self {
            ValueType::Secret | ValueType::SecretMap => true,
            ValueType::Table(keys) => keys.iter().any(|key| key.value.is_secret()),
            _ => false,
        }
    }
}

/// What is wrong with a value of another type than the key's, and what to write.
///
/// `written` is the value as it stands in the file.
pub(super) fn type_error(key: &ConfigKey, value: &DeValue<'_>, written: &str) -> String {
    let found = describe(value, written, key.value.is_secret());
    let remedy = remedy(key, value, written).unwrap_or_else(|| format!("write {} = {}", key.name, key.example));
    format!("expected {}, found {found}; {remedy}", key.value.expected())
}

/// What a value is, for people.
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

/// A value as it is written, cut where it is long.
pub(super) fn shorten(written: &str) -> String {
    const CHARS_MAX: usize = 60;
    let line = written.lines().next().unwrap_or_default();
    if line.len() == written.len() && line.chars().count() <= CHARS_MAX {
        return written.to_owned();
    }
    line.chars().take(CHARS_MAX).chain(['…']).collect()
}

/// What to write instead, where the value tells what was meant.
fn remedy(key: &ConfigKey, value: &DeValue<'_>, written: &str) -> Option<String> {
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
