//! The country with the greatest follower count of all.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "country_with_most_followed_poster",
    columns: &[("country", Text), ("follower_count", Long)],
    over: JoinInput::PinGeo(|pin, geo| {
        Some(AggregateInput::for_group([]).with_label(geo.country?).with_value(pin.followers()?))
    }),
    aggregate: Aggregate::TopByMax,
    sql: include_str!("country_with_most_followed_poster.sql"),
};
