//! The questions of a run, and those that are built in: one file each, with its SQL beside it.
//!
//! A built-in question names its columns, the join it reads, the function from a joined row to an [`AggregateInput`], and
//! the [`Aggregate`]. The SQL defines the same answer for any batch engine with window functions:
//!
//! - It reads the views `pin`, `geo` and `user`, which hold the cleaned rows that count (the latest of each `ind`, or
//!   all).
//! - `year(timestamp)` is the UTC year. Text is ordered byte by byte.
//! - `$ties` is `'first'` or `'all'`, `$top` is a number or null for all, `$median` is `'exact'` or `'lower'`.
//!
//! To add a built-in question, add its `.rs` and its `.sql` file to this folder. The build script lists the files.

mod question_name;
mod question_set;

pub use question_name::{InvalidName, QuestionName};
pub use question_set::{DuplicateQuestion, QuestionSet};

use std::sync::Arc;

use crate::aggregates::{Aggregate, AggregateInput};
use crate::answer::ColumnType::{self, Double, Long, Text};
use crate::answer::{AnswerColumn, AnswerSchema, ListingKey, LiveAnswer};
use crate::joins::{GeoProjection, PinProjection, UserProjection};
use crate::symbol::Symbol;

pub use crate::answer::QuestionId;

include!(concat!(env!("OUT_DIR"), "/questions.rs"));

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    /// The name of its answer.
    pub name: QuestionName,
    /// The columns of its answer and the order of its rows.
    pub schema: Arc<AnswerSchema>,
    /// Where it comes from.
    pub origin: QuestionOrigin,
    /// How its answer is maintained.
    pub program: QuestionProgram,
    /// The question as a batch query.
    pub sql: String,
}

/// Where a question comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionOrigin {
    /// It is part of the program.
    BuiltIn,
    /// It is in the configuration, or was added to the run.
    Configured,
}

/// How the answer of a question is maintained.
#[derive(Debug, Clone)]
pub enum QuestionProgram {
    /// Inputs of groups, taken from the rows of one join.
    Aggregate {
        /// The join that it reads, and what each joined row adds.
        over: JoinInput,
        /// How the inputs of a group become rows of the answer.
        aggregate: Aggregate,
    },
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
    /// The columns of the answer, in order.
    #[must_use]
    pub fn columns(&self) -> &[AnswerColumn] {
        self.schema.columns()
    }

    /// The number of leading columns that are grouping columns of a built-in question. 0 if the question does not say.
    #[must_use]
    pub fn group_columns(&self) -> usize {
        match &self.program {
            QuestionProgram::Aggregate { aggregate, .. } => aggregate.group_columns(self.columns().len()),
        }
    }

    /// The answer without rows.
    #[must_use]
    pub fn empty_table(&self) -> LiveAnswer {
        LiveAnswer::new(Arc::clone(&self.schema))
    }
}

/// A question that is part of the program.
#[derive(Debug, Clone, Copy)]
struct BuiltInQuestion {
    name: &'static str,
    /// Grouping columns, then the label if the aggregate has labels, then the value.
    columns: &'static [(&'static str, ColumnType)],
    over: JoinInput,
    aggregate: Aggregate,
    sql: &'static str,
}

impl BuiltInQuestion {
    fn to_question(self) -> Question {
        let name = QuestionName::parse(self.name).expect("a built-in question has a valid name");
        let columns: Vec<_> = self.columns.iter().map(|(name, kind)| AnswerColumn::new(name, *kind)).collect();
        let listing = self.listing();
        let schema = AnswerSchema::new(columns, 0, listing).expect("a built-in question has a valid schema");
        Question {
            name,
            schema: Arc::new(schema),
            origin: QuestionOrigin::BuiltIn,
            program: QuestionProgram::Aggregate { over: self.over, aggregate: self.aggregate },
            sql: self.sql.to_owned(),
        }
    }

    /// The order of its SQL: by grouping columns, then, where a group has several rows, by value descending and label.
    fn listing(&self) -> Vec<ListingKey> {
        let key = |column, descending| ListingKey { column, descending, nulls_first: false };
        let groups = self.aggregate.group_columns(self.columns.len());
        let mut keys: Vec<_> = (0..groups).map(|column| key(column, false)).collect();
        if self.aggregate.has_labels() {
            keys.extend([key(groups + 1, true), key(groups, false)]);
        }
        keys
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
