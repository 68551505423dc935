//! Lineage: which record of which source a row came from.

use serde::{Deserialize, Serialize};

use super::Position;
use crate::symbol::Symbol;

/// A moment in microseconds since 1970-01-01T00:00:00 UTC, without leap seconds.
pub type Micros = i64;

/// One of the three streams of posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Pin posts.
    Pin,
    /// Where each post was made.
    Geo,
    /// Who made it.
    User,
}

impl Stream {
    /// All three, in the order of the specification.
    pub const ALL: [Stream; 3] = [Stream::Pin, Stream::Geo, Stream::User];

    /// The name of the stream and of its table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stream::Pin => "pin",
            Stream::Geo => "geo",
            Stream::User => "user",
        }
    }
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a row came from: (`source`, `position`, `sub`) identifies it.
///
/// The order is that of deliveries: by (`arrived_at`, `source`, `position`, `sub`), a missing `arrived_at` first. A
/// recording has no broker and so no `arrived_at`: a live delivery of an `ind` is always newer than one from a
/// recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lineage {
    /// The broker's timestamp of the record. `None` for recordings.
    pub arrived_at: Option<Micros>,
    /// `recording/‹file›`, `kafka/‹topic›/‹partition›` or `kinesis/‹stream›/‹shard›`. Compared as text.
    pub source: Symbol,
    /// The position of the record in its source.
    pub position: Position,
    /// The row's number within its message, from 0.
    pub sub: u32,
}
