//! Tests of the pinflow program. One test binary, so that the large crates are linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod airflow;
mod answers_tables;
mod architecture;
mod campaign;
mod command_line_help;
mod command_line_page;
mod competing_writers;
mod delta;
mod delta_rs_writes;
mod deploy;
mod determinism;
mod docs;
mod emit_delivery;
mod file_calls;
mod first_snapshot;
mod followed_files;
mod gateway;
mod gateway_client;
mod http;
mod idle_starts;
mod json_logs;
mod kafka;
mod kill;
mod kinesis;
mod library;
mod locations;
mod maintenance;
mod memory;
mod mounts;
mod mysql;
mod naming;
mod objects;
mod output;
mod printed_commands;
mod questions;
mod recordings;
mod reference;
mod run_end;
mod shutdown;
mod soak;
mod sql_pages;
mod telemetry;
mod terminal;
mod usage;
