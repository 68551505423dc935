//! What a leaf of a question makes, until it is sent to its groups.

use std::sync::Arc;

use pinflow_sql::datum::{Datum, Row};
use pinflow_sql::incremental::PartialGroups;
use pinflow_sql::split::QuestionLeaf;

use super::updates::{LeafId, LeafUpdate};

/// What a leaf has made since its updates were last taken.
pub(super) struct LeafOutput {
    id: LeafId,
    /// Counts and sums of groups, if that is all the leaf's groups need.
    partial: Option<PartialGroups>,
    /// The number of leading values of a row that are the key of its group.
    key_len: Option<u16>,
    rows: Vec<(Row, i64)>,
}

impl LeafOutput {
    pub(super) fn new(id: LeafId, leaf: &QuestionLeaf, workers: usize) -> LeafOutput {
        // Adding up on one worker would only be another hash table.
        let group = leaf.group.as_ref().filter(|_| workers > 1);
        let partial = group.and_then(|group| PartialGroups::new(Arc::clone(group)));
        LeafOutput { id, partial, key_len: leaf.group.as_ref().map(|group| group.key_len() as u16), rows: Vec::new() }
    }

    /// Adds a row `diff` times.
    pub(super) fn add_row(&mut self, row: &[Datum], diff: i64) {
        match &mut self.partial {
            Some(partial) => partial.update(row, diff),
            None => self.rows.push((row.into(), diff)),
        }
    }

    /// The same, and takes the values of the row.
    pub(super) fn take_row(&mut self, row: &mut Vec<Datum>, diff: i64) {
        match &mut self.partial {
            Some(partial) => partial.update(row, diff),
            None => self.rows.push((row.drain(..).collect(), diff)),
        }
    }

    /// The number of groups that wait to be sent.
    pub(super) fn waiting_groups(&self) -> usize {
        self.partial.as_ref().map_or(0, PartialGroups::len)
    }

    /// Gives all rows, and what was added up for `most_groups` groups at most.
    pub(super) fn emit_updates(&mut self, most_groups: usize, emit: &mut dyn FnMut(LeafUpdate)) {
        let (leaf, key_len) = (self.id, self.key_len);
        if let Some(partial) = &mut self.partial {
            for group in partial.take_groups(most_groups) {
                emit(LeafUpdate::Partial { leaf, group });
            }
        }
        for (row, diff) in self.rows.drain(..) {
            emit(LeafUpdate::Row { leaf, key_len, row, diff });
        }
    }
}
