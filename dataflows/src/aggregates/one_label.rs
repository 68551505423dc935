//! Groups with one label: most groups are such where every row has a group of its own.
//!
//! A ranking of labels takes some 500 bytes with its tables and sets, even for one label. Here it takes 24, and no
//! allocation. A second label, or a second value where the values of a label are told apart, makes a ranking of it.

use super::{EmitChange, GroupUpdate, NegativeCount, checked_count};
use crate::answer::AnswerCell;
use crate::symbol::Symbol;

/// A label, its value, and how many rows have both; `None` for a group without rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OneLabel(Option<(Symbol, i64, i64)>);

impl OneLabel {
    /// Takes up updates if they are of its one label and value, and emits how the answer changes. Where the label is
    /// ranked `by_rows`, values mean nothing. `Ok(false)` if the updates need a ranking; nothing is changed then.
    pub(super) fn apply(
        &mut self,
        updates: &[GroupUpdate],
        by_rows: bool,
        emit: &mut EmitChange<'_>,
    ) -> Result<bool, NegativeCount> {
        let value_of = |update: &GroupUpdate| if by_rows { 0 } else { update.value };
        let mut labelled = updates.iter().filter_map(|update| Some((update.label?, value_of(update), update.diff)));
        let Some((label, value)) = self.0.map(|(label, value, _)| (label, value)).or_else(|| {
            let (label, value, _) = labelled.clone().next()?;
            Some((label, value))
        }) else {
            return Ok(true);
        };
        if !labelled.clone().all(|(other, of, _)| (other, of) == (label, value)) {
            return Ok(false);
        }
        let before = self.0.map_or(0, |(_, _, rows)| rows);
        let after = labelled.try_fold(before, |rows, (_, _, diff)| checked_count(Some(label), value, rows, diff))?;
        let shown = |rows: i64| (rows > 0).then_some(if by_rows { rows } else { value });
        let (old, new) = (shown(before), shown(after));
        if old != new {
            old.into_iter().for_each(|old| emit(Some(label), AnswerCell::Long(old), -1));
            new.into_iter().for_each(|new| emit(Some(label), AnswerCell::Long(new), 1));
        }
        self.0 = (after > 0).then_some((label, value, after));
        Ok(true)
    }

    /// Its rows, as one update from nothing.
    pub(super) fn as_update(self) -> Option<GroupUpdate> {
        self.0.map(|(label, value, diff)| GroupUpdate { label: Some(label), value, diff })
    }

    pub(super) fn entries(self) -> usize {
        usize::from(self.0.is_some())
    }
}
