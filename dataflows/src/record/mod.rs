//! Rows: raw as producers write them, and cleaned as the tables hold them.

mod catalog_row;
mod geo;
mod json_string;
mod json_value;
mod lineage;
mod pin;
mod position;
mod raw_row;
mod user;

pub use catalog_row::CatalogRow;
pub use geo::Geo;
pub use json_string::{JsonString, LoneSurrogate, NotAString, array_strings};
pub use json_value::JsonValue;
pub use lineage::{Lineage, Micros, Stream};
pub use pin::Pin;
pub use position::Position;
pub use raw_row::{Field, RawRow};
pub use user::User;

/// The key that pin, geo and user posts share: a whole number in 0…2^63−1.
///
/// `pin.index`, `geo.ind` and `user.ind` are all this key.
pub type Ind = u64;
