//! Commits of other writers that change rows: each is detected during the run and at the start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use deltalake::DeltaTable;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add};
use deltalake::protocol::DeltaOperation;
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_delta::{
    ColumnScope, CompactionPolicy, DeltaError, DeltaTables, Table, TablesSettings, accept_deletion, inspect, repair,
    verify,
};

use super::conflicts::commit_as_other_writer;
use super::model::{ModelEngine, assert_every_row_once, handle, open, partitions, settings};

const RECORDS: u64 = 40;

async fn start_and_commit(root: &Path, until: u64) -> ModelEngine {
    let mut engine = ModelEngine::start(root, &partitions(RECORDS)).await.unwrap();
    let window = engine.window(until, until, 1).unwrap();
    engine.tables.commit(window).await.unwrap();
    engine
}

/// Reads all rows back, as a start does. Returns their number or the error.
async fn read_back(root: &Path) -> Result<u64, DeltaError> {
    let (tables, _) = open(root).await?;
    read_all(&tables).await
}

async fn read_all(tables: &DeltaTables) -> Result<u64, DeltaError> {
    let (mut chunks, mut rows) =
        (tables.read_back(DuplicatePolicy::Keep, &pinflow::dataflows::questions::ReadColumns::held()), 0);
    while let Some(chunk) = chunks.recv().await {
        rows += pinflow_connect::sink::StoredChunk::len(&chunk?) as u64;
    }
    Ok(rows)
}

/// The actions that remove every file of a table, and those that add each again under another name.
fn rewritten(root: &Path, table: Table, handle: &DeltaTable, name: &str) -> (Vec<Action>, Vec<Action>) {
    let folder = root.join(table.name());
    let (mut removes, mut adds) = (Vec::new(), Vec::new());
    for (at, file) in handle.snapshot().unwrap().log_data().iter().enumerate() {
        let path = format!("{name}-{at}.parquet");
        fs::copy(folder.join(file.path().as_ref()), folder.join(&path)).unwrap();
        let stats = file.num_records().map(|rows| format!("{{\"numRecords\":{rows}}}"));
        adds.push(Action::Add(Add { path, size: file.size(), stats, data_change: false, ..Add::default() }));
        removes.push(Action::Remove(file.remove_action(false)));
    }
    (removes, adds)
}

/// Commits an OPTIMIZE as delta-rs does: at the next version, regardless of commits in between.
async fn optimize(handle: &DeltaTable, actions: Vec<Action>) {
    let operation = DeltaOperation::Optimize { predicate: None, target_size: 1 };
    let commit = CommitBuilder::from(CommitProperties::default()).with_actions(actions);
    commit.build(Some(handle.snapshot().unwrap().snapshot()), handle.log_store(), operation).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn run_ends_when_another_writer_changes_rows() {
    for (case, said) in [("removed", "took out"), ("added", "added"), ("twice", "there twice")] {
        let root = tempfile::tempdir().unwrap();
        let mut engine = start_and_commit(root.path(), 10).await;
        let geo = handle(&root.path().join("geo")).await;
        let (removes, adds) = rewritten(root.path(), Table::Geo, &geo, "other");
        match case {
            "removed" => commit_as_other_writer(&geo, removes, Vec::new()).await,
            "added" => commit_as_other_writer(&geo, adds, Vec::new()).await,
            _ => {
                let (again, adds_again) = rewritten(root.path(), Table::Geo, &geo, "again");
                commit_as_other_writer(&geo, [removes, adds].concat(), Vec::new()).await;
                // delta-rs commits the second one too.
                let current = handle(&root.path().join("geo")).await;
                commit_as_other_writer(&current, [again, adds_again].concat(), Vec::new()).await;
            }
        }
        let commits = || fs::read_dir(root.path().join("geo/_delta_log")).unwrap().count();
        let before = commits();
        let error = engine.run(RECORDS, 10).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, DeltaError::Altered { .. }), "{case}: {text}");
        assert!(text.contains(said) && text.contains("engine delta-rs") && text.contains("RESTORE"), "{case}: {text}");
        assert_eq!(commits(), before, "{case}: nothing was written since");
        // The next start detects it in the rows.
        let error = read_back(root.path()).await.unwrap_err();
        assert!(matches!(error, DeltaError::Law { .. }), "{case}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_table_passes_verification() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = start_and_commit(root.path(), 10).await;
    let before = handle(&root.path().join("pin")).await;
    let (removes, _) = rewritten(root.path(), Table::Pin, &before, "other");
    let active = before.snapshot().unwrap().log_data();
    let files = active.iter().map(|file| {
        let stats = file.stats();
        Action::Add(Add {
            path: file.path().into_owned(),
            size: file.size(),
            stats,
            data_change: true,
            ..Add::default()
        })
    });
    let restored: Vec<_> = files.collect();
    commit_as_other_writer(&before, removes, Vec::new()).await;
    engine.run(RECORDS, 10).await.unwrap_err();
    commit_as_other_writer(&handle(&root.path().join("pin")).await, restored, Vec::new()).await;
    read_back(root.path()).await.unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(RECORDS)).await.unwrap();
    engine.run(RECORDS, 10).await.unwrap();
    assert_every_row_once(root.path(), &partitions(RECORDS), RECORDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_deletion_makes_start_and_verify_succeed_and_outlives_checkpoints() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = start_and_commit(root.path(), 10).await;
    engine.tables.finish().await.unwrap();
    let pin = handle(&root.path().join("pin")).await;
    let rows = inspect(root.path(), 0).await.unwrap()[1].rows;
    let (removes, _) = rewritten(root.path(), Table::Pin, &pin, "other");
    commit_as_other_writer(&pin, removes, Vec::new()).await;
    let error = read_back(root.path()).await.unwrap_err();
    assert!(error.to_string().contains("accept-deletion"), "{error}");
    let accepted = accept_deletion(root.path()).await.unwrap();
    assert_eq!(accepted.iter().map(|one| one.rows).sum::<u64>(), rows, "{accepted:?}");
    assert_eq!(accept_deletion(root.path()).await.unwrap(), [], "the second time there is nothing to accept");
    read_back(root.path()).await.unwrap();
    // These tests create a checkpoint every four commits.
    let mut engine = ModelEngine::start(root.path(), &partitions(RECORDS)).await.unwrap();
    engine.run_with_checkpoints((RECORDS, 2), root.path(), &[Table::Rejected, Table::Pin]).await.unwrap();
    // Now that the run has ended, no checkpoint is under way that would find its commits gone.
    let logs = ["rejected/_delta_log", "pin/_delta_log"].map(|log| root.path().join(log));
    logs.iter().for_each(|log| clean_up(log));
    let verdict = verify(inspect(root.path(), 0).await.unwrap(), ColumnScope::All, |_| {}).await.unwrap();
    assert!(verdict.is_proved(), "{verdict:?}");
    assert_eq!(verdict.partitions.iter().map(|one| one.deleted).sum::<u64>(), rows);
    read_back(root.path()).await.unwrap();
}

/// The version of the newest checkpoint of a log.
fn newest_checkpoint(log: &Path) -> Option<u64> {
    let names = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".checkpoint.parquet")?.parse::<u64>().ok()).max()
}

/// Removes the commits of a log before its newest checkpoint.
fn clean_up(log: &Path) {
    for version in 0..newest_checkpoint(log).expect("a checkpoint") {
        let _ = fs::remove_file(log.join(format!("{version:020}.json")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_rows_cannot_be_accepted() {
    let root = tempfile::tempdir().unwrap();
    drop(start_and_commit(root.path(), 10).await);
    let user = handle(&root.path().join("user")).await;
    let (_, adds) = rewritten(root.path(), Table::User, &user, "other");
    commit_as_other_writer(&user, adds, Vec::new()).await;
    let error = accept_deletion(root.path()).await.unwrap_err();
    assert!(error.to_string().contains("repeat"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_rejections_are_found_after_repair_and_at_every_start() {
    for damage in ["torn", "empty"] {
        let root = tempfile::tempdir().unwrap();
        drop(start_and_commit(root.path(), 10).await);
        let newest = root.path().join(format!("rejected/_delta_log/{:020}.json", 2));
        let whole = fs::read(&newest).unwrap();
        assert!(String::from_utf8_lossy(&whole).contains("\"add\""), "it holds rejections");
        fs::write(&newest, if damage == "torn" { &whole[..whole.len() / 2] } else { b"" }).unwrap();
        assert!(matches!(open(root.path()).await.err().unwrap(), DeltaError::Torn { .. }));
        let moved = repair(root.path()).await.unwrap();
        assert_eq!(moved.len(), 1, "{moved:?}");
        let verdict = verify(inspect(root.path(), 0).await.unwrap(), ColumnScope::Lineage, |_| {}).await.unwrap();
        assert!(verdict.violations.iter().any(|what| what.contains("the tables hold")), "{damage}: {verdict:?}");
        for _ in 0..2 {
            let error = read_back(root.path()).await.unwrap_err();
            assert!(matches!(error, DeltaError::Law { .. }), "{damage}: {error}");
        }
        // Restoring it from a backup repairs the table.
        fs::write(&newest, &whole).unwrap();
        for version in 3..9 {
            let _ = fs::remove_file(root.path().join(format!("rejected/_delta_log/{version:020}.json")));
        }
        read_back(root.path()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pinflow_stops_compacting_a_table_that_another_engine_optimizes() {
    let how = CompactionPolicy { target_bytes: 32 << 20, min_files: 4 };
    let operations = |root: &Path, table: &str| {
        let mut operations = BTreeMap::new();
        for entry in fs::read_dir(root.join(table).join("_delta_log")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "json") {
                let text = fs::read_to_string(&path).unwrap();
                *operations.entry(text.contains("\"compaction\":true")).or_insert(0) += 1;
            }
        }
        operations.get(&true).copied().unwrap_or(0)
    };
    let records = 300;
    for other_optimizes in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let with = TablesSettings { compaction: Some(how), ..settings(root.path()) };
        let mut engine = ModelEngine::with(with, &partitions(records)).await.unwrap();
        let window = engine.window(2, 2, 1).unwrap();
        engine.tables.commit(window).await.unwrap();
        if other_optimizes {
            let pin = handle(&root.path().join("pin")).await;
            let (removes, adds) = rewritten(root.path(), Table::Pin, &pin, "other");
            optimize(&pin, [removes, adds].concat()).await;
        }
        // Compactions run beside the commits, which start them: commit until the tables are compacted, and then the rest.
        let is_compacted = |table| operations(root.path(), table) > 0;
        let mut epoch = 1;
        loop {
            let done = is_compacted("geo") && (other_optimizes || is_compacted("pin"));
            let step = if done { records } else { 1 };
            let Some(window) = engine.window(records, step, epoch) else { break };
            epoch += 1;
            engine.tables.commit(window).await.unwrap();
            // Longer and longer: where commits follow each other too quickly, a compaction never gets its turn.
            tokio::time::sleep(std::time::Duration::from_millis(10 * epoch)).await;
        }
        engine.tables.finish().await.unwrap();
        assert_eq!(operations(root.path(), "pin") == 0, other_optimizes);
        assert!(operations(root.path(), "geo") > 0, "tables that nobody else compacts are compacted");
        assert_every_row_once(root.path(), &partitions(records), records).await;
    }
}
