//! The category with most posts, by country.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "popular_category_by_country",
    columns: &[("country", Text), ("category", Text), ("category_count", Long)],
    over: JoinInput::PinGeo(|pin, geo| {
        Some(AggregateInput::for_group([geo.country?.into()]).with_label(pin.category?))
    }),
    aggregate: Aggregate::TopByCount,
    sql: include_str!("popular_category_by_country.sql"),
};
