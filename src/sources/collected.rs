//! Messages of one partition on their way into a block.

use pinflow_dataflows::record::Micros;

use super::{Message, Records};
use crate::position::Position;

/// The last millisecond of the year 9999: a time beyond it, or before 1970, is none.
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// Messages that were collected, in order.
#[derive(Debug, Default)]
pub(super) struct Collected {
    payloads: Vec<u8>,
    index: Vec<Message>,
}

impl Collected {
    /// Adds a message, `None` for a tombstone; tells how many bytes that takes.
    pub(super) fn push(&mut self, payload: Option<&[u8]>, position: Position, arrived_ms: Option<i64>) -> usize {
        let bytes = payload.unwrap_or_default();
        self.payloads.extend_from_slice(bytes);
        // A block is sent when it has a quarter MiB, and no message reaches 2 GiB.
        let end = u32::try_from(self.payloads.len()).expect("a block and one message are less than 4 GiB");
        let arrived_at = arrived_ms.and_then(micros);
        self.index.push(Message { end, null: payload.is_none(), position, arrived_at });
        bytes.len() + size_of::<Message>()
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.payloads.len() + size_of_val(self.index.as_slice())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The payload of the last message, if there is one.
    pub(super) fn last(&self) -> Option<Option<&[u8]>> {
        let last = self.index.last()?;
        let start = self.index.len().checked_sub(2).map_or(0, |before| self.index[before].end as usize);
        Some((!last.null).then(|| &self.payloads[start..last.end as usize]))
    }

    /// All of them; the next ones will be about as many.
    pub(super) fn take(&mut self) -> Records {
        let (bytes, messages) = (self.payloads.len(), self.index.len());
        let payloads = std::mem::replace(&mut self.payloads, Vec::with_capacity(bytes));
        let index = std::mem::replace(&mut self.index, Vec::with_capacity(messages));
        Records::Messages { payloads, index }
    }
}

fn micros(millis: i64) -> Option<Micros> {
    (0..=MILLIS_MAX).contains(&millis).then(|| millis * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_is_told_and_all_are_given_once() {
        let mut collected = Collected::default();
        assert_eq!(collected.last(), None);
        let messages = [Some(&b"ab"[..]), None, Some(b"")];
        for (position, payload) in (7_u64..).zip(messages) {
            collected.push(payload, position.into(), Some(5));
            assert_eq!(collected.last(), Some(payload));
        }
        collected.push(Some(b"c"), 10.into(), Some(MILLIS_MAX + 1));
        let mut found = Vec::new();
        collected.take().each(|payload, position, at| found.push((payload.map(<[u8]>::to_vec), position, at)));
        let expected = |payload: Option<&[u8]>, position: u64, at| (payload.map(<[u8]>::to_vec), position.into(), at);
        let at = Some(5_000);
        assert_eq!(
            found,
            [
                expected(messages[0], 7, at),
                expected(messages[1], 8, at),
                expected(messages[2], 9, at),
                expected(Some(b"c"), 10, None)
            ]
        );
        assert!(collected.is_empty() && collected.take().count() == 0);
    }
}
