//! What producers write, and the row we trust.

mod geo;
mod lineage;
mod pin;
mod position;
mod raw;
mod text;
mod user;
mod value;

pub use geo::Geo;
pub use lineage::{Lineage, Micros, Stream};
pub use pin::Pin;
pub use position::Position;
pub use raw::{Field, Raw};
pub use text::{LoneSurrogate, NotAString, Text, strings};
pub use user::User;
pub use value::Value;

/// The key that pin, geo and user posts share: a whole number in 0…2^63−1.
///
/// `pin.index`, `geo.ind` and `user.ind` are all this key.
pub type Ind = u64;
