//! Recordings, read as the engine reads them.

mod arrays;
mod folders;
mod following;
mod harness;
mod reading;
mod resuming;
mod rotation;
