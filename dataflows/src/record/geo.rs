//! Geo posts: where and when posts were made.

use std::borrow::Cow;

use super::{Field, Ind, Micros};

/// A cleaned geo post. `None` means absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Geo<'a> {
    /// The join key.
    pub ind: Ind,
    /// The country.
    pub country: Option<Cow<'a, str>>,
    /// Latitude in −90…90 and longitude in −180…180, degrees.
    pub coordinates: Option<[f64; 2]>,
    /// When the post was made.
    pub timestamp: Option<Micros>,
}

impl Geo<'_> {
    /// The fields of a raw row, in the order in which producers write them.
    pub const FIELDS: [Field; 5] = [Field::Ind, Field::Timestamp, Field::Latitude, Field::Longitude, Field::Country];
}
