//! Questions over random tables, bound and evaluated in batch, against SQLite.
//!
//! `PINFLOW_SQL_CASES=20000 cargo test -p pinflow-sql --test sqlite` runs that many random queries.

mod query_generator;
mod sqlite_oracle;

use pinflow_sql::bind::{QuestionParameters, bind_question};
use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::{Row, SqlType};
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::naive::{evaluate, list_answer};
use pinflow_sql::plan::BoundQuestion;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestError, TestRunner};
use query_generator::template::{SqlDialect, render};
use query_generator::{RandomChoices, RandomQuery, random_query, random_tables};
use sqlite_oracle::SqliteOracle;

/// Random tables for each query.
const TABLES_PER_QUERY: usize = 3;

fn bind_sql(sql: &str) -> Result<BoundQuestion, String> {
    bind_question("question", sql, &POSTS, &QuestionParameters::default()).map_err(|error| error.to_string())
}

fn column_types(question: &BoundQuestion) -> Vec<SqlType> {
    question.columns.iter().map(|column| column.ty).collect()
}

fn answer_of(question: &BoundQuestion, tables: &[Vec<Row>; 3]) -> Vec<Row> {
    list_answer(question, evaluate(&question.plan, tables, &FaultCounter::default()))
}

/// The numbers of a test case. Proptest makes numbers smaller, and with them tables and queries.
fn choice_numbers() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(any::<u32>(), 300)
}

fn several_tables() -> impl Strategy<Value = Vec<[Vec<Row>; 3]>> {
    let tables = choice_numbers().prop_map(|numbers| random_tables(&mut RandomChoices::new(numbers)));
    prop::collection::vec(tables, TABLES_PER_QUERY)
}

/// What differs between an answer and SQLite's.
fn describe_difference(answer: &[Row], expected: &[Row]) -> Option<String> {
    (answer != expected).then(|| format!("answer:\n{}SQLite:\n{}", list_rows(answer), list_rows(expected)))
}

fn list_rows(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("  {row:?}\n")).collect()
}

/// Compares one random query over several tables.
fn check_random_query(oracle: &SqliteOracle, query: &RandomQuery, tables: &[[Vec<Row>; 3]]) -> Result<(), String> {
    let (sql, sqlite_sql) = (query.pinflow_sql(), query.sqlite_sql());
    let question = bind_sql(&sql)?;
    let types = column_types(&question);
    if types != query.types {
        return Err(format!("the columns are {types:?} instead of {:?}: {sql}", query.types));
    }
    for tables in tables {
        oracle.set_tables(tables);
        let expected =
            oracle.query_rows(&sqlite_sql, &types).map_err(|error| format!("SQLite: {error}: {sqlite_sql}"))?;
        if let Some(difference) = describe_difference(&answer_of(&question, tables), &expected) {
            return Err(format!(
                "{sql}\n{sqlite_sql}\n{difference}tables:\n{}",
                tables.each_ref().map(|rows| list_rows(rows)).join("\n")
            ));
        }
    }
    Ok(())
}

#[test]
fn random_queries_have_the_answers_of_sqlite() {
    let cases = std::env::var("PINFLOW_SQL_CASES").map_or(256, |cases| cases.parse().expect("a number of cases"));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let oracle = SqliteOracle::new();
    let result = runner.run(&(several_tables(), choice_numbers()), |(tables, numbers)| {
        let query = random_query(&mut RandomChoices::new(numbers));
        check_random_query(&oracle, &query, &tables).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(error) => panic!("{error}"),
    }
}

/// Words of queries, each of which some of a thousand random ones must have.
const EXPECTED_WORDS: [&str; 44] = [
    "WITH ",
    "DISTINCT",
    " JOIN ",
    "LEFT JOIN",
    "RIGHT JOIN",
    "FULL JOIN",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "NULLS FIRST",
    "UNION ALL",
    "UNION SELECT",
    "NOT EXISTS",
    "NOT IN (SELECT",
    "= (SELECT",
    "NULL)",
    "CASE",
    "coalesce(",
    "LIKE",
    "ILIKE",
    "BETWEEN",
    "IS DISTINCT FROM",
    "IS NOT TRUE",
    "//",
    "year(",
    "FILTER",
    "sum(DISTINCT",
    "count(DISTINCT",
    "avg(",
    "median(",
    "WITHIN GROUP",
    "stddev_samp(",
    "string_agg(",
    "arg_max(",
    "bool_and(",
    "row_number()",
    "dense_rank()",
    "lag(",
    "nth_value(",
    "ROWS BETWEEN",
    "RANGE BETWEEN",
];

#[test]
fn generator_writes_all_kinds_of_queries() {
    let mut runner = TestRunner::deterministic();
    let mut new_query =
        || random_query(&mut RandomChoices::new(choice_numbers().new_tree(&mut runner).expect("numbers").current()));
    let texts: Vec<String> = (0..1000).map(|_| new_query().pinflow_sql()).collect();
    let frequency = |word: &&str| texts.iter().filter(|text| text.contains(*word)).count();
    let rare: Vec<&str> = EXPECTED_WORDS.into_iter().filter(|word| frequency(word) < 5).collect();
    assert!(rare.is_empty(), "hardly any query has {rare:?}");
    // A text that grows without end would not be seen otherwise.
    assert!(texts.iter().all(|text| text.len() < 50_000));
}

#[test]
fn queries_without_choices_are_the_simplest() {
    let query = random_query(&mut RandomChoices::new(Vec::new()));
    assert_eq!(query.pinflow_sql(), "SELECT p1.ind AS c2 FROM pin AS p1");
}

/// The queries of the file: blank lines separate them, lines with `--` are comments.
fn fixed_queries() -> Vec<String> {
    let text = include_str!("fixed_queries.sql").replace('~', "⟦¦NULLS LAST⟧");
    let blocks = text.split("\n\n").map(str::trim);
    blocks.filter(|block| !block.is_empty() && !block.starts_with("--")).map(str::to_owned).collect()
}

fn check_fixed_query(oracle: &SqliteOracle, template: &str, tables: &[Vec<Row>; 3]) -> Result<(), String> {
    let [sql, sqlite_sql] = [SqlDialect::Pinflow, SqlDialect::Sqlite].map(|dialect| render(template, dialect));
    let question = bind_sql(&sql)?;
    let expected = oracle.query_rows(&sqlite_sql, &column_types(&question));
    let mut expected = expected.map_err(|error| format!("SQLite: {error}: {sqlite_sql}"))?;
    if question.listing.is_empty() {
        expected.sort();
    }
    describe_difference(&answer_of(&question, tables), &expected)
        .map_or(Ok(()), |difference| Err(format!("{sql}\n{difference}")))
}

#[test]
fn fixed_queries_have_the_answers_of_sqlite() {
    let queries = fixed_queries();
    assert!(queries.len() >= 100, "only {} queries were read", queries.len());
    let oracle = SqliteOracle::new();
    let mut runner = TestRunner::deterministic();
    let mut problems = Vec::new();
    for _ in 0..8 {
        let tables = several_tables().new_tree(&mut runner).expect("tables").current();
        for tables in &tables {
            oracle.set_tables(tables);
            problems.extend(queries.iter().filter_map(|query| check_fixed_query(&oracle, query, tables).err()));
        }
    }
    problems.dedup();
    assert!(
        problems.is_empty(),
        "{} problems, the first are:\n\n{}",
        problems.len(),
        problems[..problems.len().min(5)].join("\n\n")
    );
}
