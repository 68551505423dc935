//! Reads the log of a Delta table: commits, checkpoints and their actions.
//!
//! Before every commit the writer reads the commits since its own last one. It reads only these files, instead of
//! updating a snapshot of the library, which evaluates all active files again and grows with the table.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use deltalake::ObjectStoreError;
use deltalake::arrow::array::{Array, AsArray};
use deltalake::arrow::datatypes::Int64Type;
use deltalake::logstore::commit_uri_from_version;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{ObjectStore, ObjectStoreExt};
use deltalake::parquet::arrow::ProjectionMask;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::errors::ParquetError;
use futures::TryStreamExt;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::error::{DeltaError, from_arrow};
use pinflow_storage::Location;

/// The key under `pinflow` in the commit info that marks a compaction by pinflow.
pub(crate) const COMPACTION_MARK: &str = "compaction";

/// The SHA-256 of a commit's bytes.
pub(crate) type CommitDigest = [u8; 32];

/// The log of one table.
#[derive(Debug, Clone)]
pub(crate) struct TableLog {
    /// The table's folder as shown to users.
    pub(crate) folder: PathBuf,
    place: Location,
    /// The path of the folder in its store.
    root: Path,
}

/// One commit of a log.
#[derive(Debug)]
pub(crate) struct LogCommit {
    pub(crate) digest: CommitDigest,
    pub(crate) lines: Vec<LogAction>,
}

/// One action. Kinds that are not used here are parsed as empty.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogAction {
    pub(crate) txn: Option<TxnAction>,
    pub(crate) meta_data: Option<MetaData>,
    pub(crate) protocol: Option<ProtocolAction>,
    pub(crate) add: Option<AddAction>,
    pub(crate) remove: Option<RemoveAction>,
    pub(crate) commit_info: Option<serde_json::Value>,
}

/// A `txn` action.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TxnAction {
    pub(crate) app_id: String,
    pub(crate) version: i64,
}

/// An `add` action.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddAction {
    /// The path of the file in the table's folder, percent-encoded.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) stats: Option<String>,
    /// Whether the commit changes rows. A compaction does not.
    #[serde(default)]
    pub(crate) data_change: Option<bool>,
}

impl AddAction {
    /// The number of rows in the file; `None` without statistics.
    pub(crate) fn row_count(&self) -> Option<u64> {
        serde_json::from_str::<serde_json::Value>(self.stats.as_deref()?).ok()?["numRecords"].as_u64()
    }
}

/// A `remove` action.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RemoveAction {
    /// The path of the file in the table's folder, percent-encoded.
    pub(crate) path: String,
    /// Whether the commit changes rows. A compaction does not.
    #[serde(default)]
    pub(crate) data_change: Option<bool>,
}

/// A `metaData` action.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetaData {
    pub(crate) id: String,
    pub(crate) schema_string: String,
    #[serde(default)]
    pub(crate) partition_columns: Vec<String>,
    #[serde(default)]
    pub(crate) configuration: HashMap<String, Option<String>>,
}

/// A `protocol` action.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProtocolAction {
    pub(crate) min_reader_version: i64,
    pub(crate) min_writer_version: i64,
}

impl LogCommit {
    /// Whether it is a compaction by another engine.
    pub(crate) fn is_foreign_compaction(&self) -> bool {
        let info = self.lines.iter().find_map(|line| line.commit_info.as_ref());
        info.is_some_and(|info| {
            info["operation"].as_str() == Some("OPTIMIZE") && info["pinflow"][COMPACTION_MARK].as_bool() != Some(true)
        })
    }

    /// A description for users: version, time, operation and engine.
    pub(crate) fn describe(&self, version: u64) -> String {
        let info = self.lines.iter().find_map(|line| line.commit_info.as_ref());
        let text = |key: &str| info.and_then(|info| info[key].as_str()).unwrap_or("unknown").to_owned();
        let millis = info.and_then(|info| info["timestamp"].as_i64());
        let time = millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        let time = time.map_or_else(|| "unknown time".to_owned(), |time| format!("{time:.0}"));
        format!("version {version}, {time}, operation {}, engine {}", text("operation"), text("engineInfo"))
    }
}

/// The digest of a commit's bytes.
pub(crate) fn commit_digest(bytes: &[u8]) -> CommitDigest {
    Sha256::digest(bytes).into()
}

impl TableLog {
    /// The log of the table at a location.
    ///
    /// # Errors
    /// If the location has no absolute name.
    pub(crate) fn new(place: &Location) -> Result<TableLog, DeltaError> {
        Ok(TableLog { folder: place.name().to_owned(), root: place.prefix()?, place: place.clone() })
    }

    /// The location of the table.
    pub(crate) fn place(&self) -> &Location {
        &self.place
    }

    /// The path of a file of the store, as shown to users.
    pub(crate) fn display_path(&self, location: &Path) -> String {
        self.place.display_path(location)
    }

    /// The path of a table's file in the store.
    pub(crate) fn file_location(&self, name: &str) -> Path {
        Path::from_iter(self.root.parts().chain(Path::from(name).parts()))
    }

    /// The path of a log file in the store.
    pub(crate) fn log_file_location(&self, name: &str) -> Path {
        self.file_location(&format!("_delta_log/{name}"))
    }

    /// The path of a commit in the store.
    pub(crate) fn commit_location(&self, version: u64) -> Path {
        self.file_location(commit_uri_from_version(Some(version)).as_ref())
    }

    /// The store of the table.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        self.place.store()
    }

    /// Reads a commit; `None` if the log has none of this version.
    pub(crate) async fn read_commit(&self, version: u64) -> Result<Option<LogCommit>, DeltaError> {
        let location = self.commit_location(version);
        let Some(bytes) = self.read_file(&location).await? else { return Ok(None) };
        let lines =
            parse_actions(&bytes).map_err(|what| DeltaError::Torn { path: self.display_path(&location), what })?;
        Ok(Some(LogCommit { digest: commit_digest(&bytes), lines }))
    }

    /// The path of a file that an action names, as shown to users; `None` if the name is invalid.
    pub(crate) fn file_of_action(&self, encoded: &str) -> Option<PathBuf> {
        Path::from_url_path(encoded).ok().map(|path| self.folder.join(path.as_ref()))
    }

    /// Describes the newest commit up to a version that added a file; `None` if it is no longer in the log.
    pub(crate) async fn describe_commit_adding(
        &self,
        version: u64,
        file: &std::path::Path,
    ) -> Result<Option<String>, DeltaError> {
        for version in (0..=version).rev() {
            let Some(commit) = self.read_commit(version).await? else { return Ok(None) };
            let mut added = commit.lines.iter().filter_map(|line| self.file_of_action(&line.add.as_ref()?.path));
            if added.any(|added| added == file) {
                return Ok(Some(commit.describe(version)));
            }
        }
        Ok(None)
    }

    /// Reads all `txn` actions up to a version, oldest first: those of the newest checkpoint, then those of later
    /// commits. Also returns the digest of that version's commit, unless log cleanup removed it.
    pub(crate) async fn read_txns(&self, version: u64) -> Result<(Vec<TxnAction>, Option<CommitDigest>), DeltaError> {
        let mut txns = Vec::new();
        let mut first = 0;
        if let Some((checkpoint, parts)) = self.newest_checkpoint(version).await? {
            for part in parts {
                txns.extend(self.read_checkpoint_txns(&part).await?);
            }
            first = checkpoint + 1;
        }
        for version in first..=version {
            let commit = self.read_commit(version).await?;
            let commit = commit.ok_or_else(|| DeltaError::Gap { path: self.folder.clone(), version })?;
            txns.extend(commit.lines.into_iter().filter_map(|line| line.txn));
        }
        let newest = self.read_commit(version).await?;
        if newest.as_ref().is_some_and(|commit| commit.lines.is_empty()) {
            // An empty commit that others follow is found by the ledger law if it lost rows. The newest can be
            // repaired.
            let path = self.display_path(&self.commit_location(version));
            return Err(DeltaError::Torn { path, what: "it is empty".to_owned() });
        }
        Ok((txns, newest.map(|commit| commit.digest)))
    }

    /// The version of the newest complete checkpoint up to a version.
    pub(crate) async fn newest_checkpoint_version(&self, version: u64) -> Result<Option<u64>, DeltaError> {
        Ok(self.newest_checkpoint(version).await?.map(|(at, _)| at))
    }

    /// The newest version of the log; `None` if there is no table.
    pub(crate) async fn newest_version(&self) -> Result<Option<u64>, DeltaError> {
        let versions = self.list_files().await?.into_iter().filter_map(|location| {
            let name = location.filename()?;
            let commit = || name.strip_suffix(".json").filter(|digits| digits.len() == 20)?.parse().ok();
            parse_checkpoint_name(name).map(|(at, _)| at).or_else(commit)
        });
        Ok(versions.max())
    }

    async fn list_files(&self) -> Result<Vec<Path>, DeltaError> {
        let folder = self.file_location("_delta_log");
        let listed = self.store().list(Some(&folder)).map_ok(|entry| entry.location).try_collect().await;
        listed.map_err(|cause| DeltaError::Store { what: "list", path: self.display_path(&folder), cause })
    }

    /// The newest complete checkpoint at or before a version, and its files.
    async fn newest_checkpoint(&self, version: u64) -> Result<Option<(u64, Vec<Path>)>, DeltaError> {
        let mut found: BTreeMap<(u64, usize), Vec<Path>> = BTreeMap::new();
        for location in self.list_files().await? {
            let parsed = location.filename().and_then(parse_checkpoint_name);
            if let Some((at, parts)) = parsed.filter(|(at, _)| *at <= version) {
                found.entry((at, parts)).or_default().push(location);
            }
        }
        let whole = found.into_iter().rev().find(|((_, parts), files)| files.len() == *parts);
        Ok(whole.map(|((at, _), mut files)| {
            files.sort();
            (at, files)
        }))
    }

    /// The `txn` actions of a checkpoint file.
    pub(crate) async fn read_checkpoint_txns(&self, location: &Path) -> Result<Vec<TxnAction>, DeltaError> {
        let bytes = self.read_file(location).await?.unwrap_or_default();
        let path = self.display_path(location);
        let read = tokio::task::spawn_blocking(move || decode_txns(bytes));
        let read = read.await.map_err(|_| DeltaError::Died { what: "reading a checkpoint" })?;
        read.map_err(|cause| DeltaError::Checkpoint { path, cause })
    }

    /// Reads a file; `None` if it does not exist.
    pub(crate) async fn read_file(&self, location: &Path) -> Result<Option<bytes::Bytes>, DeltaError> {
        let failed = |cause| DeltaError::Store { what: "read", path: self.display_path(location), cause };
        match self.store().get(location).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(ObjectStoreError::NotFound { .. }) => Ok(None),
            Err(cause) => Err(failed(cause)),
        }
    }
}

/// Parses the name of a classic checkpoint file into its version and number of parts. Other kinds of checkpoints need a
/// newer protocol.
pub(crate) fn parse_checkpoint_name(name: &str) -> Option<(u64, usize)> {
    let mut words = name.strip_suffix(".parquet")?.split('.');
    let version = words.next()?.parse().ok()?;
    if words.next()? != "checkpoint" {
        return None;
    }
    match (words.next(), words.next(), words.next()) {
        (None, _, _) => Some((version, 1)),
        (Some(_), Some(parts), None) => Some((version, parts.parse().ok()?)),
        _ => None,
    }
}

fn parse_actions(bytes: &[u8]) -> Result<Vec<LogAction>, String> {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.map(|(at, line)| serde_json::from_slice(line).map_err(|e| format!("line {}: {e}", at + 1))).collect()
}

fn decode_txns(bytes: bytes::Bytes) -> Result<Vec<TxnAction>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let columns = ["txn.appId", "txn.version"];
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    let mut txns = Vec::new();
    for batch in builder.with_projection(mask).build()? {
        let batch = batch.map_err(from_arrow)?;
        let shape = || ParquetError::General("the txn column of the checkpoint has an unexpected type".to_owned());
        let txn = batch.column_by_name("txn").and_then(|txn| txn.as_struct_opt()).ok_or_else(shape)?;
        let ids = txn.column_by_name("appId").and_then(|ids| ids.as_string_opt::<i32>()).ok_or_else(shape)?;
        let versions = txn.column_by_name("version").and_then(|v| v.as_primitive_opt::<Int64Type>());
        let versions = versions.ok_or_else(shape)?;
        let set = |at: &usize| txn.is_valid(*at) && ids.is_valid(*at) && versions.is_valid(*at);
        let txn = |at| TxnAction { app_id: ids.value(at).to_owned(), version: versions.value(at) };
        txns.extend((0..batch.num_rows()).filter(set).map(txn));
    }
    Ok(txns)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_name_is_parsed_and_other_names_are_not() {
        assert_eq!(parse_checkpoint_name("00000000000000000100.checkpoint.parquet"), Some((100, 1)));
        let part = "00000000000000000100.checkpoint.0000000002.0000000003.parquet";
        assert_eq!(parse_checkpoint_name(part), Some((100, 3)));
        for other in [
            "00000000000000000100.json",
            "_last_checkpoint",
            "00000000000000000100.checkpoint.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.parquet",
            "part-0.parquet",
        ] {
            assert_eq!(parse_checkpoint_name(other), None, "{other}");
        }
    }

    #[test]
    fn commit_is_parsed_by_line_and_empty_one_has_no_actions() {
        assert!(parse_actions(b"").unwrap().is_empty());
        let commit = b"{\"commitInfo\":{}}\n{\"add\":{\"path\":\"x\"}}\n{\"txn\":{\"appId\":\"a\",\"version\":3}}\n";
        let lines = parse_actions(commit).unwrap();
        assert_eq!(lines.iter().filter_map(|line| line.txn.as_ref()).next().unwrap().version, 3);
        assert_eq!(parse_actions(&commit[..commit.len() - 4]).unwrap_err().split(':').next(), Some("line 3"));
    }
}
