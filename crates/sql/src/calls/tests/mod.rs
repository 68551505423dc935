use crate::datum::Datum;
use crate::functions::catalog::all_functions;
use crate::functions::*;

use super::test_sql::eval_constant;
use super::*;

mod edges;
mod messages;

#[test]
fn every_example_of_the_catalog_has_the_result_it_shows() {
    let examples = all_functions().map(|spec| spec.example);
    let examples: Vec<_> = examples.chain(special_forms().iter().map(|form| form.example)).collect();
    assert!(examples.len() > 150, "{}", examples.len());
    for (call, result) in examples {
        assert_eq!(eval_constant(call), result, "{call}");
    }
}

/// Lines `expression => result`.
fn assert_cases(cases: &str, at_least: usize) {
    let cases: Vec<(&str, &str)> = cases
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" => ").expect("an arrow"))
        .collect();
    assert!(cases.len() >= at_least, "only {} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .map(|(call, expected)| (call, expected, eval_constant(call)))
        .filter(|(_, expected, found)| *expected != found)
        .map(|(call, expected, found)| format!("{call} is {found}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn functions_have_the_results_that_duckdb_gives() {
    assert_cases(include_str!("duckdb_cases.txt"), 1_000);
}

#[test]
fn functions_have_their_own_results_where_systems_disagree_or_have_none() {
    assert_cases(include_str!("own_cases.txt"), 130);
}
