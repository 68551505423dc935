//! What questions take from the posts.

use super::{GeoProjection, PinProjection, UserProjection};

/// What is made of one row.
pub type UserFn<A, D> = Box<dyn Fn(&A) -> Option<D>>;
/// What is made of two joined rows.
pub type PairFn<A, B, D> = Box<dyn Fn(&A, &B) -> Option<D>>;
/// What is made of three joined rows.
pub type TripleFn<A, B, C, D> = Box<dyn Fn(&A, &B, &C) -> Option<D>>;

/// What is made of rows and of joined rows, each with all others of its kind; `None` where nothing is.
pub struct JoinOutputs<D> {
    /// Of each user.
    pub users: Vec<UserFn<UserProjection, D>>,
    /// Of each pin ⋈ geo.
    pub pins_geos: Vec<PairFn<PinProjection, GeoProjection, D>>,
    /// Of each pin ⋈ user.
    pub pins_users: Vec<PairFn<PinProjection, UserProjection, D>>,
    /// Of each pin ⋈ geo ⋈ user.
    pub pins_geos_users: Vec<TripleFn<PinProjection, GeoProjection, UserProjection, D>>,
}

impl<D> Default for JoinOutputs<D> {
    fn default() -> Self {
        JoinOutputs { users: Vec::new(), pins_geos: Vec::new(), pins_users: Vec::new(), pins_geos_users: Vec::new() }
    }
}

impl<D> JoinOutputs<D> {
    /// What is made of a user.
    pub(super) fn user_outputs(&self, user: &UserProjection) -> impl Iterator<Item = D> {
        self.users.iter().filter_map(move |output| output(user))
    }

    /// What is made of a pin ⋈ geo.
    pub(super) fn pin_geo_outputs(&self, pin: &PinProjection, geo: &GeoProjection) -> impl Iterator<Item = D> {
        self.pins_geos.iter().filter_map(move |output| output(pin, geo))
    }

    /// What is made of a pin ⋈ user.
    pub(super) fn pin_user_outputs(&self, pin: &PinProjection, user: &UserProjection) -> impl Iterator<Item = D> {
        self.pins_users.iter().filter_map(move |output| output(pin, user))
    }

    /// What is made of a pin ⋈ geo ⋈ user.
    pub(super) fn pin_geo_user_outputs(
        &self,
        pin: &PinProjection,
        geo: &GeoProjection,
        user: &UserProjection,
    ) -> impl Iterator<Item = D> {
        self.pins_geos_users.iter().filter_map(move |output| output(pin, geo, user))
    }
}
