//! Tables and archives in a bucket of an S3-compatible store whose conditional put is real, and what can go wrong there.

mod ambiguous;
mod archive;
mod errors;
mod kill;
mod maintenance;
mod proxy;
mod site;
mod store;
mod tls;

/// Whether tests that need the object store are switched off.
fn skipped() -> bool {
    std::env::var_os("PINFLOW_SKIP_OBJECTS").is_some_and(|skip| skip == "1")
}
