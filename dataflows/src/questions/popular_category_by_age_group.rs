//! The category with most posts, by age group of the user.

use super::*;

/// The question.
pub(super) const QUESTION: Question = Question {
    name: "popular_category_by_age_group",
    columns: &[text("age_group"), text("category"), long("category_count")],
    over: Over::PinUser(|pin, user| Some(Contribution::to([age_group(user.age)?.into()]).label(pin.category?))),
    measure: Measure::LabelsByRows,
    sql: include_str!("popular_category_by_age_group.sql"),
};
