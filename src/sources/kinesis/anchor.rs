//! The record that proves a shard to be the one that was read: a hash of all of it.

use sha2::{Digest, Sha256};

use crate::kinesis::Record;

/// 63 bits of the hash of a record: its time of arrival, partition key and data.
pub(super) fn hash(record: &Record) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(record.arrived_ms.unwrap_or(-1).to_be_bytes());
    for part in [record.partition_key.as_bytes(), &record.data] {
        // A length, so that no two records run together.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut head = [0; 8];
    head.copy_from_slice(&hasher.finalize()[..8]);
    u64::from_be_bytes(head) >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_record_counts() {
        let record = |arrived_ms, key: &str, data: &str| Record {
            sequence_number: "1".to_owned(),
            arrived_ms,
            partition_key: key.to_owned(),
            data: data.as_bytes().to_vec(),
        };
        let all =
            [record(None, "a", "bc"), record(Some(0), "a", "bc"), record(None, "ab", "c"), record(None, "a", "bd")]
                .map(|record| hash(&record));
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one) && *one < 1 << 63, "{at}");
        }
    }
}
