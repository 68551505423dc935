//! The category with most posts, by country.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "popular_category_by_country",
    columns: &[text_column("country"), text_column("category"), long_column("category_count")],
    over: JoinInput::PinGeo(|pin, geo| {
        Some(AggregateInput::for_group([geo.country?.into()]).with_label(pin.category?))
    }),
    aggregate: Aggregate::TopByCount,
    sql: include_str!("popular_category_by_country.sql"),
};
