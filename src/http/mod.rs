//! What every HTTP server of this program has: a port, perhaps encrypted; limits of who is connected; who may ask; what
//! each reply carries. It knows no route.

mod budget;
mod connections;
mod guard;
mod listen;
mod port;
mod process;
mod prometheus;
mod reply;
mod token_failures;

pub(crate) use budget::{ByteBudget, ByteReservation, hold_reply};
pub(crate) use connections::{From, Limits, Tally};
pub(crate) use guard::{Denied, Guard, RoutePurpose, given};
pub use listen::{deserialize_listen_address, parse_listen_address};
pub(crate) use port::{Listening, Port};
pub use port::{PortError, ServerTls};
pub(crate) use process::{cpu_seconds, resident_bytes};
pub(crate) use prometheus::Page;
pub(crate) use reply::{JSON, NO_STORE, PROMETHEUS, body, harden, json};
pub(crate) use token_failures::TokenFailures;
