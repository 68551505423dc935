//! The Delta sink: what is on disk, after whatever happened.

mod faults;
mod kill;
mod missing_files;
mod model;
mod other_writers;
mod proofs;
mod protocol;
pub(crate) mod readers;
mod strangers;
mod verify;
