//! What questions take from the posts.

use super::{GeoPost, PinPost, UserPost};

/// What is made of one row.
pub type OfOne<A, D> = Box<dyn Fn(&A) -> Option<D>>;
/// What is made of two joined rows.
pub type OfTwo<A, B, D> = Box<dyn Fn(&A, &B) -> Option<D>>;
/// What is made of three joined rows.
pub type OfThree<A, B, C, D> = Box<dyn Fn(&A, &B, &C) -> Option<D>>;

/// What is made of rows and of joined rows, each with all others of its kind; `None` where nothing is.
pub struct Asks<D> {
    /// Of each user.
    pub users: Vec<OfOne<UserPost, D>>,
    /// Of each pin ⋈ geo.
    pub pins_geos: Vec<OfTwo<PinPost, GeoPost, D>>,
    /// Of each pin ⋈ user.
    pub pins_users: Vec<OfTwo<PinPost, UserPost, D>>,
    /// Of each pin ⋈ geo ⋈ user.
    pub pins_geos_users: Vec<OfThree<PinPost, GeoPost, UserPost, D>>,
}

impl<D> Default for Asks<D> {
    fn default() -> Self {
        Asks { users: Vec::new(), pins_geos: Vec::new(), pins_users: Vec::new(), pins_geos_users: Vec::new() }
    }
}

impl<D> Asks<D> {
    /// What is made of a user.
    pub(super) fn user(&self, user: &UserPost) -> impl Iterator<Item = D> {
        self.users.iter().filter_map(move |ask| ask(user))
    }

    /// What is made of a pin ⋈ geo.
    pub(super) fn pin_geo(&self, pin: &PinPost, geo: &GeoPost) -> impl Iterator<Item = D> {
        self.pins_geos.iter().filter_map(move |ask| ask(pin, geo))
    }

    /// What is made of a pin ⋈ user.
    pub(super) fn pin_user(&self, pin: &PinPost, user: &UserPost) -> impl Iterator<Item = D> {
        self.pins_users.iter().filter_map(move |ask| ask(pin, user))
    }

    /// What is made of a pin ⋈ geo ⋈ user.
    pub(super) fn pin_geo_user(&self, pin: &PinPost, geo: &GeoPost, user: &UserPost) -> impl Iterator<Item = D> {
        self.pins_geos_users.iter().filter_map(move |ask| ask(pin, geo, user))
    }
}
