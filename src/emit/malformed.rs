//! Messages that something is wrong with, each with what a reader must make of it.

use std::ops::Range;

use pinflow_dataflows::record::Stream;
use pinflow_dataflows::rejection::RejectionReason;

use super::dice::Dice;

/// What becomes of a malformed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It is rejected.
    Rejected(RejectionReason),
    /// Its row stays; this column of it becomes null.
    Fault(&'static str),
}

/// What is malformed at all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Menu {
    /// Whether readers tell the streams apart by the fields of each row, and not by where it comes from.
    pub(crate) auto: bool,
    /// Messages longer than this are too large.
    pub(crate) too_large: Option<u64>,
    /// Messages with more rows than this have too many.
    pub(crate) too_many_rows: Option<u64>,
}

/// Nested deeper than any reader goes.
const TOO_DEEP: usize = 200;

impl Menu {
    /// What can become of malformed messages of a stream; each is equally likely. A tombstone is missing here: a line of
    /// text cannot be null.
    pub(crate) fn outcomes(self, stream: Stream) -> Vec<Outcome> {
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
        let faults = columns.iter().map(|column| Outcome::Fault(column));
        reasons.into_iter().map(Outcome::Rejected).chain(faults).collect()
    }

    /// Spoils a good message so that `outcome` becomes of it. `other` is the message of another stream for the same ind.
    pub(crate) fn spoil(self, outcome: Outcome, stream: Stream, other: &[u8], dice: &mut Dice, message: &mut Vec<u8>) {
        match outcome {
            Outcome::Fault(column) => fault(column, dice, message),
            Outcome::Rejected(reason) => self.reject(reason, stream, other, dice, message),
        }
    }

    fn reject(self, reason: RejectionReason, stream: Stream, other: &[u8], dice: &mut Dice, message: &mut Vec<u8>) {
        match reason {
            RejectionReason::NotUtf8 => not_utf8(dice, message),
            RejectionReason::NotJson => not_json(dice, message),
            RejectionReason::TrailingBytes => {
                message.extend_from_slice(dice.pick(&[&b"}"[..], b" {\"ind\":1}", b" EOF", b"\0"]));
            }
            RejectionReason::NotAnObject => {
                replace(message, dice.pick(&["17", "true", "[7]", "-0.5", "[false]"]).as_bytes())
            }
            RejectionReason::TooLarge => insert_first(message, "padding", &filler(self.too_large.unwrap_or(0))),
            RejectionReason::TooDeep => insert_first(message, "extra", &nested()),
            RejectionReason::TooManyRows => many_rows(self.too_many_rows.unwrap_or(0), message),
            RejectionReason::NoKey => remove_key(message),
            RejectionReason::BadKey => {
                let keys = ["-1", "1.5", "9223372036854775808", "\"12abc\"", "\"seven\"", "1e30"];
                set(message, key(stream), dice.pick(&keys).as_bytes());
            }
            RejectionReason::WrongStream if self.auto => replace(message, br#"{"ind":7,"colour":"blue","size":3}"#),
            RejectionReason::WrongStream => replace(message, other),
            RejectionReason::WrongType => {
                let value = dice.pick(&["{\"name\":\"art\"}", "true", "[[1]]"]).as_bytes();
                set(message, dice.pick(&typed(stream)), value);
            }
            RejectionReason::DuplicateField => duplicate(stream, dice, message),
            RejectionReason::Tombstone => message.clear(),
        }
    }
}

/// What the key is called on a stream.
fn key(stream: Stream) -> &'static str {
    match stream {
        Stream::Pin => "index",
        Stream::Geo | Stream::User => "ind",
    }
}

/// Fields of which no type but their own can be read.
fn typed(stream: Stream) -> [&'static str; 3] {
    match stream {
        Stream::Pin => ["title", "category", "follower_count"],
        Stream::Geo => ["country", "latitude", "timestamp"],
        Stream::User => ["first_name", "age", "date_joined"],
    }
}

fn replace(message: &mut Vec<u8>, with: &[u8]) {
    message.clear();
    message.extend_from_slice(with);
}

/// Where the value of a field stands in a message written by us.
fn value(message: &[u8], field: &str) -> Range<usize> {
    let quoted = [b"\"", field.as_bytes(), b"\":"].concat();
    // A quote inside a text is escaped, so this can only be the field.
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

fn set(message: &mut Vec<u8>, field: &str, to: &[u8]) {
    let at = value(message, field);
    message.splice(at, to.iter().copied());
}

/// Inserts a field in front of all others.
fn insert_first(message: &mut Vec<u8>, field: &str, value: &[u8]) {
    let text = [b"\"", field.as_bytes(), b"\":", value, b","].concat();
    message.splice(1..1, text);
}

fn not_utf8(dice: &mut Dice, message: &mut Vec<u8>) {
    if dice.once_in(3) {
        // UTF-16 with its byte order mark; only of what is ASCII, so that no half of a character is a line break.
        let wide = message.iter().filter(|byte| byte.is_ascii()).flat_map(|byte| [*byte, 0]);
        *message = [0xff, 0xfe].into_iter().chain(wide).collect();
        return;
    }
    let quotes: Vec<usize> = memchr::memchr_iter(b'"', message).collect();
    let at = dice.pick(&quotes) + 1;
    let stray = dice.pick(&[&[0xff][..], &[0xc3], &[0xed, 0xa0, 0x80], &[0xf5, 0x80, 0x80, 0x80], &[0x80]]);
    message.splice(at..at, stray.iter().copied());
}

fn not_json(dice: &mut Dice, message: &mut Vec<u8>) {
    match dice.below(5) {
        0 | 1 => {
            let mut end = 1 + dice.below(message.len() as u64 - 2) as usize;
            // A cut character would be a fault of its own kind.
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
        _ => replace(message, b"<html><body><h1>502 Bad Gateway</h1></body></html>"),
    }
}

fn nested() -> Vec<u8> {
    [vec![b'['; TOO_DEEP], vec![b']'; TOO_DEEP]].concat()
}

/// A string longer than `limit` bytes.
fn filler(limit: u64) -> Vec<u8> {
    let text = vec![b'x'; limit as usize];
    [b"\"", text.as_slice(), b"\""].concat()
}

/// One row more than `limit`.
fn many_rows(limit: u64, message: &mut Vec<u8>) {
    let row = [b"{\"value\":", message.as_slice(), b"}"].concat();
    let rows = vec![row.as_slice(); limit as usize + 1].join(&b',');
    *message = [b"{\"records\":[", rows.as_slice(), b"]}"].concat();
}

/// The key always stands first.
fn remove_key(message: &mut Vec<u8>) {
    let comma = memchr::memchr(b',', message).unwrap_or(0);
    message.drain(1..=comma);
}

fn duplicate(stream: Stream, dice: &mut Dice, message: &mut Vec<u8>) {
    let fields = match stream {
        Stream::Pin => ["\"index\":9007199254740993", "\"category\":\"another\""],
        Stream::Geo => ["\"ind\":9007199254740993", "\"country\":\"Nowhere\""],
        Stream::User => ["\"ind\":9007199254740993", "\"age\":19"],
    };
    let field = dice.pick(&fields).as_bytes();
    let end = message.len() - 1;
    message.splice(end..end, [b",", field].concat());
}

fn fault(column: &str, dice: &mut Dice, message: &mut Vec<u8>) {
    let no_times = ["\"yesterday\"", "\"2021-13-45T00:00:00\"", "\"2021-02-30 10:00:00\"", "\"19/10/2021 10:00\""];
    let (field, values): (&str, &[&str]) = match column {
        "follower_count" => (column, &["\"-5\"", "\"many\"", "\"99999999999B\"", "\"12q\""]),
        "coordinates" if dice.once_in(2) => ("latitude", &["90.5", "-91.0", "1e9"]),
        "coordinates" => ("longitude", &["180.5", "-200.25"]),
        "age" => (column, &["151", "-1", "4000000000"]),
        _ => (column, &no_times),
    };
    set(message, field, dice.pick(values).as_bytes());
}
