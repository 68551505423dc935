//! Restores missing data files from the files that a compaction replaced by them.
//!
//! A compaction that was suspended before its commit can commit a file that a vacuum has removed meanwhile. The files
//! that it replaced contain the same rows, and exist until their retention is over. A repair commits a version with
//! these files instead of the missing one. A missing file whose rows are in no other file stays part of the table. It
//! is reported as lost, so that its rows are not taken for deleted ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use deltalake::ObjectStoreError;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, Add};
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{ObjectMeta, ObjectStoreExt, PutMode};
use deltalake::protocol::DeltaOperation;
use serde::Serialize;
use serde_json::json;

use super::error::DeltaError;
use super::input::FileAt;
use super::inspect::find_tables;
use super::log::{LogCommit, TableLog};
use super::open::{library_error, table_builder};
use super::rows::count_rows;
use pinflow_storage::{Location, error_summary};

/// A data file of a table's newest version that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingFile {
    /// Its expected path.
    pub file: PathBuf,
    /// The number of its rows; `None` if the log does not have it.
    pub rows: Option<u64>,
    /// Whether its rows were restored.
    pub outcome: MissingFileOutcome,
}

/// Whether the rows of a missing data file were restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingFileOutcome {
    /// The table contains its rows again.
    Restored {
        /// The files that a compaction had replaced by it. They are part of the table again.
        files: Vec<PathBuf>,
        /// The version that was committed.
        version: u64,
    },
    /// Its rows are in no other existing file.
    Lost {
        /// Why.
        reason: String,
    },
}

impl MissingFile {
    /// Whether its rows are still missing.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.outcome, MissingFileOutcome::Lost { .. })
    }
}

/// Restores missing data files of the tables at a location, or of the one table that it is. No writer may be running.
///
/// # Errors
/// If a table cannot be read or written, or another writer commits meanwhile.
pub async fn restore_missing_files(place: impl Into<Location>) -> Result<Vec<MissingFile>, DeltaError> {
    let place = place.into().resolve_existing()?;
    let mut found = Vec::new();
    for (_, place) in find_tables(&place).await? {
        found.extend(restore_table(&TableLog::new(&place)?).await?);
    }
    Ok(found)
}

/// A file that can replace a missing one.
struct ReplacementFile {
    name: String,
    meta: ObjectMeta,
    rows: u64,
    /// The statistics from the commit that added it; `None` if the log no longer has it.
    stats: Option<String>,
}

async fn restore_table(log: &TableLog) -> Result<Vec<MissingFile>, DeltaError> {
    let handle = table_builder(log)?.load().await.map_err(library_error("open", log))?;
    let snapshot = handle.snapshot().map_err(library_error("read", log))?;
    let active: BTreeMap<String, Option<u64>> = snapshot
        .log_data()
        .iter()
        .map(|view| (view.path().into_owned(), view.num_records().map(|rows| rows as u64)))
        .collect();
    let mut missing = Vec::new();
    for name in active.keys() {
        if find_file(log, name).await?.is_none() {
            missing.push(name.clone());
        }
    }
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let version = handle.version().ok_or_else(|| DeltaError::Gap { path: log.folder.clone(), version: 0 })?;
    let history = FileHistory::read(log, version).await?;
    let mut taken: BTreeSet<String> = active.keys().cloned().collect();
    let (mut actions, mut outcomes) = (Vec::new(), Vec::new());
    for name in missing {
        let rows = active[&name];
        let replacements = find_replacements(log, &history, &name, rows, &taken).await?;
        if let Ok(files) = &replacements {
            taken.extend(files.iter().map(|file| file.name.clone()));
            let views = snapshot.log_data();
            let view = views.iter().find(|view| view.path() == name.as_str());
            actions.extend(view.map(|view| Action::Remove(view.remove_action(false))));
            actions.extend(files.iter().map(|file| Action::Add(add_action(file))));
        }
        outcomes.push((name, rows, replacements));
    }
    if !actions.is_empty() {
        commit_repair(log, version + 1, actions).await?;
    }
    Ok(outcomes.into_iter().map(|(name, rows, found)| describe_file(log, &name, rows, found, version + 1)).collect())
}

fn describe_file(
    log: &TableLog,
    name: &str,
    rows: Option<u64>,
    found: Result<Vec<ReplacementFile>, String>,
    version: u64,
) -> MissingFile {
    let outcome = match found {
        Ok(files) => MissingFileOutcome::Restored {
            files: files.into_iter().map(|file| log.folder.join(file.name)).collect(),
            version,
        },
        Err(reason) => MissingFileOutcome::Lost { reason },
    };
    MissingFile { file: log.folder.join(name), rows, outcome }
}

/// Finds the files that together contain the rows of a missing one. The inner error says why there are none.
async fn find_replacements(
    log: &TableLog,
    history: &FileHistory,
    missing: &str,
    rows: Option<u64>,
    taken: &BTreeSet<String>,
) -> Result<Result<Vec<ReplacementFile>, String>, DeltaError> {
    let mut names = match history.replaced_by(missing) {
        Ok(replaced) => replaced.to_vec(),
        Err(reason) => return Ok(Err(reason)),
    };
    let (mut files, mut seen) = (Vec::new(), BTreeSet::from([missing.to_owned()]));
    while let Some(name) = names.pop() {
        if taken.contains(&name) || !seen.insert(name.clone()) {
            return Ok(Err(format!("the rows of {name} would be in the table twice")));
        }
        match find_file(log, &name).await? {
            Some(meta) => match count_rows(FileAt::new(log, &name)).await {
                Ok(rows) => files.push(ReplacementFile { stats: history.stats_of(&name), name, meta, rows }),
                Err(error) => return Ok(Err(error_summary(&error))),
            },
            // It was compacted before it was replaced, and its own input may still exist.
            None => match history.replaced_by(&name) {
                Ok(replaced) => names.extend_from_slice(replaced),
                Err(_) => return Ok(Err(format!("{name}, which a compaction had replaced by it, is missing, too"))),
            },
        }
    }
    let found: u64 = files.iter().map(|file| file.rows).sum();
    Ok(match rows {
        Some(rows) if rows == found => Ok(files),
        Some(rows) => Err(format!("it had {rows} rows, the files that a compaction had replaced by it have {found}")),
        None => Err("the log does not say how many rows it had".to_owned()),
    })
}

fn add_action(file: &ReplacementFile) -> Add {
    let ReplacementFile { name, meta, rows, stats } = file;
    Add {
        path: name.clone(),
        size: i64::try_from(meta.size).unwrap_or(i64::MAX),
        modification_time: meta.last_modified.timestamp_millis(),
        data_change: false,
        stats: Some(stats.clone().unwrap_or_else(|| json!({ "numRecords": rows }).to_string())),
        ..Add::default()
    }
}

/// The metadata of a table's file; `None` if it does not exist.
async fn find_file(log: &TableLog, name: &str) -> Result<Option<ObjectMeta>, DeltaError> {
    let location = log.file_location(name);
    match log.store().head(&location).await {
        Ok(meta) => Ok(Some(meta)),
        Err(ObjectStoreError::NotFound { .. }) => Ok(None),
        Err(cause) => Err(DeltaError::Store { what: "find", path: log.display_path(&location), cause }),
    }
}

async fn commit_repair(log: &TableLog, version: u64, actions: Vec<Action>) -> Result<(), DeltaError> {
    let mark = ("pinflow".to_owned(), json!({ "repair": true }));
    let operation = DeltaOperation::FileSystemCheck {};
    let bytes = CommitData::new(actions, operation, HashMap::from([mark]), Vec::new()).get_bytes();
    let bytes = bytes.map_err(|cause| library_error("encode a commit to", log)(cause.into()))?;
    let location = log.commit_location(version);
    match log.store().put_opts(&location, bytes.into(), PutMode::Create.into()).await {
        Ok(_) => Ok(()),
        Err(ObjectStoreError::AlreadyExists { .. }) => {
            let what = "it was written to during the repair; stop all writers and repair again".to_owned();
            Err(DeltaError::Foreign { path: log.folder.clone(), what })
        }
        Err(cause) => Err(DeltaError::Store { what: "commit to", path: log.display_path(&location), cause }),
    }
}

/// What the log has about files: which ones each compaction replaced, and their statistics. No I/O after reading.
#[derive(Default)]
struct FileHistory {
    /// By file that a compaction created: the files that it replaced, or why these do not have exactly its rows.
    replaced: HashMap<String, Result<Vec<String>, String>>,
    stats: HashMap<String, String>,
}

impl FileHistory {
    /// Reads the commits back from a version until one is no longer in the log.
    async fn read(log: &TableLog, version: u64) -> Result<FileHistory, DeltaError> {
        let mut history = FileHistory::default();
        for version in (0..=version).rev() {
            let Some(commit) = log.read_commit(version).await? else { break };
            history.add_older(&commit);
        }
        Ok(history)
    }

    /// Adds a commit that is older than those added so far.
    fn add_older(&mut self, commit: &LogCommit) {
        let decode = |path: &str| Path::from_url_path(path).ok().map(|path| path.as_ref().to_owned());
        let adds: Vec<_> = commit.lines.iter().filter_map(|line| line.add.as_ref()).collect();
        let removes: Vec<_> = commit.lines.iter().filter_map(|line| line.remove.as_ref()).collect();
        for add in &adds {
            if let (Some(name), Some(stats)) = (decode(&add.path), add.stats.clone()) {
                self.stats.entry(name).or_insert(stats);
            }
        }
        let keeps_rows = adds.iter().all(|add| add.data_change == Some(false))
            && removes.iter().all(|remove| remove.data_change == Some(false));
        if adds.is_empty() || removes.is_empty() || !keeps_rows {
            return;
        }
        let names: Option<Vec<String>> = removes.iter().map(|remove| decode(&remove.path)).collect();
        let replaced = match names {
            Some(names) if adds.len() == 1 => Ok(names),
            Some(_) => Err(format!("its compaction created {} files at once", adds.len())),
            None => Err("its compaction replaced a file with an unreadable name".to_owned()),
        };
        for name in adds.iter().filter_map(|add| decode(&add.path)) {
            self.replaced.entry(name).or_insert_with(|| replaced.clone());
        }
    }

    /// The files that a compaction replaced by this one.
    fn replaced_by(&self, name: &str) -> Result<&[String], String> {
        match self.replaced.get(name) {
            Some(Ok(replaced)) => Ok(replaced),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("no compaction in the log created it from other files".to_owned()),
        }
    }

    fn stats_of(&self, name: &str) -> Option<String> {
        self.stats.get(name).cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn history(commits: &[&[serde_json::Value]]) -> FileHistory {
        let mut history = FileHistory::default();
        for lines in commits {
            let lines = lines.iter().map(|line| serde_json::from_value(line.clone()).unwrap()).collect();
            history.add_older(&LogCommit { digest: [0; 32], lines });
        }
        history
    }

    fn add(path: &str, data_change: bool) -> serde_json::Value {
        json!({ "add": { "path": path, "dataChange": data_change, "stats": format!("of {path}") } })
    }

    fn remove(path: &str, data_change: bool) -> serde_json::Value {
        json!({ "remove": { "path": path, "dataChange": data_change } })
    }

    #[test]
    fn replaced_files_are_known_only_from_compactions_with_one_new_file() {
        let history = history(&[
            &[add("joined", false), remove("a%20b", false), remove("c", false)],
            &[add("two", false), add("more", false), remove("d", false)],
            &[add("overwritten", true), remove("e", true)],
            &[add("appended", true)],
        ]);
        assert_eq!(history.replaced_by("joined").unwrap(), ["a b", "c"]);
        assert!(history.replaced_by("two").unwrap_err().contains("2 files at once"));
        for name in ["overwritten", "appended", "unknown"] {
            assert!(history.replaced_by(name).unwrap_err().contains("no compaction"), "{name}");
        }
        assert_eq!(history.stats_of("appended").unwrap(), "of appended");
    }
}
