//! Joins of derived rows.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::join_delta::{joined_rows, pair_changes, presence_changes};
use super::row_bag::RowBag;
use super::state_usage::free_if_empty;
use super::{RowUpdate, StateError, StateUsage, consolidate_rows};
use crate::datum::{Datum, Row};
use crate::eval::FaultCounter;
use crate::expr::ScalarExpr;
use crate::hash::RowHashState;
use crate::plan::JoinKind;

/// A join above the leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinSpec {
    pub(crate) kind: JoinKind,
    pub(crate) keys: Vec<(ScalarExpr, ScalarExpr)>,
    pub(crate) condition: Option<ScalarExpr>,
    pub(crate) left_width: usize,
    pub(crate) right_width: usize,
}

impl JoinSpec {
    /// Whether left rows without a partner are in the result.
    pub(super) fn keeps_left(&self) -> bool {
        matches!(self.kind, JoinKind::Left | JoinKind::Full | JoinKind::Anti)
    }

    /// Whether right rows without a partner are in the result.
    pub(super) fn keeps_right(&self) -> bool {
        matches!(self.kind, JoinKind::Right | JoinKind::Full)
    }

    /// Whether all pairs of a key are compared if one of its rows changes.
    pub(super) fn compares_all_pairs(&self) -> bool {
        self.condition.is_some() && self.kind != JoinKind::Inner
    }

    /// Whether pairs are in the result.
    pub(super) fn emits_pairs(&self) -> bool {
        !matches!(self.kind, JoinKind::Semi | JoinKind::Anti)
    }

    /// A left row without a partner.
    pub(super) fn left_alone(&self, row: &[Datum]) -> Row {
        let nulls = if self.emits_pairs() { self.right_width } else { 0 };
        row.iter().cloned().chain(std::iter::repeat_n(Datum::Null, nulls)).collect()
    }

    /// A right row without a partner.
    pub(super) fn right_alone(&self, row: &[Datum]) -> Row {
        std::iter::repeat_n(Datum::Null, self.left_width).chain(row.iter().cloned()).collect()
    }
}

/// The rows of both sides with one key.
#[derive(Debug, Default)]
pub(super) struct JoinedBags {
    pub(super) left: RowBag,
    pub(super) right: RowBag,
}

impl JoinedBags {
    /// The key and the bags, without what the rows own.
    fn usage(&self, key: &Row) -> StateUsage {
        let mut usage = StateUsage::of_row(key).as_group();
        usage.bytes += self.left.heap_bytes() + self.right.heap_bytes();
        usage
    }
}

/// Which sides have rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct SidePresence {
    pub(super) left: bool,
    pub(super) right: bool,
}

impl SidePresence {
    pub(super) fn of_bags(bags: &JoinedBags) -> SidePresence {
        SidePresence { left: !bags.left.is_empty(), right: !bags.right.is_empty() }
    }
}

/// The updates of both sides with one key.
#[derive(Debug, Default)]
pub(super) struct JoinedUpdates {
    pub(super) left: Vec<RowUpdate>,
    pub(super) right: Vec<RowUpdate>,
}

/// The rows of both inputs by their keys.
///
/// An epoch costs the pairs of the changed rows with the rows of the other side. A join that keeps rows without a
/// partner costs all rows of a key when the other side's first row comes or its last one goes; if it has a further
/// condition, it costs all pairs of each touched key. Without keys there is one key.
#[derive(Debug)]
pub(super) struct JoinState {
    spec: JoinSpec,
    keys: HashMap<Row, JoinedBags, RowHashState>,
    /// The keys with their rows, and what these own, and the rows that wait.
    held: StateUsage,
    /// Updates that wait while results are held back. `None` if that is over.
    waiting: Option<WaitingUpdates>,
}

/// Updates of both inputs, in their order.
#[derive(Debug, Default)]
struct WaitingUpdates {
    left: VecDeque<RowUpdate>,
    right: VecDeque<RowUpdate>,
    /// How many have come since some were last applied. `None` before the first.
    came: Option<usize>,
}

impl WaitingUpdates {
    fn len(&self) -> usize {
        self.left.len() + self.right.len()
    }

    /// Takes updates of the side that has fewer, so that most rows find all of their partners when they come.
    fn take_next(&mut self, count: usize) -> (Vec<RowUpdate>, Vec<RowUpdate>) {
        let take = |side: &mut VecDeque<RowUpdate>| side.drain(..count.min(side.len())).collect();
        if self.left.is_empty() || (!self.right.is_empty() && self.right.len() < self.left.len()) {
            (Vec::new(), take(&mut self.right))
        } else {
            (take(&mut self.left), Vec::new())
        }
    }
}

/// How many waiting updates are applied at once. Their partners are not known before.
const UPDATES_AT_ONCE: usize = 256;

impl JoinState {
    pub(super) fn new(spec: JoinSpec) -> JoinState {
        JoinState { spec, keys: HashMap::default(), held: StateUsage::default(), waiting: None }
    }

    /// Emits nothing until [`JoinState::emit_rows`] does.
    pub(super) fn hold_rows(&mut self) {
        self.waiting = Some(WaitingUpdates::default());
    }

    pub(super) fn holds_rows(&self) -> bool {
        self.waiting.is_some()
    }

    /// Applies waiting updates until as many of them, or of the changes that they make, as the budget says, and besides as
    /// many as have come since the last time: it ends, however many come.
    pub(super) fn emit_rows(
        &mut self,
        budget: &mut usize,
        faults: &FaultCounter,
        changes: &mut Vec<RowUpdate>,
    ) -> Result<(), StateError> {
        let came = self.waiting.as_mut().and_then(|waiting| waiting.came.replace(0));
        let mut due = came.unwrap_or(0);
        while (*budget > 0 || due > 0)
            && let Some(waiting) = &mut self.waiting
        {
            if waiting.len() == 0 {
                self.waiting = None;
                break;
            }
            let (left, right) = if self.spec.compares_all_pairs() {
                // In parts, each of them would cost all pairs of its keys.
                let WaitingUpdates { left, right, .. } = std::mem::take(waiting);
                (left.into(), right.into())
            } else {
                waiting.take_next(UPDATES_AT_ONCE.min(if due > 0 { due } else { *budget }))
            };
            let rows = left.iter().chain(&right);
            rows.for_each(|(row, _)| self.held.subtract(StateUsage::of_row(row).as_row()));
            let applied = left.len() + right.len();
            let more = self.apply_now(left, right, faults)?;
            // What has just come costs no more than without a fill.
            if due == 0 {
                *budget = budget.saturating_sub(applied.max(more.len()));
            }
            due = due.saturating_sub(applied);
            changes.extend(more);
        }
        Ok(())
    }

    /// Applies the updates of one epoch, and gives those of the result.
    pub(super) fn apply(
        &mut self,
        left: Vec<RowUpdate>,
        right: Vec<RowUpdate>,
        faults: &FaultCounter,
    ) -> Result<Vec<RowUpdate>, StateError> {
        let Some(waiting) = &mut self.waiting else { return self.apply_now(left, right, faults) };
        let rows = left.iter().chain(&right);
        rows.for_each(|(row, _)| self.held.add(StateUsage::of_row(row).as_row()));
        waiting.came = waiting.came.map(|came| came + left.len() + right.len());
        waiting.left.extend(left);
        waiting.right.extend(right);
        Ok(Vec::new())
    }

    fn apply_now(
        &mut self,
        left: Vec<RowUpdate>,
        right: Vec<RowUpdate>,
        faults: &FaultCounter,
    ) -> Result<Vec<RowUpdate>, StateError> {
        let mut changes = Vec::new();
        for (key, updates) in self.updates_by_key(left, right, faults, &mut changes) {
            let mut bags = self.take_bags(&key);
            if !self.spec.compares_all_pairs() {
                let before = SidePresence::of_bags(&bags);
                if self.spec.emits_pairs() {
                    pair_changes(&self.spec, &bags, &updates, faults, &mut changes)?;
                }
                self.update_bags(&mut bags, &updates)?;
                presence_changes(&self.spec, before, &bags, &updates, &mut changes);
            } else {
                joined_rows(&self.spec, &bags, -1, &FaultCounter::default(), &mut changes)?;
                self.update_bags(&mut bags, &updates)?;
                joined_rows(&self.spec, &bags, 1, faults, &mut changes)?;
            }
            if !(bags.left.is_empty() && bags.right.is_empty()) {
                self.held.add(bags.usage(&key));
                self.keys.insert(key, bags);
            }
        }
        free_if_empty(&mut self.keys);
        consolidate_rows(&mut changes);
        Ok(changes)
    }

    /// The size of the state.
    pub(super) fn usage(&self) -> StateUsage {
        let mut usage = self.held;
        usage.bytes += self.keys.allocation_size();
        usage
    }

    fn take_bags(&mut self, key: &Row) -> JoinedBags {
        let Some(bags) = self.keys.remove(key) else { return JoinedBags::default() };
        self.held.subtract(bags.usage(key));
        bags
    }

    /// The updates of both sides by key. Rows with a null in their key have no partner, and are not held.
    fn updates_by_key(
        &self,
        mut left: Vec<RowUpdate>,
        mut right: Vec<RowUpdate>,
        faults: &FaultCounter,
        changes: &mut Vec<RowUpdate>,
    ) -> HashMap<Row, JoinedUpdates, RowHashState> {
        let mut by_key: HashMap<Row, JoinedUpdates, RowHashState> = HashMap::default();
        consolidate_rows(&mut left);
        consolidate_rows(&mut right);
        let key_of = |row: &Row, exprs: &mut dyn Iterator<Item = &ScalarExpr>| -> Row {
            exprs.map(|expr| expr.eval(row, faults).into_owned()).collect()
        };
        for (row, diff) in left {
            let key = key_of(&row, &mut self.spec.keys.iter().map(|(left, _)| left));
            if !key.iter().any(Datum::is_null) {
                by_key.entry(key).or_default().left.push((row, diff));
            } else if self.spec.keeps_left() {
                changes.push((self.spec.left_alone(&row), diff));
            }
        }
        for (row, diff) in right {
            let key = key_of(&row, &mut self.spec.keys.iter().map(|(_, right)| right));
            if !key.iter().any(Datum::is_null) {
                by_key.entry(key).or_default().right.push((row, diff));
            } else if self.spec.keeps_right() {
                changes.push((self.spec.right_alone(&row), diff));
            }
        }
        by_key
    }

    fn update_bags(&mut self, bags: &mut JoinedBags, updates: &JoinedUpdates) -> Result<(), StateError> {
        let left = updates.left.iter().map(|update| (true, update));
        for (is_left, (row, diff)) in left.chain(updates.right.iter().map(|update| (false, update))) {
            let bag = if is_left { &mut bags.left } else { &mut bags.right };
            let change = bag.update(row, *diff);
            if change.after < 0 {
                return Err(StateError::NegativeCount { operator: "a join" });
            }
            self.held.track(change, || StateUsage::of_row(row).as_row());
        }
        Ok(())
    }
}
