//! The Delta sink: what is on disk, after whatever happened.

mod conflicts;
mod faults;
mod kill;
mod missing_files;
mod model;
mod other_writers;
mod protocol;
pub(crate) mod readers;
mod verify;
mod verify_coverage;
