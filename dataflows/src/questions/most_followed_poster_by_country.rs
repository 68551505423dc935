//! The greatest follower count, with its poster, by country.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "most_followed_poster_by_country",
    columns: &[("country", Text), ("poster_name", Text), ("follower_count", Long)],
    over: JoinInput::PinGeo(|pin, geo| {
        Some(AggregateInput::for_group([geo.country?.into()]).with_label(pin.poster?).with_value(pin.followers()?))
    }),
    aggregate: Aggregate::TopByMax,
    sql: include_str!("most_followed_poster_by_country.sql"),
};
