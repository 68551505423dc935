//! An S3-compatible object store, a proxy with faults before it, and what a bucket holds. `tests/ministack/setup.sh`
//! installs the store.

pub mod proxy;
pub mod site;
pub mod store;

/// Whether tests that need the object store are switched off.
pub fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_OBJECTS").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_OBJECTS=1: no object store is started, tables in a bucket are not tested");
    }
    skipped
}
