//! The functions that make outputs from users and from joined rows, grouped by join.

use super::{GeoProjection, PinProjection, UserProjection};

/// Makes an output from a user row.
pub type UserFn<A, D> = Box<dyn Fn(&A) -> Option<D>>;
/// Makes an output from two joined rows.
pub type PairFn<A, B, D> = Box<dyn Fn(&A, &B) -> Option<D>>;
/// Makes an output from three joined rows.
pub type TripleFn<A, B, C, D> = Box<dyn Fn(&A, &B, &C) -> Option<D>>;

/// The output functions of all questions. A function returns `None` if the rows give no output.
pub struct JoinOutputs<D> {
    /// Applied to each user.
    pub users: Vec<UserFn<UserProjection, D>>,
    /// Applied to each pin ⋈ geo.
    pub pins_geos: Vec<PairFn<PinProjection, GeoProjection, D>>,
    /// Applied to each pin ⋈ user.
    pub pins_users: Vec<PairFn<PinProjection, UserProjection, D>>,
    /// Applied to each pin ⋈ geo ⋈ user.
    pub pins_geos_users: Vec<TripleFn<PinProjection, GeoProjection, UserProjection, D>>,
}

impl<D> Default for JoinOutputs<D> {
    fn default() -> Self {
        JoinOutputs { users: Vec::new(), pins_geos: Vec::new(), pins_users: Vec::new(), pins_geos_users: Vec::new() }
    }
}

impl<D> JoinOutputs<D> {
    /// The outputs of a user.
    pub(super) fn user_outputs(&self, user: &UserProjection) -> impl Iterator<Item = D> {
        self.users.iter().filter_map(move |output| output(user))
    }

    /// The outputs of a pin ⋈ geo.
    pub(super) fn pin_geo_outputs(&self, pin: &PinProjection, geo: &GeoProjection) -> impl Iterator<Item = D> {
        self.pins_geos.iter().filter_map(move |output| output(pin, geo))
    }

    /// The outputs of a pin ⋈ user.
    pub(super) fn pin_user_outputs(&self, pin: &PinProjection, user: &UserProjection) -> impl Iterator<Item = D> {
        self.pins_users.iter().filter_map(move |output| output(pin, user))
    }

    /// The outputs of a pin ⋈ geo ⋈ user.
    pub(super) fn pin_geo_user_outputs(
        &self,
        pin: &PinProjection,
        geo: &GeoProjection,
        user: &UserProjection,
    ) -> impl Iterator<Item = D> {
        self.pins_geos_users.iter().filter_map(move |output| output(pin, geo, user))
    }
}
