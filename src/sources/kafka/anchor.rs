//! The record that proves a partition to be the one that was read: its offset and a hash of all of it.

use rdkafka::message::{BorrowedMessage, Message};
use sha2::{Digest, Sha256};

use crate::position::Reached;

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    /// Where it stands.
    pub(super) offset: u64,
    /// 63 bits of its hash.
    pub(super) hash: u64,
}

impl Anchor {
    /// The anchor of a position in the tables; `None` if no record was read before it.
    ///
    /// Between the record and the position may lie offsets without records (the marks of transactions), so its own
    /// offset is kept where other sources keep where to seek: one more than it, as 0 means none.
    pub(super) fn of(reached: Reached) -> Option<Anchor> {
        reached.seek.checked_sub(1).map(|offset| Anchor { offset, hash: reached.anchor })
    }

    /// The anchor as a position holds it: hash, and where to seek.
    pub(super) fn stored(anchor: Option<Anchor>) -> (u64, u64) {
        anchor.map_or((0, 0), |anchor| (anchor.hash, anchor.offset + 1))
    }
}

/// The hash of a record: its time, key and value, each absent or there. Headers are not part of it, nor of anything.
pub(super) fn hash(timestamp_ms: Option<i64>, key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(timestamp_ms.unwrap_or(-1).to_be_bytes());
    for part in [key, value] {
        // A length, so that no two records run together; none for null.
        hasher.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        hasher.update(part.unwrap_or_default());
    }
    let mut head = [0; 8];
    head.copy_from_slice(&hasher.finalize()[..8]);
    u64::from_be_bytes(head) >> 1
}

/// The hash of a message as it came.
pub(super) fn hash_of(message: &BorrowedMessage<'_>) -> u64 {
    hash(message.timestamp().to_millis(), message.key(), message.payload())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_key_and_value_are_told_apart() {
        let all = [
            hash(None, None, None),
            hash(Some(0), None, None),
            hash(None, Some(b""), None),
            hash(None, None, Some(b"")),
            hash(None, Some(b"ab"), Some(b"c")),
            hash(None, Some(b"a"), Some(b"bc")),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
            assert!(*one < 1 << 63);
        }
    }

    #[test]
    fn an_anchor_survives_being_stored() {
        for anchor in [None, Some(Anchor { offset: 0, hash: 7 }), Some(Anchor { offset: 41, hash: 0 })] {
            let (hash, seek) = Anchor::stored(anchor);
            assert_eq!(Anchor::of(Reached { next: 50.into(), rows: 9, anchor: hash, seek }), anchor);
        }
    }
}
