//! Places in a source, and how far each partition has been read.

use std::collections::BTreeMap;

pub use pinflow_dataflows::record::Position;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// One totally ordered instant of the dataflow. Everything at or before an epoch is consistent.
pub type Epoch = u64;

/// A partition of a source, by number within this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// How far a partition has been read: the next thing to read, and what proves that it is the same stream.
///
/// Committed with the rows it covers, and handed back to the source at the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The next position to read: line number (from 1), offset; one more than the last sequence number read.
    /// [`Position::END`] once the partition has ended for good.
    pub next: Position,
    /// Rows read before `next`, since the beginning: written, rejected, and exact redeliveries alike.
    pub rows: u64,
    /// Hash of the record just before `next`, 63 bits: the source must still hold it there. Before the first record a
    /// source may keep there what it needs to begin.
    pub anchor: u64,
    /// What else the source needs to go on: where to seek to instead of counting up to `next` (a byte offset); the moment
    /// up to which all that arrived was read. Of a position that stays, it may only grow.
    pub seek: u64,
}

impl Reached {
    /// Nothing was read.
    pub const NOTHING: Reached = Reached { next: Position::START, rows: 0, anchor: 0, seek: 0 };

    /// The position, where it is a line number or an offset. No source that counts has wider ones; of one that were, the
    /// largest number stands for it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next.narrow().unwrap_or(u64::MAX)
    }

    /// Whether this is further than a position and what was stored beside it.
    #[must_use]
    pub fn is_beyond(&self, next: Position, seek: u64) -> bool {
        (next, seek) < (self.next, self.seek)
    }
}

/// Writes a position for programs: a number where it fits one, else its digits as text.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    match position.narrow() {
        Some(number) => serializer.serialize_u64(number),
        None => position.to_string().serialize(serializer),
    }
}

/// As [`serialize`], as a JSON value.
#[must_use]
pub fn to_json(position: Position) -> serde_json::Value {
    position.narrow().map_or_else(|| position.to_string().into(), Into::into)
}

/// Reads what [`to_json`] has written.
#[must_use]
pub fn from_json(value: &serde_json::Value) -> Option<Position> {
    let number = value.as_u64().map(Position::from);
    number.or_else(|| value.as_str()?.parse().ok())
}

/// Where every partition resumes, by its key.
pub type Positions = BTreeMap<String, Reached>;

/// The anchor of a record: the first 63 bits of its SHA-256, stable across versions and machines.
#[must_use]
pub fn anchor(record: &[u8]) -> u64 {
    head(&Sha256::digest(record))
}

/// The anchor of a message: of its time, key and value, each there or not. Headers are not part of it, nor of anything.
#[must_use]
pub fn anchor_of_message(arrived_ms: Option<i64>, key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(arrived_ms.unwrap_or(-1).to_be_bytes());
    for part in [key, value] {
        // A length, so that no two messages run together; none for null.
        hasher.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        hasher.update(part.unwrap_or_default());
    }
    head(&hasher.finalize())
}

/// The first 63 bits.
fn head(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_message_counts_and_null_is_not_empty() {
        let all = [
            anchor_of_message(None, None, None),
            anchor_of_message(Some(0), None, None),
            anchor_of_message(None, Some(b""), None),
            anchor_of_message(None, None, Some(b"")),
            anchor_of_message(None, Some(b"ab"), Some(b"c")),
            anchor_of_message(None, Some(b"a"), Some(b"bc")),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
            assert!(*one < 1 << 63);
        }
    }

    #[test]
    fn anchors_are_the_same_for_ever() {
        // Stored in tables: SHA-256 of nothing begins with e3b0c44298fc1c14.
        assert_eq!(anchor(b""), 0xe3b0_c442_98fc_1c14 >> 1);
    }
}
