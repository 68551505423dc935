//! The table of functions.

use crate::functions::FunctionSpec;

mod lists;
mod numbers;
mod text;
mod time;

pub(crate) use time::{ADD_INTERVAL, TIME_BUCKET};

/// The functions of one subject.
pub struct FunctionGroup {
    /// The subject: `text`, `numbers`, `lists` or `time`.
    pub subject: &'static str,
    /// The functions, each signature once.
    pub functions: &'static [FunctionSpec],
}

static GROUPS: [FunctionGroup; 4] = [
    FunctionGroup { subject: "text", functions: text::FUNCTIONS },
    FunctionGroup { subject: "numbers", functions: numbers::FUNCTIONS },
    FunctionGroup { subject: "lists", functions: lists::FUNCTIONS },
    FunctionGroup { subject: "time", functions: time::FUNCTIONS },
];

/// All functions. Calls that are other expressions, such as `coalesce`, are in
/// [`special_forms`](crate::calls::special_forms).
#[must_use]
pub fn catalog() -> &'static [FunctionGroup] {
    &GROUPS
}

/// All entries.
pub(crate) fn all_functions() -> impl Iterator<Item = &'static FunctionSpec> {
    GROUPS.iter().flat_map(|group| group.functions)
}
