//! A field as a producer wrote it.

use super::Text;

/// The JSON value of one field, lent by the message. Numbers and strings stay as written until a column says how they
/// are read: nothing passes through a float on the way, and nothing is unescaped that no column keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Value<'a> {
    /// `null`, or absent.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A JSON number, as written.
    Number(&'a str),
    /// A string.
    Text(Text<'a>),
    /// An array, as written.
    Array(&'a str),
    /// An object, as written.
    Object(&'a str),
}

impl Value<'_> {
    /// The kind of value, as a message to a person names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// Whether two values of a key that stands twice say the same: the same value, or the same digits once as a
    /// number and once as a string. `1` and `1.0` differ, as do an array or object written otherwise.
    #[must_use]
    pub fn says_the_same(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Text(one), Value::Text(other)) => one.says_the_same(*other),
            (Value::Number(number), Value::Text(text)) | (Value::Text(text), Value::Number(number)) => {
                text.says_the_same(Text::plain(number))
            }
            _ => self == other,
        }
    }
}
