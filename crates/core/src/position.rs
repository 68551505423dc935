//! Positions in a source, and how far each partition was read.

use std::collections::BTreeMap;

pub use pinflow_dataflows::record::Position;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A logical time of the dataflow. Epochs are totally ordered, and answers as of an epoch are consistent.
pub type Epoch = u64;

/// The number of a partition within this run. The upper bits are the number of the process that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(pub u32);

impl PartitionId {
    /// How many bits number the partitions of one process. The others number at least 1,024 processes.
    const BITS_IN_PROCESS: u32 = 22;

    /// The first number of the partitions that a process of a cluster reads.
    #[must_use]
    pub fn first_of_process(process: usize) -> PartitionId {
        PartitionId(u32::try_from(process).unwrap_or(0) << Self::BITS_IN_PROCESS)
    }

    /// The process that reads this partition. 0 if there is only one.
    #[must_use]
    pub fn process(self) -> usize {
        (self.0 >> Self::BITS_IN_PROCESS) as usize
    }
}

/// How far a partition was read: the next position, and what proves that it is still the same stream.
///
/// It is committed together with the rows that it covers. The source gets it back at the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionProgress {
    /// The next position to read: a line number (from 1), an offset, or the last sequence number read plus one.
    /// [`Position::END`] once the partition has ended for good.
    pub next: Position,
    /// Rows read before `next` since the beginning: written, rejected, and exact redeliveries.
    pub rows: u64,
    /// Fingerprint (63 bits) of the record just before `next`. The source must still have that record. Before the first
    /// record, a source may store here what it needs to start.
    pub fingerprint: u64,
    /// What else the source needs to resume. While `next` stays the same, it may only grow.
    pub hint: ResumeHint,
}

impl PartitionProgress {
    /// Nothing was read yet.
    pub const NONE: PartitionProgress =
        PartitionProgress { next: Position::START, rows: 0, fingerprint: 0, hint: ResumeHint::None };

    /// `next` as a line number or an offset. A position that does not fit is returned as [`u64::MAX`]; only sequence
    /// numbers are that wide.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next.narrow().unwrap_or(u64::MAX)
    }

    /// Whether this is further than a stored position and its resume hint.
    #[must_use]
    pub fn is_beyond(&self, next: Position, hint: ResumeHint) -> bool {
        (next, hint.to_stored()) < (self.next, self.hint.to_stored())
    }
}

/// What a source stores beside a position to resume there.
///
/// Tables hold it as a number of 63 bits, under the name `seek`. What the number means follows from the first word of the
/// partition's key: [`ResumeHint::from_stored`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResumeHint {
    /// The position is sufficient. Stored as 0.
    #[default]
    None,
    /// `recording/…`: the byte offset of `next` in a plain file, at least 1. Without it the file is read from its
    /// start, and lines are counted.
    ByteOffset(u64),
    /// `kafka/…`: the offset of the record with the stored fingerprint. Offsets without records can lie between it and
    /// `next`. Stored plus one, because 0 means none.
    FingerprintOffset(u64),
    /// `kinesis/…`: every record that arrived up to this time was read, in milliseconds since 1970, at least 1. It tells
    /// whether unread records may have expired.
    CaughtUpMs(u64),
    /// Any other source: the number as it is stored, at least 1.
    Number(u64),
}

impl ResumeHint {
    /// The hint of the partition with this key, decoded from its stored number.
    #[must_use]
    pub fn from_stored(key: &str, number: u64) -> ResumeHint {
        match (key.split('/').next(), number) {
            (_, 0) => ResumeHint::None,
            (Some("recording"), offset) => ResumeHint::ByteOffset(offset),
            (Some("kafka"), number) => ResumeHint::FingerprintOffset(number - 1),
            (Some("kinesis"), ms) => ResumeHint::CaughtUpMs(ms),
            (_, number) => ResumeHint::Number(number),
        }
    }

    /// The number to store.
    #[must_use]
    pub fn to_stored(self) -> u64 {
        match self {
            ResumeHint::None => 0,
            ResumeHint::FingerprintOffset(offset) => offset.saturating_add(1),
            ResumeHint::ByteOffset(number) | ResumeHint::CaughtUpMs(number) | ResumeHint::Number(number) => number,
        }
    }

    /// The byte offset in a file; `None` if there is none.
    #[must_use]
    pub fn byte_offset(self) -> Option<u64> {
        if let ResumeHint::ByteOffset(offset) = self { Some(offset) } else { None }
    }

    /// A time up to which everything was read, in milliseconds since 1970; 0 means no time.
    #[must_use]
    pub fn caught_up(ms: u64) -> ResumeHint {
        if ms == 0 { ResumeHint::None } else { ResumeHint::CaughtUpMs(ms) }
    }

    /// The time up to which everything was read, in milliseconds since 1970; 0 if there is none.
    #[must_use]
    pub fn caught_up_ms(self) -> u64 {
        if let ResumeHint::CaughtUpMs(ms) = self { ms } else { 0 }
    }
}

/// Serializes a position as a number if it fits into 64 bits, else as a string of digits.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    match position.narrow() {
        Some(number) => serializer.serialize_u64(number),
        None => position.to_string().serialize(serializer),
    }
}

/// A position as JSON: a number if it fits into 64 bits, else a string of digits.
#[must_use]
pub fn to_json(position: Position) -> serde_json::Value {
    position.narrow().map_or_else(|| position.to_string().into(), Into::into)
}

/// Parses what [`to_json`] wrote; `None` for anything else.
#[must_use]
pub fn from_json(value: &serde_json::Value) -> Option<Position> {
    let number = value.as_u64().map(Position::from);
    number.or_else(|| value.as_str()?.parse().ok())
}

/// Where each partition resumes, by its key.
pub type ResumePositions = BTreeMap<String, PartitionProgress>;

/// The fingerprint of a record: the first 63 bits of its SHA-256. It is stored in tables, so it never changes.
#[must_use]
pub fn record_fingerprint(record: &[u8]) -> u64 {
    first_63_bits(&Sha256::digest(record))
}

/// The fingerprint of a message: of its time, key and value, each of which may be missing. Headers are not included.
#[must_use]
pub fn message_fingerprint(arrived_ms: Option<i64>, key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(arrived_ms.unwrap_or(-1).to_be_bytes());
    for part in [key, value] {
        // The length separates the parts. No length is `u64::MAX`, so it stands for null.
        hasher.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        hasher.update(part.unwrap_or_default());
    }
    first_63_bits(&hasher.finalize())
}

/// The first 63 bits: a transaction version is a signed number.
fn first_63_bits(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_fingerprint_depends_on_every_part_and_null_is_not_empty() {
        let all = [
            message_fingerprint(None, None, None),
            message_fingerprint(Some(0), None, None),
            message_fingerprint(None, Some(b""), None),
            message_fingerprint(None, None, Some(b"")),
            message_fingerprint(None, Some(b"ab"), Some(b"c")),
            message_fingerprint(None, Some(b"a"), Some(b"bc")),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
            assert!(*one < 1 << 63);
        }
    }

    #[test]
    fn stored_hint_means_what_its_source_stored() {
        for (key, stored, hint) in [
            ("recording/pin.jsonl", 700, ResumeHint::ByteOffset(700)),
            ("kafka/cluster/pin/0", 1, ResumeHint::FingerprintOffset(0)),
            ("kinesis/arn:aws:kinesis:x/7/shard", 9, ResumeHint::CaughtUpMs(9)),
            ("pulsar/pin", 5, ResumeHint::Number(5)),
            ("kafka/cluster/pin/0", 0, ResumeHint::None),
        ] {
            assert_eq!((ResumeHint::from_stored(key, stored), hint.to_stored()), (hint, stored), "{key}");
        }
    }

    #[test]
    fn record_fingerprint_never_changes() {
        // Stored in tables: SHA-256 of nothing begins with e3b0c44298fc1c14.
        assert_eq!(record_fingerprint(b""), 0xe3b0_c442_98fc_1c14 >> 1);
    }
}
