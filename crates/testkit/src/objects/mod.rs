//! An S3-compatible object store, a proxy with faults, and the contents of buckets. `tests/ministack/setup.sh`
//! installs the store.

pub mod proxy;
pub mod site;
pub mod store;

/// Whether tests that need the object store are skipped. Prints so.
pub fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_OBJECTS").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_OBJECTS=1: no object store is started, tables in a bucket are not tested");
    }
    skipped
}
