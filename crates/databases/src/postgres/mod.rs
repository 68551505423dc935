//! PostgreSQL: addresses, TLS, and connections.

mod address;
mod client;
mod tls;

pub(crate) use address::PostgresAddress;
pub(crate) use client::PostgresSession;
