//! Places in a source, and how far each partition has been read.

use std::collections::BTreeMap;

pub use pinflow_dataflows::record::Position;
use serde::{Serialize, Serializer};

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
    use sha2::Digest;
    let digest = sha2::Sha256::digest(record);
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(head) >> 1
}
