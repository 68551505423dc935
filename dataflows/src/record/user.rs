//! User posts: who made posts.

use std::borrow::Cow;

use super::{Field, Ind, Micros};

/// A cleaned user post. `None` means absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User<'a> {
    /// The join key.
    pub ind: Ind,
    /// First and last name, separated by one space.
    pub user_name: Option<Cow<'a, str>>,
    /// The age in years, 0…150.
    pub age: Option<u8>,
    /// When the user joined.
    pub date_joined: Option<Micros>,
}

impl User<'_> {
    /// The fields of a raw row, in the order in which producers write them.
    pub const FIELDS: [Field; 5] = [Field::Ind, Field::FirstName, Field::LastName, Field::Age, Field::DateJoined];
}
