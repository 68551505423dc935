//! Collects the records of one shard into blocks, each record once and in order.

use std::sync::Arc;

use super::cursor::ShardCursor;
use super::deaggregation;
use super::partition_key_routing::PartitionKeys;
use crate::KinesisRecord;
use pinflow_connect::source::block_builder::BlockBuilder;
use pinflow_connect::source::{AcceptedLoss, BlockRecords, RecordBlock, StreamRoute};
use pinflow_core::position::{PartitionId, Position};

/// Approximate size of a block, in bytes.
const BLOCK_BYTES: usize = 256 << 10;

/// The unsent records of one shard.
pub(super) struct ShardBuffer {
    /// The shard id.
    pub(super) shard: String,
    /// `kinesis/‹stream›/‹shard›`.
    pub(super) name: String,
    pub(super) id: PartitionId,
    pub(super) cursor: ShardCursor,
    /// The partition keys that route records, if the stream is shared.
    routes: Option<Arc<PartitionKeys>>,
    builder: BlockBuilder,
}

impl ShardBuffer {
    pub(super) fn new(
        shard: &str,
        name: String,
        id: PartitionId,
        routes: Option<Arc<PartitionKeys>>,
        cursor: ShardCursor,
    ) -> ShardBuffer {
        let builder = BlockBuilder::new(&name);
        ShardBuffer { shard: shard.to_owned(), name, id, cursor, routes, builder }
    }

    /// Collects a record: one message for each of its parts, all at its position. Returns whether the block is full.
    /// The caller that ends the block advances the cursor, because only the last record is verified.
    pub(super) fn collect(&mut self, position: Position, record: &KinesisRecord) -> bool {
        match deaggregation::split_parts(&record.data) {
            None => self.push_message(&record.partition_key, &record.data, position, record.arrived_ms),
            Some(parts) => {
                for part in parts {
                    let key = String::from_utf8_lossy(&record.data[part.key]);
                    self.push_message(&key, &record.data[part.data], position, record.arrived_ms);
                }
            }
        }
        self.builder.bytes() >= BLOCK_BYTES
    }

    /// Adds the placeholder of an accepted loss.
    pub(super) fn push_loss(&mut self, loss: &AcceptedLoss) {
        self.builder.push(Some(&loss.placeholder_message()), loss.from, None);
    }

    fn push_message(&mut self, key: &str, payload: &[u8], position: Position, arrived_ms: Option<i64>) {
        let found = self.routes.as_ref().map(|routes| routes.stream_of_key(key));
        let route = match &found {
            None => StreamRoute::AsPartition,
            Some(Ok(stream)) => StreamRoute::To(*stream),
            Some(Err(stray)) => StreamRoute::Nowhere(stray),
        };
        self.builder.push_routed(route, Some(payload), position, arrived_ms);
    }

    /// Whether no message is collected.
    pub(super) fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// Returns the collected messages as a block. An empty block only reports the position. `behind_ms` is how far the
    /// last record is behind the tip of the shard, in milliseconds.
    pub(super) fn take_block(&mut self, behind_ms: Option<u64>) -> RecordBlock {
        let records = self.builder.take_records();
        let next = self.cursor.next_position();
        self.build_block(records, next, behind_ms)
    }

    /// Returns the collected messages as the last block of the shard.
    pub(super) fn take_last_block(&mut self) -> RecordBlock {
        let block = self.take_block(Some(0));
        RecordBlock { next: Position::END, ..block }
    }

    fn build_block(&mut self, records: BlockRecords, next: Position, behind_ms: Option<u64>) -> RecordBlock {
        let (fingerprint, hint) = self.cursor.state_for_block(records.count() > 0);
        // The number of remaining records is unknown, except that it is 0 at the tip.
        let lag = (behind_ms == Some(0)).then_some(0);
        RecordBlock {
            partition: self.id,
            records,
            next,
            fingerprint,
            hint,
            lag,
            lag_ms: behind_ms,
            remaining_bytes: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::deaggregation::tests::{aggregate, aggregate_with_keys};
    use super::*;
    use pinflow_core::position::PartitionProgress;

    fn record(number: &str, data: &[u8]) -> KinesisRecord {
        KinesisRecord {
            sequence_number: number.to_owned(),
            arrived_ms: Some(5),
            partition_key: String::new(),
            data: data.to_vec(),
        }
    }

    fn unrouted_buffer() -> ShardBuffer {
        routed_buffer(None)
    }

    fn routed_buffer(routes: Option<PartitionKeys>) -> ShardBuffer {
        let (name, cursor) = ("kinesis/a/shard".to_owned(), ShardCursor::start(PartitionProgress::NONE));
        ShardBuffer::new("shard", name, PartitionId(0), routes.map(Arc::new), cursor)
    }

    #[test]
    fn parts_of_record_share_its_position_and_block() {
        let mut buffer = unrouted_buffer();
        buffer.collect(7.into(), &record("7", b"a"));
        let last = record("9", &aggregate(&[b"b", b"", b"c"]));
        buffer.collect(9.into(), &last);
        buffer.cursor.advance(9.into(), &last);
        let block = buffer.take_block(Some(3));
        let mut found = Vec::new();
        block.records.for_each(|entry| {
            assert_eq!(entry.route, StreamRoute::AsPartition);
            found.push((entry.payload.map(<[u8]>::to_vec), entry.position, entry.arrived_at.known()));
        });
        let at = |payload: &[u8], position: u64| (Some(payload.to_vec()), Position::from(position), Some(5_000));
        assert_eq!(found, [at(b"a", 7), at(b"b", 9), at(b"", 9), at(b"c", 9)]);
        assert_eq!((block.next, block.lag, block.lag_ms), (10.into(), None, Some(3)));
        assert!(buffer.is_empty());
    }

    #[test]
    fn each_part_is_routed_by_its_own_key() {
        let keys = PartitionKeys { geo: Some("g".to_owned()), user: Some("u".to_owned()), pin: None };
        let mut buffer = routed_buffer(Some(keys));
        let put = |number: &str, key: &str, data: &[u8]| KinesisRecord {
            partition_key: key.to_owned(),
            ..record(number, data)
        };
        buffer.collect(1.into(), &put("1", "g", b"a"));
        buffer.collect(2.into(), &put("2", "elsewhere", b"b"));
        // The key of the whole record does not apply to its parts.
        buffer.collect(
            3.into(),
            &put("3", "g", &aggregate_with_keys(&[(1, b"c"), (0, b"d"), (2, b"e")], &["g", "u", ""])),
        );
        let mut found = Vec::new();
        buffer.take_block(None).records.for_each(|entry| {
            let route = match entry.route {
                StreamRoute::To(stream) => stream.name().to_owned(),
                StreamRoute::Nowhere(why) => why.to_owned(),
                StreamRoute::AsPartition => unreachable!("keys say it"),
            };
            found.push((route, entry.payload.map(<[u8]>::to_vec), entry.position));
        });
        let stray = |key: &str| format!("partition key {key:?} is not one of this stream's partition_keys");
        let expected =
            [("geo", "a", 1), (&stray("elsewhere"), "b", 2), ("user", "c", 3), ("geo", "d", 3), (&stray(""), "e", 3)]
                .map(|(route, payload, at): (&str, &str, u64)| {
                    (route.to_owned(), Some(payload.as_bytes().to_vec()), Position::from(at))
                });
        assert_eq!(found, expected);
    }

    #[test]
    fn block_is_full_at_its_size_and_last_block_ends_shard() {
        let mut buffer = unrouted_buffer();
        assert!(!buffer.collect(1.into(), &record("1", &vec![b'x'; BLOCK_BYTES - 1_000])));
        assert!(buffer.collect(2.into(), &record("2", &vec![b'x'; 2_000])));
        let block = buffer.take_last_block();
        assert_eq!((block.records.count(), block.next), (2, Position::END));
        assert_eq!(buffer.take_last_block().records.count(), 0);
    }
}
