//! Missing data files: `--repair` restores rows from the files before a compaction, if they still exist.

use std::fs;
use std::path::{Path, PathBuf};

use deltalake::kernel::{Action, Add};
use pinflow_delta::{
    ColumnScope, CompactionPolicy, DeltaError, MissingFile, MissingFileOutcome, Table, inspect, optimize,
    restore_missing_files, verify,
};

use super::conflicts::commit_as_other_writer;
use super::model::{ModelEngine, assert_every_row_once, handle, partitions};
use super::readers::assert_other_engines_read;
use pinflow_testkit::{pinflow, succeed};

const RECORDS: u64 = 120;
/// Number of records written before the first compaction.
const RECORDS_BEFORE_COMPACTION: u64 = 60;

/// Creates tables with one compacted file each.
async fn compacted() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    run_until(root.path(), RECORDS_BEFORE_COMPACTION).await;
    optimize(root.path(), CompactionPolicy::ALL).await.unwrap();
    root
}

async fn run_until(root: &Path, records: u64) {
    let mut engine = ModelEngine::start(root, &partitions(RECORDS)).await.unwrap();
    engine.run(records, 10).await.unwrap();
}

/// The files of the newest version of a table.
async fn active(root: &Path, table: Table) -> Vec<PathBuf> {
    let folder = root.join(table.name());
    let handle = handle(&folder).await;
    let files = handle.snapshot().unwrap().log_data();
    files.iter().map(|file| folder.join(file.path().as_ref())).collect()
}

async fn compacted_file(root: &Path, table: Table) -> PathBuf {
    let files = active(root, table).await;
    assert_eq!(files.len(), 1, "one compacted file: {files:?}");
    files[0].clone()
}

/// All other data files of a table, from which this one was compacted.
fn other_data_files(root: &Path, table: Table, file: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join(table.name())).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|it| it == "parquet") && path != file).collect()
}

async fn version(root: &Path, table: Table) -> i64 {
    handle(&root.join(table.name())).await.version().unwrap().try_into().unwrap()
}

fn lost_reason(found: &[MissingFile]) -> &str {
    match found {
        [MissingFile { outcome: MissingFileOutcome::Lost { reason }, .. }] => reason,
        other => panic!("one lost file, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_compacted_file_is_replaced_by_files_it_was_made_from() {
    let root = compacted().await;
    let root = root.path();
    let mut removed = Vec::new();
    for table in [Table::Rejected, Table::Pin] {
        let file = compacted_file(root, table).await;
        fs::remove_file(&file).unwrap();
        removed.push((file, other_data_files(root, table, Path::new("")).len()));
    }
    let error = verify(inspect(root, 0).await.unwrap(), ColumnScope::Lineage, |_| {}).await.unwrap_err();
    assert!(matches!(error, DeltaError::MissingFile { .. }) && error.to_string().contains("--repair"), "{error}");
    let found = restore_missing_files(root).await.unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    for (missing, (file, made_from)) in found.iter().zip(&removed) {
        assert_eq!(&missing.file, file);
        let MissingFileOutcome::Restored { files, .. } = &missing.outcome else { panic!("{missing:?}") };
        assert_eq!(files.len(), *made_from);
    }
    assert_eq!(restore_missing_files(root).await.unwrap(), [], "the second time there is nothing to do");
    assert_every_row_once(root, &partitions(RECORDS), RECORDS_BEFORE_COMPACTION).await;
    assert_other_engines_read(root, &partitions(RECORDS), RECORDS_BEFORE_COMPACTION);
    // The tables can still be written, compacted and verified.
    run_until(root, RECORDS).await;
    optimize(root, CompactionPolicy::ALL).await.unwrap();
    assert_every_row_once(root, &partitions(RECORDS), RECORDS).await;
    let verdict = verify(inspect(root, 0).await.unwrap(), ColumnScope::All, |_| {}).await.unwrap();
    assert!(verdict.is_proved(), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn file_of_two_compactions_is_replaced_by_parts_of_parts() {
    let root = compacted().await;
    let root = root.path();
    let first = compacted_file(root, Table::Geo).await;
    run_until(root, RECORDS).await;
    optimize(root, CompactionPolicy::ALL).await.unwrap();
    let second = compacted_file(root, Table::Geo).await;
    assert_ne!(first, second);
    fs::remove_file(first).unwrap();
    fs::remove_file(second).unwrap();
    let found = restore_missing_files(root).await.unwrap();
    assert!(found.len() == 1 && !found[0].is_lost(), "{found:?}");
    assert_every_row_once(root, &partitions(RECORDS), RECORDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_whose_parts_are_missing_too_is_reported_lost_and_nothing_is_committed() {
    let root = compacted().await;
    let root = root.path();
    let file = compacted_file(root, Table::User).await;
    fs::remove_file(&file).unwrap();
    let parts = other_data_files(root, Table::User, &file);
    fs::remove_file(&parts[0]).unwrap();
    let before = version(root, Table::User).await;
    let found = restore_missing_files(root).await.unwrap();
    let part = parts[0].file_name().unwrap().to_str().unwrap();
    assert!(lost_reason(&found).contains(part), "{found:?}");
    assert_eq!(version(root, Table::User).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_no_compaction_made_is_reported_lost() {
    let root = tempfile::tempdir().unwrap();
    run_until(root.path(), RECORDS_BEFORE_COMPACTION).await;
    fs::remove_file(&active(root.path(), Table::Pin).await[0]).unwrap();
    let found = restore_missing_files(root.path()).await.unwrap();
    assert!(lost_reason(&found).contains("no compaction"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn part_already_in_the_table_is_not_restored_twice() {
    let root = compacted().await;
    let root = root.path();
    let file = compacted_file(root, Table::Pin).await;
    fs::remove_file(&file).unwrap();
    let part = other_data_files(root, Table::Pin, &file)[0].clone();
    let add = Add {
        path: part.file_name().unwrap().to_str().unwrap().to_owned(),
        size: i64::try_from(fs::metadata(&part).unwrap().len()).unwrap(),
        data_change: true,
        ..Add::default()
    };
    commit_as_other_writer(&handle(&root.join("pin")).await, vec![Action::Add(add)], Vec::new()).await;
    let before = version(root, Table::Pin).await;
    let found = restore_missing_files(root).await.unwrap();
    assert!(lost_reason(&found).contains("twice"), "{found:?}");
    assert_eq!(version(root, Table::Pin).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_command_reports_restored_and_lost_files() {
    let root = compacted().await;
    let root = root.path();
    let pin = compacted_file(root, Table::Pin).await;
    fs::remove_file(&pin).unwrap();
    let output = succeed(pinflow(["table", "--repair"]).arg(root));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(pin.file_name().unwrap().to_str().unwrap()), "{text}");
    assert!(text.contains("has its") && text.contains("none lost"), "{text}");
    // A file that cannot be restored.
    let geo = compacted_file(root, Table::Geo).await;
    fs::remove_file(&geo).unwrap();
    for part in other_data_files(root, Table::Geo, &geo) {
        fs::remove_file(part).unwrap();
    }
    let output = pinflow(["table", "--repair"]).arg(root).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("LOST") && text.contains("backup") && !text.contains("none lost"), "{text}");
    let output = pinflow(["table", "--repair", "--format", "json"]).arg(root).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["missing_files"][0]["outcome"]["lost"]["reason"].is_string(), "{report}");
}
