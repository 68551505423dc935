//! The greatest follower count, with its user, by country.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "most_followed_user_by_country",
    columns: &[("country", Text), ("user_name", Text), ("follower_count", Long)],
    over: JoinInput::PinGeoUser(|pin, geo, user| {
        Some(AggregateInput::for_group([geo.country?.into()]).with_label(user.name?).with_value(pin.followers()?))
    }),
    aggregate: Aggregate::TopByMax,
    sql: include_str!("most_followed_user_by_country.sql"),
};
