//! A connection to MySQL or MariaDB.

use std::time::Duration;

use async_trait::async_trait;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pinflow_dataflows::answer::{AnswerCell, ColumnType};
use pinflow_mysql::{DatabaseAddress, MySqlClient, TextCell};

use crate::dialect::DatabaseDialect;
use crate::error::{DatabaseError, DatabaseErrorKind};
use crate::session::{DatabaseSession, InsertTarget, RowIterator, RowVisitor};

/// How long reading a table back may take.
const READ_TIMEOUT: Duration = Duration::from_secs(600);
/// Most bytes of an insert. The server's limit (`max_allowed_packet`) is 16 MiB or more by default.
const INSERT_BYTES: usize = 256 << 10;
/// Most rows of an insert.
const INSERT_ROWS: usize = 1_000;

/// Settings of each session, after those of the client. Reads within a transaction are of one moment, and a lock that
/// another session holds is an error that is retried.
const SESSION_SETUP: [&str; 3] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION innodb_lock_wait_timeout = 10",
    "SET SESSION autocommit = 1",
];

/// The server ends this session if its transaction stays idle: otherwise a process that vanished would hold the lock of the
/// writer for hours. Only MariaDB has it.
const IDLE_TRANSACTION_SETUP: &str = "SET SESSION idle_transaction_timeout = 60";

/// A connection to MySQL or MariaDB.
pub(crate) struct MySqlSession {
    client: MySqlClient,
}

impl MySqlSession {
    /// Connects to a database.
    ///
    /// # Errors
    /// If the server cannot be reached within 15 seconds, or refuses the account or the TLS settings.
    pub(crate) async fn connect(address: &DatabaseAddress) -> Result<MySqlSession, DatabaseError> {
        let mut client = MySqlClient::connect(address).await?;
        for sql in SESSION_SETUP {
            client.execute(sql).await?;
        }
        // MySQL does not know the variable.
        let _ = client.execute(IDLE_TRANSACTION_SETUP).await;
        Ok(MySqlSession { client })
    }
}

#[async_trait]
impl DatabaseSession for MySqlSession {
    fn dialect(&self) -> DatabaseDialect {
        DatabaseDialect::MySql
    }

    async fn execute(&mut self, sql: &str) -> Result<u64, DatabaseError> {
        Ok(self.client.execute_counted(sql).await?)
    }

    async fn read_rows(&mut self, sql: &str, kinds: &[ColumnType], visit: RowVisitor<'_>) -> Result<(), DatabaseError> {
        let mut failed = None;
        let reading = self.client.query_each(sql, |row| {
            if failed.is_none() {
                let cells = row.iter().zip(kinds).enumerate().map(|(at, (cell, kind))| parse_cell(at, cell, *kind));
                failed = cells.collect::<Result<_, _>>().and_then(&mut *visit).err();
            }
        });
        tokio::time::timeout(READ_TIMEOUT, reading).await.map_err(|_| DatabaseError::no_reply())??;
        failed.map_or(Ok(()), Err)
    }

    async fn insert_rows(&mut self, target: &InsertTarget, rows: RowIterator<'_>) -> Result<u64, DatabaseError> {
        let start = format!("INSERT INTO {} ({}) VALUES ", target.table, target.columns);
        let (mut sql, mut waiting, mut inserted) = (start.clone(), 0, 0);
        for row in rows {
            sql.push_str(if waiting == 0 { "(" } else { ",(" });
            for (at, cell) in row.iter().enumerate() {
                if at > 0 {
                    sql.push(',');
                }
                DatabaseDialect::MySql.write_literal(cell, &mut sql);
            }
            sql.push(')');
            waiting += 1;
            if waiting >= INSERT_ROWS || sql.len() >= INSERT_BYTES {
                inserted += self.execute(&sql).await?;
                (sql, waiting) = (start.clone(), 0);
            }
        }
        if waiting > 0 {
            inserted += self.execute(&sql).await?;
        }
        Ok(inserted)
    }

    async fn close(self: Box<Self>) {
        self.client.close().await;
    }
}

/// Reads a value from the text that the server sends.
fn parse_cell(at: usize, cell: &TextCell, kind: ColumnType) -> Result<AnswerCell, DatabaseError> {
    let Some(bytes) = cell else { return Ok(AnswerCell::Null) };
    let text = std::str::from_utf8(bytes).ok();
    let parsed = text.and_then(|text| match kind {
        ColumnType::Long => text.parse().ok().map(AnswerCell::Long),
        ColumnType::Text => Some(AnswerCell::text(text)),
        ColumnType::Double => text.parse().ok().map(AnswerCell::Double),
        ColumnType::Bool => text.parse::<i64>().ok().map(|value| AnswerCell::Bool(value != 0)),
        ColumnType::Time => {
            let time = text.parse::<DateTime>().ok()?.to_zoned_datetime(TimeZone::UTC).ok()?;
            Some(AnswerCell::time(time.timestamp().as_microsecond()))
        }
    });
    parsed.ok_or_else(|| {
        let what = format!("column {} of the result is no {}", at + 1, kind.name());
        DatabaseError::new(DatabaseErrorKind::Statement, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_read_from_the_text_of_its_type() {
        let parse = |text: &str, kind| parse_cell(0, &Some(text.as_bytes().to_vec()), kind);
        assert_eq!(parse("-7", ColumnType::Long), Ok(AnswerCell::Long(-7)));
        assert_eq!(parse("1e300", ColumnType::Double), Ok(AnswerCell::Double(1e300)));
        assert_eq!(parse("1", ColumnType::Bool), Ok(AnswerCell::Bool(true)));
        assert_eq!(parse("1969-12-31 23:59:59.999999", ColumnType::Time), Ok(AnswerCell::time(-1)));
        assert_eq!(parse_cell(0, &None, ColumnType::Time), Ok(AnswerCell::Null));
        let refused = parse("canary", ColumnType::Long).expect_err("is no number");
        assert!(!refused.what.contains("canary"), "{refused}");
    }
}
