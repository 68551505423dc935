//! The median of follower counts over posts, by age group of the user.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "median_followers_by_age_group",
    columns: &[("age_group", Text), ("median_follower_count", Double)],
    over: JoinInput::PinUser(|pin, user| {
        Some(AggregateInput::for_group([age_group(user.age)?.into()]).with_value(pin.followers()?))
    }),
    aggregate: Aggregate::Median,
    sql: include_str!("median_followers_by_age_group.sql"),
};
