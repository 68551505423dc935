//! The pure computation of pinflow: bytes become rows, and rows become answers.
//!
//! No I/O, no async, no clock, no Arrow: the same bytes give the same answers in every program that calls it.
//! The modules, in the order of the data flow:
//!
//! - [`record`]: the fields of raw rows, and the cleaned rows;
//! - [`rejection`]: the closed list of reasons for which a row is rejected;
//! - [`clean`]: raw rows to cleaned rows and field faults;
//! - [`ingest`]: the bytes of a message to cleaned rows or rejections;
//! - [`symbol`]: interned texts, and freeing those that no row uses;
//! - `wire`: the form in which records cross from one process to another;
//! - `input`: cleaned rows are projected and sent to the graph in batches;
//! - `version`, `keys`, `slab`: which delivery of an `ind` is the latest, and the dense key ids of `ind`s;
//! - [`joins`]: projected rows, joined on `ind`;
//! - [`aggregates`]: counts, top-k rankings and medians per group, kept up to date under every change;
//! - [`compact`]: the fast path for questions of the common shapes;
//! - `general`: the path for questions of any shape;
//! - [`questions`]: questions in SQL, and those that are built in;
//! - [`answer`]: the rows of an answer and their changes;
//! - `options`: the options of all questions;
//! - [`graph`]: builds the dataflow from all of these, and is the only entry point for the engine;
//! - [`hash`]: hashing of values that senders choose, with a secret seed;
//! - [`introspection`]: operators, record counts and state sizes of the running dataflow.

pub mod aggregates;
pub mod answer;
pub mod clean;
pub mod compact;
mod epoch;
mod general;
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
mod wire;
