//! Counts and sums of groups, added up on one worker before they are sent.

use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::aggregates::AggregateSet;
use super::cells::{CellState, GroupCells};
use super::group_table::GroupSpec;
use super::linear_cell::LinearCell;
use crate::datum::{Datum, Row};
use crate::hash::RowHashState;

/// What the rows of one epoch on one worker add to a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartialGroup {
    /// The key of the group: send it by [`row_hash`](crate::hash::row_hash) of this.
    pub key: Row,
    pub(super) rows: i64,
    pub(super) cells: Box<[LinearCell]>,
}

/// Adds up the updates of an epoch, so that one message for each touched group is sent instead of one for each row.
///
/// It holds as many groups as were touched since they were last taken.
#[derive(Debug)]
pub struct PartialGroups {
    spec: Arc<GroupSpec>,
    groups: HashMap<Row, GroupCells, RowHashState>,
}

impl PartialGroups {
    /// For a spec that [is linear](GroupSpec::is_linear); `None` for others.
    #[must_use]
    pub fn new(spec: Arc<GroupSpec>) -> Option<PartialGroups> {
        spec.is_linear().then(|| PartialGroups { spec, groups: HashMap::default() })
    }

    /// Adds a projected row `diff` times.
    pub fn update(&mut self, row: &[Datum], diff: i64) {
        let set: &AggregateSet = &self.spec.set;
        let key = self.spec.key_of(row);
        if let Some(cells) = self.groups.get_mut(key) {
            cells.update(set, row, diff);
            return;
        }
        let mut cells = GroupCells::new(set);
        cells.update(set, row, diff);
        self.groups.insert(key.into(), cells);
    }

    /// The number of groups that were touched since they were last taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether no group was touched since they were last taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Gives away what was added up, of `most` groups at most, without groups to which nothing was added in the end.
    pub fn take_groups(&mut self, most: usize) -> Vec<PartialGroup> {
        let mut taken = Vec::with_capacity(most.min(self.groups.len()));
        let mut take = |(key, cells): (Row, GroupCells)| {
            let (rows, cells) = cells.into_parts();
            let linear = cells.into_vec().into_iter().filter_map(|cell| match cell {
                CellState::Linear(cell) => Some(cell),
                _ => None,
            });
            let group = PartialGroup { key, rows, cells: linear.collect() };
            if group.rows != 0 || !group.cells.iter().all(LinearCell::is_zero) {
                taken.push(group);
            }
        };
        if most >= self.groups.len() {
            self.groups.drain().for_each(&mut take);
        } else {
            self.groups.extract_if(|_, _| true).take(most).for_each(&mut take);
        }
        taken
    }
}
