//! The category with most posts, by year of the post.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "popular_category_by_year",
    columns: &[("post_year", Long), ("category", Text), ("category_count", Long)],
    over: JoinInput::PinGeo(|pin, geo| {
        Some(AggregateInput::for_group([year_within(2018..=2022, geo.post_year())?.into()]).with_label(pin.category?))
    }),
    aggregate: Aggregate::TopByCount,
    sql: include_str!("popular_category_by_year.sql"),
};
