//! Places in a source, and how far each partition has been read.

use std::collections::BTreeMap;

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
    /// The next position to read: line number (from 1), offset.
    pub next: u64,
    /// Rows read before `next`, since the beginning: written, rejected, and exact redeliveries alike.
    pub rows: u64,
    /// Hash of the record just before `next`, 63 bits: the source must still hold it there.
    pub anchor: u64,
    /// Where the source may seek to instead of counting up to `next` (a byte offset); 0 where it cannot.
    pub seek: u64,
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
