//! The category with most posts, by year of the post.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "popular_category_by_year",
    columns: &[long("post_year"), text("category"), long("category_count")],
    over: Over::PinGeo(|pin, geo| {
        Some(Contribution::to([within(2018..=2022, geo.year())?.into()]).label(pin.category?))
    }),
    measure: Measure::LabelsByRows,
    sql: include_str!("popular_category_by_year.sql"),
};
