//! The HTTP server that `[serve]` and the gateway share: the port with TLS, connection limits, access control, a memory
//! budget, reply headers and the Prometheus format. It has no routes of its own.

mod access;
mod budget;
mod connections;
mod listen;
mod metrics_text;
mod port;
mod process;
mod reply;
mod token_failures;

pub(crate) use access::{AccessControl, AccessError, RoutePurpose, bearer_token};
pub(crate) use budget::{ByteBudget, ByteReservation, hold_reply};
pub(crate) use connections::{ClientAddr, ConnectionCounts, ConnectionLimits};
pub use listen::{deserialize_listen_address, parse_listen_address};
pub(crate) use metrics_text::MetricsPage;
pub(crate) use port::{ListenSettings, ServerPort};
pub use port::{PortError, ServerTls};
pub(crate) use process::{cpu_seconds, resident_bytes};
pub(crate) use reply::{JSON_TYPE, NO_STORE, PROMETHEUS_TYPE, json_response, set_security_headers, typed_response};
pub(crate) use token_failures::TokenFailures;
