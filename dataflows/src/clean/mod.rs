//! Raw to trusted: the cleaning rules, one file for each stream.
//!
//! A rule never drops a row. What a column cannot hold becomes null and a [field fault](FieldFault); only a
//! value whose JSON type no rule can read, or a key that is no key, refuses the row.
//!
//! Where the contract leaves a choice:
//! - a string that is read as a number or a time is trimmed of Unicode white space first;
//! - a whole number may be written with a zero fraction or an exponent (`1.0`, `1e3`, `-0`), and is read exactly;
//! - a placeholder is compared byte by byte;
//! - a geo post without both coordinates has a fault, as any other that is not on the globe;
//! - a name that is empty is missing;
//! - a text is null because it is empty before it is null because it is too long: blanks of any length are no fault.

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
pub use geo::geo;
pub use key::key;
pub use pin::pin;
pub use stored_texts::StoredTexts;
pub use user::user;
