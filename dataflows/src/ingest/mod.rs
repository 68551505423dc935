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
//! The ledger law holds by construction: every row that is counted has gone to exactly one method of [`Rows`].

mod bytes;
mod counts;
mod json;
mod object;
mod walk;

use crate::record::{Geo, Lineage, Pin, Stream, User};
use crate::rejection::{Reason, Rejection};

pub use counts::Counts;
use object::Usual;
use walk::Walk;

/// What a source carries: one stream, or whatever the fields of each row say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carries {
    /// Rows of this stream only.
    Only(Stream),
    /// Each row says by its fields which stream it belongs to.
    Auto,
}

/// Where [`ingest`](self) puts what it reads: the engine's graph inputs and table builders.
pub trait Rows {
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
pub struct Limits {
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

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes_max: 1 << 20, depth_max: json::DEPTH_MAX, rows_max: 10_000, text_bytes_max: 1024 }
    }
}

/// Reads messages: one for each worker, as it keeps its buffers and its counts.
#[derive(Debug)]
pub struct Ingest {
    limits: Limits,
    usual: Usual,
    /// Texts that were decoded out of other texts, the outermost first.
    layers: [String; walk::LAYERS],
    /// The full name of the user being cleaned.
    name: String,
    counts: Counts,
}

impl Ingest {
    /// Starts with empty buffers and counts.
    #[must_use]
    pub fn new(limits: Limits) -> Ingest {
        let usual = Usual { stream: Stream::Pin, expecting: true };
        Ingest { limits, usual, layers: Default::default(), name: String::new(), counts: Counts::default() }
    }

    /// The same, but never expecting an order of fields. Slower, with the same results: the tests' other opinion.
    #[doc(hidden)]
    #[must_use]
    pub fn unexpecting(limits: Limits) -> Ingest {
        let mut ingest = Ingest::new(limits);
        ingest.usual.expecting = false;
        ingest
    }

    /// Reads one message; `lineage.sub` is 0, and each row gets its own. `None` is a null payload. Returns how many rows
    /// it held, rejections included: at least one.
    pub fn message(
        &mut self,
        carries: Carries,
        payload: Option<&[u8]>,
        lineage: Lineage,
        rows: &mut (impl Rows + ?Sized),
    ) -> u32 {
        if let Carries::Only(stream) = carries {
            self.usual.stream = stream;
        }
        let mut walk = Walk {
            limits: self.limits,
            carries,
            lineage,
            usual: &mut self.usual,
            name: &mut self.name,
            counts: &mut self.counts,
            rows,
        };
        match self.limits.text(payload) {
            Ok(text) => walk.message(text, payload.unwrap_or_default(), &mut self.layers),
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
        rows: &mut (impl Rows + ?Sized),
    ) -> u32 {
        rows.rejected(lineage, None, rejection, payload.unwrap_or_default());
        self.counts.rejection(rejection.reason);
        1
    }

    /// What was counted since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

impl Limits {
    fn text(self, payload: Option<&[u8]>) -> Result<&str, Rejection> {
        match payload {
            None => Err(Rejection { reason: Reason::Tombstone, detail: "null payload".to_owned() }),
            Some(payload) if payload.len() > self.bytes_max => Err(Rejection {
                reason: Reason::TooLarge,
                detail: format!("{} bytes, where a message may have {}", payload.len(), self.bytes_max),
            }),
            Some(payload) => bytes::text(payload),
        }
    }
}
