//! The Delta sink: the content of the tables after crashes, errors and conflicts.

mod conflicts;
mod faults;
mod kill;
mod missing_files;
mod model;
mod other_writers;
mod protocol;
pub(crate) mod readers;
mod snapshot;
mod verify;
mod verify_coverage;
