//! What every HTTP server of this program has: a port, perhaps encrypted; limits of who is connected; who may ask; what
//! each reply carries. It knows no route.

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
