//! The pure computation of pinflow: bytes become rows, rows become answers.
//!
//! No I/O, no async, no clock, no Arrow: the same bytes give the same answers, whoever calls.
//! The rooms, in the order a record walks through them:
//!
//! - [`record`]: what producers write, and the row we trust;
//! - [`rejection`]: why a message was refused, a closed list;
//! - [`clean`]: one to the other, and the field faults on the way;
//! - [`ingest`]: bytes to rows or rejections;
//! - `inlet`: rows made narrow, and given to the graph in batches;
//! - [`latest`]: which delivery of an `ind` counts;
//! - [`posts`]: the rows narrowed to what questions read, joined on `ind`, arranged once;
//! - [`measures`]: counts, ranks and medians maintained under every update;
//! - [`questions`]: one file, one question, its SQL beside it;
//! - [`answer`]: an answer is a named table;
//! - [`graph`]: installs it all; the one entrance for the engine;
//! - [`hash`]: how everything that senders choose is hashed;
//! - [`operators`]: what of it runs, how many records went where, and what is held.

pub mod aggregates;
pub mod answer;
pub mod clean;
pub mod graph;
pub mod hash;
pub mod ingest;
mod input;
pub mod introspection;
pub mod joins;
mod keys;
mod options;
pub mod questions;
pub mod record;
pub mod rejection;
mod slab;
pub mod symbol;
mod version;
