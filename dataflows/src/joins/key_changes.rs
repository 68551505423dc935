//! The changes of the rows of an `ind`, for consumers that need more than inner joins.

use super::{JoinedRow, RelationSet};
use crate::record::Ind;
use crate::version::ExtraValues;

/// The rows of one `ind`: at most one of each relation.
#[derive(Debug, Clone, Copy)]
pub struct RowsOfKey<'a> {
    /// The `ind`.
    pub ind: Ind,
    /// The projected rows. Those that are absent are all null.
    pub row: JoinedRow<'a>,
    /// The relations of which there is a row.
    pub present: RelationSet,
    /// The values of extra columns, by index of the relation in the catalog.
    pub extra: [&'a ExtraValues; 3],
}

/// Receives every change of the rows of an `ind`, epoch by epoch. `U` is what it makes of them.
pub trait KeyChangeConsumer<U> {
    /// Whether extra columns are stored for the rows of a relation.
    fn has_extra(&self, relation: RelationSet) -> bool;

    /// The row of one relation changes. `before` and `after` differ in nothing else.
    fn rows_changed(&mut self, changed: RelationSet, before: &RowsOfKey<'_>, after: &RowsOfKey<'_>);

    /// Ends an epoch: gives what its changes add up to.
    fn finish_epoch(&mut self, emit: &mut dyn FnMut(U));
}

/// The consumer of a graph, if it has one.
pub type OptionalConsumer<U> = Option<Box<dyn KeyChangeConsumer<U>>>;
