//! The questions: one file each, with its SQL beside it.
//!
//! A question names its columns, the join it reads, the function from a joined row to an [`AggregateInput`], and the
//! [`Aggregate`]. The SQL defines the same answer for any batch engine with window functions:
//!
//! - It reads the views `pin`, `geo` and `user`, which hold the cleaned rows that count (the latest of each `ind`, or
//!   all).
//! - `year(timestamp)` is the UTC year. Text is ordered byte by byte.
//! - `$ties` is `'first'` or `'all'`, `$top` is a number or null for all, `$median` is `'exact'` or `'lower'`.
//!
//! To add a question, add its `.rs` and its `.sql` file to this folder. The build script lists the files.

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
    /// Grouping columns, then the label if the aggregate has labels, then the value.
    pub columns: &'static [AnswerColumn],
    /// The join that it reads, and what each joined row adds.
    pub over: JoinInput,
    /// How the inputs of a group become rows of the answer.
    pub aggregate: Aggregate,
    /// The same question as a batch query.
    pub sql: &'static str,
}

/// The join that a question reads, with its function from a joined row to an input. `None` if the row adds nothing.
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
    /// The number of grouping columns.
    #[must_use]
    pub fn group_columns(&self) -> usize {
        self.columns.len() - if self.aggregate.has_labels() { 2 } else { 1 }
    }

    /// The answer without rows.
    #[must_use]
    pub fn empty_table(&self) -> LiveAnswer {
        LiveAnswer::new(self.columns, self.group_columns())
    }
}

/// The year, if it is within `years`.
fn year_within(years: std::ops::RangeInclusive<i32>, year: Option<i32>) -> Option<i32> {
    year.filter(|year| years.contains(year))
}

/// The age group: `0-17`, `18-24`, `25-35`, `36-50` or `50+`. `None` if the age is null.
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
