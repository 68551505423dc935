//! Tests against real tables and real processes, from the outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod delta;
