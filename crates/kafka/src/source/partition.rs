//! Collects the records of one partition into blocks, each record once and in order.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::fingerprint::RecordFingerprint;
use super::stall::PartitionStallDetector;
use pinflow_connect::source::block_builder::BlockBuilder;
use pinflow_connect::source::{AcceptedLoss, BlockRecords, RecordBlock};
use pinflow_core::position::{PartitionId, Position, message_fingerprint};

/// The read state of one partition.
pub(super) struct PartitionReader {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
    /// `kafka/‹topic›/‹partition›`.
    pub(super) name: String,
    pub(super) id: PartitionId,
    /// The offset after the last collected message.
    pub(super) next: u64,
    /// The last collected record.
    pub(super) anchor: Option<RecordFingerprint>,
    /// The end offset that was last reported to the engine.
    pub(super) reported_end: Option<u64>,
    /// The end offset when the run began; 0 for a partition that was added later.
    pub(super) initial_end: u64,
    /// The offset that was last committed to the consumer group.
    pub(super) committed: u64,
    /// Since when it open_transaction_wait for an open transaction to end, and whether that was logged.
    pub(super) open_transaction_wait: Option<(Instant, bool)>,
    /// Detects that it stopped moving without a reason.
    pub(super) stall: PartitionStallDetector,
    builder: BlockBuilder,
    last: LastMessage,
    /// The offset of the last collected message.
    last_offset: u64,
    /// Whether the last collected message is the placeholder of lost records.
    lost: bool,
}

/// The parts of the last record, besides its payload, that its fingerprint needs.
#[derive(Default)]
struct LastMessage {
    timestamp_ms: Option<i64>,
    key: Option<Vec<u8>>,
}

impl PartitionReader {
    pub(super) fn new(
        topic: &Arc<str>,
        number: i32,
        name: String,
        id: PartitionId,
        next: u64,
        anchor: Option<RecordFingerprint>,
    ) -> PartitionReader {
        let builder = BlockBuilder::new(&name);
        PartitionReader {
            topic: Arc::clone(topic),
            number,
            name,
            id,
            next,
            anchor,
            reported_end: None,
            initial_end: 0,
            committed: 0,
            open_transaction_wait: None,
            stall: PartitionStallDetector::new(next, Instant::now()),
            builder,
            last: LastMessage::default(),
            last_offset: 0,
            lost: false,
        }
    }

    /// Collects a message and returns the bytes that it adds. A message that was collected before is dropped: the
    /// client delivers some again after a pause or a change of leader.
    pub(super) fn collect(&mut self, message: &BorrowedMessage<'_>) -> usize {
        let Some(offset) = u64::try_from(message.offset()).ok().filter(|offset| *offset >= self.next) else {
            return 0;
        };
        self.lost = false;
        self.last.timestamp_ms = message.timestamp().to_millis();
        match (message.key(), &mut self.last.key) {
            (None, held) => *held = None,
            (Some(key), None) => self.last.key = Some(key.to_vec()),
            (Some(key), Some(held)) => {
                held.clear();
                held.extend_from_slice(key);
            }
        }
        self.push(message.payload(), offset, self.last.timestamp_ms)
    }

    /// Adds the placeholder of an accepted loss and moves past the lost offsets.
    pub(super) fn push_loss(&mut self, loss: &AcceptedLoss) {
        self.last = LastMessage::default();
        // The loss was checked against offsets at the start.
        let offset = |position: Position| position.narrow().unwrap_or(u64::MAX);
        self.push(Some(&loss.placeholder_message()), offset(loss.from), None);
        self.lost = true;
        self.next = offset(loss.to).saturating_add(1);
    }

    fn push(&mut self, payload: Option<&[u8]>, offset: u64, arrived_ms: Option<i64>) -> usize {
        (self.last_offset, self.next) = (offset, offset + 1);
        self.builder.push(payload, offset.into(), arrived_ms)
    }

    /// Bytes of the collected messages.
    pub(super) fn collected_bytes(&self) -> usize {
        self.builder.bytes()
    }

    /// Returns the collected messages as a block; `None` if there are none.
    pub(super) fn take_block(&mut self) -> Option<RecordBlock> {
        let payload = self.builder.last_payload()?;
        let hash = message_fingerprint(self.last.timestamp_ms, self.last.key.as_deref(), payload);
        // The placeholder of lost records is not in the partition, so it has no fingerprint.
        let is_there = !std::mem::take(&mut self.lost);
        self.anchor = is_there.then_some(RecordFingerprint { offset: self.last_offset, hash });
        let records = self.builder.take_records();
        Some(self.build_block(records))
    }

    /// Advances over offsets without records: transaction markers and aborted records. `None` if there are none, or if
    /// collected messages must be sent first.
    pub(super) fn skip_to(&mut self, position: u64) -> Option<RecordBlock> {
        if position <= self.next || !self.builder.is_empty() {
            return None;
        }
        self.next = position;
        Some(self.build_block(BlockRecords::Messages { payloads: Bytes::new(), index: Arc::default() }))
    }

    fn build_block(&self, records: BlockRecords) -> RecordBlock {
        let (fingerprint, hint) = RecordFingerprint::to_stored(self.anchor);
        let (partition, next) = (self.id, self.next.into());
        RecordBlock { partition, records, next, fingerprint, hint, lag: None, lag_ms: None, remaining_bytes: None }
    }
}
