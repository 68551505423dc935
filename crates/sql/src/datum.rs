//! Values and their types.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// The type of an expression or a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SqlType {
    /// The type of a bare `NULL`, which can become any other type.
    Null,
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Long,
    /// A floating-point number of 64 bits. Never NaN or infinite: such results are null.
    Double,
    /// UTF-8 text, ordered byte by byte.
    Text,
    /// A moment in microseconds since 1970-01-01T00:00:00 UTC. A date is the moment at which the day begins.
    Time,
    /// A list of texts.
    Texts,
    /// A list of doubles.
    Doubles,
}

impl SqlType {
    /// The type's name in messages and explanations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SqlType::Null => "null",
            SqlType::Bool => "boolean",
            SqlType::Long => "bigint",
            SqlType::Double => "double",
            SqlType::Text => "text",
            SqlType::Time => "timestamp",
            SqlType::Texts => "list of text",
            SqlType::Doubles => "list of double",
        }
    }

    /// Whether values are numbers.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, SqlType::Long | SqlType::Double)
    }

    /// The type of the elements of a list.
    #[must_use]
    pub fn element(self) -> Option<SqlType> {
        match self {
            SqlType::Texts => Some(SqlType::Text),
            SqlType::Doubles => Some(SqlType::Double),
            _ => None,
        }
    }
}

impl std::fmt::Display for SqlType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One value.
///
/// Values are ordered by type, then by value; null is the greatest. Doubles are ordered numerically: [`Datum::double`]
/// makes all doubles, so none is NaN, infinite or negative zero, and equality is equality of bits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub enum Datum {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A floating-point number. Make it with [`Datum::double`].
    Double(f64),
    /// Text.
    Text(#[serde(with = "text_serde")] CompactString),
    /// A moment, in microseconds since 1970 UTC.
    Time(i64),
    /// A list. Its elements have one type, or are null.
    List(Box<[Datum]>),
    /// Unknown.
    #[default]
    Null,
}

impl Datum {
    /// A double. `None` if it is NaN or infinite, which no value may be.
    #[must_use]
    pub fn double(value: f64) -> Option<Datum> {
        // Adding zero turns a negative zero into a positive one.
        value.is_finite().then_some(Datum::Double(value + 0.0))
    }

    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Datum {
        Datum::Text(CompactString::new(text))
    }

    /// Whether the value is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// Whether the value is true, and not null.
    #[must_use]
    pub fn is_true(&self) -> bool {
        matches!(self, Datum::Bool(true))
    }

    /// The type of the value. A list without elements counts as a list of texts.
    #[must_use]
    pub fn sql_type(&self) -> SqlType {
        match self {
            Datum::Bool(_) => SqlType::Bool,
            Datum::Long(_) => SqlType::Long,
            Datum::Double(_) => SqlType::Double,
            Datum::Text(_) => SqlType::Text,
            Datum::Time(_) => SqlType::Time,
            Datum::List(list) if matches!(list.first(), Some(Datum::Double(_))) => SqlType::Doubles,
            Datum::List(_) => SqlType::Texts,
            Datum::Null => SqlType::Null,
        }
    }

    /// The size in memory, bytes, with what it owns on the heap.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        let heap = match self {
            Datum::Text(text) if text.is_heap_allocated() => text.capacity(),
            Datum::List(list) => list.iter().map(Datum::allocated_bytes).sum(),
            _ => 0,
        };
        size_of::<Datum>() + heap
    }

    /// Compares values that are not two numbers of one type.
    fn cmp_others(&self, other: &Datum) -> Ordering {
        match (self, other) {
            (Datum::Bool(one), Datum::Bool(other)) => one.cmp(other),
            (Datum::Text(one), Datum::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
            (Datum::List(one), Datum::List(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Datum::Bool(_) => 0,
            Datum::Long(_) => 1,
            Datum::Double(_) => 2,
            Datum::Text(_) => 3,
            Datum::Time(_) => 4,
            Datum::List(_) => 5,
            Datum::Null => 6,
        }
    }
}

impl Ord for Datum {
    // Trees of values compare numbers most of all.
    #[inline]
    fn cmp(&self, other: &Datum) -> Ordering {
        match (self, other) {
            (Datum::Long(one), Datum::Long(other)) | (Datum::Time(one), Datum::Time(other)) => one.cmp(other),
            (Datum::Double(one), Datum::Double(other)) => one.total_cmp(other),
            _ => self.cmp_others(other),
        }
    }
}

impl PartialOrd for Datum {
    fn partial_cmp(&self, other: &Datum) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Datum {
    fn eq(&self, other: &Datum) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Datum {}

impl Hash for Datum {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.rank());
        match self {
            Datum::Bool(value) => value.hash(state),
            Datum::Long(value) | Datum::Time(value) => value.hash(state),
            Datum::Double(value) => value.to_bits().hash(state),
            Datum::Text(value) => value.as_bytes().hash(state),
            Datum::List(list) => list.hash(state),
            Datum::Null => {}
        }
    }
}

/// Texts as strings. The feature of `compact_str` for this turns on one of `serde`, for which all crates above it would
/// be compiled again.
mod text_serde {
    use compact_str::CompactString;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &CompactString, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CompactString, D::Error> {
        // An owned string: not every format can lend its bytes.
        String::deserialize(deserializer).map(CompactString::from)
    }
}

/// The values of one row, by position.
pub type Row = Box<[Datum]>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_finite_and_have_one_zero() {
        assert_eq!(
            Datum::double(-0.0).map(|zero| matches!(zero, Datum::Double(it) if it.is_sign_positive())),
            Some(true)
        );
        assert!(Datum::double(f64::NAN).is_none() && Datum::double(f64::INFINITY).is_none());
    }

    #[test]
    fn null_is_the_greatest_value() {
        let mut values = [Datum::Null, Datum::text("b"), Datum::text("a"), Datum::Null];
        values.sort();
        assert_eq!(values, [Datum::text("a"), Datum::text("b"), Datum::Null, Datum::Null]);
    }
}
