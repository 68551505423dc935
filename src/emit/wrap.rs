//! The shapes in which producers put rows on the wire: every one was seen in the wild.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::dice::Dice;
use super::json;

/// What messages look like around their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrap {
    /// The row itself, a JSON object.
    None,
    /// `{"value":row}`.
    Value,
    /// `{"records":[{"value":row},…]}` with one to three rows, of draws that follow one another.
    Records,
    /// The row's text as a JSON string.
    String,
    /// The row's text in base64, as a JSON string.
    Base64,
    /// All of these and more, message by message: half of them rows as they are, the others also as `[{"value":row}]`,
    /// `{"schema":…,"payload":row}`, a string twice, and a row behind a byte order mark.
    Mixed,
}

/// The shape of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Row,
    Value,
    ArrayOfValue,
    Records,
    Payload,
    Text,
    TextTwice,
    Base64,
    Marked,
}

const MIXED: [Shape; 16] = [
    Shape::Row,
    Shape::Row,
    Shape::Row,
    Shape::Row,
    Shape::Row,
    Shape::Row,
    Shape::Row,
    Shape::Row,
    Shape::Value,
    Shape::ArrayOfValue,
    Shape::Records,
    Shape::Payload,
    Shape::Text,
    Shape::TextTwice,
    Shape::Base64,
    Shape::Marked,
];

impl Wrap {
    /// The shape of the message that `dice` belong to, and how many rows it may hold.
    pub(crate) fn shape(self, mut dice: Dice) -> (Shape, u64) {
        let shape = match self {
            Wrap::None => Shape::Row,
            Wrap::Value => Shape::Value,
            Wrap::Records => Shape::Records,
            Wrap::String => Shape::Text,
            Wrap::Base64 => Shape::Base64,
            Wrap::Mixed => dice.pick(&MIXED),
        };
        (shape, if shape == Shape::Records { 1 + dice.below(3) } else { 1 })
    }

    /// Whether each message is JSON: one of [`Wrap::Mixed`] may begin with a byte order mark.
    pub(crate) fn is_json(self) -> bool {
        self != Wrap::Mixed
    }

    /// Whether each message holds exactly one row, so that the number of a message is the number of its draw.
    pub(crate) fn one_row_each(self) -> bool {
        !matches!(self, Wrap::Records | Wrap::Mixed)
    }
}

impl Shape {
    /// Appends a message of `rows`: more than one only in [`Shape::Records`].
    pub(crate) fn write<'a>(self, rows: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
        if self == Shape::Records {
            for (at, row) in rows.enumerate() {
                out.extend_from_slice(if at == 0 { b"{\"records\":[{\"value\":" } else { b",{\"value\":" });
                out.extend_from_slice(row.as_bytes());
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
            return;
        }
        for row in rows {
            match self {
                Shape::Row | Shape::Records => out.extend_from_slice(row.as_bytes()),
                Shape::Value => around("{\"value\":", row, "}", out),
                Shape::ArrayOfValue => around("[{\"value\":", row, "}]", out),
                Shape::Payload => {
                    around("{\"schema\":{\"type\":\"struct\",\"optional\":false},\"payload\":", row, "}", out);
                }
                Shape::Text => json::string(row, false, out),
                Shape::TextTwice => {
                    let mut once = Vec::with_capacity(row.len() * 2);
                    json::string(row, false, &mut once);
                    json::string(&String::from_utf8_lossy(&once), false, out);
                }
                Shape::Base64 => json::string(&STANDARD.encode(row), false, out),
                Shape::Marked => around("\u{feff}", row, "", out),
            }
        }
    }
}

fn around(before: &str, row: &str, after: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(row.as_bytes());
    out.extend_from_slice(after.as_bytes());
}
