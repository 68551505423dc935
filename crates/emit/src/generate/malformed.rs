//! Malformed messages, each with what a reader must make of it: a rejection, or a row with a field fault.

use std::ops::Range;

use pinflow_dataflows::record::Stream;
use pinflow_dataflows::rejection::RejectionReason;

use crate::rng::SeededRng;

/// What a reader must make of a malformed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ExpectedOutcome {
    /// The message is rejected for this reason.
    Rejected(RejectionReason),
    /// The row is kept, and this column becomes null.
    FieldFault(&'static str),
}

/// Which kinds of malformed messages are possible.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MalformedOptions {
    /// Whether readers recognise the stream of each row by its fields (`auto`), and not by where it comes from.
    pub(crate) auto: bool,
    /// The limit of readers in bytes. Some messages exceed it. `None`: no message is too large.
    pub(crate) too_large: Option<u64>,
    /// The limit of readers in rows per message. `None`: no message has too many rows.
    pub(crate) too_many_rows: Option<u64>,
}

/// A nesting depth beyond the limit of any reader.
const TOO_DEEP_LEVELS: usize = 200;

impl MalformedOptions {
    /// The possible outcomes of a malformed message on `stream`, each equally likely. A tombstone is not among them: a
    /// line of text cannot be null.
    pub(crate) fn possible_outcomes(self, stream: Stream) -> Vec<ExpectedOutcome> {
        let mut reasons = vec![
            RejectionReason::NotUtf8,
            RejectionReason::NotJson,
            RejectionReason::TrailingBytes,
            RejectionReason::NotAnObject,
            RejectionReason::TooDeep,
            RejectionReason::NoKey,
            RejectionReason::BadKey,
            RejectionReason::WrongStream,
            RejectionReason::WrongType,
            RejectionReason::DuplicateField,
        ];
        reasons.extend(self.too_large.map(|_| RejectionReason::TooLarge));
        reasons.extend(self.too_many_rows.map(|_| RejectionReason::TooManyRows));
        let columns: &[&str] = match stream {
            Stream::Pin => &["follower_count"],
            Stream::Geo => &["coordinates", "timestamp"],
            Stream::User => &["age", "date_joined"],
        };
        let field_faults = columns.iter().map(|column| ExpectedOutcome::FieldFault(column));
        reasons.into_iter().map(ExpectedOutcome::Rejected).chain(field_faults).collect()
    }

    /// Changes a well-formed `message` so that a reader comes to `outcome`. `other` is the message of another stream
    /// with the same `ind`.
    pub(crate) fn make_malformed(
        self,
        outcome: ExpectedOutcome,
        stream: Stream,
        other: &[u8],
        rng: &mut SeededRng,
        message: &mut Vec<u8>,
    ) {
        match outcome {
            ExpectedOutcome::FieldFault(column) => make_field_fault(column, rng, message),
            ExpectedOutcome::Rejected(reason) => self.make_rejected(reason, stream, other, rng, message),
        }
    }

    fn make_rejected(
        self,
        reason: RejectionReason,
        stream: Stream,
        other: &[u8],
        rng: &mut SeededRng,
        message: &mut Vec<u8>,
    ) {
        match reason {
            RejectionReason::NotUtf8 => make_invalid_utf8(rng, message),
            RejectionReason::NotJson => make_invalid_json(rng, message),
            RejectionReason::TrailingBytes => {
                message.extend_from_slice(rng.pick_one(&[&b"}"[..], b" {\"ind\":1}", b" EOF", b"\0"]));
            }
            RejectionReason::NotAnObject => {
                replace_message(message, rng.pick_one(&["17", "true", "[7]", "-0.5", "[false]"]).as_bytes());
            }
            RejectionReason::TooLarge => insert_first(message, "padding", &long_string(self.too_large.unwrap_or(0))),
            RejectionReason::TooDeep => insert_first(message, "extra", &deeply_nested()),
            RejectionReason::TooManyRows => wrap_many_rows(self.too_many_rows.unwrap_or(0), message),
            RejectionReason::NoKey => remove_key(message),
            RejectionReason::BadKey => {
                let keys = ["-1", "1.5", "9223372036854775808", "\"12abc\"", "\"seven\"", "1e30"];
                set_field(message, key_field(stream), rng.pick_one(&keys).as_bytes());
            }
            RejectionReason::WrongStream if self.auto => {
                replace_message(message, br#"{"ind":7,"colour":"blue","size":3}"#);
            }
            RejectionReason::WrongStream => replace_message(message, other),
            RejectionReason::WrongType => {
                let value = rng.pick_one(&["{\"name\":\"art\"}", "true", "[[1]]"]).as_bytes();
                set_field(message, rng.pick_one(&type_checked_fields(stream)), value);
            }
            RejectionReason::DuplicateField => duplicate_field(stream, rng, message),
            RejectionReason::Tombstone => message.clear(),
        }
    }
}

/// The name of the key field.
fn key_field(stream: Stream) -> &'static str {
    match stream {
        Stream::Pin => "index",
        Stream::Geo | Stream::User => "ind",
    }
}

/// Fields for which readers accept only one JSON type.
fn type_checked_fields(stream: Stream) -> [&'static str; 3] {
    match stream {
        Stream::Pin => ["title", "category", "follower_count"],
        Stream::Geo => ["country", "latitude", "timestamp"],
        Stream::User => ["first_name", "age", "date_joined"],
    }
}

fn replace_message(message: &mut Vec<u8>, with: &[u8]) {
    message.clear();
    message.extend_from_slice(with);
}

/// The range of a field's value in a message that this program generated.
fn find_value(message: &[u8], field: &str) -> Range<usize> {
    let quoted = [b"\"", field.as_bytes(), b"\":"].concat();
    // A quote inside a string is escaped, so this matches only the field.
    let start = memchr::memmem::find(message, &quoted).map_or(message.len(), |at| at + quoted.len());
    let mut end = start;
    let mut in_text = false;
    while let Some(byte) = message.get(end) {
        match byte {
            b'\\' => end += 1,
            b'"' => in_text = !in_text,
            b',' | b'}' if !in_text => break,
            _ => {}
        }
        end += 1;
    }
    start..end.min(message.len())
}

fn set_field(message: &mut Vec<u8>, field: &str, to: &[u8]) {
    let at = find_value(message, field);
    message.splice(at, to.iter().copied());
}

/// Inserts a field before all others.
fn insert_first(message: &mut Vec<u8>, field: &str, value: &[u8]) {
    let text = [b"\"", field.as_bytes(), b"\":", value, b","].concat();
    message.splice(1..1, text);
}

fn make_invalid_utf8(rng: &mut SeededRng, message: &mut Vec<u8>) {
    if rng.once_in(3) {
        // UTF-16 with a byte order mark. Only of ASCII, so that no code unit contains the byte of a line feed.
        let wide = message.iter().filter(|byte| byte.is_ascii()).flat_map(|byte| [*byte, 0]);
        *message = [0xff, 0xfe].into_iter().chain(wide).collect();
        return;
    }
    let quotes: Vec<usize> = memchr::memchr_iter(b'"', message).collect();
    let at = rng.pick_one(&quotes) + 1;
    let stray = rng.pick_one(&[&[0xff][..], &[0xc3], &[0xed, 0xa0, 0x80], &[0xf5, 0x80, 0x80, 0x80], &[0x80]]);
    message.splice(at..at, stray.iter().copied());
}

fn make_invalid_json(rng: &mut SeededRng, message: &mut Vec<u8>) {
    match rng.next_below(5) {
        0 | 1 => {
            let mut end = 1 + rng.next_below(message.len() as u64 - 2) as usize;
            // A truncated character would be invalid UTF-8 instead.
            while message[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            message.truncate(end);
        }
        2 => message.iter_mut().filter(|byte| **byte == b'"').for_each(|byte| *byte = b'\''),
        3 => {
            let comma = memchr::memchr(b',', message).unwrap_or(0);
            message.remove(comma);
        }
        _ => replace_message(message, b"<html><body><h1>502 Bad Gateway</h1></body></html>"),
    }
}

fn deeply_nested() -> Vec<u8> {
    [vec![b'['; TOO_DEEP_LEVELS], vec![b']'; TOO_DEEP_LEVELS]].concat()
}

/// A JSON string of more than `limit` bytes.
fn long_string(limit: u64) -> Vec<u8> {
    let text = vec![b'x'; limit as usize];
    [b"\"", text.as_slice(), b"\""].concat()
}

/// Wraps the row `limit` + 1 times.
fn wrap_many_rows(limit: u64, message: &mut Vec<u8>) {
    let row = [b"{\"value\":", message.as_slice(), b"}"].concat();
    let rows = vec![row.as_slice(); limit as usize + 1].join(&b',');
    *message = [b"{\"records\":[", rows.as_slice(), b"]}"].concat();
}

/// The key is always the first field.
fn remove_key(message: &mut Vec<u8>) {
    let comma = memchr::memchr(b',', message).unwrap_or(0);
    message.drain(1..=comma);
}

fn duplicate_field(stream: Stream, rng: &mut SeededRng, message: &mut Vec<u8>) {
    let fields = match stream {
        Stream::Pin => ["\"index\":9007199254740993", "\"category\":\"another\""],
        Stream::Geo => ["\"ind\":9007199254740993", "\"country\":\"Nowhere\""],
        Stream::User => ["\"ind\":9007199254740993", "\"age\":19"],
    };
    let field = rng.pick_one(&fields).as_bytes();
    let end = message.len() - 1;
    message.splice(end..end, [b",", field].concat());
}

fn make_field_fault(column: &str, rng: &mut SeededRng, message: &mut Vec<u8>) {
    let no_times = ["\"yesterday\"", "\"2021-13-45T00:00:00\"", "\"2021-02-30 10:00:00\"", "\"19/10/2021 10:00\""];
    let (field, values): (&str, &[&str]) = match column {
        "follower_count" => (column, &["\"-5\"", "\"many\"", "\"99999999999B\"", "\"12q\""]),
        "coordinates" if rng.once_in(2) => ("latitude", &["90.5", "-91.0", "1e9"]),
        "coordinates" => ("longitude", &["180.5", "-200.25"]),
        "age" => (column, &["151", "-1", "4000000000"]),
        _ => (column, &no_times),
    };
    set_field(message, field, rng.pick_one(values).as_bytes());
}
