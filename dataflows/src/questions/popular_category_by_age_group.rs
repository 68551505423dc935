//! The category with most posts, by age group of the user.

use super::*;

/// The question.
pub(super) const QUESTION: BuiltInQuestion = BuiltInQuestion {
    name: "popular_category_by_age_group",
    columns: &[("age_group", Text), ("category", Text), ("category_count", Long)],
    over: JoinInput::PinUser(|pin, user| {
        Some(AggregateInput::for_group([age_group(user.age)?.into()]).with_label(pin.category?))
    }),
    aggregate: Aggregate::TopByCount,
    sql: include_str!("popular_category_by_age_group.sql"),
};
