//! The median of a group's values, kept up to date under insertions and retractions.

use std::collections::BTreeMap;

use super::query_options::{MedianMethod, QueryOptions};
use super::{EmitChange, GroupUpdate, NegativeCount, checked_count};
use crate::answer::AnswerCell;

/// The count of each value, with a cursor at the lower of the two middle elements.
///
/// An update shifts the middle by at most half an element. So the cursor moves by at most one neighbour per update, and
/// each step is a lookup in the ordered map.
#[derive(Debug, Default)]
pub struct RunningMedian {
    counts: BTreeMap<i64, i64>,
    /// The number of elements.
    total: i64,
    /// The lower middle element. Between `add_update` and `move_cursor` it may be any value.
    cursor: i64,
    /// The number of elements smaller than the cursor.
    below: i64,
}

impl RunningMedian {
    pub(super) fn apply(
        &mut self,
        updates: &[GroupUpdate],
        options: &QueryOptions,
        emit: &mut EmitChange<'_>,
    ) -> Result<(), NegativeCount> {
        let before = self.current_median(options.median);
        for update in updates {
            self.add_update(update)?;
        }
        self.move_cursor();
        let after = self.current_median(options.median);
        if before != after {
            before.into_iter().for_each(|median| emit(None, AnswerCell::Double(median), -1));
            after.into_iter().for_each(|median| emit(None, AnswerCell::Double(median), 1));
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.counts.len()
    }

    fn add_update(&mut self, update: &GroupUpdate) -> Result<(), NegativeCount> {
        let entry = self.counts.entry(update.value).or_default();
        *entry = checked_count(None, update.value, *entry, update.diff)?;
        if *entry == 0 {
            self.counts.remove(&update.value);
        }
        self.total += update.diff;
        if update.value < self.cursor {
            self.below += update.diff;
        }
        Ok(())
    }

    /// The index of the lower middle element, from 0.
    fn lower_middle(&self) -> i64 {
        (self.total - 1) / 2
    }

    /// Moves the cursor to the lower middle element.
    fn move_cursor(&mut self) {
        let middle = self.lower_middle();
        for (value, count) in self.counts.range(..self.cursor).rev() {
            if self.below <= middle {
                break;
            }
            self.below -= count;
            self.cursor = *value;
        }
        for (value, count) in self.counts.range(self.cursor..) {
            self.cursor = *value;
            if middle < self.below + count {
                break;
            }
            self.below += count;
        }
    }

    /// The median. The cursor must be at the lower middle element.
    fn current_median(&self, median: MedianMethod) -> Option<f64> {
        let mut upwards = self.counts.range(self.cursor..);
        let (lower, count) = upwards.next()?;
        let even = self.total % 2 == 0;
        let upper = match median {
            MedianMethod::Exact if even && self.below + count == self.total / 2 => upwards.next()?.0,
            _ => lower,
        };
        // The sum of two 64-bit numbers needs 65 bits.
        Some((i128::from(*lower) + i128::from(*upper)) as f64 / 2.0)
    }
}
