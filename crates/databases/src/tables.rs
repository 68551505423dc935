//! The tables that a writer maintains, each with the rows that the database holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pinflow_core::position::Epoch;
use pinflow_dataflows::answer::{AnswerCell, AnswerRow, ColumnType};
use pinflow_dataflows::questions::QuestionId;

use crate::cut::AnswerCut;
use crate::dialect::DatabaseDialect;
use crate::error::DatabaseError;
use crate::failpoints;
use crate::rows::{KeyedRows, RowCounts, RowDifference, add_change, diff_counts, storable_rows};
use crate::schema::{AnswerTableSpec, CHANGE_KEY, ROW_KEY, TableForm};
use crate::session::{DatabaseSession, InsertTarget, number_of};

/// Most keys of a `DELETE`.
const DELETED_KEYS: usize = 1_000;
/// How long a table is trusted to be as it was left. Then it is read again, which repairs what others changed.
const REREAD_INTERVAL: Duration = Duration::from_secs(300);

/// The rows that a table holds.
#[derive(Debug)]
enum HeldRows {
    /// Not known: the table must be read.
    Unread,
    Current(KeyedRows),
    /// The sum of all changes, and the last key.
    Changes(RowCounts, i64),
}

/// A table of an answer.
pub(crate) struct WrittenTable {
    pub(crate) answer: QuestionId,
    pub(crate) spec: AnswerTableSpec,
    /// Its name in quotes, with its schema.
    pub(crate) qualified: String,
    /// Whether it exists and has the right columns.
    pub(crate) is_prepared: bool,
    /// Why it cannot be written, and since when.
    pub(crate) refused: Option<(String, Instant)>,
    /// When its old changes were replaced by their sum.
    pub(crate) pruned_at: Option<Instant>,
    held: HeldRows,
    read_at: Instant,
    /// The epoch in which the answer changed last, of the rows that are held.
    written_change: Option<Epoch>,
}

/// What a write did to a table.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct WriteCounts {
    pub(crate) inserted: u64,
    pub(crate) deleted: u64,
    pub(crate) replaced: u64,
}

impl WrittenTable {
    pub(crate) fn new(answer: QuestionId, spec: AnswerTableSpec, qualified: String) -> WrittenTable {
        WrittenTable {
            answer,
            spec,
            qualified,
            is_prepared: false,
            refused: None,
            pruned_at: None,
            held: HeldRows::Unread,
            read_at: Instant::now(),
            written_change: None,
        }
    }

    /// Forgets the rows and that the table exists: both must be read before it is written. A transaction that created it may
    /// have been rolled back.
    pub(crate) fn forget_rows(&mut self) {
        self.is_prepared = false;
        (self.held, self.written_change) = (HeldRows::Unread, None);
    }

    /// Brings the table to the rows of the cut.
    pub(crate) async fn write_rows(
        &mut self,
        session: &mut dyn DatabaseSession,
        cut: &Arc<dyn AnswerCut>,
    ) -> Result<WriteCounts, DatabaseError> {
        if self.spec.form == TableForm::Current && self.read_at.elapsed() > REREAD_INTERVAL {
            self.reread_rows(session).await?;
        }
        if matches!(self.held, HeldRows::Unread) {
            self.held = self.read_held_rows(session, &self.spec.clone()).await?;
            self.read_at = Instant::now();
        }
        let changed_at = cut.changed_at(self.answer).unwrap_or_default();
        if self.written_change == Some(changed_at) {
            return Ok(WriteCounts::default());
        }
        let counts = match std::mem::replace(&mut self.held, HeldRows::Unread) {
            HeldRows::Current(rows) => self.write_current(session, cut, rows).await?,
            HeldRows::Changes(sums, last_key) => self.write_changes(session, cut, sums, last_key).await?,
            HeldRows::Unread => WriteCounts::default(),
        };
        self.written_change = Some(changed_at);
        Ok(counts)
    }

    /// Reads the rows again, and reports if another program changed them.
    async fn reread_rows(&mut self, session: &mut dyn DatabaseSession) -> Result<(), DatabaseError> {
        let found = self.read_held_rows(session, &self.spec.clone()).await?;
        if let (HeldRows::Current(before), HeldRows::Current(now)) = (&self.held, &found)
            && before != now
        {
            let changed = diff_counts(&before.counts(), &now.counts()).len();
            tracing::warn!(
                table = self.spec.name,
                rows = changed,
                "another program changed rows of an answer's table; they are restored"
            );
            self.written_change = None;
        }
        (self.held, self.read_at) = (found, Instant::now());
        Ok(())
    }

    /// Reads the table, which has the columns of `spec`.
    async fn read_held_rows(
        &self,
        session: &mut dyn DatabaseSession,
        spec: &AnswerTableSpec,
    ) -> Result<HeldRows, DatabaseError> {
        let dialect = session.dialect();
        let own: &[&str] = match spec.form {
            TableForm::Current => &[ROW_KEY],
            TableForm::Changes => &[CHANGE_KEY, "_diff"],
        };
        let names = own.iter().copied().chain(spec.columns.iter().map(|column| column.name.as_str()));
        let (table, key) = (&self.qualified, dialect.quote_name(own[0]));
        let sql = format!("SELECT {} FROM {table} ORDER BY {key}", dialect.quote_names(names));
        let kinds: Vec<_> = own.iter().map(|_| ColumnType::Long).chain(spec.column_kinds()).collect();
        let (mut rows, mut sums, mut last_key) = (KeyedRows::default(), RowCounts::new(), 0);
        let (form, width) = (spec.form, own.len());
        let visit = &mut |mut cells: Vec<AnswerCell>| {
            let row = AnswerRow::new(cells.split_off(width));
            last_key = number_of(cells.first());
            match form {
                TableForm::Current => rows.add_stored(last_key, row),
                TableForm::Changes => add_change(&mut sums, row, number_of(cells.get(1))),
            }
            Ok(())
        };
        session.read_rows(&sql, &kinds, visit).await?;
        Ok(match form {
            TableForm::Current => HeldRows::Current(rows),
            TableForm::Changes => HeldRows::Changes(sums, last_key),
        })
    }

    async fn write_current(
        &mut self,
        session: &mut dyn DatabaseSession,
        cut: &Arc<dyn AnswerCut>,
        mut rows: KeyedRows,
    ) -> Result<WriteCounts, DatabaseError> {
        let (cut, answer, dialect) = (Arc::clone(cut), self.answer, session.dialect());
        // A large answer takes longer than a task may hold its thread.
        let compared = tokio::task::spawn_blocking(move || {
            let (wanted, replaced) = storable_rows(cut.rows(answer), dialect);
            let difference = rows.change_to(&wanted);
            (rows, difference, replaced)
        });
        let (rows, difference, replaced) = compared.await.map_err(|_| ended())?;
        let RowDifference { deleted, inserted } = difference;
        let counts = WriteCounts { inserted: inserted.len() as u64, deleted: deleted.len() as u64, replaced };
        self.delete_rows(session, &deleted).await?;
        if !deleted.is_empty() {
            failpoints::hit("databases::after_delete")?;
        }
        let mut lines = inserted
            .into_iter()
            .map(|(key, row)| [AnswerCell::Long(key)].into_iter().chain(row.0.iter().cloned()).collect());
        self.insert_rows(session, counts.inserted, &mut lines).await?;
        self.held = HeldRows::Current(rows);
        Ok(counts)
    }

    async fn write_changes(
        &mut self,
        session: &mut dyn DatabaseSession,
        cut: &Arc<dyn AnswerCut>,
        sums: RowCounts,
        last_key: i64,
    ) -> Result<WriteCounts, DatabaseError> {
        let (epoch, as_of) = (cut.epoch(), cut.as_of());
        let (cut, answer, dialect) = (Arc::clone(cut), self.answer, session.dialect());
        let compared = tokio::task::spawn_blocking(move || {
            // What was replaced is counted in the table of current rows.
            let (wanted, _) = storable_rows(cut.rows(answer), dialect);
            (diff_counts(&sums, &wanted), wanted)
        });
        let (changes, wanted) = compared.await.map_err(|_| ended())?;
        let (inserted, last_key) = self.append_changes(session, changes, last_key, (epoch, as_of)).await?;
        self.held = HeldRows::Changes(wanted, last_key);
        Ok(WriteCounts { inserted, ..WriteCounts::default() })
    }

    /// Appends changes, and returns their number and the last key.
    async fn append_changes(
        &self,
        session: &mut dyn DatabaseSession,
        changes: Vec<(AnswerRow, i64)>,
        mut last_key: i64,
        (epoch, as_of): (Epoch, Timestamp),
    ) -> Result<(u64, i64), DatabaseError> {
        let number = changes.len() as u64;
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        let as_of = AnswerCell::time(as_of.as_microsecond());
        let mut lines = changes.into_iter().map(|(row, diff)| {
            last_key += 1;
            let own = [AnswerCell::Long(last_key), AnswerCell::Long(epoch), as_of.clone(), AnswerCell::Long(diff)];
            own.into_iter().chain(row.0.iter().cloned()).collect()
        });
        self.insert_rows(session, number, &mut lines).await?;
        drop(lines);
        Ok((number, last_key))
    }

    /// Removes all rows, so that the columns can be changed. A table of changes keeps its rows, and gets the opposite of
    /// their sum: so they add up to nothing, whatever columns are removed. `held` are the columns that the table has.
    pub(crate) async fn retract_rows(
        &mut self,
        session: &mut dyn DatabaseSession,
        held: &AnswerTableSpec,
        moment: (Epoch, Timestamp),
    ) -> Result<(), DatabaseError> {
        match self.read_held_rows(session, held).await? {
            HeldRows::Changes(sums, last_key) => {
                let before = WrittenTable::new(self.answer, held.clone(), self.qualified.clone());
                let changes = diff_counts(&sums, &RowCounts::new());
                before.append_changes(session, changes, last_key, moment).await?;
            }
            _ => drop(session.execute(&format!("DELETE FROM {}", self.qualified)).await?),
        }
        self.forget_rows();
        Ok(())
    }

    async fn delete_rows(&self, session: &mut dyn DatabaseSession, keys: &[i64]) -> Result<(), DatabaseError> {
        let key = session.dialect().quote_name(ROW_KEY);
        for part in keys.chunks(DELETED_KEYS) {
            let list: Vec<String> = part.iter().map(ToString::to_string).collect();
            let sql = format!("DELETE FROM {} WHERE {key} IN ({})", self.qualified, list.join(","));
            if session.execute(&sql).await? != part.len() as u64 {
                let name = &self.spec.name;
                let what = format!("another program deleted rows of table `{name}`; it is read again and restored");
                return Err(DatabaseError::unavailable(what));
            }
        }
        Ok(())
    }

    pub(crate) async fn insert_rows(
        &self,
        session: &mut dyn DatabaseSession,
        number: u64,
        lines: &mut (dyn Iterator<Item = Vec<AnswerCell>> + Send),
    ) -> Result<(), DatabaseError> {
        if number == 0 {
            return Ok(());
        }
        let columns = session.dialect().quote_names(self.spec.column_names());
        let target = InsertTarget { table: self.qualified.clone(), columns };
        let inserted = session.insert_rows(&target, lines).await?;
        if inserted == number {
            return Ok(());
        }
        let name = &self.spec.name;
        Err(DatabaseError::unavailable(format!(
            "table `{name}` took {inserted} of {number} rows; remove its triggers and rules"
        )))
    }
}

fn ended() -> DatabaseError {
    DatabaseError::unavailable("comparing the rows ended without a result")
}

/// A moment as a literal.
pub(crate) fn time_literal(dialect: DatabaseDialect, micros: i64) -> String {
    let text = crate::dialect::format_time(micros);
    match dialect {
        DatabaseDialect::Postgres => format!("'{text}+00'"),
        DatabaseDialect::MySql => format!("'{text}'"),
    }
}
