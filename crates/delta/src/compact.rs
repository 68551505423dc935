//! Many small files of a table become few large ones, and what is not part of the table any more is removed.
//!
//! Both are done from outside of the writer's protocol, by whoever wants to, at any time: a compaction is one commit that
//! takes files out and puts in one with the same rows, and it only lands if all of them still are in the table. Rows,
//! positions and answers are as before; a process that dies meanwhile leaves a file to which nothing refers, which
//! vacuum removes. What is taken out can be read in older versions until vacuum's retention is over.
//!
//! Memory: one group of rows while it is encoded, and the new file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use deltalake::DeltaTable;
use deltalake::ObjectStoreError;
use deltalake::arrow::array::RecordBatch;
use deltalake::kernel::transaction::CommitData;
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

/// Rows that are encoded together: large groups are read faster, and are held in memory while they are encoded.
const MAX_GROUP_ROWS: usize = 48 << 10;
/// Rows that are decoded at once.
const BATCH_ROWS: usize = 4 << 10;
/// From the writing of a file to its commit at the most: far less than any vacuum keeps what no version refers to. A
/// machine that was suspended in between takes longer.
const MAX_COMMIT_DELAY: SignedDuration = SignedDuration::from_mins(5);
/// How long a file is kept where there are too many, after it was taken out or, if it never was part of the table, after
/// it was written: longer than a compaction may take to its commit.
const CROWDED_RETENTION: TimeDelta = TimeDelta::minutes(10);

/// How long files are kept to which the newest version of a table does not refer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VacuumRetention {
    /// Hours.
    pub(crate) hours: u32,
    /// How many they may be; above that only those of the last minutes are kept.
    pub(crate) files_max: Option<NonZeroU32>,
}

/// How files are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// Bytes that a file should have. One of half as many, or more, is left alone.
    pub target_bytes: u64,
    /// Files that are joined at the least, unless they make up a whole one: few files are not worth the writing.
    pub min_files: usize,
}

impl CompactionPolicy {
    /// As much as is worth while, for people who ask for it.
    pub const ALL: CompactionPolicy = CompactionPolicy { target_bytes: 64 << 20, min_files: 2 };
    /// As little as keeps the number of files small, beside a run: a row is written anew as often as the number of files
    /// is a power of 32.
    pub const BACKGROUND: CompactionPolicy = CompactionPolicy { target_bytes: 32 << 20, min_files: 32 };

    /// The first files that are to be joined: of about one size, in the order in which they were written.
    ///
    /// Were small files joined with what others had become, that would be written anew each time (the size tiers of
    /// log-structured stores).
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
            // One small file beside a nearly full one is never alone: both are less than half.
            Some(last) => files.truncate(last + 1),
            None if files.len() < self.min_files.max(2) => return None,
            None => {}
        }
        Some(files)
    }
}

/// What joining came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CompactionStats {
    /// Files taken out.
    pub files_before: usize,
    /// Files put in.
    pub files_after: usize,
    /// Rows in them.
    pub rows: usize,
}

impl std::ops::AddAssign for CompactionStats {
    fn add_assign(&mut self, more: CompactionStats) {
        self.files_before += more.files_before;
        self.files_after += more.files_after;
        self.rows += more.rows;
    }
}

/// Joins the small files of the tables under a place, or of the one table that it is.
///
/// # Errors
/// If a table cannot be read or written, or somebody else takes out files, or changes its columns, while they are joined.
pub async fn optimize(
    place: impl Into<Location>,
    how: CompactionPolicy,
) -> Result<Vec<(&'static str, CompactionStats)>, DeltaError> {
    let mut done = Vec::new();
    // Finds them, and checks that they are pinflow's and written by these rules.
    for TableContents { table, which, place, .. } in inspect(place, 0).await? {
        let log = TableLog::new(&place)?;
        done.push((table, compact_table(&log, which, Compression::default(), how).await?));
    }
    Ok(done)
}

/// Removes the files of tables to which no version of the last `hours` refers. Gives back their names.
///
/// A file stands in its folder before its commit does, for seconds, or for as long as a full disk keeps the commit back:
/// with few `hours` nothing may be writing.
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

/// Removes what no version of the last hours refers to, or of the last minutes if there is too much of it.
pub(crate) async fn remove_unreferenced(log: &TableLog, keep: VacuumRetention) -> Result<Vec<String>, DeltaError> {
    let handle = table_builder(log)?.load().await.map_err(library_error("open", log))?;
    // What was never part of the table, too: a process that dies between a file and its commit leaves it.
    let is_data = |(name, _): &&(String, u64)| name.ends_with(".parquet");
    let there = log.place().list_entries().await?.files.iter().filter(is_data).count();
    let active = active_files(&handle, log)?.len();
    let is_crowded = keep.files_max.is_some_and(|max| there.saturating_sub(active) > max.get() as usize);
    let retention = if is_crowded { CROWDED_RETENTION } else { TimeDelta::hours(keep.hours.into()) };
    let vacuum = handle.vacuum().with_mode(VacuumMode::Full).with_retention_period(retention);
    let (_, swept) = vacuum.with_enforce_retention_duration(false).await.map_err(library_error("vacuum", log))?;
    let mut removed = swept.files_deleted;
    removed.extend(remove_staged_files(log, keep.hours)?);
    Ok(removed)
}

/// Removes the files of a table and its log that processes were writing when they died, some hours ago.
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

/// What processes that died were writing to a table and its log; in a bucket a file is whole or not there.
pub(crate) fn table_staged_files(log: &TableLog) -> Result<Vec<StagedFile>, DeltaError> {
    let Some(folder) = log.place().local_folder() else { return Ok(Vec::new()) };
    let failed = |cause| DeltaError::Disk { what: "list", path: folder.to_owned(), cause };
    let mut found = find_staged_files(folder).map_err(failed)?;
    found.extend(find_staged_files(&folder.join("_delta_log")).map_err(failed)?);
    Ok(found)
}

/// Joins until nothing is left to be joined.
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

/// Joins the first files that are to be joined into one; `None` if there are none.
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
    Ok(Some(CompactionStats { files_before: chosen.len(), files_after: 1, rows: file.rows }))
}

/// A column that somebody has added would be left out of the new file.
fn check_columns(log: &TableLog, table: Table, handle: &DeltaTable) -> Result<(), DeltaError> {
    let metadata = handle.snapshot().map_err(library_error("read", log))?.metadata();
    let columns = metadata.parse_schema().map_err(|fault| library_error("read the schema of", log)(fault.into()))?;
    match schema_difference(table, &columns) {
        None => Ok(()),
        Some(what) => Err(DeltaError::Schema { path: log.folder.clone(), what }),
    }
}

fn hit_failpoint(log: &TableLog, table: Table, step: &'static str) -> Result<(), DeltaError> {
    let hit = failpoints::hit(table.name(), step);
    hit.map_err(|cause| DeltaError::Disk { what: "compact", path: log.folder.clone(), cause })
}

/// One file with the rows of these, in their order.
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

/// Adds the rows of a file to a group; what is full goes to the others.
fn add_file(
    input: FileInput,
    format: &FileFormat,
    group: &mut RowGroup,
    full: &mut Vec<RowGroup>,
) -> Result<(), ParquetError> {
    let schema = format.table.arrow_schema();
    for batch in ParquetRecordBatchReaderBuilder::try_new(input)?.with_batch_size(BATCH_ROWS).build()? {
        let batch = batch.map_err(from_arrow)?;
        // By name: another engine may have put its columns in another order.
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
    let location = log.file_location(&file.name);
    let put = log.store().put(&location, file.bytes.clone().into()).await;
    put.map_err(|cause| DeltaError::Store { what: "write", path: log.display_path(&location), cause })?;
    Ok(())
}

/// Takes files out and puts one in, if all of them still are in the table.
///
/// The put is the writer's: if absent, at exactly the version after the last one read. The library's own would look at the
/// whole table again at each try, and so lose every race with a writer that commits some dozen times a second.
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
                ObjectPath::parse(&remove.path).map_err(|fault| library_error("read a name in", log)(fault.into()))?;
            removed.insert(path);
            actions.push(Action::Remove(remove));
        }
    }
    if actions.len() != chosen.len() {
        // What stays would be there twice.
        let what = format!("{} of {} files that were read are part of it", actions.len(), chosen.len());
        return Err(DeltaError::Foreign { path: log.folder.clone(), what });
    }
    let add = file.add_action(Timestamp::now().as_millisecond());
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
                // A put whose answer was lost on its way.
                return Ok(());
            }
            check_unaffected(log, &lines, &removed)?;
            version += 1;
        }
        check_file(log, file, written).await?;
        let location = log.commit_location(version + 1);
        match log.store().put_opts(&location, bytes.clone().into(), PutMode::Create.into()).await {
            Ok(_) => return Ok(()),
            // Somebody was quicker, or it was we.
            Err(ObjectStoreError::AlreadyExists { .. }) => {}
            Err(cause) => {
                return match log.read_commit(version + 1).await? {
                    Some(commit) if commit.digest == ours => Ok(()),
                    // If it lands later it is as good: nothing else stands at that version then.
                    _ => Err(DeltaError::Store { what: "commit to", path: log.display_path(&location), cause }),
                };
            }
        }
    }
}

/// Refuses to commit a file that a vacuum may have removed, or will: no version referred to it until now.
///
/// Asked after the log was read and just before the commit is put at the next version. A vacuum commits before it
/// removes anything, so one that comes in between takes that version, and this is asked again.
async fn check_file(log: &TableLog, file: &DataFile, written: Timestamp) -> Result<(), DeltaError> {
    let location = log.file_location(&file.name);
    let failed = |cause| DeltaError::Store { what: "find", path: log.display_path(&location), cause };
    log.store().head(&location).await.map_err(failed)?;
    let age = Timestamp::now().duration_since(written);
    if age.abs() > MAX_COMMIT_DELAY {
        let what = "the file with the joined rows waited for its commit for too long (a suspended machine, or a clock that \
                    was set); it is left to vacuum";
        return Err(DeltaError::Foreign { path: log.folder.clone(), what: what.to_owned() });
    }
    Ok(())
}

/// Refuses what a commit has changed of what was read: the files that were joined, or what a row is.
fn check_unaffected(log: &TableLog, lines: &[LogAction], joined: &HashSet<ObjectPath>) -> Result<(), DeltaError> {
    let foreign = |what: &str| Err(DeltaError::Foreign { path: log.folder.clone(), what: what.to_owned() });
    for line in lines {
        if line.meta_data.is_some() || line.protocol.is_some() {
            return foreign("its columns or its protocol were changed meanwhile");
        }
        let removed = line.remove.as_ref().map(|removed| ObjectPath::from_url_path(&removed.path));
        match removed {
            // A name that cannot be read may be one of them.
            Some(Err(_)) => return foreign("a file of an unreadable name was taken out meanwhile"),
            Some(Ok(path)) if joined.contains(&path) => {
                return foreign("files that were read were taken out meanwhile");
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
    fn joining_goes_on_over_rows_that_were_added_and_not_over_changes_to_what_it_read() {
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
    fn small_files_are_joined_in_their_order_and_large_ones_are_left_alone() {
        let how = CompactionPolicy { target_bytes: 100, min_files: 3 };
        assert_eq!(chosen(how, &[]), None);
        assert_eq!(chosen(how, &[10, 200, 11]), None);
        assert_eq!(chosen(how, &[10, 200, 11, 50, 12]), Some(vec![10, 11, 12]));
        assert_eq!(chosen(how, &[49, 48, 47, 46]), Some(vec![49, 48, 47]));
        // Those of another size wait until there are more of them.
        assert_eq!(chosen(how, &[30, 1, 31, 2, 1]), Some(vec![1, 2, 1]));
        assert_eq!(chosen(how, &[30, 1, 31]), None);
        let all = CompactionPolicy { min_files: 2, ..how };
        assert_eq!(chosen(all, &[30, 1]), Some(vec![30, 1]));
        assert_eq!(chosen(all, &[30]), None);
        assert_eq!(chosen(all, &[100, 50]), None);
    }
}
