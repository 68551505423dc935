//! A client for MySQL and MariaDB: addresses, credentials, TLS, queries and errors.
//!
//! A URL, a credentials file and the environment resolve to a [`DatabaseAddress`]. A [`MySqlClient`] connects to one.
//!
//! - `address`: resolves where to connect and as which user.
//! - `credentials`: reads the credentials file (`db_creds.yaml`).
//! - `tls`: `ssl-mode` and `ssl-ca`, as in MySQL's own client.
//! - `client`: queries. Values are read as the text that the server sends.
//! - `error`: classifies errors, and names the remedy.
//!
//! The client never retries: only the caller knows whether a statement may run twice.

mod address;
mod client;
mod credentials;
mod error;
mod tls;

pub use address::{DatabaseAddress, DatabaseAddressError, is_url};
pub use client::{ColumnKind, MySqlClient, ResultColumn, ResultSet, SqlValue, TextCell};
pub use error::{MySqlError, MySqlErrorKind};
pub use tls::{SslMode, SslSettings};
