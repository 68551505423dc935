//! `docs/reference/functions.md` is made from the catalog of functions.
//!
//! When this test fails, write the page again with
//!
//! ```text
//! PINFLOW_UPDATE_DOCS=1 cargo test -p pinflow-sql --test functions_page
//! ```

use std::fmt::Write;

use pinflow_sql::calls::special_forms;
use pinflow_sql::functions::{FunctionSpec, catalog};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/functions.md");

const INTRODUCTION: &str = "# SQL functions

<!-- Generated from the catalog of functions in crates/sql. Do not edit: change the catalog and update this page. -->

The scalar functions that a question in SQL can call. Names of Spark, DuckDB, Postgres and SQLite are accepted, in any case. Where
these systems disagree, the description says which meaning counts: mostly DuckDB's.

- The result is null if an argument is null, unless the description says otherwise.
- A call without a result, such as `ln(0)`, is null, and is counted as a fault of the question.
- All moments are in UTC. A date is the moment at which the day begins.
- A constant text is read as a moment where a function takes one: `year('2024-03-10')`.
- Positions in texts and lists are from 1.
- A text that a function makes has at most 1 MiB, and a list takes at most 4 MiB. A greater one is null, and counted.

The examples are run as tests.
";

fn code(text: &str) -> String {
    // A bar would end the cell of the table, also within code.
    format!("`{}`", text.replace('|', "\\|"))
}

fn push_row(page: &mut String, signature: &str, aliases: &[&str], description: &str, example: (&str, &str)) {
    let aliases: Vec<String> = aliases.iter().map(|alias| code(alias)).collect();
    let also = if aliases.is_empty() { String::new() } else { format!("<br>also {}", aliases.join(", ")) };
    let description = description.replace('|', "\\|");
    let (call, result) = (code(example.0), code(example.1));
    let _ = writeln!(page, "| {}{also} | {description} | {call} is {result} |", code(signature));
}

fn push_function(page: &mut String, spec: &FunctionSpec) {
    push_row(page, &spec.signature(), spec.aliases, spec.description, spec.example);
}

fn generated_page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let head = "| Function | Result | Example |\n| --- | --- | --- |\n";
    for group in catalog() {
        let (first, rest) = group.subject.split_at(1);
        let _ = write!(page, "\n## {}{rest}\n\n{head}", first.to_uppercase());
        group.functions.iter().for_each(|spec| push_function(&mut page, spec));
    }
    let _ = write!(page, "\n## Conditions and conversions\n\n{head}");
    for form in special_forms() {
        let aliases = form.names.get(1..).unwrap_or_default();
        push_row(&mut page, form.signature, aliases, form.description, form.example);
    }
    page
}

#[test]
fn the_functions_page_is_what_the_catalog_says() {
    let generated = generated_page();
    if std::env::var_os("PINFLOW_UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &generated).expect("the page is written");
    }
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    assert_eq!(page, generated, "set PINFLOW_UPDATE_DOCS=1 to write the page again");
}
