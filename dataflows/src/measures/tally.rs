//! Counts of rows and of distinct labels.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::{Emit, Negative, Update, counted};
use crate::answer::Cell;
use crate::symbol::Symbol;

/// How many rows a group has.
#[derive(Debug, Default)]
pub struct Rows(i64);

impl Rows {
    pub(super) fn apply(&mut self, updates: &[Update], emit: &mut Emit<'_>) -> Result<(), Negative> {
        let before = self.0;
        let diff = updates.iter().map(|update| update.diff).sum();
        self.0 = counted(None, 0, before, diff)?;
        replace(before, self.0, self.0 == 0, before == 0, emit);
        Ok(())
    }

    pub(super) fn entries(&self) -> usize {
        usize::from(self.0 > 0)
    }
}

/// How many different labels the rows of a group have; 0 if they have none.
#[derive(Debug, Default)]
pub struct DistinctLabels {
    rows: i64,
    labels: HashMap<Symbol, i64, FixedState>,
}

impl DistinctLabels {
    pub(super) fn apply(&mut self, updates: &[Update], emit: &mut Emit<'_>) -> Result<(), Negative> {
        let before = (self.rows, self.distinct());
        for update in updates {
            self.rows = self.rows.checked_add(update.diff).expect("a multiplicity fits 63 bits");
            if let Some(label) = update.label {
                self.count(label, update)?;
            }
        }
        counted(None, 0, self.rows, 0)?;
        replace(before.1, self.distinct(), self.rows == 0, before.0 == 0, emit);
        Ok(())
    }

    fn count(&mut self, label: Symbol, update: &Update) -> Result<(), Negative> {
        match self.labels.entry(label) {
            Entry::Occupied(mut entry) => {
                *entry.get_mut() = counted(update.label, update.value, *entry.get(), update.diff)?;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
            Entry::Vacant(entry) => {
                entry.insert(counted(update.label, update.value, 0, update.diff)?);
            }
        }
        Ok(())
    }

    fn distinct(&self) -> i64 {
        i64::try_from(self.labels.len()).expect("fewer labels than 2^63")
    }

    pub(super) fn entries(&self) -> usize {
        self.labels.len() + usize::from(self.rows > 0)
    }
}

/// Emits the change from one count to another, of a group that may be gone or new.
fn replace(before: i64, after: i64, gone: bool, fresh: bool, emit: &mut Emit<'_>) {
    if !fresh && (gone || before != after) {
        emit(None, Cell::Long(before), -1);
    }
    if !gone && (fresh || before != after) {
        emit(None, Cell::Long(after), 1);
    }
}
