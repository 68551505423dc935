//! How many different names the users have who joined, by year.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "user_names_joined_by_year",
    columns: &[("post_year", Long), ("number_users_joined", Long)],
    over: JoinInput::User(|user| {
        Some(AggregateInput::for_group([year_within(2015..=2020, user.year_joined())?.into()]).with_label(user.name))
    }),
    aggregate: Aggregate::CountDistinct,
    sql: include_str!("user_names_joined_by_year.sql"),
};
