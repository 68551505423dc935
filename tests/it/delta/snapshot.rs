//! Snapshots of the tables, which are taken between commits for questions that are added to a running pipeline.

use std::fs;

use pinflow_connect::sink::StoredChunk;
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::ingest::RowSink;
use pinflow_dataflows::questions::ReadColumns;
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use pinflow_delta::{CompactionPolicy, DeltaError, StoredRows, Table, optimize};
use tokio::sync::mpsc;

use super::model::{FoundRow, ModelEngine, assert_every_row_once, expected, number, partitions};

const RECORDS: u64 = 120;

/// The rows of a snapshot by lineage.
#[derive(Default)]
struct SnapshotContents(FoundRow);

impl SnapshotContents {
    fn add(&mut self, lineage: Lineage, table: Table) {
        let sub = i32::try_from(lineage.sub).unwrap();
        let key = (lineage.source.text().to_string(), number(lineage), sub);
        self.0.entry(key).or_default().push(table);
    }
}

impl RowSink for SnapshotContents {
    fn pin(&mut self, lineage: Lineage, _: &Pin<'_>) {
        self.add(lineage, Table::Pin);
    }
    fn geo(&mut self, lineage: Lineage, _: &Geo<'_>) {
        self.add(lineage, Table::Geo);
    }
    fn user(&mut self, lineage: Lineage, _: &User<'_>) {
        self.add(lineage, Table::User);
    }
    fn rejected(&mut self, _: Lineage, _: Option<Stream>, _: &Rejection, _: &[u8]) {
        panic!("rejected rows are not read");
    }
}

fn cleaned_rows(until: u64) -> FoundRow {
    let mut rows = expected(&partitions(RECORDS), until);
    rows.retain(|_, tables| tables[0] != Table::Rejected);
    rows
}

/// Reads a snapshot to its end.
async fn collect_rows(
    (rows, mut chunks): (u64, mpsc::Receiver<Result<StoredRows, DeltaError>>),
) -> Result<FoundRow, DeltaError> {
    let mut contents = SnapshotContents::default();
    while let Some(chunk) = chunks.recv().await {
        chunk?.replay(&mut contents);
    }
    assert_eq!(contents.0.len() as u64, rows, "as many rows as it says");
    Ok(contents.0)
}

fn take_snapshot(engine: &ModelEngine) -> (u64, mpsc::Receiver<Result<StoredRows, DeltaError>>) {
    engine.tables.snapshot(DuplicatePolicy::Keep, &ReadColumns::held())
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_has_rows_of_earlier_windows_only_whatever_is_committed_and_compacted_since() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(RECORDS)).await.unwrap();
    assert!(collect_rows(take_snapshot(&engine)).await.unwrap().is_empty());
    engine.run(60, 10).await.unwrap();

    // The decoders hold few chunks, so most files are opened after they were compacted.
    let snapshot = take_snapshot(&engine);
    engine.run(70, 10).await.unwrap();
    optimize(root.path(), CompactionPolicy::ALL).await.unwrap();
    assert_eq!(collect_rows(snapshot).await.unwrap(), cleaned_rows(60));

    // The engine knows of the compaction once it has committed again.
    engine.run(80, 10).await.unwrap();
    let snapshot = take_snapshot(&engine);
    optimize(root.path(), CompactionPolicy::ALL).await.unwrap();
    assert_eq!(collect_rows(snapshot).await.unwrap(), cleaned_rows(80));
    engine.run(RECORDS, 10).await.unwrap();
    drop(engine);
    assert_every_row_once(root.path(), &partitions(RECORDS), RECORDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_with_a_missing_file_is_an_error_and_commits_go_on() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(RECORDS)).await.unwrap();
    engine.run(60, 10).await.unwrap();
    let mut files = fs::read_dir(root.path().join("geo")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|it| it == "parquet")).unwrap();
    let moved = root.path().join("moved.parquet");
    fs::rename(&file, &moved).unwrap();
    let error = collect_rows(take_snapshot(&engine)).await.unwrap_err();
    assert!(matches!(&error, DeltaError::MissingFile { path } if *path == file), "{error}");
    engine.run(RECORDS, 10).await.unwrap();
    fs::rename(&moved, &file).unwrap();
    assert_eq!(collect_rows(take_snapshot(&engine)).await.unwrap(), cleaned_rows(RECORDS));
}
