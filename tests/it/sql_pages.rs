//! The pages about questions in SQL: every block binds, and the table of columns is that of the program.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pinflow_sql::bind::{QuestionParameters, bind_question};
use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::Datum;

const GUIDE: &str = "docs/guides/ask-your-own-question.md";
const REFERENCE: &str = "docs/reference/sql.md";

/// Set this variable to write the generated parts instead of comparing them.
const UPDATE_VARIABLE: &str = "PINFLOW_UPDATE_DOCS";

fn page_path(page: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(page)
}

fn read_page(page: &str) -> String {
    fs::read_to_string(page_path(page)).expect("a page")
}

/// The blocks of SQL on a page.
fn sql_blocks(page: &str) -> Vec<String> {
    let blocks = page.split("\n```sql\n").skip(1);
    blocks.map(|rest| rest.split_once("\n```").expect("a block ends").0.to_owned()).collect()
}

fn parameters() -> QuestionParameters {
    QuestionParameters::from([
        ("ties".to_owned(), Datum::text("first")),
        ("top".to_owned(), Datum::Long(1)),
        ("median".to_owned(), Datum::text("exact")),
    ])
}

/// The problems of a question's text.
fn problems(name: &str, sql: &str) -> Option<String> {
    bind_question(name, sql, &POSTS, &parameters()).err().map(|error| error.to_string())
}

#[test]
fn every_question_of_the_guide_binds() {
    let blocks = sql_blocks(&read_page(GUIDE));
    assert!(blocks.len() >= 30, "only {} questions were found", blocks.len());
    let wrong: Vec<_> = blocks.iter().filter_map(|sql| Some(format!("{sql}\n{}", problems("block", sql)?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_example_question_binds() {
    let mut found = 0;
    for entry in fs::read_dir(page_path("examples/questions")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let sql = fs::read_to_string(&path).expect("a question");
        assert_eq!(problems(&path.display().to_string(), &sql), None);
        found += 1;
    }
    assert!(found >= 2, "only {found} examples");
}

fn tables_part() -> String {
    let mut part = String::from("\n| table | column | type |\n| --- | --- | --- |\n");
    for relation in POSTS.relations {
        for column in relation.columns {
            writeln!(part, "| `{}` | `{}` | {} |", relation.name, column.name, column.ty).expect("written");
        }
    }
    part.push('\n');
    part
}

/// The page with a generated part between its two marks.
fn with_part(page: &str, name: &str, part: &str) -> String {
    let (begins, ends) = (format!("<!-- {name}: generated -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&begins).expect("the mark before the part");
    let (_, after) = rest.split_once(&ends).expect("the mark after the part");
    format!("{before}{begins}{part}{ends}{after}")
}

#[test]
fn sql_reference_lists_the_columns_of_the_program() {
    let page = read_page(REFERENCE);
    let expected = with_part(&page, "tables", &tables_part());
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(page_path(REFERENCE), &expected).expect("written");
        return;
    }
    let differs = page.lines().zip(expected.lines()).find(|(one, other)| one != other);
    assert!(page == expected, "{REFERENCE} is not up to date, from {differs:?}; set {UPDATE_VARIABLE}=1 to write it");
}
