//! Collects the messages of one partition into a block.

use super::arrival_time::{ArrivalClock, ArrivalTime};
use super::{BlockRecords, MessageEntry, StoredRoute, StreamRoute};
use pinflow_core::position::Position;

/// Collects messages in the order of their positions.
#[derive(Debug)]
pub struct BlockBuilder {
    /// The partition's name, for the log.
    source: String,
    payloads: Vec<u8>,
    index: Vec<MessageEntry>,
    clock: ArrivalClock,
    /// Whether the warning about times too far ahead was logged for this partition.
    ahead_is_logged: bool,
}

impl BlockBuilder {
    /// An empty builder for the partition with this name.
    pub fn new(source: &str) -> BlockBuilder {
        BlockBuilder {
            source: source.to_owned(),
            payloads: Vec::new(),
            index: Vec::new(),
            clock: ArrivalClock::new(),
            ahead_is_logged: false,
        }
    }

    /// Adds a message of the partition's stream and returns its size in bytes. `None` is a tombstone.
    pub fn push(&mut self, payload: Option<&[u8]>, position: Position, arrived_ms: Option<i64>) -> usize {
        self.push_routed(StreamRoute::AsPartition, payload, position, arrived_ms)
    }

    /// Like [`BlockBuilder::push`], for a message with its own route.
    pub fn push_routed(
        &mut self,
        route: StreamRoute<'_>,
        payload: Option<&[u8]>,
        position: Position,
        arrived_ms: Option<i64>,
    ) -> usize {
        let before = self.payloads.len();
        let routed = match route {
            StreamRoute::AsPartition => StoredRoute::AsPartition,
            StreamRoute::To(stream) => StoredRoute::To(stream),
            StreamRoute::Nowhere(why) => {
                let why = &why[..why.floor_char_boundary(usize::from(u16::MAX))];
                self.payloads.extend_from_slice(why.as_bytes());
                StoredRoute::Nowhere(u16::try_from(why.len()).expect("it was truncated"))
            }
        };
        self.payloads.extend_from_slice(payload.unwrap_or_default());
        // A block is sent once it has 256 KiB, and no message reaches 2 GiB.
        let end = u32::try_from(self.payloads.len()).expect("a block and one message are less than 4 GiB");
        let arrived_at = self.clock.classify_millis(arrived_ms);
        if arrived_at == ArrivalTime::TooFarAhead && !self.ahead_is_logged {
            self.ahead_is_logged = true;
            self.log_ahead(position, arrived_ms);
        }
        self.index.push(MessageEntry { end, null: payload.is_none(), position, arrived_at, routed });
        self.payloads.len() - before + size_of::<MessageEntry>()
    }

    fn log_ahead(&self, position: Position, arrived_ms: Option<i64>) {
        tracing::warn!(
            source = self.source,
            position = position.to_string(),
            time_ms = arrived_ms,
            hint = "have the topic say when records arrive (message.timestamp.type=LogAppendTime), or correct the \
                    clock of the sender, or of this machine",
            "a record's time is more than an hour ahead of this machine's clock; such times count as unknown"
        );
    }

    /// Bytes of memory used.
    pub fn bytes(&self) -> usize {
        self.payloads.len() + size_of_val(self.index.as_slice())
    }

    /// Whether the block holds no record yet.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The payload of the last message: `None` without a message, `Some(None)` for a tombstone.
    pub fn last_payload(&self) -> Option<Option<&[u8]>> {
        let start = self.index.len().checked_sub(2).map_or(0, |before| self.index[before].end as usize);
        self.index.last().map(|last| last.resolve(&self.payloads, start).payload)
    }

    /// Removes and returns all messages. The new buffers get the same capacity.
    pub fn take_records(&mut self) -> BlockRecords {
        self.clock.forget();
        let (bytes, messages) = (self.payloads.len(), self.index.len());
        let payloads = std::mem::replace(&mut self.payloads, Vec::with_capacity(bytes));
        let index = std::mem::replace(&mut self.index, Vec::with_capacity(messages));
        BlockRecords::Messages { payloads: payloads.into(), index: index.into() }
    }
}

#[cfg(test)]
mod tests {
    use pinflow_dataflows::record::Stream;

    use super::*;

    /// The last second of the year 9999.
    const YEAR_9999_MS: i64 = 253_402_300_799_000;

    #[test]
    fn taken_records_are_those_pushed_and_are_taken_once() {
        let mut builder = BlockBuilder::new("kafka/a/0");
        assert_eq!(builder.last_payload(), None);
        let messages = [Some(&b"ab"[..]), None, Some(b"")];
        for (position, payload) in (7_u64..).zip(messages) {
            builder.push(payload, position.into(), Some(5));
            assert_eq!(builder.last_payload(), Some(payload));
        }
        builder.push(Some(b"c"), 10.into(), Some(YEAR_9999_MS));
        builder.push(Some(b"d"), 11.into(), None);
        let mut found = Vec::new();
        builder.take_records().for_each(|entry| {
            assert_eq!(entry.route, StreamRoute::AsPartition);
            found.push((entry.payload.map(<[u8]>::to_vec), entry.position, entry.arrived_at));
        });
        let expected = |payload: Option<&[u8]>, position: u64, at| (payload.map(<[u8]>::to_vec), position.into(), at);
        let at = ArrivalTime::Known(5_000);
        assert_eq!(
            found,
            [
                expected(messages[0], 7, at),
                expected(messages[1], 8, at),
                expected(messages[2], 9, at),
                expected(Some(b"c"), 10, ArrivalTime::TooFarAhead),
                expected(Some(b"d"), 11, ArrivalTime::Unknown)
            ]
        );
        assert!(builder.is_empty() && builder.take_records().count() == 0);
    }

    #[test]
    fn routing_reason_is_not_part_of_the_payload() {
        let mut builder = BlockBuilder::new("kinesis/a/0");
        let (geo, long) = (StreamRoute::To(Stream::Geo), "é".repeat(40_000));
        let routed =
            [(StreamRoute::Nowhere("key x"), Some(&b"a"[..])), (geo, Some(b"b")), (StreamRoute::Nowhere(&long), None)];
        for (route, payload) in routed {
            builder.push_routed(route, payload, 1.into(), None);
            assert_eq!(builder.last_payload(), Some(payload));
        }
        let mut found = Vec::new();
        builder
            .take_records()
            .for_each(|entry| found.push((format!("{:?}", entry.route), entry.payload.map(<[u8]>::to_vec))));
        let cut = StreamRoute::Nowhere(&long[..usize::from(u16::MAX) - 1]);
        let shown =
            |route: StreamRoute<'_>, payload: Option<&[u8]>| (format!("{route:?}"), payload.map(<[u8]>::to_vec));
        assert_eq!(found, [shown(routed[0].0, Some(b"a")), shown(geo, Some(b"b")), shown(cut, None)]);
    }
}
