//! Splits records that the Kinesis Producer Library aggregated.
//!
//! The format is that of the library's `aggregation-format.md`: four bytes `F3 89 9A C2`, an `AggregatedRecord` in protocol
//! buffers, its MD5. Anything that deviates by one byte is treated as an ordinary record. So is a record with no part or
//! with more than [`MAX_PARTS`]: its bytes become one rejection, so nothing disappears silently.

use std::ops::Range;

use md5::{Digest, Md5};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const MD5_BYTES: usize = 16;
/// Maximum number of parts of a record. Each part takes a few bytes in the record and more in memory.
pub(super) const MAX_PARTS: usize = 100_000;

/// Field of an `AggregatedRecord` that holds a partition key.
const KEY_TABLE_FIELD: u64 = 1;
/// Field of an `AggregatedRecord` that holds a record.
const RECORDS_FIELD: u64 = 3;
/// Field of such a record with the index of its key in the key table.
const KEY_INDEX_FIELD: u64 = 1;
/// Field of such a record that holds its payload.
const DATA_FIELD: u64 = 3;

/// One part, as ranges of the record's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AggregatedPart {
    /// The partition key.
    pub(super) key: Range<usize>,
    /// The payload.
    pub(super) data: Range<usize>,
}

/// The parts of an aggregated record; `None` for an ordinary record.
pub(super) fn split_parts(record: &[u8]) -> Option<Vec<AggregatedPart>> {
    let end = record.len().checked_sub(MD5_BYTES)?;
    if end < MAGIC.len() || record[..MAGIC.len()] != MAGIC {
        return None;
    }
    let body = &record[MAGIC.len()..end];
    if Md5::digest(body).as_slice() != &record[end..] {
        return None;
    }
    let (mut keys, mut found) = (Vec::new(), Vec::new());
    let mut message = ProtobufReader { bytes: body, at: 0 };
    while !message.is_over() {
        match message.next_field()? {
            (KEY_TABLE_FIELD, ProtobufValue::Bytes(range)) => keys.push(range),
            (RECORDS_FIELD, ProtobufValue::Bytes(range)) => found.push(parse_record(body, range)?),
            _ => {}
        }
        if keys.len() > MAX_PARTS || found.len() > MAX_PARTS {
            return None;
        }
    }
    let shifted = |range: &Range<usize>| range.start + MAGIC.len()..range.end + MAGIC.len();
    // The key table may follow the records.
    let named = found.iter().map(|(key, data)| {
        let key = keys.get(usize::try_from(*key).ok()?)?;
        Some(AggregatedPart { key: shifted(key), data: shifted(data) })
    });
    let parts = named.collect::<Option<Vec<_>>>()?;
    if parts.is_empty() { None } else { Some(parts) }
}

/// Parses one record within the message: the index of its key, and its payload. Both are required.
fn parse_record(body: &[u8], record: Range<usize>) -> Option<(u64, Range<usize>)> {
    let mut message = ProtobufReader { bytes: &body[..record.end], at: record.start };
    let (mut key, mut data) = (None, None);
    while !message.is_over() {
        // If a field occurs twice, the last one counts.
        match message.next_field()? {
            (KEY_INDEX_FIELD, ProtobufValue::Number(number)) => key = Some(number),
            (DATA_FIELD, ProtobufValue::Bytes(range)) => data = Some(range),
            _ => {}
        }
    }
    Some((key?, data?))
}

/// Reads the fields of a protocol buffers message (encoding.md of protobuf.dev) in order.
struct ProtobufReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The value of a field.
enum ProtobufValue {
    Number(u64),
    Bytes(Range<usize>),
    /// A value of fixed width. No known field has one.
    Other,
}

impl ProtobufReader<'_> {
    fn is_over(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next field's number and value; `None` if the message is invalid.
    fn next_field(&mut self) -> Option<(u64, ProtobufValue)> {
        let tag = self.varint()?;
        let skip = match tag & 7 {
            0 => return self.varint().map(|number| (tag >> 3, ProtobufValue::Number(number))),
            1 => 8,
            2 => usize::try_from(self.varint()?).ok()?,
            5 => 4,
            _ => return None,
        };
        let end = self.at.checked_add(skip).filter(|end| *end <= self.bytes.len())?;
        let range = self.at..end;
        self.at = end;
        Some((tag >> 3, if tag & 7 == 2 { ProtobufValue::Bytes(range) } else { ProtobufValue::Other }))
    }

    /// Seven bits per byte, lowest first. The top bit says that more bytes follow.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write_varint(mut number: usize, out: &mut Vec<u8>) {
        while number >= 0x80 {
            out.push(number as u8 & 0x7F | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }

    fn write_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
        out.push(field << 3 | 2);
        write_varint(bytes.len(), out);
        out.extend_from_slice(bytes);
    }

    /// Encodes like the library, with all parts under one key.
    pub(crate) fn aggregate(parts: &[&[u8]]) -> Vec<u8> {
        let parts: Vec<_> = parts.iter().map(|part| (0, *part)).collect();
        aggregate_with_keys(&parts, &["key"])
    }

    /// Encodes like the library: a table of partition keys, then records that refer to theirs by index.
    pub(crate) fn aggregate_with_keys(parts: &[(u8, &[u8])], keys: &[&str]) -> Vec<u8> {
        let mut body = Vec::new();
        keys.iter().for_each(|key| write_bytes(1, key.as_bytes(), &mut body));
        for (key, part) in parts {
            let mut record = vec![1 << 3, *key];
            write_bytes(3, part, &mut record);
            write_bytes(3, &record, &mut body);
        }
        let sum = Md5::digest(&body);
        [&MAGIC[..], &body, sum.as_slice()].concat()
    }

    fn payloads(record: &[u8]) -> Option<Vec<Vec<u8>>> {
        split_parts(record).map(|parts| parts.into_iter().map(|part| record[part.data].to_vec()).collect())
    }

    proptest! {
        #[test]
        fn what_was_put_together_is_found(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..20)) {
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(payloads(&aggregate(&slices)), Some(parts));
        }

        #[test]
        fn a_changed_byte_makes_it_plain(at in any::<proptest::sample::Index>(), by in 1..=255_u8) {
            let mut record = aggregate(&[b"{\"ind\":1}", b"{\"ind\":2}"]);
            let at = at.index(record.len());
            record[at] ^= by;
            prop_assert_eq!(payloads(&record), None);
        }

        #[test]
        fn no_body_is_too_strange(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let record = [&MAGIC[..], &body, Md5::digest(&body).as_slice()].concat();
            if let Some(parts) = split_parts(&record) {
                let is_within = |range: &Range<usize>| range.end <= record.len() - MD5_BYTES;
                prop_assert!(parts.iter().all(|part| is_within(&part.data) && is_within(&part.key)));
            }
        }
    }

    #[test]
    fn invalid_aggregate_is_an_ordinary_record() {
        for plain in [&b""[..], b"{}", &MAGIC, &[0xF3, 0x89, 0x9A, 0xC2, 1, 2, 3]] {
            assert_eq!(split_parts(plain), None);
        }
        assert_eq!(split_parts(&aggregate(&[])), None, "no part");
        assert_eq!(
            split_parts(&aggregate_with_keys(&[(0, b"a"), (2, b"b")], &["x", "y"])),
            None,
            "a key that is not there"
        );
        let many = vec![&b""[..]; MAX_PARTS + 1];
        assert_eq!(split_parts(&aggregate(&many)), None, "too many");
        assert_eq!(split_parts(&aggregate(&many[1..])).map(|parts| parts.len()), Some(MAX_PARTS));
    }
}
