//! Reads what tables contain, without writing to them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::error::DeltaError;
use super::ledger::TxnIds;
use super::log::TableLog;
use super::open::{self, ActiveFile, PIPELINE_PROPERTY};
use super::rows;
use super::schema::Table;
use pinflow_connect::sink::PartitionReached;
use pinflow_core::position;
use pinflow_storage::Location;

/// The most times that the tables are listed while some seem to be missing.
const MAX_LISTINGS: u32 = 3;
/// What the user can do about a missing table.
const RESTORE_TABLE: &str = "restore its folder from a backup, or move all four away and read everything again";

/// The contents of one table as of its newest version.
#[derive(Debug, Clone, Serialize)]
pub struct TableContents {
    /// The table's name.
    pub table: &'static str,
    /// Its folder.
    pub path: PathBuf,
    /// The pipeline that writes to it.
    pub pipeline: String,
    /// The newest version.
    pub version: u64,
    /// The number of data files.
    pub files: usize,
    /// The size of the data files, bytes.
    pub bytes: u64,
    /// The number of rows.
    pub rows: u64,
    /// The position of each partition.
    pub positions: Vec<PartitionPosition>,
    /// The newest commits, newest first.
    pub history: Vec<CommitSummary>,
    #[serde(skip)]
    pub(crate) place: Location,
    #[serde(skip)]
    pub(crate) which: Table,
    #[serde(skip)]
    pub(crate) active: Vec<ActiveFile>,
    #[serde(skip)]
    pub(crate) reached: Vec<PartitionReached>,
    /// The number of rows whose deletion was accepted, by partition key.
    #[serde(skip)]
    pub(crate) deleted: BTreeMap<String, u64>,
    /// Whether a writer has ever owned it. A table that was created again beside the others has no owner.
    #[serde(skip)]
    pub(crate) is_owned: bool,
    /// Whether the location was the folder of this table alone.
    #[serde(skip)]
    pub(crate) is_alone: bool,
}

/// How far a partition was written to a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionPosition {
    /// The `_source` of its rows.
    pub source: String,
    /// The next position to read.
    #[serde(serialize_with = "position::serialize")]
    pub next: position::Position,
    /// The number of rows read before it, in all tables together.
    pub rows: u64,
}

/// One commit of the history.
#[derive(Debug, Clone, Serialize)]
pub struct CommitSummary {
    /// The version that it created.
    pub version: u64,
    /// Its time (RFC 3339, UTC); `None` if the log does not have it.
    pub time: Option<String>,
    /// The operation, as in the log.
    pub operation: String,
    /// The number of rows that it added; `None` if the log does not have it.
    pub rows: Option<u64>,
    /// The positions that it moved, by source.
    #[serde(serialize_with = "serialize_positions")]
    pub positions: BTreeMap<String, position::Position>,
}

fn serialize_positions<S: serde::Serializer>(
    positions: &BTreeMap<String, position::Position>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(positions.iter().map(|(source, next)| (source, position::to_json(*next))))
}

/// Reads the tables at a location, or the one table that it is, with the newest `history` commits of each.
///
/// The four tables are read as of one consistent point, even while a run commits (see `read_consistently`).
///
/// # Errors
/// If there is no table of pinflow, or a table cannot be read.
pub async fn inspect(place: impl Into<Location>, history: usize) -> Result<Vec<TableContents>, DeltaError> {
    let place = place.into().resolve_existing()?;
    let mut found = read_consistently(&place, history).await?;
    for _ in 1..MAX_LISTINGS {
        if missing_tables(&found).is_empty() {
            break;
        }
        // A run creates the tables one after the other.
        found = read_consistently(&place, history).await?;
    }
    if found.is_empty() {
        let what = "no folder rejected, pin, geo or user with a _delta_log".to_owned();
        return Err(DeltaError::Foreign { path: place.name().to_owned(), what });
    }
    Ok(found)
}

/// Reads all tables, `rejected` last.
///
/// A window is committed to `rejected` first. So all rejections before the position of a cleaned table are in the
/// `rejected` that is read later. Rows beyond the least position of all tables do not count as read, so the least
/// position is the consistent point.
async fn read_consistently(place: &Location, history: usize) -> Result<Vec<TableContents>, DeltaError> {
    let is_alone = is_table(place).await?;
    let mut listed = find_tables(place).await?;
    listed.sort_by_key(|(table, _)| *table == Table::Rejected);
    let mut found = Vec::new();
    for (table, place) in listed {
        found.push(TableContents { is_alone, ..read_table(table, &place, history).await? });
    }
    found.sort_by_key(|contents| contents.which);
    Ok(found)
}

/// Describes each table that is missing while others have positions, with what to do.
///
/// Without stored positions no table is reported: a run that died while it created the tables leaves only some of them.
#[must_use]
pub fn missing_tables(found: &[TableContents]) -> Vec<String> {
    let is_written = found.iter().any(|contents| !contents.reached.is_empty());
    if !is_written || found.iter().any(|contents| contents.is_alone) {
        return Vec::new();
    }
    let missing = |table: Table| match found.iter().find(|contents| contents.which == table) {
        Some(contents) if contents.is_owned => None,
        Some(contents) => Some(format!(
            "table `{table}` was created again ({}): the rows that it contained are lost; {RESTORE_TABLE}",
            contents.path.display()
        )),
        None => Some(format!("table `{table}` is missing, and the others have positions; {RESTORE_TABLE}")),
    };
    Table::ALL.into_iter().filter_map(missing).collect()
}

/// The tables at a location, or the one table that it is.
pub(crate) async fn find_tables(place: &Location) -> Result<Vec<(Table, Location)>, DeltaError> {
    if is_table(place).await? {
        let named = |table: &Table| place.name().file_name().is_some_and(|name| name == table.name());
        return Ok(Table::ALL.into_iter().filter(named).map(|table| (table, place.clone())).collect());
    }
    let mut found = Vec::new();
    for table in Table::ALL {
        let place = place.join(table.name());
        if is_table(&place).await? {
            found.push((table, place));
        }
    }
    Ok(found)
}

async fn is_table(place: &Location) -> Result<bool, DeltaError> {
    Ok(place.list_entries().await?.folders.iter().any(|name| name == "_delta_log"))
}

async fn read_table(table: Table, place: &Location, history: usize) -> Result<TableContents, DeltaError> {
    let version = find_newest_version(&TableLog::new(place)?).await?;
    read_table_version(table, place, version, history).await
}

/// The newest version of a table that must be there.
pub(crate) async fn find_newest_version(log: &TableLog) -> Result<u64, DeltaError> {
    let newest = log.newest_version().await?;
    newest.ok_or_else(|| DeltaError::Foreign { path: log.folder.clone(), what: "a log without commits".to_owned() })
}

/// Reads what a version of a table contains.
pub(crate) async fn read_table_version(
    table: Table,
    place: &Location,
    version: u64,
    history: usize,
) -> Result<TableContents, DeltaError> {
    let log = TableLog::new(place)?;
    let folder = place.name();
    // First, because these errors name the file and a hint, and those of the library do not.
    log.read_txns(version).await?;
    let pipeline = read_pipeline(&log, version).await?;
    let loaded = open::load_table(&log, table, version, &TxnIds::new(&pipeline)).await?;
    let invalid = |error: super::ledger::InvalidTxn| DeltaError::Position {
        path: folder.to_owned(),
        key: error.key,
        what: error.what,
    };
    let reached = loaded.ledger.stored_positions().map_err(invalid)?;
    let active = open::active_files(&loaded.handle, &log)?;
    let position = |moved: &PartitionReached| PartitionPosition {
        source: moved.source.clone(),
        next: moved.reached.next,
        rows: moved.reached.rows,
    };
    Ok(TableContents {
        table: table.name(),
        path: folder.to_owned(),
        pipeline,
        version,
        files: active.len(),
        bytes: active.iter().map(|file| file.bytes).sum(),
        rows: rows::count_table_rows(&active).await?,
        positions: reached.iter().map(position).collect(),
        history: read_history(&log, version, history).await?,
        place: place.clone(),
        which: table,
        active,
        reached,
        deleted: loaded.ledger.deleted().clone(),
        is_owned: loaded.ledger.owner.is_some(),
        is_alone: false,
    })
}

/// Reads the pipeline to which a table belongs.
pub(crate) async fn read_pipeline(log: &TableLog, version: u64) -> Result<String, DeltaError> {
    let mut handle = open::table_builder(log)?.build().map_err(open::library_error("open", log))?;
    handle.load_version(version).await.map_err(open::library_error("open", log))?;
    let snapshot = handle.snapshot().map_err(open::library_error("open", log))?;
    let named = snapshot.metadata().configuration().get(PIPELINE_PROPERTY).cloned();
    named.ok_or_else(|| DeltaError::Foreign {
        path: log.folder.clone(),
        what: format!("a Delta table without {PIPELINE_PROPERTY}"),
    })
}

/// Reads the newest commits that are still in the log.
async fn read_history(log: &TableLog, version: u64, limit: usize) -> Result<Vec<CommitSummary>, DeltaError> {
    let mut changes = Vec::new();
    for version in (0..=version).rev().take(limit) {
        let Some(commit) = log.read_commit(version).await? else { break };
        let info = commit.lines.into_iter().find_map(|line| line.commit_info).unwrap_or_default();
        let time = info["timestamp"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let positions = info["pinflow"]["positions"].as_object();
        let moved = positions.into_iter().flatten();
        let moved = moved.filter_map(|(source, next)| Some((source.clone(), position::from_json(next)?)));
        changes.push(CommitSummary {
            version,
            time: time.map(|time| format!("{time:.3}")),
            operation: info["operation"].as_str().unwrap_or("?").to_owned(),
            rows: info["operationMetrics"]["numOutputRows"].as_str().and_then(|rows| rows.parse().ok()),
            positions: moved.collect(),
        });
    }
    Ok(changes)
}
