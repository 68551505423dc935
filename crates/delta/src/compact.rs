//! Compaction and vacuum: joins small files of a table into large ones, and removes files that are no longer part of
//! it.
//!
//! Neither is part of the writer's protocol, and any process can run them at any time. A compaction is one commit that
//! replaces files by one file with the same rows. It succeeds only if all of these files are still active. Rows,
//! positions and answers do not change. A process that dies meanwhile leaves an unreferenced file, which a vacuum
//! removes. Replaced files can be read in older versions until the retention of the vacuum is over.
//!
//! A compaction holds one row group and the new file in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use deltalake::DeltaTable;
use deltalake::ObjectStoreError;
use deltalake::arrow::array::RecordBatch;
use deltalake::kernel::transaction::{CommitData, CommitProperties};
use deltalake::kernel::{Action, Add};
use deltalake::logstore::object_store::path::Path as ObjectPath;
use deltalake::logstore::object_store::{ObjectStoreExt, PutMode};
use deltalake::operations::vacuum::VacuumMode;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::errors::ParquetError;
use deltalake::protocol::DeltaOperation;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::error::{DeltaError, from_arrow};
use super::failpoints;
use super::file::{self, Compression, DataFile};
use super::group::{FileFormat, RowGroup};
use super::input::{FileAt, FileInput};
use super::inspect::{TableContents, inspect};
use super::log::{COMPACTION_MARK, LogAction, LogCommit, TableLog, commit_digest};
use super::open::{ActiveFile, active_files, library_error, table_builder};
use super::schema::{Table, schema_difference};
use pinflow_storage::{Location, StagedFile, find_staged_files};

/// The most rows of a row group. Larger groups are faster to read, but are held in memory while they are encoded.
const MAX_GROUP_ROWS: usize = 48 << 10;
/// The number of rows that are decoded at once.
const BATCH_ROWS: usize = 4 << 10;
/// The longest time between the put of a file and its commit. It is far shorter than any vacuum retention. A machine
/// that was suspended in between exceeds it.
const MAX_COMMIT_DELAY: SignedDuration = SignedDuration::from_mins(5);
/// The retention of unreferenced files when there are too many, from their removal or, if they were never committed,
/// from their put. It is longer than [`MAX_COMMIT_DELAY`].
const CROWDED_RETENTION: TimeDelta = TimeDelta::minutes(10);

/// How often a vacuum tries to put its commits. The library's 15 tries are not enough next to a run that commits dozens of
/// times a second.
const VACUUM_COMMIT_TRIES: usize = 1_000;

/// How long a vacuum keeps files to which the newest version of a table does not refer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VacuumRetention {
    /// Hours for which they are kept.
    pub(crate) hours: u32,
    /// The most such files; above it only those of the last [`CROWDED_RETENTION`] are kept.
    pub(crate) files_max: Option<NonZeroU32>,
}

/// Which files a compaction joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// The target size of a file, bytes. A file of at least half that size is not compacted.
    pub target_bytes: u64,
    /// The least number of files that are joined, unless fewer reach the target size.
    pub min_files: usize,
}

impl CompactionPolicy {
    /// Compacts as much as possible. For `pinflow table PATH optimize`.
    pub const ALL: CompactionPolicy = CompactionPolicy { target_bytes: 64 << 20, min_files: 2 };
    /// Keeps the number of files small in the background of a run with little rewriting: a row is rewritten at most
    /// log32(number of files) times.
    pub const BACKGROUND: CompactionPolicy = CompactionPolicy { target_bytes: 32 << 20, min_files: 32 };

    /// Chooses the files to join next: of one size tier, in the order in which they were written.
    ///
    /// Without size tiers, as in log-structured stores, the result of earlier compactions would be rewritten each time.
    fn choose_files(self, files: Vec<ActiveFile>) -> Option<Vec<ActiveFile>> {
        let mut tiers: BTreeMap<u32, Vec<ActiveFile>> = BTreeMap::new();
        for file in files.into_iter().filter(|file| file.bytes < self.target_bytes / 2) {
            let tier = if self.min_files > 2 { file.bytes.max(1).ilog(self.min_files as u64) } else { 0 };
            tiers.entry(tier).or_default().push(file);
        }
        tiers.into_values().find_map(|tier| self.choose_from_tier(tier))
    }

    fn choose_from_tier(self, mut files: Vec<ActiveFile>) -> Option<Vec<ActiveFile>> {
        files.sort_by(|one, other| (one.written_ms, &one.at.path).cmp(&(other.written_ms, &other.at.path)));
        let mut bytes = 0;
        let full = files.iter().position(|file| {
            bytes += file.bytes;
            bytes >= self.target_bytes
        });
        match full {
            // This is never a single file: each is smaller than half of the target.
            Some(last) => files.truncate(last + 1),
            None if files.len() < self.min_files.max(2) => return None,
            None => {}
        }
        Some(files)
    }
}

/// The result of a compaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CompactionStats {
    /// The number of files that were replaced.
    pub files_before: usize,
    /// The number of files that replaced them.
    pub files_after: usize,
    /// The number of rows in them.
    pub rows: usize,
}

impl std::ops::AddAssign for CompactionStats {
    fn add_assign(&mut self, more: CompactionStats) {
        self.files_before += more.files_before;
        self.files_after += more.files_after;
        self.rows += more.rows;
    }
}

/// Compacts the tables at a location, or the one table that it is. Returns the result by table.
///
/// # Errors
/// If a table cannot be read or written, or another writer removes the files or changes the columns meanwhile.
pub async fn optimize(
    place: impl Into<Location>,
    how: CompactionPolicy,
) -> Result<Vec<(&'static str, CompactionStats)>, DeltaError> {
    let mut done = Vec::new();
    // This also checks that the tables belong to pinflow and have its schema.
    for TableContents { table, which, place, .. } in inspect(place, 0).await? {
        let log = TableLog::new(&place)?;
        done.push((table, compact_table(&log, which, Compression::default(), how).await?));
    }
    Ok(done)
}

/// Removes the files of tables to which no version of the last `hours` refers. Returns their names by table.
///
/// A data file is put before its commit: usually seconds before, but longer while the storage fails. With few `hours`
/// no writer may be running.
///
/// # Errors
/// If a table cannot be read, or a file cannot be removed.
pub async fn vacuum(place: impl Into<Location>, hours: u32) -> Result<Vec<(&'static str, Vec<String>)>, DeltaError> {
    let mut done = Vec::new();
    for TableContents { table, place, .. } in inspect(place, 0).await? {
        let log = TableLog::new(&place)?;
        done.push((table, remove_unreferenced(&log, VacuumRetention { hours, files_max: None }).await?));
    }
    Ok(done)
}

/// Removes files to which no version of the retention refers. If there are too many, the retention is
/// [`CROWDED_RETENTION`].
pub(crate) async fn remove_unreferenced(log: &TableLog, keep: VacuumRetention) -> Result<Vec<String>, DeltaError> {
    let handle = table_builder(log)?.load().await.map_err(library_error("open", log))?;
    // Count files that were never committed, too: a process that dies before the commit leaves them.
    let is_data = |(name, _): &&(String, u64)| name.ends_with(".parquet");
    let there = log.place().list_entries().await?.files.iter().filter(is_data).count();
    let active = active_files(&handle, log)?.len();
    let is_crowded = keep.files_max.is_some_and(|max| there.saturating_sub(active) > max.get() as usize);
    let retention = if is_crowded { CROWDED_RETENTION } else { TimeDelta::hours(keep.hours.into()) };
    let vacuum = handle.vacuum().with_mode(VacuumMode::Full).with_retention_period(retention);
    let commits = CommitProperties::default().with_max_retries(VACUUM_COMMIT_TRIES);
    let vacuum = vacuum.with_enforce_retention_duration(false).with_commit_properties(commits);
    let (_, vacuumed) = vacuum.await.map_err(library_error("vacuum", log))?;
    let mut removed = vacuumed.files_deleted;
    removed.extend(remove_staged_files(log, keep.hours)?);
    Ok(removed)
}

/// Removes staged files of dead processes that are older than `hours`, from the folder of a table and of its log.
fn remove_staged_files(log: &TableLog, hours: u32) -> Result<Vec<String>, DeltaError> {
    let mut removed = Vec::new();
    let least_age = Duration::from_secs(u64::from(hours) * 3600);
    for StagedFile { path, age, .. } in table_staged_files(log)? {
        if age >= least_age {
            let failed = |cause| DeltaError::Disk { what: "remove", path: path.clone(), cause };
            std::fs::remove_file(&path).map_err(failed)?;
            let name = path.strip_prefix(&log.folder).unwrap_or(&path);
            removed.push(name.display().to_string());
        }
    }
    Ok(removed)
}

/// The staged files of a table and its log. A bucket has none: a put is atomic there.
pub(crate) fn table_staged_files(log: &TableLog) -> Result<Vec<StagedFile>, DeltaError> {
    let Some(folder) = log.place().local_folder() else { return Ok(Vec::new()) };
    let failed = |cause| DeltaError::Disk { what: "list", path: folder.to_owned(), cause };
    let mut found = find_staged_files(folder).map_err(failed)?;
    found.extend(find_staged_files(&folder.join("_delta_log")).map_err(failed)?);
    Ok(found)
}

/// Compacts a table until no files are left to join.
pub(crate) async fn compact_table(
    log: &TableLog,
    table: Table,
    compression: Compression,
    how: CompactionPolicy,
) -> Result<CompactionStats, DeltaError> {
    let mut done = CompactionStats::default();
    while let Some(joined) = join_next_files(log, table, compression, how).await? {
        done += joined;
    }
    Ok(done)
}

/// Joins the next files of a table into one; `None` if there are none to join.
pub(crate) async fn join_next_files(
    log: &TableLog,
    table: Table,
    compression: Compression,
    how: CompactionPolicy,
) -> Result<Option<CompactionStats>, DeltaError> {
    let handle = table_builder(log)?.load().await.map_err(library_error("open", log))?;
    check_columns(log, table, &handle)?;
    let Some(chosen) = how.choose_files(active_files(&handle, log)?) else { return Ok(None) };
    let files: Vec<FileAt> = chosen.iter().map(|file| file.at.clone()).collect();
    let format = FileFormat::new(table, compression);
    let joined = tokio::task::spawn_blocking(move || join_files(&format, &files)).await;
    let file = joined.map_err(|_| DeltaError::Died { what: "joining files" })??;
    hit_failpoint(log, table, "before_compact")?;
    put_file(log, &file).await?;
    let written = Timestamp::now();
    hit_failpoint(log, table, "before_compact_commit")?;
    commit_compaction(log, &handle, &chosen, (&file, written), how).await?;
    hit_failpoint(log, table, "after_compact")?;
    Ok(Some(CompactionStats {
        files_before: chosen.len(),
        files_after: 1,
        rows: usize::try_from(file.written.rows).unwrap_or(usize::MAX),
    }))
}

/// Refuses a table with other columns than ours: the new file would not have them.
fn check_columns(log: &TableLog, table: Table, handle: &DeltaTable) -> Result<(), DeltaError> {
    let metadata = handle.snapshot().map_err(library_error("read", log))?.metadata();
    let columns = metadata.parse_schema().map_err(|error| library_error("read the schema of", log)(error.into()))?;
    match schema_difference(table, &columns) {
        None => Ok(()),
        Some(what) => Err(DeltaError::Schema { path: log.folder.clone(), what }),
    }
}

fn hit_failpoint(log: &TableLog, table: Table, step: &'static str) -> Result<(), DeltaError> {
    let hit = failpoints::hit(table.name(), step);
    hit.map_err(|cause| DeltaError::Disk { what: "compact", path: log.folder.clone(), cause })
}

/// Encodes the rows of files into one file, in the same order.
fn join_files(format: &FileFormat, files: &[FileAt]) -> Result<DataFile, DeltaError> {
    let failed = |cause| DeltaError::Encode { table: format.table.name(), cause };
    let mut groups = Vec::new();
    let mut group = format.new_group().map_err(failed)?;
    for file in files {
        add_file(file.open()?, format, &mut group, &mut groups)
            .map_err(|cause| DeltaError::File { path: file.path.clone(), cause })?;
    }
    if group.rows > 0 {
        groups.push(group);
    }
    file::join_groups(format, groups).map_err(failed)
}

/// Adds the rows of a file to a row group. Full groups are moved to `full`.
fn add_file(
    input: FileInput,
    format: &FileFormat,
    group: &mut RowGroup,
    full: &mut Vec<RowGroup>,
) -> Result<(), ParquetError> {
    let schema = format.table.arrow_schema();
    for batch in ParquetRecordBatchReaderBuilder::try_new(input)?.with_batch_size(BATCH_ROWS).build()? {
        let batch = batch.map_err(from_arrow)?;
        // By name, because another engine may have written the columns in another order.
        let columns = schema.fields().iter().map(|field| batch.column_by_name(field.name()).cloned());
        let columns = columns.collect::<Option<Vec<_>>>();
        let missing = || ParquetError::General("it lacks a column".to_owned());
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.ok_or_else(missing)?).map_err(from_arrow)?;
        group.add_batch(&batch)?;
        if group.rows >= MAX_GROUP_ROWS {
            full.push(std::mem::replace(group, format.new_group()?));
        }
    }
    Ok(())
}

async fn put_file(log: &TableLog, file: &DataFile) -> Result<(), DeltaError> {
    let location = log.file_location(&file.written.name);
    let put = log.store().put(&location, file.bytes.clone().into()).await;
    put.map_err(|cause| DeltaError::Store { what: "write", path: log.display_path(&location), cause })?;
    Ok(())
}

/// Commits the replacement of files by one, if all of them are still active.
///
/// The commit is put if absent at the version after the last one read, like those of the writer. The library would
/// reload the table for each attempt, and lose every race against a writer that commits dozens of times a second.
async fn commit_compaction(
    log: &TableLog,
    handle: &DeltaTable,
    chosen: &[ActiveFile],
    (file, written): (&DataFile, Timestamp),
    how: CompactionPolicy,
) -> Result<(), DeltaError> {
    let snapshot = handle.snapshot().map_err(library_error("read", log))?;
    let chosen: HashSet<&Path> = chosen.iter().map(|file| file.at.path.as_path()).collect();
    let (mut actions, mut removed) = (Vec::new(), HashSet::new());
    for view in snapshot.log_data().iter() {
        if chosen.contains(log.folder.join(view.path().as_ref()).as_path()) {
            let remove = view.remove_action(false);
            let path =
                ObjectPath::parse(&remove.path).map_err(|error| library_error("read a name in", log)(error.into()))?;
            removed.insert(path);
            actions.push(Action::Remove(remove));
        }
    }
    if actions.len() != chosen.len() {
        // The rows of files that stay would be in the table twice.
        let what = format!("{} of {} files that were read are part of it", actions.len(), chosen.len());
        return Err(DeltaError::Foreign { path: log.folder.clone(), what });
    }
    let add = file::add_action(&file.written, Timestamp::now().as_millisecond());
    actions.push(Action::Add(Add { data_change: false, ..add }));
    let target_size = i64::try_from(how.target_bytes).unwrap_or(i64::MAX);
    let operation = DeltaOperation::Optimize { predicate: None, target_size };
    let mark = ("pinflow".to_owned(), serde_json::json!({ COMPACTION_MARK: true }));
    let bytes = CommitData::new(actions, operation, HashMap::from([mark]), Vec::new()).get_bytes();
    let bytes = bytes.map_err(|cause| library_error("encode a commit to", log)(cause.into()))?;
    let ours = commit_digest(&bytes);
    let mut version = handle.version().ok_or_else(|| DeltaError::Gap { path: log.folder.clone(), version: 0 })?;
    loop {
        while let Some(LogCommit { digest, lines }) = log.read_commit(version + 1).await? {
            if digest == ours {
                // Our own put succeeded, and its response was lost.
                return Ok(());
            }
            check_unaffected(log, &lines, &removed)?;
            version += 1;
        }
        check_file(log, file, written).await?;
        let location = log.commit_location(version + 1);
        match log.store().put_opts(&location, bytes.clone().into(), PutMode::Create.into()).await {
            Ok(_) => return Ok(()),
            // Another writer was faster, or our own put succeeded earlier.
            Err(ObjectStoreError::AlreadyExists { .. }) => {}
            Err(cause) => {
                return match log.read_commit(version + 1).await? {
                    Some(commit) if commit.digest == ours => Ok(()),
                    // If the put still succeeds later, that is safe: no other commit has that version then.
                    _ => Err(DeltaError::Store { what: "commit to", path: log.display_path(&location), cause }),
                };
            }
        }
    }
}

/// Refuses to commit a file that a vacuum may have removed or is about to remove, because no version refers to it yet.
///
/// Called after the log was read and directly before the put of the commit. A vacuum commits before it removes files.
/// If it does so in between, it takes the version, and this check runs again.
async fn check_file(log: &TableLog, file: &DataFile, written: Timestamp) -> Result<(), DeltaError> {
    let location = log.file_location(&file.written.name);
    let failed = |cause| DeltaError::Store { what: "find", path: log.display_path(&location), cause };
    log.store().head(&location).await.map_err(failed)?;
    let age = Timestamp::now().duration_since(written);
    if age.abs() > MAX_COMMIT_DELAY {
        let what = "the compacted file was committed too late (the machine was suspended, or its clock was set); a vacuum removes it";
        return Err(DeltaError::Foreign { path: log.folder.clone(), what: what.to_owned() });
    }
    Ok(())
}

/// Refuses a commit of another writer that affects the compaction: one that removes its files or changes the schema.
fn check_unaffected(log: &TableLog, lines: &[LogAction], joined: &HashSet<ObjectPath>) -> Result<(), DeltaError> {
    let foreign = |what: &str| Err(DeltaError::Foreign { path: log.folder.clone(), what: what.to_owned() });
    for line in lines {
        if line.meta_data.is_some() || line.protocol.is_some() {
            return foreign("its columns or its protocol were changed meanwhile");
        }
        let removed = line.remove.as_ref().map(|removed| ObjectPath::from_url_path(&removed.path));
        match removed {
            // An unreadable name may be one of these files.
            Some(Err(_)) => return foreign("a file with an unreadable name was removed meanwhile"),
            Some(Ok(path)) if joined.contains(&path) => {
                return foreign("files that were read were removed meanwhile");
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: u32, bytes: u64) -> ActiveFile {
        let at = FileAt::on_disk(format!("{number:03}").into());
        ActiveFile { at, bytes, written_ms: i64::from(number), rows: None, stats: None }
    }

    fn chosen(how: CompactionPolicy, sizes: &[u64]) -> Option<Vec<u64>> {
        let mut files: Vec<_> = (0..).zip(sizes).map(|(number, bytes)| file(number, *bytes)).collect();
        files.reverse();
        how.choose_files(files).map(|files| files.iter().map(|file| file.bytes).collect())
    }

    #[test]
    fn compaction_tolerates_appends_and_refuses_changes_to_its_input() {
        let log = TableLog::new(&Location::from(Path::new("/nowhere"))).unwrap();
        let joined = HashSet::from([ObjectPath::parse("a b.parquet").unwrap()]);
        let stands = |line: &str| check_unaffected(&log, &[serde_json::from_str(line).unwrap()], &joined).is_ok();
        assert!(stands(r#"{"add":{"path":"a%20b.parquet"}}"#));
        assert!(stands(r#"{"txn":{"appId":"a","version":1}}"#));
        assert!(stands(r#"{"remove":{"path":"another.parquet","dataChange":true}}"#));
        assert!(!stands(r#"{"remove":{"path":"a%20b.parquet","dataChange":true}}"#));
        assert!(!stands(r#"{"remove":{"path":"%FF","dataChange":true}}"#));
        assert!(!stands(r#"{"metaData":{"id":"1","schemaString":"{}"}}"#));
        assert!(!stands(r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#));
    }

    #[test]
    fn small_files_of_one_tier_are_chosen_in_order_and_large_ones_are_not() {
        let how = CompactionPolicy { target_bytes: 100, min_files: 3 };
        assert_eq!(chosen(how, &[]), None);
        assert_eq!(chosen(how, &[10, 200, 11]), None);
        assert_eq!(chosen(how, &[10, 200, 11, 50, 12]), Some(vec![10, 11, 12]));
        assert_eq!(chosen(how, &[49, 48, 47, 46]), Some(vec![49, 48, 47]));
        // A tier with too few files waits for more.
        assert_eq!(chosen(how, &[30, 1, 31, 2, 1]), Some(vec![1, 2, 1]));
        assert_eq!(chosen(how, &[30, 1, 31]), None);
        let all = CompactionPolicy { min_files: 2, ..how };
        assert_eq!(chosen(all, &[30, 1]), Some(vec![30, 1]));
        assert_eq!(chosen(all, &[30]), None);
        assert_eq!(chosen(all, &[100, 50]), None);
    }
}
