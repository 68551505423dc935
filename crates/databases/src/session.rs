//! The interface of a connection to a database. Both drivers implement it.

use async_trait::async_trait;
use pinflow_dataflows::answer::{AnswerCell, ColumnType};

use crate::dialect::DatabaseDialect;
use crate::error::DatabaseError;

/// Takes each row of a result.
pub(crate) type RowVisitor<'a> = &'a mut (dyn FnMut(Vec<AnswerCell>) -> Result<(), DatabaseError> + Send);

/// The rows of an insert.
pub(crate) type RowIterator<'a> = &'a mut (dyn Iterator<Item = Vec<AnswerCell>> + Send);

/// The table of an insert, in the words of the dialect.
pub(crate) struct InsertTarget {
    /// The table in quotes, with its schema.
    pub(crate) table: String,
    /// The columns in quotes, separated by commas.
    pub(crate) columns: String,
}

/// A connection. It is dropped after an error that may have left it in the middle of a transaction.
#[async_trait]
pub(crate) trait DatabaseSession: Send + Sync {
    /// The dialect of its SQL.
    fn dialect(&self) -> DatabaseDialect;

    /// Executes a statement, and returns the number of rows that it changed.
    async fn execute(&mut self, sql: &str) -> Result<u64, DatabaseError>;

    /// Runs a query whose columns have these types, and calls `visit` for each row as it arrives.
    async fn read_rows(&mut self, sql: &str, kinds: &[ColumnType], visit: RowVisitor<'_>) -> Result<(), DatabaseError>;

    /// Inserts rows in batches of bounded size, and returns their number.
    async fn insert_rows(&mut self, target: &InsertTarget, rows: RowIterator<'_>) -> Result<u64, DatabaseError>;

    /// Closes the connection in order.
    async fn close(self: Box<Self>);
}

/// All rows of a small result.
pub(crate) async fn query_rows(
    session: &mut dyn DatabaseSession,
    sql: &str,
    kinds: &[ColumnType],
) -> Result<Vec<Vec<AnswerCell>>, DatabaseError> {
    let mut rows = Vec::new();
    let visit = &mut |row| {
        rows.push(row);
        Ok(())
    };
    session.read_rows(sql, kinds, visit).await?;
    Ok(rows)
}

/// A text cell as text. Empty if it is none.
pub(crate) fn text_of(cell: Option<&AnswerCell>) -> String {
    match cell {
        Some(AnswerCell::Text(text)) => text.to_string(),
        _ => String::new(),
    }
}

/// A number cell as number. 0 if it is none.
pub(crate) fn number_of(cell: Option<&AnswerCell>) -> i64 {
    match cell {
        Some(AnswerCell::Long(number)) => *number,
        _ => 0,
    }
}
