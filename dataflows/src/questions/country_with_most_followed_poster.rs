//! The country with the greatest follower count of all.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "country_with_most_followed_poster",
    columns: &[text("country"), long("follower_count")],
    over: Over::PinGeo(|pin, geo| Some(Contribution::to([]).label(geo.country?).value(pin.followers()?))),
    measure: Measure::LabelsByGreatest,
    sql: include_str!("country_with_most_followed_poster.sql"),
};
