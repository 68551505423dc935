//! Whatever bytes another process sends: no panic where they are decoded, and one form of the records that they are.
//! `cargo test` runs the same check over random bytes and mutated messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinflow_dataflows::graph::check_wire_message;

fuzz_target!(|message: &[u8]| {
    let _ = check_wire_message(message);
});
