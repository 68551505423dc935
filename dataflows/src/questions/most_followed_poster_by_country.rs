//! The greatest follower count, with its poster, by country.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "most_followed_poster_by_country",
    columns: &[text("country"), text("poster_name"), long("follower_count")],
    over: Over::PinGeo(|pin, geo| {
        Some(Contribution::to([geo.country?.into()]).label(pin.poster?).value(pin.followers()?))
    }),
    measure: Measure::LabelsByGreatest,
    sql: include_str!("most_followed_poster_by_country.sql"),
};
