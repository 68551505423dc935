//! Bytes become rows or rejections.
//!
//! A message holds one row or several, wrapped in the ways that producers are known to wrap them:
//!
//! ```text
//! text      = row | wrapper | aggregate | string of text (twice at most) | base64 of text (once, strings counted anew)
//! wrapper   = {"value": text} | {"payload": text, "schema": …}
//! aggregate = {"records": [wrapper, …]} | [wrapper, …]         not within another aggregate
//! ```
//!
//! An object is a wrapper if it has no field of a row. In this order a row is refused: its text, a key that says two
//! things, the key of the row, its stream, its types. A fault of the text or a limit refuses the whole message as one
//! row; any other fault refuses the row alone. What is ignored is not judged: unknown fields may stand twice.
//!
//! The ledger law holds by construction: every row that is counted has gone to exactly one method of [`RowSink`].

mod ingest_counts;
mod json_reader;
mod message_decoder;
mod object_reader;
mod payload_text;

use crate::record::{Geo, Lineage, Pin, Stream, User};
use crate::rejection::{Rejection, RejectionReason};

pub use ingest_counts::IngestCounts;
use message_decoder::MessageDecoder;
use object_reader::FieldOrderCache;

/// What a source carries: one stream, or whatever the fields of each row say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamHint {
    /// Rows of this stream only.
    Only(Stream),
    /// Each row says by its fields which stream it belongs to.
    Auto,
}

/// Where [`ingest`](self) puts what it reads: the engine's graph inputs and table builders.
pub trait RowSink {
    /// A cleaned pin post.
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>);
    /// A cleaned geo post.
    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>);
    /// A cleaned user post.
    fn user(&mut self, lineage: Lineage, row: &User<'_>);
    /// A row that was kept out of its table, with its bytes. `stream` is `None` where an `auto` source cannot tell.
    fn rejected(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]);
}

/// How much one message may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimits {
    /// Bytes of a message; more are `too_large`. By default 1 MiB: a post has about one KiB, and brokers take no more by
    /// default either. (Kinesis takes records of up to 10 MiB.)
    pub bytes_max: usize,
    /// Levels of arrays and objects in one JSON text; more are `too_deep`. By default 64, which is also the most there can be.
    pub depth_max: usize,
    /// Rows of a message; more are `too_many_rows`. By default 10,000.
    pub rows_max: u32,
    /// Bytes of a text that becomes a symbol (`category`, `poster_name`, `country`, `first_name`, `last_name`); a longer
    /// one is null, with a field fault. By default 1,024.
    pub text_bytes_max: usize,
}

impl Default for MessageLimits {
    fn default() -> MessageLimits {
        MessageLimits { bytes_max: 1 << 20, depth_max: json_reader::DEPTH_MAX, rows_max: 10_000, text_bytes_max: 1024 }
    }
}

/// Reads messages: one for each worker, as it keeps its buffers and its counts.
#[derive(Debug)]
pub struct MessageParser {
    limits: MessageLimits,
    field_order: FieldOrderCache,
    /// Texts that were decoded out of other texts, the outermost first.
    layers: [String; message_decoder::DECODE_LAYERS],
    /// The full name of the user being cleaned.
    name: String,
    counts: IngestCounts,
}

impl MessageParser {
    /// Starts with empty buffers and counts.
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

    /// The same, but never expecting an order of fields. Slower, with the same results: the tests' other opinion.
    #[doc(hidden)]
    #[must_use]
    pub fn without_prediction(limits: MessageLimits) -> MessageParser {
        let mut ingest = MessageParser::new(limits);
        ingest.field_order.is_predicting = false;
        ingest
    }

    /// Reads one message; `lineage.sub` is 0, and each row gets its own. `None` is a null payload. Returns how many rows
    /// it held, rejections included: at least one.
    pub fn parse_message(
        &mut self,
        carries: StreamHint,
        payload: Option<&[u8]>,
        lineage: Lineage,
        rows: &mut (impl RowSink + ?Sized),
    ) -> u32 {
        if let StreamHint::Only(stream) = carries {
            self.field_order.stream = stream;
        }
        let mut walk = MessageDecoder {
            limits: self.limits,
            carries,
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

    /// Keeps a whole message out, as one row, for a reason that does not lie in it. Returns how many rows that are.
    pub fn refuse(
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

    /// What was counted since the last call.
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
