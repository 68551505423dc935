//! The state of a top-k group that has only one label.
//!
//! Questions that group by a nearly unique column have mostly such groups. This state takes 24 bytes and no allocation,
//! where a ranking with its tables and sets takes about 500. The group is converted to a ranking by its second label,
//! or by a second value where values matter.

use super::{EmitChange, GroupUpdate, NegativeCount, checked_count};
use crate::answer::AnswerCell;
use crate::symbol::Symbol;

/// The label, its value and the number of rows with both. `None` for a group without rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OneLabel(Option<(Symbol, i64, i64)>);

impl OneLabel {
    /// Applies updates of the one label and value, and emits the changed rows of the answer.
    ///
    /// With `by_rows` labels are ranked by count and values are ignored. Returns `Ok(false)` and changes nothing if the
    /// updates need a ranking.
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

    /// The state as one insertion into an empty group.
    pub(super) fn as_update(self) -> Option<GroupUpdate> {
        self.0.map(|(label, value, diff)| GroupUpdate { label: Some(label), value, diff })
    }

    pub(super) fn entries(self) -> usize {
        usize::from(self.0.is_some())
    }
}
