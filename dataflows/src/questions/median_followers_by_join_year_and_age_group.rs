//! The median of follower counts over posts, by age group and the year in which the user joined.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "median_followers_by_join_year_and_age_group",
    columns: &[("age_group", Text), ("post_year", Long), ("median_follower_count", Double)],
    over: JoinInput::PinUser(|pin, user| {
        let year = year_within(2015..=2020, user.year_joined())?;
        Some(AggregateInput::for_group([age_group(user.age)?.into(), year.into()]).with_value(pin.followers()?))
    }),
    aggregate: Aggregate::Median,
    sql: include_str!("median_followers_by_join_year_and_age_group.sql"),
};
