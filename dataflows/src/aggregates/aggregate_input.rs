//! The input of an aggregate: what one joined row adds to one group of one question.

use std::hash::{BuildHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::answer::AnswerCell;
use crate::hash::KeyedState;
use crate::symbol::{Symbol, TextHashes};
use crate::wire::{MalformedMessage, MessageReader, MessageWriter, WireRecord};

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
        let value = match *self {
            GroupKeyPart::Unused | GroupKeyPart::Null => 0,
            GroupKeyPart::Text(text) => text.number(),
            GroupKeyPart::Long(long) => long.cast_unsigned(),
        };
        state.write_u64(u64::from(self.kind()) << 32 | u64::from(value));
    }
}

impl GroupKeyPart {
    /// The number of the kind of value.
    fn kind(self) -> u8 {
        match self {
            GroupKeyPart::Unused => 0,
            GroupKeyPart::Null => 1,
            GroupKeyPart::Text(_) => 2,
            GroupKeyPart::Long(_) => 3,
        }
    }

    /// The text as a symbol.
    pub(super) fn symbol(self) -> Option<Symbol> {
        match self {
            GroupKeyPart::Text(text) => Some(text),
            _ => None,
        }
    }

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

    /// The hash by which groups are exchanged to workers of this process.
    ///
    /// Symbols are hashed by number, which is safe because a symbol keeps its number while a group holds it. In another
    /// process it has another number.
    pub(super) fn exchange_hash(&self) -> u64 {
        let mut hasher = KeyedState.build_hasher();
        self.answer.hash(&mut hasher);
        self.group.iter().for_each(|part| part.hash(&mut hasher));
        hasher.finish()
    }

    /// The hash by which groups are exchanged to workers of several processes. Symbols are hashed by text.
    pub(super) fn shared_exchange_hash(&self, hashes: &mut TextHashes) -> u64 {
        let mut hasher = KeyedState.build_hasher();
        self.answer.hash(&mut hasher);
        for part in self.group {
            match part {
                GroupKeyPart::Text(text) => hashes.hash_of(text).hash(&mut hasher),
                other => other.hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    /// The symbols of the group and of the label.
    pub(super) fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.group.into_iter().filter_map(GroupKeyPart::symbol).chain(self.label)
    }
}

/// The kinds of the parts of a group, two bits each, and whether there is a label.
const PART_KIND_BITS: usize = 2;
const HAS_LABEL: u8 = 1 << (PART_KIND_BITS * GROUP_COLUMNS_MAX);

/// An input with its epoch and the change of its multiplicity, as it is exchanged.
impl WireRecord for (AggregateInput, u64, i64) {
    fn write(&self, to: &mut MessageWriter) {
        let (AggregateInput { group, label, answer, value }, epoch, diff) = self;
        let kinds = group.iter().enumerate().map(|(at, part)| part.kind() << (PART_KIND_BITS * at));
        to.write_byte(kinds.sum::<u8>() + if label.is_some() { HAS_LABEL } else { 0 });
        to.write_number((*answer).into());
        for part in group {
            match *part {
                GroupKeyPart::Unused | GroupKeyPart::Null => {}
                GroupKeyPart::Text(text) => to.write_symbol(Some(text)),
                GroupKeyPart::Long(long) => to.write_signed(long.into()),
            }
        }
        if label.is_some() {
            to.write_symbol(*label);
        }
        to.write_signed(*value);
        to.write_epoch(*epoch);
        to.write_signed(*diff);
    }

    fn read(from: &mut MessageReader<'_>) -> Result<Self, MalformedMessage> {
        let kinds = from.read_byte()?;
        let answer = from.read_small()?;
        let mut group = [GroupKeyPart::Unused; GROUP_COLUMNS_MAX];
        for (at, part) in group.iter_mut().enumerate() {
            *part = match kinds >> (PART_KIND_BITS * at) & 0b11 {
                0 => GroupKeyPart::Unused,
                1 => GroupKeyPart::Null,
                2 => GroupKeyPart::Text(from.read_symbol()?.ok_or(from.malformed("a group without its text"))?),
                _ => {
                    let long = i32::try_from(from.read_signed()?);
                    GroupKeyPart::Long(long.map_err(|_| from.malformed("a number that is too large"))?)
                }
            };
        }
        if kinds >= HAS_LABEL << 1 {
            return Err(from.malformed("a group of no kind"));
        }
        let label = if kinds & HAS_LABEL == 0 { None } else { from.read_symbol()? };
        let value = from.read_signed()?;
        Ok((AggregateInput { group, label, answer, value }, from.read_epoch()?, from.read_signed()?))
    }
}
