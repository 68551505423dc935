//! Identifies a partition by one of its records: the record's offset and a hash of its timestamp, key and value.

use rdkafka::message::{BorrowedMessage, Message};

use pinflow_core::position::{PartitionProgress, message_fingerprint};

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordFingerprint {
    /// Where it stands.
    pub(super) offset: u64,
    /// 63 bits of its hash.
    pub(super) hash: u64,
}

impl RecordFingerprint {
    /// The anchor of a position in the tables; `None` if no record was read before it.
    ///
    /// Between the record and the position may lie offsets without records (the marks of transactions), so its own
    /// offset is kept where other sources keep where to seek: one more than it, as 0 means none.
    pub(super) fn from_stored(reached: PartitionProgress) -> Option<RecordFingerprint> {
        reached.seek.checked_sub(1).map(|offset| RecordFingerprint { offset, hash: reached.anchor })
    }

    /// The anchor as a position holds it: hash, and where to seek.
    pub(super) fn to_stored(anchor: Option<RecordFingerprint>) -> (u64, u64) {
        anchor.map_or((0, 0), |anchor| (anchor.hash, anchor.offset + 1))
    }
}

/// The hash of a message as it came.
pub(super) fn message_hash(message: &BorrowedMessage<'_>) -> u64 {
    message_fingerprint(message.timestamp().to_millis(), message.key(), message.payload())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_survives_being_stored() {
        for anchor in
            [None, Some(RecordFingerprint { offset: 0, hash: 7 }), Some(RecordFingerprint { offset: 41, hash: 0 })]
        {
            let (hash, seek) = RecordFingerprint::to_stored(anchor);
            assert_eq!(
                RecordFingerprint::from_stored(PartitionProgress { next: 50.into(), rows: 9, anchor: hash, seek }),
                anchor
            );
        }
    }
}
