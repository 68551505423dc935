//! Conflicts at the tables: fencing between two writers, commits of other engines, damaged logs, and tables of others.

use std::fs;
use std::path::{Path, PathBuf};

use deltalake::DeltaTable;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use pinflow_delta::{ClaimPolicy, DeltaError, Table, TablesSettings, repair};

use super::model::{ModelEngine, assert_every_row_once, handle, open, partitions, settings};

async fn start_and_commit(root: &Path, until: u64) -> ModelEngine {
    let mut engine = ModelEngine::start(root, &partitions(40)).await.unwrap();
    let window = engine.window(until, until, 1).unwrap();
    engine.tables.commit(window).await.unwrap();
    engine
}

fn log(root: &Path, table: Table) -> PathBuf {
    root.join(table.name()).join("_delta_log")
}

pub(super) async fn commit_as_other_writer(table: &DeltaTable, actions: Vec<Action>, txns: Vec<Transaction>) {
    let properties = CommitProperties::default().with_application_transactions(txns);
    let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    let commit = CommitBuilder::from(properties).with_actions(actions);
    commit.build(Some(table.snapshot().unwrap().snapshot()), table.log_store(), operation).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_of_two_writers_is_fenced() {
    let root = tempfile::tempdir().unwrap();
    let mut old = start_and_commit(root.path(), 10).await;
    let mut new = ModelEngine::start(root.path(), &partitions(40)).await.unwrap();
    // The old writer is a zombie that wakes up with a window to commit.
    let error = old.run(40, 10).await.unwrap_err();
    assert!(error.is_fenced(), "{error}");
    new.run(40, 10).await.unwrap();
    assert_every_row_once(root.path(), &partitions(40), 40).await;
}

async fn start_with_late_claim(root: &Path) -> ModelEngine {
    let settings = TablesSettings { claim: ClaimPolicy::AtFirstCommit, ..settings(root) };
    ModelEngine::with(settings, &partitions(40)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn late_claim_commits_nothing_without_new_rows_and_new_rows_once() {
    let root = tempfile::tempdir().unwrap();
    start_and_commit(root.path(), 10).await;
    let mut idle = start_with_late_claim(root.path()).await;
    let version = idle.tables.status().borrow()[0].version;
    idle.tables.finish().await.unwrap();
    let mut late = start_with_late_claim(root.path()).await;
    assert_eq!(late.tables.status().borrow()[0].version, version, "looking leaves no trace");
    late.run(40, 7).await.unwrap();
    assert_every_row_once(root.path(), &partitions(40), 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_claim_after_another_writer_is_rejected_and_does_not_fence_it() {
    let root = tempfile::tempdir().unwrap();
    start_and_commit(root.path(), 10).await;
    let mut late = start_with_late_claim(root.path()).await;
    let mut other = start_and_commit(root.path(), 20).await;
    let error = late.run(40, 10).await.unwrap_err();
    assert!(error.is_fenced(), "{error}");
    other.run(40, 10).await.unwrap();
    assert_every_row_once(root.path(), &partitions(40), 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_claim_fences_an_older_idle_writer() {
    let root = tempfile::tempdir().unwrap();
    let mut old = start_and_commit(root.path(), 10).await;
    let mut late = start_with_late_claim(root.path()).await;
    late.run(40, 10).await.unwrap();
    let error = old.run(40, 10).await.unwrap_err();
    assert!(error.is_fenced(), "{error}");
    assert_every_row_once(root.path(), &partitions(40), 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_simultaneous_writers_exactly_one_survives() {
    let root = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let root = root.path().to_owned();
            starts.spawn(async move {
                let mut engine = ModelEngine::start(&root, &partitions(40)).await?;
                engine.run(40, 3).await
            });
        }
        let ends = starts.join_all().await;
        let lived = ends.iter().filter(|end| end.is_ok()).count();
        assert!(lived >= 1, "{ends:?}");
        assert!(ends.iter().filter_map(|end| end.as_ref().err()).all(DeltaError::is_fenced), "{ends:?}");
    }
    assert_every_row_once(root.path(), &partitions(40), 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_append_is_retried_around() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = start_and_commit(root.path(), 10).await;
    for table in Table::ALL {
        let handle = handle(&root.path().join(table.name())).await;
        commit_as_other_writer(&handle, Vec::new(), vec![Transaction::new("another application", 3)]).await;
    }
    engine.run(40, 10).await.unwrap();
    assert_every_row_once(root.path(), &partitions(40), 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_compaction_is_retried_around() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = start_and_commit(root.path(), 10).await;
    // Rewrite the only file under another name, as OPTIMIZE would.
    let folder = root.path().join("pin");
    let table = handle(&folder).await;
    let remove = table.snapshot().unwrap().log_data().iter().next().unwrap().remove_action(false);
    let written = super::protocol::commit(root.path(), Table::Pin, 2);
    let mut add: Add =
        serde_json::from_value(written.iter().find_map(|line| line.get("add")).unwrap().clone()).unwrap();
    fs::copy(folder.join(&add.path), folder.join("compacted.parquet")).unwrap();
    (add.path, add.data_change) = ("compacted.parquet".to_owned(), false);
    commit_as_other_writer(&table, vec![Action::Remove(remove), Action::Add(add)], Vec::new()).await;
    engine.run(40, 10).await.unwrap();
    assert_every_row_once(root.path(), &partitions(40), 40).await;
}

/// Continues after the log was changed during a run: the run must end without writing to that log.
async fn end_of(root: &Path, table: Table, mut engine: ModelEngine) -> DeltaError {
    let commits = || fs::read_dir(log(root, table)).map_or(0, Iterator::count);
    let before = commits();
    let error = engine.run(40, 10).await.unwrap_err();
    assert_eq!(before, commits(), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn table_replaced_while_open_ends_the_writer() {
    for table in [Table::Rejected, Table::User] {
        // Removed.
        let root = tempfile::tempdir().unwrap();
        let engine = start_and_commit(root.path(), 10).await;
        fs::remove_dir_all(root.path().join(table.name())).unwrap();
        assert!(matches!(end_of(root.path(), table, engine).await, DeltaError::Replaced { .. }));
        assert!(!root.path().join(table.name()).exists(), "no new one is made in its place");
        // Rolled back.
        let root = tempfile::tempdir().unwrap();
        let engine = start_and_commit(root.path(), 10).await;
        fs::remove_file(log(root.path(), table).join(format!("{:020}.json", 2))).unwrap();
        assert!(matches!(end_of(root.path(), table, engine).await, DeltaError::Replaced { .. }));
        // Re-created, with a longer log than before.
        let root = tempfile::tempdir().unwrap();
        let engine = start_and_commit(root.path(), 10).await;
        let other = tempfile::tempdir().unwrap();
        let mut longer = ModelEngine::start(other.path(), &partitions(40)).await.unwrap();
        longer.run(40, 5).await.unwrap();
        fs::remove_dir_all(root.path().join(table.name())).unwrap();
        fs::rename(other.path().join(table.name()), root.path().join(table.name())).unwrap();
        assert!(matches!(end_of(root.path(), table, engine).await, DeltaError::Replaced { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn table_lost_between_runs_is_not_recreated() {
    let root = tempfile::tempdir().unwrap();
    drop(start_and_commit(root.path(), 10).await);
    fs::remove_dir_all(root.path().join("geo")).unwrap();
    let error = open(root.path()).await.err().unwrap();
    assert!(matches!(error, DeltaError::Missing { .. }), "{error}");
    assert!(!root.path().join("geo").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn column_added_by_another_writer_ends_the_run() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = start_and_commit(root.path(), 10).await;
    let path = log(root.path(), Table::Pin).join(format!("{:020}.json", 0));
    let first = fs::read_to_string(path).unwrap();
    let metadata = first.lines().find(|line| line.contains("metaData")).unwrap();
    let changed = metadata.replace("\\\"name\\\":\\\"title\\\"", "\\\"name\\\":\\\"headline\\\"");
    assert_ne!(metadata, changed);
    fs::write(log(root.path(), Table::Pin).join(format!("{:020}.json", 3)), changed).unwrap();
    let error = engine.run(40, 10).await.unwrap_err();
    assert!(error.to_string().contains("column 3 is called headline, not title"), "{error}");
    // The next start refuses it too.
    assert!(matches!(open(root.path()).await.err().unwrap(), DeltaError::Schema { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_table_is_refused_and_not_modified() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("user")).unwrap();
    fs::write(root.path().join("user/holiday.jpg"), "x").unwrap();
    let error = open(root.path()).await.err().unwrap();
    assert!(error.to_string().contains("holiday.jpg"), "{error}");
    assert!(!root.path().join("pin").exists(), "nothing is created beside it");

    let root = tempfile::tempdir().unwrap();
    drop(start_and_commit(root.path(), 10).await);
    let settings = TablesSettings { pipeline: "other".to_owned(), ..settings(root.path()) };
    let error = pinflow_delta::DeltaTables::open(settings).await.err().unwrap();
    assert!(matches!(error, DeltaError::Pipeline { .. }), "{error}");
}

fn edit_commit(root: &Path, table: Table, version: u64, from: &str, to: &str) {
    let path = log(root, table).join(format!("{version:020}.json"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn table_with_expiring_positions_is_refused() {
    let root = tempfile::tempdir().unwrap();
    drop(start_and_commit(root.path(), 10).await);
    let property = "\"pinflow.pipeline\":\"posts\"";
    let expiring = format!("\"delta.setTransactionRetentionDuration\":\"interval 1 days\",{property}");
    edit_commit(root.path(), Table::User, 0, property, &expiring);
    let error = open(root.path()).await.err().unwrap();
    assert!(matches!(error, DeltaError::Property { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn table_with_rows_but_no_positions_is_refused() {
    let root = tempfile::tempdir().unwrap();
    drop(start_and_commit(root.path(), 10).await);
    let path = log(root.path(), Table::Pin).join(format!("{:020}.json", 2));
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains("\"txn\"")).collect();
    fs::write(path, kept.join("\n")).unwrap();
    let error = open(root.path()).await.err().unwrap();
    assert!(matches!(error, DeltaError::NoPositions { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn table_with_newer_protocol_is_refused() {
    let root = tempfile::tempdir().unwrap();
    drop(start_and_commit(root.path(), 10).await);
    edit_commit(root.path(), Table::Geo, 0, "\"minWriterVersion\":2", "\"minWriterVersion\":4");
    let error = open(root.path()).await.err().unwrap();
    assert!(matches!(error, DeltaError::Protocol { writer: 4, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_or_empty_newest_commit_is_reported_and_reread_after_repair() {
    let root = tempfile::tempdir().unwrap();
    drop(start_and_commit(root.path(), 10).await);
    let newest = log(root.path(), Table::Pin).join(format!("{:020}.json", 2));
    let whole = fs::read(&newest).unwrap();
    for damage in [&whole[..whole.len() / 2], b""] {
        fs::write(&newest, damage).unwrap();
        let error = open(root.path()).await.err().unwrap();
        let is_named = |path: &str| path.ends_with("00000000000000000002.json");
        assert!(matches!(&error, DeltaError::Torn { path, .. } if is_named(path)), "{error}");
    }
    for damage in [&whole[..whole.len() / 2], b""] {
        let root = tempfile::tempdir().unwrap();
        drop(start_and_commit(root.path(), 10).await);
        fs::write(log(root.path(), Table::Pin).join(format!("{:020}.json", 2)), damage).unwrap();
        let mended = repair(root.path()).await.unwrap();
        assert_eq!(mended.len(), 1, "{mended:?}");
        let mut engine = ModelEngine::start(root.path(), &partitions(40)).await.unwrap();
        engine.run(40, 10).await.unwrap();
        assert_every_row_once(root.path(), &partitions(40), 40).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_newest_checkpoint_is_reported_and_moved_aside_by_repair() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(30)).await.unwrap();
    engine.run_with_checkpoints((30, 1), root.path(), &[Table::Pin]).await.unwrap();
    let log = log(root.path(), Table::Pin);
    let checkpoint = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let checkpoint = checkpoint.filter(|path| path.to_string_lossy().ends_with("checkpoint.parquet")).max().unwrap();
    let whole = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, &whole[..whole.len() / 2]).unwrap();
    let error = open(root.path()).await.err().unwrap();
    assert!(matches!(error, DeltaError::Checkpoint { .. }), "{error}");
    let mended = repair(root.path()).await.unwrap();
    let files: Vec<_> = mended.iter().map(|it| it.file.clone()).collect();
    assert_eq!(files, [checkpoint.canonicalize().unwrap_or(checkpoint), log.join("_last_checkpoint")]);
    assert!(mended.iter().all(|it| it.moved_to.exists() && !it.file.exists()), "{mended:?}");
    assert_every_row_once(root.path(), &partitions(30), 30).await;
    assert_eq!(repair(root.path()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_moves_no_file_that_the_log_needs() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(30)).await.unwrap();
    engine.run_with_checkpoints((30, 1), root.path(), &[Table::Pin]).await.unwrap();
    let log = log(root.path(), Table::Pin);
    // Remove a commit that is only in the damaged checkpoint.
    let names = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    for checkpoint in names.filter(|path| path.to_string_lossy().ends_with("checkpoint.parquet")) {
        fs::write(checkpoint, "no parquet").unwrap();
    }
    fs::rename(log.join(format!("{:020}.json", 3)), root.path().join("3.json")).unwrap();
    let error = repair(root.path()).await.unwrap_err();
    assert!(matches!(error, DeltaError::Gap { version: 3, .. }), "{error}");
    assert!(!root.path().join("pin/_damaged").exists());
    fs::rename(root.path().join("3.json"), log.join(format!("{:020}.json", 3))).unwrap();
    assert!(!repair(root.path()).await.unwrap().is_empty());
    // Tear a commit that is not the newest.
    let third = log.join(format!("{:020}.json", 3));
    let whole = fs::read(&third).unwrap();
    fs::write(&third, &whole[..whole.len() / 2]).unwrap();
    let error = repair(root.path()).await.unwrap_err();
    assert!(matches!(&error, DeltaError::Torn { path, .. } if path.ends_with("3.json")), "{error}");
    fs::write(&third, whole).unwrap();
    assert_every_row_once(root.path(), &partitions(30), 30).await;
}
