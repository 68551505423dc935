//! Kafka, against a real broker that the tests start themselves: `tests/kafka/setup.sh` gets it.
//!
//! `PINFLOW_SKIP_KAFKA=1` leaves these tests out. Without it a broker that cannot be started is a failure.

mod bad;
mod broker;
mod certificates;
mod changed;
mod listeners;
mod mock;
mod posts;
mod reading;
mod transactions;

/// Whether the Kafka tests are to be left out; says so.
pub(crate) fn skipped() -> bool {
    let skipped = std::env::var_os("PINFLOW_SKIP_KAFKA").is_some_and(|skip| skip == "1");
    if skipped {
        eprintln!("PINFLOW_SKIP_KAFKA=1: no broker is started, nothing of Kafka is tested");
    }
    skipped
}
