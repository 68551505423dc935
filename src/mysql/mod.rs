//! How to speak to a MySQL or MariaDB server: where it is, who asks, TLS, the calls, what their faults mean.
//!
//! An address and credentials become an [`DatabaseAddress`], and that a [`MySqlClient`]. The rooms:
//!
//! - `address`: what can be said about how to connect, in a URL, a file of credentials or the environment;
//! - `creds`: the file of credentials, as the original system has it;
//! - `tls`: `ssl-mode`, as MySQL's own client has it;
//! - `client`: the calls; values come as the server writes them as text;
//! - `fault`: what a call that failed means: wait, or give up, and the mend.
//!
//! This room knows nothing of posts, and never tries again by itself: only who asks knows whether that is right.

mod address;
mod client;
mod credentials;
mod error;
mod tls;

pub use address::{DatabaseAddress, DatabaseAddressError, is_url};
pub use client::{ColumnKind, MySqlClient, ResultColumn, ResultSet, SqlValue, TextCell};
pub use error::{MySqlError, MySqlErrorKind};
pub use tls::{SslMode, SslSettings};
