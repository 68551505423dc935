//! Kinesis, against real servers that the tests start. `tests/kinesis/setup.sh` installs them.
//!
//! `PINFLOW_SKIP_KINESIS=1` skips these tests. Otherwise a server that cannot be started is a failure.

mod check;
mod clock;
mod emit;
mod fan_out;
mod faults;
mod reading;
mod resharding;
mod streams;
mod tls;
