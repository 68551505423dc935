//! pinflow joins three streams of posts, keeps answers about them up to date under every update, and appends the cleaned
//! rows to Delta Lake exactly once.
//!
//! This crate is the program `pinflow`: the command line, the configuration and the wiring. The parts are crates of their
//! own, listed in `ARCHITECTURE.md`:
//!
//! - [`dataflows`]: the pure computation, from bytes to rows to answers;
//! - `pinflow-files`, `pinflow-kafka`, `pinflow-kinesis`: sources, and how to talk to each service;
//! - `pinflow-engine`: epochs, windows, workers and commits;
//! - `pinflow-delta`, `pinflow-archive`, `pinflow-storage`: tables, raw messages, folders and buckets;
//! - `pinflow-serving`, `pinflow-gateway`, `pinflow-http`: answers out and records in over HTTP;
//! - `pinflow-emit`, `pinflow-mysql`: the posting emulator.

pub mod check;
pub mod cli;
pub mod config;
mod delta_exit_code;
pub mod error;
pub mod publish;
pub mod query;
pub mod run;
pub mod sources;
pub mod streams;
pub mod table;
pub mod telemetry;
pub mod topics;

pub use pinflow_dataflows as dataflows;
