//! Generates posts that look like real ones.
//!
//! A message is a pure function of the configuration and the number of its draw: the random numbers of
//! [`rng`](crate::rng) are keyed by what they are for, not by how many were taken before. So any part of a recording can
//! be generated alone, and two runs with the same seed agree to the byte.
//!
//! - `draw_order`: which row (`ind`) each draw takes.
//! - `posts`, with `posters`, `text`, `words` and `distributions`: the pin, geo and user post of an `ind`.
//! - `malformed`: replaces some posts with messages that a reader rejects, or reads with a field fault.
//! - `wrap`: the envelope around the rows of a message.
//! - `composer`: puts these together for one stream.
//! - `stats`: counts what was generated, by what a reader makes of it.

pub(crate) mod composer;
pub(crate) mod distributions;
pub(crate) mod draw_order;
pub(crate) mod malformed;
pub(crate) mod posters;
pub(crate) mod posts;
pub(crate) mod stats;
pub(crate) mod text;
pub(crate) mod words;
pub(crate) mod wrap;

pub use draw_order::DrawOrder;
pub use wrap::WrapMode;

pub(crate) use composer::{ComposerConfig, MessageComposer};
pub(crate) use malformed::MalformedOptions;
pub(crate) use posts::{PostGenerator, PostScratch};
pub(crate) use stats::{StatsByStream, StreamStats, sum_by_stream};
