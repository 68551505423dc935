//! The schema, properties and commits of the tables.

use std::path::Path;

use pinflow_connect::sink::StoredChunk;
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::ingest::RowSink;
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use pinflow_delta::{DeltaError, Table};
use serde_json::Value;

use super::model::{self, ModelEngine, assert_every_row_once, open, partitions, settings};

pub(crate) fn commit(root: &Path, table: Table, version: u64) -> Vec<Value> {
    let path = root.join(table.name()).join(format!("_delta_log/{version:020}.json"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn action<'a>(commit: &'a [Value], name: &str) -> &'a Value {
    commit.iter().find_map(|line| line.get(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn created_tables_have_the_documented_schema_and_properties() {
    let root = tempfile::tempdir().unwrap();
    open(root.path()).await.unwrap();
    let lineage = ["_source string", "_position string", "_sub integer", "_arrived_at timestamp"];
    let columns = |table| match table {
        Table::Pin => vec![
            "ind long",
            "unique_id string",
            "title string",
            "description string",
            "follower_count long",
            "poster_name string",
            "tag_list string",
            "is_image_or_video string",
            "image_src string",
            "save_location string",
            "category string",
        ],
        Table::Geo => vec!["ind long", "country string", "coordinates array<double>", "timestamp timestamp"],
        Table::User => vec!["ind long", "user_name string", "age integer", "date_joined timestamp"],
        Table::Rejected => vec![
            "stream string",
            "reason string",
            "detail string",
            "payload binary",
            "payload_bytes long",
            "payload_sha256 string",
        ],
    };
    for table in Table::ALL {
        let first = commit(root.path(), table, 0);
        let protocol = action(&first, "protocol");
        assert_eq!((&protocol["minReaderVersion"], &protocol["minWriterVersion"]), (&1.into(), &2.into()));
        assert!(protocol.get("readerFeatures").is_none_or(Value::is_null));
        let metadata = action(&first, "metaData");
        assert_eq!(metadata["configuration"]["pinflow.pipeline"], "posts");
        assert_eq!(metadata["partitionColumns"], Value::Array(Vec::new()));
        let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
        let found: Vec<String> = schema["fields"].as_array().unwrap().iter().map(field).collect();
        let expected: Vec<&str> = columns(table).into_iter().chain(lineage).collect();
        assert_eq!(found, expected, "{table}");
    }
}

fn field(field: &Value) -> String {
    assert_eq!(field["nullable"], true);
    let kind = &field["type"];
    let kind = match kind["type"].as_str() {
        Some(nested) => format!("{nested}<{}>", kind["elementType"].as_str().unwrap()),
        None => kind.as_str().unwrap().to_owned(),
    };
    format!("{} {kind}", field["name"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_holds_rows_positions_and_statistics() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(20)).await.unwrap();
    engine.run(20, 20).await.unwrap();
    // Version 0 creates the table, 1 is the fence, 2 is the window.
    let commit = commit(root.path(), Table::Geo, 2);
    let txn = |id: &str| {
        let found: Vec<_> = commit.iter().filter_map(|line| line.get("txn")).filter(|txn| txn["appId"] == id).collect();
        assert_eq!(found.len(), 1, "{id}");
        assert!(found[0].get("lastUpdated").is_none(), "{id} would expire");
        found[0]["version"].as_i64().unwrap()
    };
    assert_eq!(txn("pinflow/v1/posts#owner"), 1);
    assert_eq!(txn("pinflow/v1/posts#commit"), 2);
    assert_eq!(txn("pinflow/v1/posts/recording/geo.jsonl"), 21);
    assert_eq!(txn("pinflow/v1/posts/recording/geo.jsonl#rows"), 24);
    assert_eq!(txn("pinflow/v1/posts/recording/geo.jsonl#anchor"), 21 ^ 0x55);
    assert_eq!(txn("pinflow/v1/posts/recording/geo.jsonl#seek"), 2100);
    assert_eq!(txn("pinflow/v1/posts/recording/geo.jsonl#carries"), 1);
    assert_eq!(txn("pinflow/v1/posts/recording/geo.jsonl#source/recording/geo.jsonl"), 0);
    assert_eq!(txn("pinflow/v1/posts/recording/all.jsonl"), 21);
    assert!(!commit.iter().any(|line| line["txn"]["appId"] == "pinflow/v1/posts/recording/pin.jsonl"));
    let info = action(&commit, "commitInfo");
    assert_eq!(info["pinflow"]["positions"]["recording/geo.jsonl"], 21);
    let add = action(&commit, "add");
    let stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
    assert_eq!(
        stats["numRecords"].as_u64().unwrap().to_string(),
        info["operationMetrics"]["numOutputRows"].as_str().unwrap()
    );
    assert_eq!(stats["minValues"]["_source"], "recording/all.jsonl");
    assert_eq!(stats["maxValues"]["_position"], "00000000000000000020");
    assert!(stats["maxValues"]["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(stats["nullCount"]["timestamp"].as_u64().unwrap() > 0);
}

/// Counts the rows that are read back, and checks that they equal the written ones.
#[derive(Default)]
struct CountedCommit {
    rows: [u64; 3],
}

impl RowSink for CountedCommit {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.rows[0] += 1;
        assert_eq!(row.ind, model::number(lineage) * 10 + u64::from(lineage.sub));
        assert_eq!(row.category.as_deref(), Some(&*format!("category {}", model::number(lineage) % 9)));
        assert_eq!(row.follower_count, (!row.ind.is_multiple_of(3)).then_some(row.ind as i64));
        assert!(row.title.is_none());
    }
    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        self.rows[1] += 1;
        assert_eq!(row.country.as_deref(), Some(&*format!("Côte d'Ivoire & (x) {}", model::number(lineage) % 9)));
        assert_eq!(row.timestamp, (!row.ind.is_multiple_of(4)).then_some(1_598_586_767_123_456 + row.ind as i64));
        let all = &*lineage.source.text() == "recording/all.jsonl";
        assert_eq!(lineage.arrived_at, all.then_some(1_700_000_000_000_000));
    }
    fn user(&mut self, _: Lineage, row: &User<'_>) {
        self.rows[2] += 1;
        assert_eq!((row.age, row.date_joined), ((!row.ind.is_multiple_of(4)).then_some(20), Some(-1)));
    }
    fn rejected(&mut self, _: Lineage, _: Option<Stream>, _: &Rejection, _: &[u8]) {
        panic!("rejections do not come back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_and_rejections_are_restored_at_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    for until in [50, 100] {
        let mut engine = ModelEngine::start(root.path(), &partitions(100)).await.unwrap();
        engine.run(until, 7).await.unwrap();
    }
    assert_every_row_once(root.path(), &partitions(100), 100).await;
    let (tables, resume) = open(root.path()).await.unwrap();
    let mut counted = CountedCommit::default();
    let mut chunks = tables.read_back(DuplicatePolicy::Keep, &pinflow::dataflows::questions::ReadColumns::held());
    while let Some(rows) = chunks.recv().await {
        rows.unwrap().replay(&mut counted);
    }
    let found = model::read_rows(root.path()).await;
    let count = |table| found.values().filter(|tables| tables[0] == table).count() as u64;
    assert_eq!(counted.rows, Table::CLEANED.map(count));
    assert_eq!(resume.rows, counted.rows.iter().sum::<u64>());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commits_are_checkpointed_and_resumed() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(30)).await.unwrap();
    let tables = [Table::Pin, Table::Geo];
    engine.run_with_checkpoints((30, 1), root.path(), &tables).await.unwrap();
    for table in tables {
        let log = root.path().join(table.name()).join("_delta_log");
        // Remove the commits before the checkpoint, so that positions must come from the checkpoint.
        let names = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: Vec<String> = names.collect();
        let newest = names.iter().filter(|name| name.contains("checkpoint.parquet")).max().unwrap();
        for name in names.iter().filter(|name| name.ends_with(".json") && name[..20] < newest[..20]) {
            std::fs::remove_file(log.join(name)).unwrap();
        }
    }
    assert_every_row_once(root.path(), &partitions(30), 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_without_rows_are_committed_with_the_next_rows_or_at_the_end() {
    let root = tempfile::tempdir().unwrap();
    let only_pin = &partitions(2)[..1];
    let mut engine = ModelEngine::start(root.path(), only_pin).await.unwrap();
    let window = engine.window(2, 1, 1).unwrap();
    engine.tables.commit(window).await.unwrap();
    let newest = |table: Table| std::fs::read_dir(root.path().join(table.name()).join("_delta_log")).unwrap().count();
    assert_eq!((newest(Table::Rejected), newest(Table::Pin)), (2, 3));
    engine.run(2, 1).await.unwrap();
    assert_eq!((newest(Table::Rejected), newest(Table::Pin)), (3, 4));
    assert_every_row_once(root.path(), only_pin, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_commit_closes_the_tables() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(4)).await.unwrap();
    let window = engine.window(4, 2, 1).unwrap();
    // Poll it once, then drop it.
    let mut commit = Box::pin(engine.tables.commit(window));
    assert!(futures::poll!(commit.as_mut()).is_pending());
    drop(commit);
    assert!(matches!(engine.tables.finish().await, Err(DeltaError::Abandoned)));
    let mut engine = ModelEngine::start(root.path(), &partitions(4)).await.unwrap();
    engine.run(4, 2).await.unwrap();
    assert_every_row_once(root.path(), &partitions(4), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snappy_and_zstd_tables_hold_the_same_rows() {
    for compression in [pinflow_delta::Compression::Snappy, pinflow_delta::Compression::Zstd] {
        let root = tempfile::tempdir().unwrap();
        let settings = pinflow_delta::TablesSettings { compression, ..settings(root.path()) };
        let mut engine = ModelEngine::with(settings, &partitions(9)).await.unwrap();
        engine.run(9, 9).await.unwrap();
        assert_every_row_once(root.path(), &partitions(9), 9).await;
        let add = commit(root.path(), Table::Pin, 2)
            .into_iter()
            .find_map(|line| line["add"]["path"].as_str().map(str::to_owned));
        assert!(add.unwrap().contains(&format!("{compression:?}").to_lowercase()));
    }
}
