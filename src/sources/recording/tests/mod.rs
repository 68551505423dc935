//! Recordings, read as the engine reads them.

mod folders;
mod following;
mod harness;
mod reading;
mod resuming;
