//! The input of an aggregate: what one joined row adds to one group of one question.

use std::hash::{BuildHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::answer::AnswerCell;
use crate::hash::KeyedState;
use crate::symbol::Symbol;

/// The most grouping columns a question may have.
pub const GROUP_COLUMNS_MAX: usize = 2;

/// The value of one grouping column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// An input for the group with these key parts, without label and with value 0.
    #[must_use]
    pub fn for_group<const N: usize>(parts: [GroupKeyPart; N]) -> AggregateInput {
        const { assert!(N <= GROUP_COLUMNS_MAX, "raise GROUPS_MAX for a question with more grouping columns") }
        let mut group = [GroupKeyPart::Unused; GROUP_COLUMNS_MAX];
        group[..N].copy_from_slice(&parts);
        AggregateInput { group, label: None, answer: 0, value: 0 }
    }

    /// Sets the label.
    #[must_use]
    pub fn with_label(self, label: impl Into<Option<Symbol>>) -> AggregateInput {
        AggregateInput { label: label.into(), ..self }
    }

    /// Sets the value.
    #[must_use]
    pub fn with_value(self, value: i64) -> AggregateInput {
        AggregateInput { value, ..self }
    }

    /// Sets the answer, by its index among the aggregates of the graph.
    #[must_use]
    pub fn with_answer(self, answer: u16) -> AggregateInput {
        AggregateInput { answer, ..self }
    }

    /// The hash by which groups are exchanged to workers.
    ///
    /// Symbols are hashed by number, which is safe because all workers run in one process and a symbol keeps its number
    /// while a group holds it.
    pub(super) fn exchange_hash(&self) -> u64 {
        let mut hasher = KeyedState.build_hasher();
        self.answer.hash(&mut hasher);
        for part in self.group {
            match part {
                GroupKeyPart::Unused => {}
                GroupKeyPart::Null => u64::MAX.hash(&mut hasher),
                GroupKeyPart::Text(text) => text.hash(&mut hasher),
                GroupKeyPart::Long(long) => long.hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}
