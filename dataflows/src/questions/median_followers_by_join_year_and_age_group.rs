//! The median of follower counts over posts, by age group and the year in which the user joined.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "median_followers_by_join_year_and_age_group",
    columns: &[text("age_group"), long("post_year"), double("median_follower_count")],
    over: Over::PinUser(|pin, user| {
        let year = within(2015..=2020, user.year_joined())?;
        Some(Contribution::to([age_group(user.age)?.into(), year.into()]).value(pin.followers()?))
    }),
    measure: Measure::Median,
    sql: include_str!("median_followers_by_join_year_and_age_group.sql"),
};
