//! Finding the row at an offset, quickly.
//!
//! The original asks for `LIMIT offset,1`, for which the server walks over every row before. Where the key of a table is
//! indexed we walk over the keys once and keep some of them as signposts: every one in a table of the original's size,
//! every 16th of a million, every 2,048th of a hundred million. The row at an offset stands a few index entries behind a
//! signpost. What counts as the order is the order of the keys, in which the original's tables stand.
//!
//! The row itself is always read from the table as it is now. When rows come or go, offsets behind them shift by as
//! many until the next survey, as they shift at once for `LIMIT`; what is drawn is a row that exists.

use pinflow_dataflows::record::Stream;

use super::tables::{Known, text};
use crate::mysql::{Cell, Client, Fault, Kind};

/// Keys that are remembered of a table: some 4 MB.
const SIGNS_MAX: usize = 1 << 16;

/// A table as it stood when it was looked at.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) known: &'static Known,
    pub(super) rows: u64,
    /// `None` where no index leads to a key: then the server walks.
    signs: Option<Signs>,
    /// Columns that the original has and this one lacks.
    pub(super) lacks: Vec<&'static str>,
}

/// Keys, evenly spread.
#[derive(Debug)]
struct Signs {
    key: String,
    /// Rows from one to the next.
    stride: u64,
    posts: Vec<Sign>,
}

/// Where a walk may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sign {
    /// `None`: at the beginning, for NULL is not to be compared with.
    key: Option<String>,
    /// Rows with the same key that stand before the signpost, or all of them without a key.
    before: u64,
}

/// Builds signposts from keys in their order.
#[derive(Debug)]
struct Walk {
    stride: u64,
    rows: u64,
    last: Option<String>,
    /// Rows so far that have the last key.
    same: u64,
    posts: Vec<Sign>,
}

impl Walk {
    fn new() -> Walk {
        Walk { stride: 1, rows: 0, last: None, same: 0, posts: Vec::new() }
    }

    fn pass(&mut self, key: Option<String>) {
        self.same = if key.is_some() && key == self.last { self.same + 1 } else { 0 };
        if self.rows.is_multiple_of(self.stride) {
            let before = if key.is_some() { self.same } else { self.rows };
            self.posts.push(Sign { key: key.clone(), before });
        }
        if self.posts.len() > SIGNS_MAX {
            // Every other one makes room for the rest.
            let mut at = 0;
            self.posts.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.stride *= 2;
        }
        self.last = key;
        self.rows += 1;
    }
}

impl Table {
    /// Looks at the table of a stream.
    ///
    /// # Errors
    /// If it is not there, has no key, or cannot be read.
    pub(super) async fn survey(client: &mut Client, stream: Stream) -> Result<Table, SurveyError> {
        let known = Known::of(stream);
        let name = known.name;
        let failed = |cause| SurveyError { table: name, cause: Cause::Fault(cause) };
        let columns = ask(client, &format!("SHOW COLUMNS FROM `{name}`")).await.map_err(failed)?;
        let column = |wanted: &str| columns.iter().find(|column| text(column, 0).eq_ignore_ascii_case(wanted));
        let Some(key) = known.keys().into_iter().find_map(column) else {
            return Err(SurveyError { table: name, cause: Cause::NoKey(known.keys()[0]) });
        };
        let lacks = known.columns[1..].iter().map(|(name, _)| *name).filter(|name| column(name).is_none()).collect();
        let key_name = text(key, 0);
        let kind = text(key, 1).to_ascii_lowercase();
        let is_whole =
            ["tinyint", "smallint", "mediumint", "int", "bigint"].iter().any(|whole| kind.starts_with(whole));
        let indexes = ask(client, &format!("SHOW INDEX FROM `{name}`")).await.map_err(failed)?;
        // Column_name, and Seq_in_index: an index leads to a column that stands first in it.
        let is_indexed = indexes.iter().any(|index| text(index, 4) == key_name && text(index, 3) == "1");
        if !is_whole || !is_indexed {
            let count = ask(client, &format!("SELECT COUNT(*) FROM `{name}`")).await.map_err(failed)?;
            let rows = count.first().and_then(|row| text(row, 0).parse().ok()).unwrap_or_default();
            return Ok(Table { known, rows, signs: None, lacks });
        }
        let mut walk = Walk::new();
        let keys = format!("SELECT `{key_name}` FROM `{name}` ORDER BY `{key_name}`");
        let pass = |row: Vec<Cell>| {
            let key = row.into_iter().next().flatten();
            walk.pass(key.map(|key| String::from_utf8_lossy(&key).into_owned()));
        };
        client.each(&keys, pass).await.map_err(failed)?;
        Ok(Table {
            known,
            rows: walk.rows,
            signs: Some(Signs { key: key_name, stride: walk.stride, posts: walk.posts }),
            lacks,
        })
    }

    /// Whether the row at an offset is found without walking over all before it.
    pub(super) fn is_quick(&self) -> bool {
        self.signs.is_some()
    }

    /// The question for the row at an offset, counted from 0; `None` if there was none.
    pub(super) fn select(&self, offset: u64) -> Option<String> {
        if offset >= self.rows {
            return None;
        }
        let name = self.known.name;
        let Some(Signs { key, stride, posts }) = &self.signs else {
            return Some(format!("SELECT * FROM `{name}` LIMIT {offset},1"));
        };
        let sign = posts.get(usize::try_from(offset / stride).ok()?)?;
        let walk = sign.before + offset % stride;
        let from = sign.key.as_ref().map(|from| format!(" WHERE `{key}` >= {from}")).unwrap_or_default();
        Some(format!("SELECT * FROM `{name}`{from} ORDER BY `{key}` LIMIT {walk},1"))
    }
}

async fn ask(client: &mut Client, sql: &str) -> Result<Vec<Vec<Cell>>, Fault> {
    Ok(client.ask(sql).await?.into_iter().next().unwrap_or_default().rows)
}

/// Why a table cannot be drawn from.
#[derive(Debug, thiserror::Error)]
#[error("look at table {table}")]
pub(super) struct SurveyError {
    pub(super) table: &'static str,
    #[source]
    pub(super) cause: Cause,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error(transparent)]
    Fault(Fault),
    #[error(
        "it has no column {0}, the key of its rows; ALTER TABLE … RENAME COLUMN … TO {0}, or pinflow emit \
         --init-mysql in another database"
    )]
    NoKey(&'static str),
}

impl SurveyError {
    pub(super) fn may_pass(&self) -> bool {
        matches!(&self.cause, Cause::Fault(fault) if fault.may_pass() && fault.kind == Kind::Away)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::tables::TABLES;
    use super::*;

    fn table(keys: &[Option<u64>], stride: u64) -> Table {
        let mut walk = Walk { stride, ..Walk::new() };
        keys.iter().for_each(|key| walk.pass(key.map(|key| key.to_string())));
        let signs = Some(Signs { key: "ind".to_owned(), stride: walk.stride, posts: walk.posts });
        Table { known: &TABLES[1], rows: walk.rows, signs, lacks: Vec::new() }
    }

    /// What a server says to the question, of keys in their order.
    fn answer(keys: &[Option<u64>], question: &str) -> Option<Option<u64>> {
        let from: Option<u64> =
            question.split(">= ").nth(1).map(|rest| rest.split(' ').next().unwrap().parse().unwrap());
        let limit = question.split("LIMIT ").nth(1).unwrap().strip_suffix(",1").unwrap().parse().unwrap();
        keys.iter().filter(|key| from.is_none_or(|from| key.is_some_and(|key| key >= from))).nth(limit).copied()
    }

    proptest! {
        #[test]
        fn the_row_at_every_offset_is_found(
            mut keys in prop::collection::vec(prop::option::of(0_u64..200), 1..600),
            stride in 1_u64..70,
        ) {
            keys.sort_unstable();
            let table = table(&keys, stride);
            for (offset, key) in (0_u64..).zip(&keys) {
                let question = table.select(offset).unwrap();
                prop_assert_eq!(answer(&keys, &question), Some(*key), "{}", question);
            }
            prop_assert!(table.select(keys.len() as u64).is_none());
        }
    }

    #[test]
    fn a_walk_is_short_in_a_table_of_any_size() {
        let keys: Vec<_> = (0..1_000_000).map(Some).collect();
        let small = table(&keys[..50_000], 1);
        assert_eq!(
            small.select(49_999).unwrap(),
            "SELECT * FROM `geolocation_data` WHERE `ind` >= 49999 ORDER BY `ind` LIMIT 0,1"
        );
        let large = table(&keys, 1);
        assert_eq!(
            large.select(999_999).unwrap(),
            "SELECT * FROM `geolocation_data` WHERE `ind` >= 999984 ORDER BY `ind` LIMIT 15,1"
        );
        assert!(large.signs.as_ref().unwrap().posts.len() <= SIGNS_MAX);
        for offset in (0..1_000_000).step_by(77_777) {
            let question = large.select(offset).unwrap();
            assert!(question.contains(&format!(">= {} ", offset - offset % 16)), "{question}");
        }
        let unmarked = Table { signs: None, ..large };
        assert_eq!(unmarked.select(99_999).unwrap(), "SELECT * FROM `geolocation_data` LIMIT 99999,1");
    }
}
