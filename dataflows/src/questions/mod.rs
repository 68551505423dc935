//! One file, one question; its SQL beside it.
//!
//! A question names its columns, the join it is asked over, what each joined row contributes to its answer, and
//! the measure of the contributions. The SQL says the same to any batch engine that knows window functions:
//!
//! - it reads the views `pin`, `geo` and `user`, which hold the cleaned rows that count (the latest of each `ind`, or all);
//! - `year(timestamp)` is the UTC year; text is ordered byte by byte;
//! - `$ties` is `'first'` or `'all'`, `$top` a number or null for all, `$median` is `'exact'` or `'lower'`.
//!
//! To add a question, add its `.rs` and its `.sql` file to this folder. The build makes the list.

use crate::aggregates::{Aggregate, AggregateInput};
use crate::answer::{AnswerColumn, LiveAnswer, double_column, long_column, text_column};
use crate::joins::{GeoProjection, PinProjection, UserProjection};
use crate::symbol::Symbol;

include!(concat!(env!("OUT_DIR"), "/questions.rs"));

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The name of its answer.
    pub name: &'static str,
    /// Grouping columns, then the label if the measure has labels, then the value.
    pub columns: &'static [AnswerColumn],
    /// What it is asked over.
    pub over: JoinInput,
    /// What is said of each group.
    pub aggregate: Aggregate,
    /// The same as a batch query.
    pub sql: &'static str,
}

/// The rows that a question is asked over, and what each contributes; `None` if nothing.
#[derive(Debug, Clone, Copy)]
pub enum JoinInput {
    /// Each user.
    User(fn(&UserProjection) -> Option<AggregateInput>),
    /// Each pin ⋈ geo.
    PinGeo(fn(&PinProjection, &GeoProjection) -> Option<AggregateInput>),
    /// Each pin ⋈ user.
    PinUser(fn(&PinProjection, &UserProjection) -> Option<AggregateInput>),
    /// Each pin ⋈ geo ⋈ user.
    PinGeoUser(fn(&PinProjection, &GeoProjection, &UserProjection) -> Option<AggregateInput>),
}

impl Question {
    /// How many grouping columns it has.
    #[must_use]
    pub fn group_columns(&self) -> usize {
        self.columns.len() - if self.aggregate.has_labels() { 2 } else { 1 }
    }

    /// Its answer when there is nothing to say.
    #[must_use]
    pub fn empty_table(&self) -> LiveAnswer {
        LiveAnswer::new(self.columns, self.group_columns())
    }
}

/// The year, if the question is about it.
fn year_within(years: std::ops::RangeInclusive<i32>, year: Option<i32>) -> Option<i32> {
    year.filter(|year| years.contains(year))
}

/// `0-17`, `18-24`, `25-35`, `36-50`, `50+`; a null age has no group.
fn age_group(age: Option<u8>) -> Option<Symbol> {
    static GROUPS: std::sync::LazyLock<[Symbol; 5]> =
        std::sync::LazyLock::new(|| ["0-17", "18-24", "25-35", "36-50", "50+"].map(Symbol::new));
    let group = match age? {
        0..=17 => 0,
        18..=24 => 1,
        25..=35 => 2,
        36..=50 => 3,
        51.. => 4,
    };
    Some(GROUPS[group])
}
