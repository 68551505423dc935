//! The changes of the rows of an `ind`, for consumers that need more than inner joins.

use super::{ExtraSlabs, JoinedRow, RelationSet};
use crate::keys::KeyId;
use crate::record::Ind;
use crate::version::ExtraValues;

/// The rows of one `ind`: at most one of each relation.
#[derive(Debug, Clone, Copy)]
pub struct RowsOfKey<'a> {
    /// The worker's number for the `ind`.
    pub key: KeyId,
    /// The `ind`.
    pub ind: Ind,
    /// The projected rows. Those that are absent are all null.
    pub row: JoinedRow<'a>,
    /// The relations of which there is a row.
    pub present: RelationSet,
    /// The values of extra columns, by index of the relation in the catalog.
    pub extra: [&'a ExtraValues; 3],
}

/// Receives every change of the rows of an `ind`, epoch by epoch.
///
/// It can be given rows that have not changed, too: it *walks* over all keys, some in each epoch, as if their rows had
/// just come.
pub trait KeyChangeConsumer: 'static {
    /// What it makes of the changes.
    type Update: Clone + 'static;

    /// Whether it needs to know the changes of rows.
    fn is_active(&self) -> bool;

    /// Begins to apply an epoch, before any change of it.
    fn begin_epoch(&mut self, epoch: u64, extra: &mut ExtraSlabs);

    /// The row of one relation changes. `before` and `after` differ in nothing else.
    fn rows_changed(&mut self, changed: RelationSet, before: &RowsOfKey<'_>, after: &RowsOfKey<'_>);

    /// The extra columns that a question, by number, is given the values of, from rows of the tables.
    fn filled_columns(&self, question: u32, relation: usize) -> Option<&[usize]>;

    /// Begins the walks that are due, after the changes of the epoch. They end before this key, which is the first that is not
    /// there yet.
    fn begin_walks(&mut self, end: KeyId);

    /// The key with which a walk goes on. `None` if no walk is under way, or all are at their end.
    fn next_walked_key(&self) -> Option<KeyId>;

    /// Walks over a key: the one that was asked for, or the one after the last.
    fn walk_key(&mut self, rows: &RowsOfKey<'_>);

    /// Ends an epoch: gives what its changes add up to. Returns whether a walk is under way, for which another epoch is
    /// needed.
    fn finish_epoch(&mut self, epoch: u64, emit: &mut dyn FnMut(Self::Update)) -> bool;
}
