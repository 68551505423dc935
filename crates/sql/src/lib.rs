//! Questions in SQL.
//!
//! A question is one SELECT over the cleaned tables. This crate turns its text into a typed plan, and knows two ways
//! to evaluate a plan: in batch, and incrementally, from the changes of one epoch to the changes of the answer. It is
//! pure: no I/O, no threads, no dataflow engine.
//!
//! ```text
//! text ──parse──► syntax tree ──bind──► plan ──┬── naive: rows in, rows out (tests, `question try`)
//!                                              └── split: leaves (functions of one key's rows) + upper plan
//!                                                    └── incremental: changes in, changes out
//! ```
//!
//! The modules, in the order of the data flow (`tests/architecture.rs` says which may name which):
//!
//! - [`datum`]: values, rows and their types;
//! - [`catalog`]: the relations that a question can read;
//! - [`diagnostics`]: what is wrong with a text, where, and what would work instead;
//! - [`functions`]: the scalar functions;
//! - [`expr`]: typed scalar expressions; [`eval`] and [`like`]: their values; [`calls`]: calls of functions by name;
//! - [`plan`]: the typed relational plan of a question;
//! - [`naive`]: evaluation of a plan in batch;
//! - [`bind`]: from a text to a plan;
//! - [`mod@derive`]: which expressions take the place of columns that are not in memory;
//! - [`split`]: what of a plan is a function of the rows of one key, and what is above;
//! - [`incremental`]: the operators that turn changes of rows into changes of the answer, over rows by [`hash`].

// Unit tests include modules of the integration tests, which know this crate by its name.
#[cfg(test)]
extern crate self as pinflow_sql;

pub mod bind;
pub mod calls;
pub mod catalog;
mod check;
pub mod datum;
pub mod derive;
pub mod diagnostics;
mod dialect;
pub mod eval;
mod explain;
pub mod expr;
pub mod functions;
pub mod hash;
pub mod incremental;
mod key_columns;
pub mod like;
pub mod naive;
mod nullability;
mod optimize;
mod parse;
mod places;
pub mod plan;
mod prune;
mod rewrite;
pub mod split;
