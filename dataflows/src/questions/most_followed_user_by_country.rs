//! The greatest follower count, with its user, by country.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "most_followed_user_by_country",
    columns: &[text("country"), text("user_name"), long("follower_count")],
    over: Over::PinGeoUser(|pin, geo, user| {
        Some(Contribution::to([geo.country?.into()]).label(user.name?).value(pin.followers()?))
    }),
    measure: Measure::LabelsByGreatest,
    sql: include_str!("most_followed_user_by_country.sql"),
};
