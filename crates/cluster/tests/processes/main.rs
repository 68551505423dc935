//! Clusters of real processes over real sockets.
//!
//! This program starts copies of itself as the processes of a cluster, whose stdout holds nothing but their data. So it
//! has a `main` of its own, with a small runner of tests.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod certificates;
mod forming;
mod losses;
mod namespaces;
mod node;
mod processes;
mod strangers;
mod tls;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

type TestCase = (&'static str, fn());

fn main() -> ExitCode {
    if let Ok(spec) = std::env::var(node::NODE_VARIABLE) {
        return node::run_node(&spec);
    }
    let tests: Vec<TestCase> =
        [forming::TESTS, losses::TESTS, strangers::TESTS, tls::TESTS, namespaces::TESTS].concat();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let is_exact = arguments.iter().any(|argument| argument == "--exact");
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| if is_exact { name == *filter } else { name.contains(filter.as_str()) })
    };
    let chosen: Vec<&TestCase> = tests.iter().filter(|(name, _)| is_chosen(name)).collect();
    println!("running {} tests", chosen.len());
    let failed: Vec<&str> = chosen.iter().filter(|test| !run_test(test)).map(|(name, _)| *name).collect();
    // As the standard runner prints it, so that its tests are counted with the others.
    let (word, passed) = (if failed.is_empty() { "ok" } else { "FAILED" }, chosen.len() - failed.len());
    let (failures, others) = (failed.len(), tests.len() - chosen.len());
    failed.iter().for_each(|name| println!("failed: {name}"));
    println!("test result: {word}. {passed} passed; {failures} failed; 0 ignored; 0 measured; {others} filtered out");
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_test((name, test): &TestCase) -> bool {
    let started = Instant::now();
    let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
    let word = if passed { "ok" } else { "FAILED" };
    println!("test {name} ... {word} ({:.1} s)", started.elapsed().as_secs_f64());
    passed
}
