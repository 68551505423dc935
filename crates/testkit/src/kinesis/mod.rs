//! Kinesis servers, an independent client, a proxy with faults, and stored records. `tests/kinesis/setup.sh` installs the
//! servers.

pub mod client;
pub mod proxy;
pub mod server;
pub mod site;

/// Whether the Kinesis tests are skipped. Prints so.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
pub fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_KINESIS").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_KINESIS=1: no server is started, nothing of Kinesis is tested");
    }
    skipped
}

/// A number from an environment variable, or the default.
pub fn env_or_default(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |n| n.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
