//! The form in which records cross from one process to another.
//!
//! ```text
//! message = records sources texts bytes   the numbers of records, sources and texts, and the bytes of all texts
//!           length*                       of each source, then of each text
//!           texts                         UTF-8, without separators
//!           record*                       numbers in LEB128, texts as indices
//!           0*                            up to a multiple of eight bytes
//! ```
//!
//! A message has each text once. On arrival all texts become symbols in one batch. *Sources* are texts whose symbols are
//! never freed, because stored versions hold them.
//!
//! - `message_writer`, `message_reader`: what records are written to and read from;
//! - `values`: values of SQL as parts of records;
//! - `wire_list`: a list of records that crosses as one message;
//! - `edge_pact`: the exchange of records between workers, in this form only if they are in several processes.
//!
//! Decoding never panics and allocates no more than a message can hold, whatever the bytes are. Only the edge between two
//! processes panics if a message is malformed: its bytes come from a peer that has been authenticated and runs the same
//! build.

mod edge_pact;
mod message_reader;
mod message_writer;
mod values;
mod wire_list;

pub use edge_pact::WorkerPlacement;
pub(crate) use edge_pact::{EdgePact, WirePact};
pub(crate) use message_reader::{MalformedMessage, MessageReader};
pub(crate) use message_writer::MessageWriter;
pub(crate) use values::{read_values, write_values};
pub(crate) use wire_list::{decode_records, encode_records};

/// A record that can cross to another process.
pub(crate) trait WireRecord: Sized {
    /// Writes the record: one byte at least.
    fn write(&self, to: &mut MessageWriter);

    /// Reads a record.
    fn read(from: &mut MessageReader<'_>) -> Result<Self, MalformedMessage>;

    /// About how many bytes it takes beyond a few dozen: what it holds on the heap. A message ends early if that is much.
    fn heap_bytes(&self) -> usize {
        0
    }
}
