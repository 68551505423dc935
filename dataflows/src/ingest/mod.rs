//! Parses messages: bytes become cleaned rows or rejections.
//!
//! A message holds one or several rows, wrapped in the ways that producers are known to wrap them:
//!
//! ```text
//! text      = row | wrapper | aggregate | string of text (twice at most) | base64 of text (once; strings are counted again)
//! wrapper   = {"value": text} | {"payload": text, "schema": …}
//! aggregate = {"records": [wrapper, …]} | [wrapper, …]         not within another aggregate
//! ```
//!
//! An object is a wrapper if it has no field of a row. A row is checked in this order: its text, duplicate keys, its
//! key, its stream, the types of its fields. An error in the text or a limit rejects the whole message as one row. Any
//! other error rejects only its row. Unknown fields are ignored, even if they are duplicates.
//!
//! Every row that is counted was passed to exactly one method of [`RowSink`], so cleaned rows and rejections add up to
//! all rows.

mod ingest_counts;
mod json_reader;
mod message_decoder;
mod object_reader;
mod payload_text;

use serde::{Deserialize, Serialize};

use crate::record::{Geo, Lineage, Pin, Stream, User};
use crate::rejection::{Rejection, RejectionReason};

pub use ingest_counts::IngestCounts;
use message_decoder::MessageDecoder;
use object_reader::FieldOrderCache;

/// What is known of the stream of a source's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StreamHint {
    /// All rows are of this stream.
    Only(Stream),
    /// The fields of each row identify its stream.
    Auto,
}

/// Receives the parsed rows. The engine passes them to the graph and to the table builders.
pub trait RowSink {
    /// A cleaned pin post.
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>);
    /// A cleaned geo post.
    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>);
    /// A cleaned user post.
    fn user(&mut self, lineage: Lineage, row: &User<'_>);
    /// A rejected row, with its bytes. `stream` is `None` if the source has several streams and the row identifies
    /// none.
    fn rejected(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]);
}

/// Limits of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimits {
    /// The most bytes of a message; a longer one is rejected as `too_large`. 1 MiB by default: a post has about 1 KiB,
    /// and the default limit of brokers is 1 MiB as well (Kinesis accepts records of up to 10 MiB).
    pub bytes_max: usize,
    /// The greatest nesting depth of one JSON text; a deeper one is rejected as `too_deep`. 64 by default, which is
    /// also the maximum.
    pub depth_max: usize,
    /// The most rows of a message; one with more is rejected as `too_many_rows`. 10,000 by default.
    pub rows_max: u32,
    /// The most bytes of a text that becomes a symbol (`category`, `poster_name`, `country`, `first_name`,
    /// `last_name`); a longer one is null, with a field fault. 1,024 by default.
    pub text_bytes_max: usize,
}

impl Default for MessageLimits {
    fn default() -> MessageLimits {
        MessageLimits { bytes_max: 1 << 20, depth_max: json_reader::DEPTH_MAX, rows_max: 10_000, text_bytes_max: 1024 }
    }
}

/// Parses messages. Each worker has its own, with reusable buffers and its counts.
#[derive(Debug)]
pub struct MessageParser {
    limits: MessageLimits,
    field_order: FieldOrderCache,
    /// Buffers for decoded texts, one per layer of encoding, the outermost first.
    layers: [String; message_decoder::DECODE_LAYERS],
    /// A buffer for the full name of the current user.
    name: String,
    counts: IngestCounts,
}

impl MessageParser {
    /// A parser with empty buffers and counts.
    #[must_use]
    pub fn new(limits: MessageLimits) -> MessageParser {
        let field_order = FieldOrderCache { stream: Stream::Pin, is_predicting: true };
        MessageParser {
            limits,
            field_order,
            layers: Default::default(),
            name: String::new(),
            counts: IngestCounts::default(),
        }
    }

    /// A parser that never predicts the next field. It is slower and gives the same results: tests compare both.
    #[doc(hidden)]
    #[must_use]
    pub fn without_prediction(limits: MessageLimits) -> MessageParser {
        let mut ingest = MessageParser::new(limits);
        ingest.field_order.is_predicting = false;
        ingest
    }

    /// Parses one message and returns the number of its rows, rejections included: at least one.
    ///
    /// `payload` is `None` for a null payload. `lineage.sub` must be 0: each row gets its own number.
    pub fn parse_message(
        &mut self,
        stream_hint: StreamHint,
        payload: Option<&[u8]>,
        lineage: Lineage,
        rows: &mut (impl RowSink + ?Sized),
    ) -> u32 {
        if let StreamHint::Only(stream) = stream_hint {
            self.field_order.stream = stream;
        }
        let mut walk = MessageDecoder {
            limits: self.limits,
            stream_hint,
            lineage,
            field_order: &mut self.field_order,
            name: &mut self.name,
            counts: &mut self.counts,
            rows,
        };
        match self.limits.decode_payload(payload) {
            Ok(text) => walk.decode(text, payload.unwrap_or_default(), &mut self.layers),
            Err(rejection) => walk.reject(None, &rejection, payload.unwrap_or_default()),
        }
        walk.lineage.sub - lineage.sub
    }

    /// Rejects a whole message as one row, for a reason outside its content. Returns the number of rows: 1.
    pub fn reject_message(
        &mut self,
        rejection: &Rejection,
        payload: Option<&[u8]>,
        lineage: Lineage,
        rows: &mut (impl RowSink + ?Sized),
    ) -> u32 {
        rows.rejected(lineage, None, rejection, payload.unwrap_or_default());
        self.counts.count_rejection(rejection.reason);
        1
    }

    /// Returns the counts since the last call.
    pub fn take_counts(&mut self) -> IngestCounts {
        std::mem::take(&mut self.counts)
    }
}

impl MessageLimits {
    fn decode_payload(self, payload: Option<&[u8]>) -> Result<&str, Rejection> {
        match payload {
            None => Err(Rejection { reason: RejectionReason::Tombstone, detail: "null payload".to_owned() }),
            Some(payload) if payload.len() > self.bytes_max => Err(Rejection {
                reason: RejectionReason::TooLarge,
                detail: format!("{} bytes, where a message may have {}", payload.len(), self.bytes_max),
            }),
            Some(payload) => payload_text::decode_utf8(payload),
        }
    }
}
