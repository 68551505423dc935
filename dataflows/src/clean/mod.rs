//! The cleaning rules: raw rows become cleaned rows. There is one file per stream.
//!
//! A value that its column cannot hold becomes null and is a [field fault](FieldFault). Only a value of a wrong JSON
//! type or an invalid key rejects the row. No rule drops a row.
//!
//! Where the specification leaves a choice:
//! - Strings that are read as numbers or times are trimmed of Unicode white space first.
//! - A whole number may have a zero fraction or an exponent (`1.0`, `1e3`, `-0`), and is read exactly.
//! - Placeholders are compared byte by byte.
//! - A geo post without both coordinates has a fault, like one with coordinates out of range.
//! - An empty name is missing.
//! - An empty text is null without a fault, even if it has more blanks than the length limit allows.

mod field_fault;
mod geo;
mod key;
mod number;
mod pin;
mod stored_texts;
mod text;
mod time;
mod user;

pub use field_fault::{FieldFault, FieldFaults};
pub use geo::clean_geo;
pub use key::parse_key;
pub use pin::clean_pin;
pub use stored_texts::StoredTexts;
pub use user::clean_user;
