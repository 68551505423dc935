//! The greatest follower count, with its user, by country.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "most_followed_user_by_country",
    columns: &[text_column("country"), text_column("user_name"), long_column("follower_count")],
    over: JoinInput::PinGeoUser(|pin, geo, user| {
        Some(AggregateInput::for_group([geo.country?.into()]).with_label(user.name?).with_value(pin.followers()?))
    }),
    aggregate: Aggregate::TopByMax,
    sql: include_str!("most_followed_user_by_country.sql"),
};
