//! Tests of the binder: texts of questions to plans and problems.

mod fixed_sqlite;
mod plans;
mod robustness;
mod sqlite;
mod wrong_queries;

use pinflow_sql::bind::{QuestionParameters, bind_question};
use pinflow_sql::catalog::POSTS;
use pinflow_sql::datum::Datum;
use pinflow_sql::diagnostics::QuestionError;
use pinflow_sql::plan::BoundQuestion;

/// Binds a text with the parameters of the built-in questions.
fn bind(text: &str) -> Result<BoundQuestion, QuestionError> {
    let parameters = QuestionParameters::from([
        ("ties".to_owned(), Datum::text("all")),
        ("top".to_owned(), Datum::Long(1)),
        ("median".to_owned(), Datum::text("exact")),
    ]);
    bind_question("test", text, &POSTS, &parameters)
}

/// A question that has to bind.
fn bound(text: &str) -> BoundQuestion {
    bind(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
