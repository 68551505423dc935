//! Kafka, against a real broker that the tests start. `tests/kafka/setup.sh` installs it.
//!
//! `PINFLOW_SKIP_KAFKA=1` skips these tests. Otherwise a broker that cannot be started is a failure.

mod access;
mod check;
mod emit;
mod malformed;
mod mock;
mod msk;
mod reading;
mod security;
mod timestamps;
mod topic_changes;
mod topics;
mod transactions;
