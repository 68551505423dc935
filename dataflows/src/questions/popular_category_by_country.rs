//! The category with most posts, by country.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "popular_category_by_country",
    columns: &[text("country"), text("category"), long("category_count")],
    over: Over::PinGeo(|pin, geo| Some(Contribution::to([geo.country?.into()]).label(pin.category?))),
    measure: Measure::LabelsByRows,
    sql: include_str!("popular_category_by_country.sql"),
};
