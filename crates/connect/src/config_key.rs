//! The keys of a configuration table, and what their values look like.
//!
//! A source lists its keys, so that a file can be checked as a whole: serde stops at the first error and names neither key
//! nor expected type.

use toml::de::DeValue;

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub struct ConfigKey {
    #[allow(missing_docs)]
    pub name: &'static str,
    #[allow(missing_docs)]
    pub value: ValueType,
    /// Whether the table is useless without it.
    pub is_required: bool,
    /// A value that the key can have, as TOML: shown in errors.
    pub example: &'static str,
}

impl ConfigKey {
    /// A key without which the table is useless. `example` is a value as TOML.
    #[must_use]
    pub const fn required(name: &'static str, value: ValueType, example: &'static str) -> ConfigKey {
        ConfigKey { name, value, is_required: true, example }
    }

    /// A key that has a default. `example` is a value as TOML.
    #[must_use]
    pub const fn optional(name: &'static str, value: ValueType, example: &'static str) -> ConfigKey {
        ConfigKey { name, value, is_required: false, example }
    }
}

/// What a value can be.
#[derive(Debug, Clone, Copy)]
pub enum ValueType {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number in the range of its type. The code that uses the number checks narrower ranges.
    Whole {
        #[allow(missing_docs)]
        min: u64,
        #[allow(missing_docs)]
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
    /// A list of texts.
    TextList,
    /// A table with these keys.
    Table(&'static [ConfigKey]),
    /// Any keys with texts, numbers or flags.
    PropertyMap,
    /// Any keys with secrets.
    SecretMap,
    /// One of these types. The text describes them.
    OneOf(&'static [ValueType], &'static str),
}

impl ValueType {
    /// A whole number of 32 bits.
    pub const U32: ValueType = ValueType::Whole { min: 0, max: u32::MAX as u64 };
    /// A whole number of 32 bits, from 1.
    pub const POSITIVE_U32: ValueType = ValueType::Whole { min: 1, max: u32::MAX as u64 };
    /// A whole number. TOML has no larger ones.
    pub const U64: ValueType = ValueType::Whole { min: 0, max: i64::MAX as u64 };

    /// Describes the expected type.
    #[must_use]
    pub fn expected(self) -> &'static str {
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

    /// Whether a value has this type. The contents of a table are not checked.
    #[must_use]
    pub fn accepts(self, value: &DeValue<'_>) -> bool {
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

    /// The type to check a value against. If there are several, the one that the value has.
    #[must_use]
    pub fn for_value(self, value: &DeValue<'_>) -> ValueType {
        match self {
            ValueType::OneOf(types, _) => types.iter().copied().find(|one| one.accepts(value)).unwrap_or(self),
            one => one,
        }
    }

    /// The keys of a table; `None` for other types.
    #[must_use]
    pub fn table_keys(self) -> Option<&'static [ConfigKey]> {
        match self {
            ValueType::Table(keys) => Some(keys),
            ValueType::OneOf(types, _) => types.iter().find_map(|one| one.table_keys()),
            _ => None,
        }
    }

    /// Whether a value in its place may be a secret, which errors must not show.
    #[must_use]
    pub fn is_secret(self) -> bool {
        match self {
            ValueType::Secret | ValueType::SecretMap => true,
            ValueType::Table(keys) => keys.iter().any(|key| key.value.is_secret()),
            _ => false,
        }
    }
}
