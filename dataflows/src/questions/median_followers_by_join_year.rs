//! The median of follower counts over posts, by the year in which the user joined.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "median_followers_by_join_year",
    columns: &[long("post_year"), double("median_follower_count")],
    over: Over::PinUser(|pin, user| {
        Some(Contribution::to([within(2015..=2020, user.year_joined())?.into()]).value(pin.followers()?))
    }),
    measure: Measure::Median,
    sql: include_str!("median_followers_by_join_year.sql"),
};
