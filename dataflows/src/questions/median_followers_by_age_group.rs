//! The median of follower counts over posts, by age group of the user.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "median_followers_by_age_group",
    columns: &[text("age_group"), double("median_follower_count")],
    over: Over::PinUser(|pin, user| Some(Contribution::to([age_group(user.age)?.into()]).value(pin.followers()?))),
    measure: Measure::Median,
    sql: include_str!("median_followers_by_age_group.sql"),
};
