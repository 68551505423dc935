//! The input of an aggregate: what one joined row adds to one group of one question.

use std::hash::{BuildHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::answer::AnswerCell;
use crate::hash::KeyedState;
use crate::symbol::Symbol;

/// The most grouping columns a question may have.
pub const GROUP_COLUMNS_MAX: usize = 2;

/// The value of one grouping column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupKeyPart {
    /// The question has fewer grouping columns.
    Unused,
    /// Null.
    Null,
    /// Text.
    Text(Symbol),
    /// A whole number, such as a year.
    Long(i32),
}

impl From<Symbol> for GroupKeyPart {
    fn from(text: Symbol) -> GroupKeyPart {
        GroupKeyPart::Text(text)
    }
}

impl From<i32> for GroupKeyPart {
    fn from(long: i32) -> GroupKeyPart {
        GroupKeyPart::Long(long)
    }
}

/// Hashes one number instead of a tag and a value: groups are looked up for every input.
impl Hash for GroupKeyPart {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (tag, value) = match *self {
            GroupKeyPart::Unused => (0, 0),
            GroupKeyPart::Null => (1, 0),
            GroupKeyPart::Text(text) => (2, text.number()),
            GroupKeyPart::Long(long) => (3, long.cast_unsigned()),
        };
        state.write_u64(tag << 32 | u64::from(value));
    }
}

impl GroupKeyPart {
    /// The value as a cell of the answer.
    #[must_use]
    pub fn to_cell(self) -> Option<AnswerCell> {
        match self {
            GroupKeyPart::Unused => None,
            GroupKeyPart::Null => Some(AnswerCell::Null),
            GroupKeyPart::Text(text) => Some(AnswerCell::text(&text.text())),
            GroupKeyPart::Long(long) => Some(AnswerCell::Long(long.into())),
        }
    }
}

/// The values of all grouping columns, in order. Unused positions come last.
pub type GroupKey = [GroupKeyPart; GROUP_COLUMNS_MAX];

/// What one row adds to one group of one question. Millions of these flow through the graph, so it is small (32 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AggregateInput {
    pub(super) group: GroupKey,
    pub(super) label: Option<Symbol>,
    pub(super) answer: u16,
    pub(super) value: i64,
}

impl AggregateInput {
    /// An input for the group with these key parts. `answer` is the index of the question among those of the aggregates.
    #[inline]
    #[must_use]
    pub fn new<const N: usize>(
        parts: [GroupKeyPart; N],
        label: Option<Symbol>,
        value: i64,
        answer: u16,
    ) -> AggregateInput {
        const { assert!(N <= GROUP_COLUMNS_MAX, "raise GROUP_COLUMNS_MAX for a question with more grouping columns") }
        let mut group = [GroupKeyPart::Unused; GROUP_COLUMNS_MAX];
        group[..N].copy_from_slice(&parts);
        AggregateInput { group, label, answer, value }
    }

    /// Sets the value.
    #[must_use]
    pub fn with_value(self, value: i64) -> AggregateInput {
        AggregateInput { value, ..self }
    }

    /// The hash by which groups are exchanged to workers.
    ///
    /// Symbols are hashed by number, which is safe because all workers run in one process and a symbol keeps its number
    /// while a group holds it.
    pub(super) fn exchange_hash(&self) -> u64 {
        let mut hasher = KeyedState.build_hasher();
        self.answer.hash(&mut hasher);
        self.group.iter().for_each(|part| part.hash(&mut hasher));
        hasher.finish()
    }
}
