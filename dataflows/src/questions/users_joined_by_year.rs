//! How many users joined, by year.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "users_joined_by_year",
    columns: &[("post_year", Long), ("number_users_joined", Long)],
    over: JoinInput::User(|user| {
        Some(AggregateInput::for_group([year_within(2015..=2020, user.year_joined())?.into()]))
    }),
    aggregate: Aggregate::Count,
    sql: include_str!("users_joined_by_year.sql"),
};
