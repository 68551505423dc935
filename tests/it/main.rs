//! pinflow from the outside: one binary of tests, so that the large crates are linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod airflow;
mod answers_tables;
mod architecture;
mod batch;
mod campaign;
mod competing_writers;
mod delta;
mod deploy;
mod docs;
mod emit_delivery;
mod file_calls;
mod first_snapshot;
mod following;
mod gateway;
mod gateway_client;
mod harness;
mod http;
mod idle_starts;
mod json_logs;
mod kafka;
mod kill;
mod kinesis;
mod ledger;
mod locations;
mod memory;
mod mounts;
mod mysql;
mod objects;
#[path = "../../dataflows/tests/oracle/mod.rs"]
mod oracle;
mod other_engines;
mod output;
mod recordings;
mod reference;
mod same;
mod shutdown;
mod soak;
mod stop;
mod telemetry;
mod terminal;
mod upkeep;
mod usage;
