//! How many different names the users have who joined, by year.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "user_names_joined_by_year",
    columns: &[long("post_year"), long("number_users_joined")],
    over: Over::User(|user| Some(Contribution::to([within(2015..=2020, user.year_joined())?.into()]).label(user.name))),
    measure: Measure::DistinctLabels,
    sql: include_str!("user_names_joined_by_year.sql"),
};
