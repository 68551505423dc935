//! One partition on its way into the feed: collects records into blocks, each record once and in order.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::fingerprint::RecordFingerprint;
use super::stall::PartitionStallDetector;
use pinflow_connect::source::block_builder::BlockBuilder;
use pinflow_connect::source::{AcceptedLoss, BlockRecords, RecordBlock};
use pinflow_core::position::{PartitionId, Position, message_fingerprint};

/// One partition.
pub(super) struct PartitionReader {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
    /// `kafka/‹topic›/‹partition›`.
    pub(super) name: String,
    pub(super) id: PartitionId,
    /// The offset after everything collected.
    pub(super) next: u64,
    /// The last record collected.
    pub(super) anchor: Option<RecordFingerprint>,
    /// Where it ended when the engine was last told.
    pub(super) told_end: Option<u64>,
    /// Where it ended when the run began; 0 for a partition that was added since.
    pub(super) initial_end: u64,
    /// How far the consumer group was told.
    pub(super) committed: u64,
    /// Since when it stands before an open transaction, and whether that was said.
    pub(super) waits: Option<(Instant, bool)>,
    /// Whether it stands still without a reason.
    pub(super) stall: PartitionStallDetector,
    builder: BlockBuilder,
    last: LastMessage,
    /// Where the last message collected stands.
    last_offset: u64,
    /// The last message collected stands for lost ones.
    lost: bool,
}

/// What the anchor of the last record needs beside its payload.
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
            told_end: None,
            initial_end: 0,
            committed: 0,
            waits: None,
            stall: PartitionStallDetector::new(next, Instant::now()),
            builder,
            last: LastMessage::default(),
            last_offset: 0,
            lost: false,
        }
    }

    /// Collects a message; tells how many bytes that added. One that was collected before is dropped: the client
    /// delivers some again after a pause or a change of leader.
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

    /// Puts a row in the place of records that are gone.
    pub(super) fn push_loss(&mut self, loss: &AcceptedLoss) {
        self.last = LastMessage::default();
        // What a start judged are offsets.
        let offset = |position: Position| position.narrow().unwrap_or(u64::MAX);
        self.push(Some(&loss.placeholder_message()), offset(loss.from), None);
        self.lost = true;
        self.next = offset(loss.to).saturating_add(1);
    }

    fn push(&mut self, payload: Option<&[u8]>, offset: u64, arrived_ms: Option<i64>) -> usize {
        (self.last_offset, self.next) = (offset, offset + 1);
        self.builder.push(payload, offset.into(), arrived_ms)
    }

    /// Bytes collected.
    pub(super) fn collected_bytes(&self) -> usize {
        self.builder.bytes()
    }

    /// Everything collected, as a block.
    pub(super) fn take_block(&mut self) -> Option<RecordBlock> {
        let payload = self.builder.last_payload()?;
        let hash = message_fingerprint(self.last.timestamp_ms, self.last.key.as_deref(), payload);
        // What stands for lost records is in no partition.
        let is_there = !std::mem::take(&mut self.lost);
        self.anchor = is_there.then_some(RecordFingerprint { offset: self.last_offset, hash });
        let records = self.builder.take_records();
        Some(self.build_block(records))
    }

    /// Moves on over offsets that hold no record for us: marks of transactions, and what was aborted. `None` if
    /// nothing is to be moved over, or records are collected that stand before it.
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
