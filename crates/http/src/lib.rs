//! The HTTP server that `[serve]` and the gateway share: the port with TLS, connection limits, access control, a memory
//! budget, reply headers and the Prometheus format. It has no routes of its own.
//!
//! `client` has what `pinflow query` and `pinflow emit` share as HTTP clients.

mod access;
mod budget;
mod client;
mod connections;
mod listen;
mod metrics_text;
mod port;
mod process;
mod reply;
mod token_failures;

pub use access::{AccessControl, AccessError, RoutePurpose, bearer_token};
pub use budget::{ByteBudget, ByteReservation, hold_reply};
pub use client::{CaFileError, check_token_transport, read_ca_certificates};
pub use connections::{ClientAddr, ConnectionCounts, ConnectionLimits};
pub use listen::{deserialize_listen_address, parse_listen_address};
pub use metrics_text::MetricsPage;
pub use port::{ListenSettings, ServerPort};
pub use port::{PortError, ServerTls};
pub use process::{cpu_seconds, resident_bytes, write_process_metrics};
pub use reply::{JSON_TYPE, NO_STORE, PROMETHEUS_TYPE, json_response, set_security_headers, typed_response};
pub use token_failures::TokenFailures;
