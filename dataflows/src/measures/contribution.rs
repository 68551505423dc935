//! What one row adds to one question.

use std::hash::{BuildHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::answer::Cell;
use crate::hash::KeyedState;
use crate::symbol::Symbol;

/// Grouping columns a question may have.
pub const GROUPS_MAX: usize = 2;

/// The value of one grouping column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The question has fewer grouping columns.
    Unused,
    /// Text.
    Text(Symbol),
    /// A whole number; years fit 32 bits.
    Long(i32),
}

impl From<Symbol> for Part {
    fn from(text: Symbol) -> Part {
        Part::Text(text)
    }
}

impl From<i32> for Part {
    fn from(long: i32) -> Part {
        Part::Long(long)
    }
}

impl Part {
    /// As a cell of the answer.
    #[must_use]
    pub fn cell(self) -> Option<Cell> {
        match self {
            Part::Unused => None,
            Part::Text(text) => Some(Cell::text(&text.text())),
            Part::Long(long) => Some(Cell::Long(long.into())),
        }
    }
}

/// The values of the grouping columns, in their order.
pub type Group = [Part; GROUPS_MAX];

/// What one row adds to one question: millions of these pass through the graph, so they are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Contribution {
    pub(super) group: Group,
    pub(super) label: Option<Symbol>,
    pub(super) answer: u16,
    pub(super) value: i64,
}

impl Contribution {
    /// Adds a row to a group.
    #[must_use]
    pub fn to<const N: usize>(parts: [Part; N]) -> Contribution {
        const { assert!(N <= GROUPS_MAX, "raise GROUPS_MAX for a question with more grouping columns") }
        let mut group = [Part::Unused; GROUPS_MAX];
        group[..N].copy_from_slice(&parts);
        Contribution { group, label: None, answer: 0, value: 0 }
    }

    /// The row has this label, if any.
    #[must_use]
    pub fn label(self, label: impl Into<Option<Symbol>>) -> Contribution {
        Contribution { label: label.into(), ..self }
    }

    /// The row has this value.
    #[must_use]
    pub fn value(self, value: i64) -> Contribution {
        Contribution { value, ..self }
    }

    /// It is meant for this answer.
    #[must_use]
    pub fn of(self, answer: u16) -> Contribution {
        Contribution { answer, ..self }
    }

    /// Brings a group to one worker. Symbols are hashed by number: all workers are of one process, and a symbol keeps its
    /// number as long as a group has it.
    pub(super) fn route(&self) -> u64 {
        let mut hasher = KeyedState.build_hasher();
        self.answer.hash(&mut hasher);
        for part in self.group {
            match part {
                Part::Unused => {}
                Part::Text(text) => text.hash(&mut hasher),
                Part::Long(long) => long.hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}
