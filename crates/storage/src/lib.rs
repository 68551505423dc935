//! Storage for tables and archives: a local folder, or a prefix in a bucket of Amazon S3 or an S3-compatible server.
//!
//! Callers work with a [`Location`] and need not know which of the two it is. Both give the same guarantees:
//!
//! - A file is complete under its name, or it does not exist.
//! - A put that returned is durable.
//! - Of any number of concurrent [`PutMode::Create`](object_store::PutMode::Create) puts of one name, one succeeds.
//!
//! On a local disk [`FsyncStore`] provides them. In a bucket conditional puts do: a store that ignores them is refused
//! before anything is written to it (`conditional_put_probe`).

mod conditional_put_probe;
mod connection;
mod credentials;
mod error;
mod fsync_store;
mod location;
mod location_spec;
mod mount_points;
mod retry_loop;
mod small_file;

pub use connection::{BucketAddressing, StorageConnection};
pub use error::{StorageError, error_summary, hint};
pub use fsync_store::{FsyncStore, StagedFile, create_folder, find_staged_files};
pub use location::{Location, LocationEntries};
pub use location_spec::LocationSpec;
pub use retry_loop::{RetryLoop, StallStatus};
