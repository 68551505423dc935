//! Whatever text a user asks: it is bound or refused without a panic, and the answer from changes is that of the naive
//! evaluator. `cargo test` runs the same check over mutated texts.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/sql/tests/question_check/mod.rs"]
mod question_check;

fuzz_target!(|text: &str| {
    question_check::check_question(text);
});
