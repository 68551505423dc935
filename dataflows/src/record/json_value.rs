//! The value of a field as a producer wrote it.

use super::JsonString;

/// The JSON value of one field, borrowed from the message. Numbers and strings stay as written until a column is read:
/// so no number passes through a float, and no text is unescaped in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JsonValue<'a> {
    /// `null`, or absent.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A JSON number, as written.
    Number(&'a str),
    /// A string.
    Text(JsonString<'a>),
    /// An array, as written.
    Array(&'a str),
    /// An object, as written.
    Object(&'a str),
}

impl JsonValue<'_> {
    /// The type of the value, as error messages name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            JsonValue::Null => "null",
            JsonValue::Bool(_) => "a boolean",
            JsonValue::Number(_) => "a number",
            JsonValue::Text(_) => "a string",
            JsonValue::Array(_) => "an array",
            JsonValue::Object(_) => "an object",
        }
    }

    /// Whether the two values of a duplicate key are the same: equal values, or the same digits once as a number and
    /// once as a string. `1` and `1.0` differ, and so do arrays or objects that are written differently.
    #[must_use]
    pub fn has_same_content(&self, other: &JsonValue<'_>) -> bool {
        match (self, other) {
            (JsonValue::Text(one), JsonValue::Text(other)) => one.has_same_content(*other),
            (JsonValue::Number(number), JsonValue::Text(text)) | (JsonValue::Text(text), JsonValue::Number(number)) => {
                text.has_same_content(JsonString::without_escapes(number))
            }
            _ => self == other,
        }
    }
}
