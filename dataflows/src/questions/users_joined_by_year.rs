//! How many users joined, by year.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "users_joined_by_year",
    columns: &[long("post_year"), long("number_users_joined")],
    over: Over::User(|user| Some(Contribution::to([within(2015..=2020, user.year_joined())?.into()]))),
    measure: Measure::Rows,
    sql: include_str!("users_joined_by_year.sql"),
};
