//! Kinesis, against real servers that the tests start. `tests/kinesis/setup.sh` installs them.
//!
//! `PINFLOW_SKIP_KINESIS=1` leaves these tests out. Without it a server that cannot be started is a failure.

mod check;
pub(crate) mod client;
mod clock;
mod emit;
mod fan_out;
mod faults;
pub(crate) mod proxy;
mod reading;
mod resharding;
pub(crate) mod server;
pub(crate) mod site;
mod streams;
mod tls;

/// Whether the Kinesis tests are to be left out; says so.
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
pub(crate) fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_KINESIS").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_KINESIS=1: no server is started, nothing of Kinesis is tested");
    }
    skipped
}

/// A number that the environment may say.
fn env_or_default(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |n| n.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
