//! Identifies a partition by one of its records: the record's offset and a hash of its timestamp, key and value.

use rdkafka::message::{BorrowedMessage, Message};

use pinflow_core::position::{PartitionProgress, ResumeHint, message_fingerprint};

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordFingerprint {
    /// The offset of the record.
    pub(super) offset: u64,
    /// 63 bits of its hash.
    pub(super) hash: u64,
}

impl RecordFingerprint {
    /// The last record before a stored position; `None` if none was read.
    ///
    /// Offsets without records (transaction markers) can lie between the record and the position, so its own offset is
    /// stored as the resume hint.
    pub(super) fn from_stored(reached: PartitionProgress) -> Option<RecordFingerprint> {
        match reached.hint {
            ResumeHint::FingerprintOffset(offset) => Some(RecordFingerprint { offset, hash: reached.fingerprint }),
            _ => None,
        }
    }

    /// The fingerprint and the resume hint that are stored with a position.
    pub(super) fn to_stored(record: Option<RecordFingerprint>) -> (u64, ResumeHint) {
        record.map_or((0, ResumeHint::None), |record| (record.hash, ResumeHint::FingerprintOffset(record.offset)))
    }
}

/// The hash of a message as received.
pub(super) fn message_hash(message: &BorrowedMessage<'_>) -> u64 {
    message_fingerprint(message.timestamp().to_millis(), message.key(), message.payload())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_read_back_as_it_was_stored() {
        for record in
            [None, Some(RecordFingerprint { offset: 0, hash: 7 }), Some(RecordFingerprint { offset: 41, hash: 0 })]
        {
            let (fingerprint, hint) = RecordFingerprint::to_stored(record);
            assert_eq!(
                RecordFingerprint::from_stored(PartitionProgress { next: 50.into(), rows: 9, fingerprint, hint }),
                record
            );
        }
    }
}
