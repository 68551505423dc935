//! The greatest follower count, with its poster, by country.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "most_followed_poster_by_country",
    columns: &[text_column("country"), text_column("poster_name"), long_column("follower_count")],
    over: JoinInput::PinGeo(|pin, geo| {
        Some(AggregateInput::for_group([geo.country?.into()]).with_label(pin.poster?).with_value(pin.followers()?))
    }),
    aggregate: Aggregate::TopByMax,
    sql: include_str!("most_followed_poster_by_country.sql"),
};
