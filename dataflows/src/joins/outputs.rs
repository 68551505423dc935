//! The functions that make outputs from joined rows, by the relations that they join.

use super::{GeoProjection, JoinedRow, PinProjection, RelationSet, UserProjection};

/// Makes an output from a joined row. `None` if the row gives no output.
pub type OutputFunction<D> = Box<dyn Fn(&JoinedRow<'_>) -> Option<D>>;

/// The output functions of all questions, by the set of relations that they join.
pub struct JoinOutputs<D> {
    functions: [Vec<OutputFunction<D>>; RelationSet::COUNT],
}

impl<D> Default for JoinOutputs<D> {
    fn default() -> Self {
        JoinOutputs { functions: std::array::from_fn(|_| Vec::new()) }
    }
}

impl<D> JoinOutputs<D> {
    /// Adds a function for the inner join of these relations.
    pub fn push(&mut self, relations: RelationSet, function: OutputFunction<D>) {
        self.functions[relations.index()].push(function);
    }

    /// Whether a join has outputs.
    pub(super) fn has_outputs(&self, relations: RelationSet) -> bool {
        !self.functions[relations.index()].is_empty()
    }

    /// The outputs of a joined row of exactly these relations.
    pub(super) fn of_join<'o>(
        &'o self,
        relations: RelationSet,
        row: &'o JoinedRow<'_>,
    ) -> impl Iterator<Item = D> + 'o {
        self.functions[relations.index()].iter().filter_map(|function| function(row))
    }

    /// The outputs of all joins in which a row of `changed` takes part, given the rows of the relations `present`.
    pub(super) fn for_each_changed(
        &self,
        changed: RelationSet,
        present: RelationSet,
        row: &JoinedRow<'_>,
        mut emit: impl FnMut(D),
    ) {
        for relations in RelationSet::all() {
            if relations.contains(changed) && present.contains(relations) {
                self.of_join(relations, row).for_each(&mut emit);
            }
        }
    }
}

/// A joined row of some of the relations.
pub(super) fn joined_row<'a>(
    pin: Option<&'a PinProjection>,
    geo: Option<&'a GeoProjection>,
    user: Option<&'a UserProjection>,
) -> JoinedRow<'a> {
    JoinedRow {
        pin: pin.unwrap_or(&PinProjection::NULL),
        geo: geo.unwrap_or(&GeoProjection::NULL),
        user: user.unwrap_or(&UserProjection::NULL),
    }
}
