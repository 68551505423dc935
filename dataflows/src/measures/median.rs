//! The median of a group's values.

use std::collections::BTreeMap;

use super::terms::{self, Terms};
use super::{Emit, Negative, Update, counted};
use crate::answer::Cell;

/// How often each value occurs, with a cursor on the lower of the two middle elements.
///
/// Every update shifts the middle by half an element at most, so the cursor passes no more elements than there are
/// updates, each in the time that it takes to find a neighbour.
#[derive(Debug, Default)]
pub struct Median {
    counts: BTreeMap<i64, i64>,
    /// Elements in all.
    total: i64,
    /// Any value, between applications the lower middle one.
    cursor: i64,
    /// Elements smaller than the cursor.
    below: i64,
}

impl Median {
    pub(super) fn apply(&mut self, updates: &[Update], terms: &Terms, emit: &mut Emit<'_>) -> Result<(), Negative> {
        let before = self.median(terms.median);
        for update in updates {
            self.count(update)?;
        }
        self.settle();
        let after = self.median(terms.median);
        if before != after {
            before.into_iter().for_each(|median| emit(None, Cell::Double(median), -1));
            after.into_iter().for_each(|median| emit(None, Cell::Double(median), 1));
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        self.counts.len()
    }

    fn count(&mut self, update: &Update) -> Result<(), Negative> {
        let entry = self.counts.entry(update.value).or_default();
        *entry = counted(None, update.value, *entry, update.diff)?;
        if *entry == 0 {
            self.counts.remove(&update.value);
        }
        self.total += update.diff;
        if update.value < self.cursor {
            self.below += update.diff;
        }
        Ok(())
    }

    /// The place of the lower middle element, counted from 0.
    fn middle(&self) -> i64 {
        (self.total - 1) / 2
    }

    /// Moves the cursor to the lower middle element.
    fn settle(&mut self) {
        let middle = self.middle();
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

    /// The median; the cursor is settled.
    fn median(&self, median: terms::Median) -> Option<f64> {
        let mut upwards = self.counts.range(self.cursor..);
        let (lower, count) = upwards.next()?;
        let even = self.total % 2 == 0;
        let upper = match median {
            terms::Median::Exact if even && self.below + count == self.total / 2 => upwards.next()?.0,
            _ => lower,
        };
        // The sum of two 64-bit numbers needs 65 bits.
        Some((i128::from(*lower) + i128::from(*upper)) as f64 / 2.0)
    }
}
