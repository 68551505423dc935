//! The envelopes in which producers send rows. All were observed in practice.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::json;
use crate::rng::SeededRng;

/// The envelope around the rows of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WrapMode {
    /// The row itself, a JSON object
    None,
    /// {"value":row}
    Value,
    /// {"records":[{"value":row},…]} with one to three rows of consecutive draws
    Records,
    /// The row as a JSON string
    String,
    /// The row in base64, as a JSON string
    Base64,
    /// A mix: half are plain rows, the others all of these and [{"value":row}], {"schema":…,"payload":row}, a string in
    /// a string, and a row after a byte order mark
    Mixed,
}

/// The envelope of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageShape {
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

const MIXED: [MessageShape; 16] = [
    MessageShape::Row,
    MessageShape::Row,
    MessageShape::Row,
    MessageShape::Row,
    MessageShape::Row,
    MessageShape::Row,
    MessageShape::Row,
    MessageShape::Row,
    MessageShape::Value,
    MessageShape::ArrayOfValue,
    MessageShape::Records,
    MessageShape::Payload,
    MessageShape::Text,
    MessageShape::TextTwice,
    MessageShape::Base64,
    MessageShape::Marked,
];

impl WrapMode {
    /// The envelope of one message, and how many rows it may hold.
    pub(crate) fn pick_shape(self, mut rng: SeededRng) -> (MessageShape, u64) {
        let shape = match self {
            WrapMode::None => MessageShape::Row,
            WrapMode::Value => MessageShape::Value,
            WrapMode::Records => MessageShape::Records,
            WrapMode::String => MessageShape::Text,
            WrapMode::Base64 => MessageShape::Base64,
            WrapMode::Mixed => rng.pick_one(&MIXED),
        };
        (shape, if shape == MessageShape::Records { 1 + rng.next_below(3) } else { 1 })
    }

    /// Whether each message is JSON. A byte order mark, as in [`WrapMode::Mixed`], is not.
    pub(crate) fn is_json(self) -> bool {
        self != WrapMode::Mixed
    }

    /// Whether each message holds exactly one row, so that the number of a message is the number of its draw.
    pub(crate) fn has_one_row_per_message(self) -> bool {
        !matches!(self, WrapMode::Records | WrapMode::Mixed)
    }
}

impl MessageShape {
    /// Appends a message. `rows` may be more than one only for [`MessageShape::Records`].
    pub(crate) fn write_rows<'a>(self, rows: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
        if self == MessageShape::Records {
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
                MessageShape::Row | MessageShape::Records => out.extend_from_slice(row.as_bytes()),
                MessageShape::Value => push_wrapped("{\"value\":", row, "}", out),
                MessageShape::ArrayOfValue => push_wrapped("[{\"value\":", row, "}]", out),
                MessageShape::Payload => {
                    push_wrapped("{\"schema\":{\"type\":\"struct\",\"optional\":false},\"payload\":", row, "}", out);
                }
                MessageShape::Text => json::push_string(row, false, out),
                MessageShape::TextTwice => {
                    let mut once = Vec::with_capacity(row.len() * 2);
                    json::push_string(row, false, &mut once);
                    json::push_string(&String::from_utf8_lossy(&once), false, out);
                }
                MessageShape::Base64 => json::push_string(&STANDARD.encode(row), false, out),
                MessageShape::Marked => push_wrapped("\u{feff}", row, "", out),
            }
        }
    }
}

fn push_wrapped(before: &str, row: &str, after: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(row.as_bytes());
    out.extend_from_slice(after.as_bytes());
}
