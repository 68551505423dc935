use super::catalog::all_functions;
use super::test_sql::eval_constant;
use super::*;

#[test]
fn every_example_of_the_catalog_has_the_result_it_shows() {
    let examples = all_functions().map(|spec| spec.example);
    let examples: Vec<_> = examples.chain(special_forms().iter().map(|form| form.example)).collect();
    assert!(examples.len() > 150, "{}", examples.len());
    for (call, result) in examples {
        assert_eq!(eval_constant(call), result, "{call}");
    }
}
