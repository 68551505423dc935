//! Shortens a table of changes: the changes that are older than the settings say are replaced by their sum.
//!
//! The sum of all changes stays the same, so the table still adds up to the answer. The sum takes the last keys of the
//! changes that it replaces: a client that reads on from the last key it knows, and is not behind by more than the kept
//! time, sees every change once.

use std::time::Duration;

use pinflow_dataflows::answer::{AnswerCell, AnswerRow, ColumnType};

use crate::error::DatabaseError;
use crate::rows::{RowCounts, add_change};
use crate::schema::{CHANGE_KEY, own_columns};
use crate::session::{DatabaseSession, number_of, query_rows};
use crate::tables::{WrittenTable, time_literal};

/// The least and the longest time between two attempts to shorten a table. In between: this part of the kept time.
const PRUNE_INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));
const KEPT_PARTS: u32 = 24;

/// The time between two attempts to shorten a table whose changes are kept for `keep`.
pub(crate) fn prune_interval(keep: Duration) -> Duration {
    (keep / KEPT_PARTS).clamp(PRUNE_INTERVALS.0, PRUNE_INTERVALS.1)
}

/// The changes before a moment.
#[derive(Debug, Default)]
struct OldChanges {
    number: usize,
    /// The sum of each row's changes.
    sums: RowCounts,
    /// Key, epoch and moment of the last one.
    last: Vec<AnswerCell>,
}

impl OldChanges {
    /// Adds a row of the table, with the own columns first.
    fn add(&mut self, mut cells: Vec<AnswerCell>, own_columns: usize) {
        let row = AnswerRow::new(cells.split_off(own_columns));
        add_change(&mut self.sums, row, number_of(cells.last()));
        cells.pop();
        (self.number, self.last) = (self.number + 1, cells);
    }

    fn last_key(&self) -> i64 {
        number_of(self.last.first())
    }

    /// The rows that replace the changes, with the last of their keys. They are at most as many.
    fn into_summary(self) -> impl ExactSizeIterator<Item = Vec<AnswerCell>> {
        let first_key = self.last_key() - self.sums.len() as i64 + 1;
        let last = self.last;
        self.sums.into_iter().enumerate().map(move |(at, (row, diff))| {
            let mut cells = last.clone();
            if let Some(key) = cells.first_mut() {
                *key = AnswerCell::Long(first_key + at as i64);
            }
            cells.push(AnswerCell::Long(diff));
            cells.extend(row.0.iter().cloned());
            cells
        })
    }
}

impl WrittenTable {
    /// Replaces the changes before `horizon` (microseconds since 1970) by their sum. Returns how many rows were saved.
    pub(crate) async fn prune_changes(
        &self,
        session: &mut dyn DatabaseSession,
        horizon: i64,
    ) -> Result<u64, DatabaseError> {
        let old = self.read_old_changes(session, horizon).await?;
        let (number, last_key) = (old.number as u64, old.last_key());
        // Without any row, the next run would not know the last key.
        if old.sums.is_empty() || old.sums.len() >= old.number {
            return Ok(0);
        }
        let key = session.dialect().quote_name(CHANGE_KEY);
        let deleted = session.execute(&format!("DELETE FROM {} WHERE {key} <= {last_key}", self.qualified)).await?;
        if deleted != number {
            let name = &self.spec.name;
            return Err(DatabaseError::unavailable(format!(
                "another program changed rows of table `{name}`; it is read again"
            )));
        }
        let mut summary = old.into_summary();
        let kept = summary.len() as u64;
        self.insert_rows(session, kept, &mut summary).await?;
        tracing::debug!(table = self.spec.name, deleted, kept, "old changes are replaced by their sum");
        Ok(number - kept)
    }

    async fn read_old_changes(
        &self,
        session: &mut dyn DatabaseSession,
        horizon: i64,
    ) -> Result<OldChanges, DatabaseError> {
        let dialect = session.dialect();
        let (key, as_of, table) = (dialect.quote_name(CHANGE_KEY), dialect.quote_name("_as_of"), &self.qualified);
        // Moments need not grow: a clock can be set back. Keys do.
        let horizon = time_literal(dialect, horizon);
        let first_kept = format!("SELECT min({key}) FROM {table} WHERE {as_of} >= {horizon}");
        let first_kept = match query_rows(session, &first_kept, &[ColumnType::Long]).await?.first().map(|row| &row[..])
        {
            Some([AnswerCell::Long(key)]) => *key,
            _ => i64::MAX,
        };
        let names = dialect.quote_names(self.spec.column_names());
        let sql = format!("SELECT {names} FROM {table} WHERE {key} < {first_kept} ORDER BY {key}");
        let own = own_columns(self.spec.form);
        let kinds: Vec<_> = own.iter().map(|(_, kind)| *kind).chain(self.spec.column_kinds()).collect();
        let mut old = OldChanges::default();
        let visit = &mut |cells| {
            old.add(cells, own.len());
            Ok(())
        };
        session.read_rows(&sql, &kinds, visit).await?;
        Ok(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_adds_up_to_the_changes_and_has_the_last_of_their_keys() {
        let change = |key, epoch, diff, text: &str| {
            let own = [AnswerCell::Long(key), AnswerCell::Long(epoch), AnswerCell::time(epoch), AnswerCell::Long(diff)];
            own.into_iter().chain([AnswerCell::text(text)]).collect::<Vec<_>>()
        };
        let mut old = OldChanges::default();
        for cells in [change(3, 1, 2, "a"), change(4, 1, 1, "b"), change(7, 5, -1, "a"), change(8, 6, -1, "b")] {
            old.add(cells, 4);
        }
        old.add(change(9, 6, 1, "c"), 4);
        assert_eq!((old.number, old.last_key()), (5, 9));
        let summary: Vec<_> = old.into_summary().collect();
        assert_eq!(summary, [change(8, 6, 1, "a"), change(9, 6, 1, "c")]);
        assert_eq!(OldChanges::default().into_summary().len(), 0);
    }

    #[test]
    fn table_is_shortened_at_most_once_a_second_and_at_least_every_hour() {
        let interval = |secs| prune_interval(Duration::from_secs(secs)).as_secs();
        assert_eq!([interval(1), interval(7_200), interval(604_800)], [1, 300, 3_600]);
    }
}
