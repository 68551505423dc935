//! Tables and archives in a bucket of an S3-compatible store with real conditional puts, and the faults of such a store.

mod ambiguous;
pub(crate) mod archive;
mod errors;
mod kill;
mod maintenance;
mod questions;
mod tls;
