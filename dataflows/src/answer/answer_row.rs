//! The rows of an answer and their changes.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::{AnswerCell, AnswerColumn};

/// A question of a run. Numbers are never reused while the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuestionId(u32);

impl QuestionId {
    /// The id with this number.
    #[must_use]
    pub const fn new(number: u32) -> QuestionId {
        QuestionId(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for QuestionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The cells of one row: those of the columns, in order, then hidden ones. Clones share them: the same row is in changes,
/// in the answer, and in its durable copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerRow(pub Arc<[AnswerCell]>);

impl AnswerRow {
    /// A row of these cells.
    #[must_use]
    pub fn new(cells: impl Into<Arc<[AnswerCell]>>) -> AnswerRow {
        AnswerRow(cells.into())
    }

    /// The cells of the columns, without hidden ones.
    #[must_use]
    pub fn visible(&self, columns: &[AnswerColumn]) -> &[AnswerCell] {
        &self.0[..columns.len().min(self.0.len())]
    }

    /// The row with its column names. It serialises as `{"post_year":2018,"category":"art","category_count":27}`.
    #[must_use]
    pub fn with_columns<'a>(&'a self, columns: &'a [AnswerColumn]) -> NamedRow<'a> {
        NamedRow { row: self, columns }
    }
}

/// An [`AnswerRow`] with its column names.
#[derive(Debug, Clone, Copy)]
pub struct NamedRow<'a> {
    row: &'a AnswerRow,
    columns: &'a [AnswerColumn],
}

impl Serialize for NamedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.row.0.iter()) {
            map.serialize_entry(column.name.as_str(), cell)?;
        }
        map.end()
    }
}

/// A change of an answer: a row is added (positive `diff`) or removed (negative `diff`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerChange {
    /// The question whose answer it is.
    pub answer: QuestionId,
    /// The row.
    pub row: AnswerRow,
    /// The change of its multiplicity.
    pub diff: i64,
}
