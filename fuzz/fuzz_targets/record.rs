//! Whatever bytes a source brings: no panic, the ledger law, and one result in every way of reading. `cargo test` runs
//! the same check over mutated messages.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../dataflows/tests/harness/mod.rs"]
mod harness;

fuzz_target!(|payload: &[u8]| harness::check_payload(payload));
