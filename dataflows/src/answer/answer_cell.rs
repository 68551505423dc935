//! The values of an answer and their types.

use std::cmp::Ordering;
use std::fmt;

use compact_str::CompactString;
use jiff::Timestamp;
use pinflow_sql::datum::{Datum, SqlType};
use serde::{Serialize, Serializer};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// A whole number of 64 bits.
    Long,
    /// Text.
    Text,
    /// A floating-point number of 64 bits.
    Double,
    /// True or false.
    Bool,
    /// A moment, with microseconds.
    Time,
}

impl ColumnType {
    /// The name in replies and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ColumnType::Long => "long",
            ColumnType::Text => "text",
            ColumnType::Double => "double",
            ColumnType::Bool => "boolean",
            ColumnType::Time => "timestamp",
        }
    }

    /// The column type for values of an SQL type. `None` for types that no column of an answer has: lists, and a bare
    /// null.
    #[must_use]
    pub fn from_sql(ty: SqlType) -> Option<ColumnType> {
        match ty {
            SqlType::Bool => Some(ColumnType::Bool),
            SqlType::Long => Some(ColumnType::Long),
            SqlType::Double => Some(ColumnType::Double),
            SqlType::Text => Some(ColumnType::Text),
            SqlType::Time => Some(ColumnType::Time),
            SqlType::Null | SqlType::Texts | SqlType::Doubles => None,
        }
    }
}

/// One value of a row.
///
/// A text is stored as text, not as a symbol: answers outlive the rows they are made of, and symbols do not.
/// Null is the greatest value.
#[derive(Debug, Clone)]
pub enum AnswerCell {
    /// A value of a [`ColumnType::Long`] column.
    Long(i64),
    /// A value of a [`ColumnType::Text`] column. Ordered byte by byte.
    Text(CompactString),
    /// A value of a [`ColumnType::Double`] column. Ordered by [`f64::total_cmp`].
    Double(f64),
    /// A value of a [`ColumnType::Bool`] column. False comes before true.
    Bool(bool),
    /// A value of a [`ColumnType::Time`] column, in microseconds since 1970-01-01T00:00:00 UTC. Make it with
    /// [`AnswerCell::time`].
    Time(i64),
    /// No value.
    Null,
}

impl AnswerCell {
    /// A text cell.
    #[must_use]
    pub fn text(text: &str) -> AnswerCell {
        AnswerCell::Text(CompactString::new(text))
    }

    /// A moment, in microseconds since 1970 UTC. Null if its year is not between -9999 and 9999: there is no text for it.
    #[must_use]
    pub fn time(micros: i64) -> AnswerCell {
        if Timestamp::from_microsecond(micros).is_ok() { AnswerCell::Time(micros) } else { AnswerCell::Null }
    }

    /// Whether the cell has no value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, AnswerCell::Null)
    }

    /// The size in memory, with what a text has on the heap, bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let heap = match self {
            AnswerCell::Text(text) if text.is_heap_allocated() => text.capacity(),
            _ => 0,
        };
        size_of::<AnswerCell>() + heap
    }

    /// The position of the cell's type in the order of cells. Null comes last.
    fn type_rank(&self) -> u8 {
        match self {
            AnswerCell::Bool(_) => 0,
            AnswerCell::Long(_) => 1,
            AnswerCell::Double(_) => 2,
            AnswerCell::Text(_) => 3,
            AnswerCell::Time(_) => 4,
            AnswerCell::Null => 5,
        }
    }
}

impl Ord for AnswerCell {
    fn cmp(&self, other: &AnswerCell) -> Ordering {
        match (self, other) {
            (AnswerCell::Long(one), AnswerCell::Long(other)) | (AnswerCell::Time(one), AnswerCell::Time(other)) => {
                one.cmp(other)
            }
            (AnswerCell::Text(one), AnswerCell::Text(other)) => one.cmp(other),
            (AnswerCell::Double(one), AnswerCell::Double(other)) => one.total_cmp(other),
            (AnswerCell::Bool(one), AnswerCell::Bool(other)) => one.cmp(other),
            // Cells of one column have the same type or are null.
            _ => self.type_rank().cmp(&other.type_rank()),
        }
    }
}

impl PartialOrd for AnswerCell {
    fn partial_cmp(&self, other: &AnswerCell) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for AnswerCell {
    fn eq(&self, other: &AnswerCell) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for AnswerCell {}

/// The moment as RFC 3339 text, with as many digits after the second as it needs.
fn format_micros(micros: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let nearest = || if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    fmt::Display::fmt(&Timestamp::from_microsecond(micros).unwrap_or_else(|_| nearest()), f)
}

/// The value as plain text: a moment as `2020-01-31T08:00:00Z`, and `null` without a value.
impl fmt::Display for AnswerCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnswerCell::Long(value) => value.fmt(f),
            AnswerCell::Text(value) => value.fmt(f),
            AnswerCell::Double(value) => value.fmt(f),
            AnswerCell::Bool(value) => value.fmt(f),
            AnswerCell::Time(micros) => format_micros(*micros, f),
            AnswerCell::Null => f.write_str("null"),
        }
    }
}

impl Serialize for AnswerCell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            AnswerCell::Long(value) => serializer.serialize_i64(*value),
            AnswerCell::Text(value) => serializer.serialize_str(value),
            AnswerCell::Double(value) => serializer.serialize_f64(*value),
            AnswerCell::Bool(value) => serializer.serialize_bool(*value),
            AnswerCell::Time(_) => serializer.collect_str(self),
            AnswerCell::Null => serializer.serialize_unit(),
        }
    }
}

impl From<Datum> for AnswerCell {
    /// The value as a cell. A list, which no column of an answer has, becomes text with its elements.
    fn from(datum: Datum) -> AnswerCell {
        match datum {
            Datum::Bool(value) => AnswerCell::Bool(value),
            Datum::Long(value) => AnswerCell::Long(value),
            Datum::Double(value) => AnswerCell::Double(value),
            Datum::Text(value) => AnswerCell::Text(value),
            Datum::Time(micros) => AnswerCell::time(micros),
            Datum::List(list) => {
                let elements: Vec<_> =
                    list.into_vec().into_iter().map(|element| AnswerCell::from(element).to_string()).collect();
                AnswerCell::text(&format!("[{}]", elements.join(", ")))
            }
            Datum::Null => AnswerCell::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_as_small_as_a_text() {
        assert_eq!(size_of::<AnswerCell>(), size_of::<CompactString>());
    }

    #[test]
    fn cells_serialise_as_json_values() {
        let cells = [
            (AnswerCell::Long(-3), "-3"),
            (AnswerCell::Double(2.0), "2.0"),
            (AnswerCell::text("a\"b"), r#""a\"b""#),
            (AnswerCell::Bool(true), "true"),
            (AnswerCell::Bool(false), "false"),
            (AnswerCell::Null, "null"),
            (AnswerCell::time(1_580_457_600_000_000), r#""2020-01-31T08:00:00Z""#),
            (AnswerCell::time(1_580_457_600_500_000), r#""2020-01-31T08:00:00.5Z""#),
            (AnswerCell::time(-1), r#""1969-12-31T23:59:59.999999Z""#),
        ];
        for (cell, json) in cells {
            assert_eq!(serde_json::to_string(&cell).expect("serialises"), json, "{cell:?}");
        }
    }

    #[test]
    fn null_is_the_greatest_cell_and_false_precedes_true() {
        let mut cells = [AnswerCell::Null, AnswerCell::Bool(true), AnswerCell::Bool(false)];
        cells.sort();
        assert_eq!(cells, [AnswerCell::Bool(false), AnswerCell::Bool(true), AnswerCell::Null]);
        assert!(AnswerCell::Null > AnswerCell::Time(i64::MAX) && AnswerCell::Null > AnswerCell::text("z"));
    }

    #[test]
    fn every_datum_becomes_the_cell_of_its_type() {
        for (datum, cell) in [
            (Datum::Bool(true), AnswerCell::Bool(true)),
            (Datum::Long(7), AnswerCell::Long(7)),
            (Datum::Double(0.5), AnswerCell::Double(0.5)),
            (Datum::text("x"), AnswerCell::text("x")),
            (Datum::Time(7), AnswerCell::Time(7)),
            (Datum::Time(i64::MAX), AnswerCell::Null),
            (Datum::Null, AnswerCell::Null),
            (Datum::List(Box::new([Datum::text("a"), Datum::Null])), AnswerCell::text("[a, null]")),
        ] {
            assert_eq!(AnswerCell::from(datum), cell);
        }
    }
}
