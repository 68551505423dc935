//! Tests of the pinflow program. One test binary, so that the large crates are linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

/// As the program: tests that read whole tables spend much of their time on memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod airflow;
mod answers_tables;
mod architecture;
mod campaign;
mod cluster;
mod command_line_help;
mod command_line_page;
mod competing_writers;
mod config_schema;
mod databases;
mod delta;
mod delta_rs_writes;
mod demo;
mod deploy;
mod determinism;
mod docs;
mod emit_delivery;
mod file_calls;
mod first_snapshot;
mod first_steps;
mod followed_files;
mod gateway;
mod gateway_client;
mod grafana;
mod http;
mod idle_starts;
mod json_logs;
mod kafka;
mod kill;
mod kinesis;
mod library;
mod live_questions;
mod locations;
mod maintenance;
mod memory;
mod mounts;
mod mysql;
mod naming;
mod objects;
mod output;
mod packages;
mod printed_commands;
mod questions;
mod recordings;
mod reference;
mod rejected_command;
mod rejected_replay;
mod run_end;
mod shutdown;
mod soak;
mod sql_pages;
mod telemetry;
mod terminal;
mod upgrade;
mod usage;
mod verify_answers;
