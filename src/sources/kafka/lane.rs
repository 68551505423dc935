//! One partition on its way into the feed: records are collected into blocks, each once and in order.

use std::sync::Arc;
use std::time::Instant;

use pinflow_dataflows::record::Micros;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::anchor::{self, Anchor};
use crate::position::{PartitionId, Position};
use crate::sources::{AcceptedLoss, Block, Message, Records};

/// The last millisecond of the year 9999: a time beyond it, or before 1970, is none.
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// One partition.
pub(super) struct Lane {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
    /// `kafka/‹topic›/‹partition›`.
    pub(super) name: String,
    pub(super) id: PartitionId,
    /// The offset after everything collected.
    pub(super) next: u64,
    /// The last record collected.
    pub(super) anchor: Option<Anchor>,
    /// Where it ended when the engine was last told.
    pub(super) told_end: Option<u64>,
    /// How far the consumer group was told.
    pub(super) committed: u64,
    /// Since when it stands before an open transaction, and whether that was said.
    pub(super) waits: Option<(Instant, bool)>,
    payloads: Vec<u8>,
    index: Vec<Message>,
    last: Last,
    /// Where the last message collected stands.
    last_offset: u64,
    /// The last message collected stands for lost ones.
    lost: bool,
}

/// What the anchor of the last record needs beside its payload.
#[derive(Default)]
struct Last {
    timestamp_ms: Option<i64>,
    key: Option<Vec<u8>>,
}

impl Lane {
    pub(super) fn new(
        topic: &Arc<str>,
        number: i32,
        name: String,
        id: PartitionId,
        next: u64,
        anchor: Option<Anchor>,
    ) -> Lane {
        Lane {
            topic: Arc::clone(topic),
            number,
            name,
            id,
            next,
            anchor,
            told_end: None,
            committed: 0,
            waits: None,
            payloads: Vec::new(),
            index: Vec::new(),
            last: Last::default(),
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
        let payload = message.payload();
        let bytes = payload.map_or(0, <[u8]>::len);
        self.payloads.extend_from_slice(payload.unwrap_or_default());
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
        let arrived_at = self.last.timestamp_ms.and_then(micros);
        self.index(offset, payload.is_none(), arrived_at);
        bytes + size_of::<Message>()
    }

    /// Puts a row in the place of records that are gone.
    pub(super) fn lose(&mut self, loss: &AcceptedLoss) {
        let message = loss.message();
        self.payloads.extend_from_slice(&message);
        self.last = Last::default();
        // What a start judged are offsets.
        let offset = |position: Position| position.narrow().unwrap_or(u64::MAX);
        self.index(offset(loss.from), false, None);
        self.lost = true;
        self.next = offset(loss.to).saturating_add(1);
    }

    fn index(&mut self, position: u64, null: bool, arrived_at: Option<Micros>) {
        // A block is sent when it has a quarter MiB, and no message reaches 2 GiB.
        let end = u32::try_from(self.payloads.len()).expect("a block and one message are less than 4 GiB");
        self.index.push(Message { end, null, position: position.into(), arrived_at });
        self.last_offset = position;
        self.next = position + 1;
    }

    /// Bytes collected.
    pub(super) fn held(&self) -> usize {
        self.payloads.len() + size_of_val(self.index.as_slice())
    }

    /// Everything collected, as a block.
    pub(super) fn block(&mut self) -> Option<Block> {
        let last = self.index.last()?;
        let start = self.index.len().checked_sub(2).map_or(0, |before| self.index[before].end as usize);
        let payload = (!last.null).then(|| &self.payloads[start..last.end as usize]);
        let hash = anchor::hash(self.last.timestamp_ms, self.last.key.as_deref(), payload);
        // What stands for lost records is in no partition.
        let is_there = !std::mem::take(&mut self.lost);
        self.anchor = is_there.then_some(Anchor { offset: self.last_offset, hash });
        let (bytes, records) = (self.payloads.len(), self.index.len());
        // The next block will be about as large.
        let payloads = std::mem::replace(&mut self.payloads, Vec::with_capacity(bytes));
        let index = std::mem::replace(&mut self.index, Vec::with_capacity(records));
        Some(self.moved(Records::Messages { payloads, index }))
    }

    /// Moves on over offsets that hold no record for us: marks of transactions, and what was aborted. `None` if
    /// nothing is to be moved over, or records are collected that stand before it.
    pub(super) fn move_on(&mut self, position: u64) -> Option<Block> {
        if position <= self.next || !self.index.is_empty() {
            return None;
        }
        self.next = position;
        Some(self.moved(Records::Messages { payloads: Vec::new(), index: Vec::new() }))
    }

    fn moved(&self, records: Records) -> Block {
        let (anchor, seek) = Anchor::stored(self.anchor);
        let (partition, next) = (self.id, self.next.into());
        Block { partition, records, next, anchor, seek, lag: None, lag_ms: None, remaining_bytes: None }
    }
}

fn micros(millis: i64) -> Option<Micros> {
    (0..=MILLIS_MAX).contains(&millis).then(|| millis * 1_000)
}
