//! Finds the row at an offset of a table quickly.
//!
//! The posting emulator uses `LIMIT offset,1`, for which the server reads all rows before. If the key of a table is
//! indexed, the keys are read once, and evenly spaced ones are kept: every key in a table of the original's size, every
//! 16th of a million, every 2,048th of a hundred million. A row is then a few index entries behind a kept key. The
//! order of rows is that of the keys, which is the order of the original tables.
//!
//! The row itself is always read from the current table. If rows are inserted or deleted, offsets after them are
//! shifted until the next inspection. With `LIMIT` they would shift at once. Either way, what is drawn is a row that
//! exists.

use pinflow_dataflows::record::Stream;

use super::schema::{TableSchema, cell_text};
use pinflow_mysql::{MySqlClient, MySqlError, MySqlErrorKind, TextCell};

/// Keys that are kept for each table: about 4 MB.
const MAX_INDEX_ENTRIES: usize = 1 << 16;

/// A table at its last inspection.
#[derive(Debug)]
pub(super) struct DatabaseTable {
    pub(super) schema: &'static TableSchema,
    pub(super) rows: u64,
    /// `None` if the key is not indexed. Then the server reads all rows before an offset.
    index: Option<OffsetIndex>,
    /// Columns of the original schema that this table lacks.
    pub(super) lacks: Vec<&'static str>,
}

/// Evenly spaced keys of a table.
#[derive(Debug)]
struct OffsetIndex {
    key: String,
    /// Rows between two entries.
    stride: u64,
    entries: Vec<IndexEntry>,
}

/// A key from which a query can start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IndexEntry {
    /// `None` is the beginning of the table: NULL cannot be compared.
    key: Option<String>,
    /// Rows with the same key before this row. Without a key: all rows before it.
    before: u64,
}

/// Builds an [`OffsetIndex`] from keys in ascending order.
#[derive(Debug)]
struct OffsetIndexBuilder {
    stride: u64,
    rows: u64,
    last: Option<String>,
    /// Rows so far with the last key.
    same: u64,
    entries: Vec<IndexEntry>,
}

impl OffsetIndexBuilder {
    fn new() -> OffsetIndexBuilder {
        OffsetIndexBuilder { stride: 1, rows: 0, last: None, same: 0, entries: Vec::new() }
    }

    fn add_key(&mut self, key: Option<String>) {
        self.same = if key.is_some() && key == self.last { self.same + 1 } else { 0 };
        if self.rows.is_multiple_of(self.stride) {
            let before = if key.is_some() { self.same } else { self.rows };
            self.entries.push(IndexEntry { key: key.clone(), before });
        }
        if self.entries.len() > MAX_INDEX_ENTRIES {
            // Drops every other entry, and doubles the spacing.
            let mut at = 0;
            self.entries.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.stride *= 2;
        }
        self.last = key;
        self.rows += 1;
    }
}

impl DatabaseTable {
    /// Inspects the table of a stream: columns, number of rows, and the index if there is one.
    ///
    /// # Errors
    /// If the table does not exist, has no key column, or cannot be read.
    pub(super) async fn inspect(client: &mut MySqlClient, stream: Stream) -> Result<DatabaseTable, InspectTableError> {
        let schema = TableSchema::for_stream(stream);
        let name = schema.name;
        let failed = |cause| InspectTableError { table: name, cause: InspectTableCause::MySqlError(cause) };
        let columns = query_rows(client, &format!("SHOW COLUMNS FROM `{name}`")).await.map_err(failed)?;
        let column = |wanted: &str| columns.iter().find(|column| cell_text(column, 0).eq_ignore_ascii_case(wanted));
        let Some(key) = schema.key_names().into_iter().find_map(column) else {
            return Err(InspectTableError { table: name, cause: InspectTableCause::NoKey(schema.key_names()[0]) });
        };
        let lacks = schema.columns[1..].iter().map(|(name, _)| *name).filter(|name| column(name).is_none()).collect();
        let key_name = cell_text(key, 0);
        let kind = cell_text(key, 1).to_ascii_lowercase();
        let is_whole =
            ["tinyint", "smallint", "mediumint", "int", "bigint"].iter().any(|whole| kind.starts_with(whole));
        let indexes = query_rows(client, &format!("SHOW INDEX FROM `{name}`")).await.map_err(failed)?;
        // `Column_name` and `Seq_in_index`. Only an index that starts with the key column can be used.
        let is_indexed = indexes.iter().any(|index| cell_text(index, 4) == key_name && cell_text(index, 3) == "1");
        if !is_whole || !is_indexed {
            let count = query_rows(client, &format!("SELECT COUNT(*) FROM `{name}`")).await.map_err(failed)?;
            let rows = count.first().and_then(|row| cell_text(row, 0).parse().ok()).unwrap_or_default();
            return Ok(DatabaseTable { schema, rows, index: None, lacks });
        }
        let mut builder = OffsetIndexBuilder::new();
        let keys = format!("SELECT `{key_name}` FROM `{name}` ORDER BY `{key_name}`");
        let pass = |row: Vec<TextCell>| {
            let key = row.into_iter().next().flatten();
            builder.add_key(key.map(|key| String::from_utf8_lossy(&key).into_owned()));
        };
        client.query_each(&keys, pass).await.map_err(failed)?;
        Ok(DatabaseTable {
            schema,
            rows: builder.rows,
            index: Some(OffsetIndex { key: key_name, stride: builder.stride, entries: builder.entries }),
            lacks,
        })
    }

    /// Whether the row at an offset is found without reading all rows before it.
    pub(super) fn is_indexed(&self) -> bool {
        self.index.is_some()
    }

    /// The query for the row at an offset from 0. `None` if there was no such row.
    pub(super) fn select_row(&self, offset: u64) -> Option<String> {
        if offset >= self.rows {
            return None;
        }
        let name = self.schema.name;
        let Some(OffsetIndex { key, stride, entries }) = &self.index else {
            return Some(format!("SELECT * FROM `{name}` LIMIT {offset},1"));
        };
        let entry = entries.get(usize::try_from(offset / stride).ok()?)?;
        let distance = entry.before + offset % stride;
        let from = entry.key.as_ref().map(|from| format!(" WHERE `{key}` >= {from}")).unwrap_or_default();
        Some(format!("SELECT * FROM `{name}`{from} ORDER BY `{key}` LIMIT {distance},1"))
    }
}

async fn query_rows(client: &mut MySqlClient, sql: &str) -> Result<Vec<Vec<TextCell>>, MySqlError> {
    Ok(client.query(sql).await?.into_iter().next().unwrap_or_default().rows)
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("read the keys of table {table}")]
pub(super) struct InspectTableError {
    pub(super) table: &'static str,
    #[source]
    pub(super) cause: InspectTableCause,
}

/// The cause of an [`InspectTableError`].
#[derive(Debug, thiserror::Error)]
pub(super) enum InspectTableCause {
    #[error(transparent)]
    MySqlError(MySqlError),
    #[error(
        "it has no column {0}, the key of its rows; ALTER TABLE … RENAME COLUMN … TO {0}, or pinflow emit \
         --init-mysql in another database"
    )]
    NoKey(&'static str),
}

impl InspectTableError {
    pub(super) fn may_pass(&self) -> bool {
        matches!(&self.cause, InspectTableCause::MySqlError(error) if error.may_pass() && error.kind == MySqlErrorKind::Unavailable)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::schema::TABLES;
    use super::*;

    fn table(keys: &[Option<u64>], stride: u64) -> DatabaseTable {
        let mut builder = OffsetIndexBuilder { stride, ..OffsetIndexBuilder::new() };
        keys.iter().for_each(|key| builder.add_key(key.map(|key| key.to_string())));
        let index = Some(OffsetIndex { key: "ind".to_owned(), stride: builder.stride, entries: builder.entries });
        DatabaseTable { schema: &TABLES[1], rows: builder.rows, index, lacks: Vec::new() }
    }

    /// What a server answers to the query, given the sorted keys.
    fn answer(keys: &[Option<u64>], question: &str) -> Option<Option<u64>> {
        let from: Option<u64> =
            question.split(">= ").nth(1).map(|rest| rest.split(' ').next().unwrap().parse().unwrap());
        let limit = question.split("LIMIT ").nth(1).unwrap().strip_suffix(",1").unwrap().parse().unwrap();
        keys.iter().filter(|key| from.is_none_or(|from| key.is_some_and(|key| key >= from))).nth(limit).copied()
    }

    proptest! {
        #[test]
        fn select_row_finds_the_row_at_every_offset(
            mut keys in prop::collection::vec(prop::option::of(0_u64..200), 1..600),
            stride in 1_u64..70,
        ) {
            keys.sort_unstable();
            let table = table(&keys, stride);
            for (offset, key) in (0_u64..).zip(&keys) {
                let question = table.select_row(offset).unwrap();
                prop_assert_eq!(answer(&keys, &question), Some(*key), "{}", question);
            }
            prop_assert!(table.select_row(keys.len() as u64).is_none());
        }
    }

    #[test]
    fn query_skips_few_rows_in_a_table_of_any_size() {
        let keys: Vec<_> = (0..1_000_000).map(Some).collect();
        let small = table(&keys[..50_000], 1);
        assert_eq!(
            small.select_row(49_999).unwrap(),
            "SELECT * FROM `geolocation_data` WHERE `ind` >= 49999 ORDER BY `ind` LIMIT 0,1"
        );
        let large = table(&keys, 1);
        assert_eq!(
            large.select_row(999_999).unwrap(),
            "SELECT * FROM `geolocation_data` WHERE `ind` >= 999984 ORDER BY `ind` LIMIT 15,1"
        );
        assert!(large.index.as_ref().unwrap().entries.len() <= MAX_INDEX_ENTRIES);
        for offset in (0..1_000_000).step_by(77_777) {
            let question = large.select_row(offset).unwrap();
            assert!(question.contains(&format!(">= {} ", offset - offset % 16)), "{question}");
        }
        let unmarked = DatabaseTable { index: None, ..large };
        assert_eq!(unmarked.select_row(99_999).unwrap(), "SELECT * FROM `geolocation_data` LIMIT 99999,1");
    }
}
