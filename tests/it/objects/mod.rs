//! Tables and archives in a bucket of an S3-compatible store whose conditional put is real, and what can go wrong there.

mod ambiguous;
mod archive;
mod errors;
mod kill;
mod maintenance;
mod tls;
