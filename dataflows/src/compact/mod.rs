//! The fast path for questions of the common shapes.
//!
//! A question fits if it joins rows of one `ind`, has few grouping columns, and asks for one of the
//! [aggregates](crate::aggregates): a count, distinct texts, a ranking by count or by greatest value, or a median. Its
//! rows become inputs of 32 bytes ([`AggregateInput`](crate::aggregates::AggregateInput)) without a single allocation.
//! All eleven built-in questions fit. Every other question runs on the general path.
//!
//! - `flat_join`: the part below the grouping, as one list of columns and conditions over joined rows;
//! - `shape`: recognises the questions that fit;
//! - `row_functions`: compiles expressions to closures over projected rows.
//! - `memo`: tables of results for expressions of one column.

mod flat_join;
mod memo;
mod row_functions;
mod shape;

pub use row_functions::InputFunction;
pub use shape::CompactQuestion;
