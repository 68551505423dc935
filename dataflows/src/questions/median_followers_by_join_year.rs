//! The median of follower counts over posts, by the year in which the user joined.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "median_followers_by_join_year",
    columns: &[("post_year", Long), ("median_follower_count", Double)],
    over: JoinInput::PinUser(|pin, user| {
        Some(
            AggregateInput::for_group([year_within(2015..=2020, user.year_joined())?.into()])
                .with_value(pin.followers()?),
        )
    }),
    aggregate: Aggregate::Median,
    sql: include_str!("median_followers_by_join_year.sql"),
};
