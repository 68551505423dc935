//! The interface between the engine, its sources and its sinks.
//!
//! A source reads partitions and sends blocks of records with their positions ([`source`]). A sink takes windows of
//! encoded rows and makes them durable together with the positions that they cover ([`sink`]).

pub mod config_key;
pub mod database_status;
pub mod sink;
pub mod source;
