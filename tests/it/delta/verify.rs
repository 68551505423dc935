//! `pinflow table`: its output and the findings of `--verify`.

use std::path::Path;
use std::time::Instant;

use pinflow::table::{TableArgs, TableOutputFormat, run};
use pinflow_connect::sink::RowEncoder;
use pinflow_connect::sink::{PartitionReached, Window};
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Lineage;
use pinflow_dataflows::symbol::Symbol;
use pinflow_delta::{ColumnScope, DeltaError, Table, VerifyReport, inspect, verify};
use serde_json::Value;

use super::model::{ModelEngine, append, expected, open, partitions};
use pinflow_core::position::{PartitionProgress, ResumeHint};

async fn verify_tables(path: &Path) -> VerifyReport {
    let tables = inspect(path, 0).await.unwrap();
    verify(tables, ColumnScope::Lineage, |_| {}).await.unwrap()
}

/// The identity of a stored row: its table, position and sub.
type StoredRowId = (Table, u64, u32);

/// Writes rows with these ids, and stores that `rows` rows before `next` were read.
async fn write(root: &Path, places: &[StoredRowId], next: u64, rows: u64) {
    let (mut tables, _) = open(root).await.unwrap();
    let source = "recording/x.jsonl";
    let mut encoder = tables.encoder();
    for (table, position, sub) in places {
        let lineage =
            Lineage { arrived_at: None, source: Symbol::new(source), position: (*position).into(), sub: *sub };
        append(&mut encoder, *table, lineage);
    }
    let reached = PartitionReached {
        key: source.to_owned(),
        source: source.to_owned(),
        stream_hint: StreamHint::Auto,
        reached: PartitionProgress { next: next.into(), rows, fingerprint: 1, hint: ResumeHint::ByteOffset(1) },
    };
    let window = Window {
        epoch: 1,
        cut_at: Instant::now(),
        rows: 1,
        batches: vec![encoder.cut()],
        reached: vec![reached],
        files: Vec::new(),
    };
    tables.commit(window).await.unwrap();
    tables.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn intact_tables_pass_verification_during_and_after_a_run() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(60)).await.unwrap();
    for epoch in 0..3 {
        let window = engine.window(60, 10, epoch).unwrap();
        engine.tables.commit(window).await.unwrap();
        let verdict = verify_tables(root.path()).await;
        assert_eq!(verdict.violations, [""; 0]);
    }
    engine.run(60, 10).await.unwrap();
    let verdict = verify_tables(root.path()).await;
    assert_eq!(verdict.rows, expected(&partitions(60), 60).len() as u64);
    assert!(verdict.partitions.iter().all(|p| p.next == 61.into() && p.stored == p.found && p.rejected > 0));
    assert!(verdict.is_proved(), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_reported() {
    let (pin, geo) = (Table::Pin, Table::Geo);
    let cases: [(&[StoredRowId], u64, u64, &str); 6] = [
        (&[(pin, 1, 0), (geo, 2, 0)], 3, 2, ""),
        (&[(pin, 1, 0), (pin, 2, 0), (pin, 2, 0)], 3, 3, "1 rows repeat"),
        (&[(pin, 1, 0), (geo, 1, 0), (geo, 2, 1)], 3, 3, "1 rows repeat"),
        (&[(pin, 1, 0), (pin, 2, 0), (pin, 3, 0)], 3, 2, "pin: 1 rows of recording/x.jsonl stand at or after"),
        (&[(pin, 1, 0), (pin, 2, 0)], 3, 3, "3 rows were read before position 3, the tables hold 2"),
        (&[(pin, 1, 0), (pin, 4, 0), (pin, 4, 1)], 6, 3, "3 of 5 lines are in no table, for example 2-3, 5-5"),
    ];
    for (places, next, rows, said) in cases {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), places, next, rows).await;
        let violations = verify_tables(root.path()).await.violations;
        if said.is_empty() {
            assert_eq!(violations, [""; 0]);
        } else {
            assert!(violations.len() == 1 && violations[0].contains(said), "{violations:?}");
        }
    }
}

async fn printed(path: &Path, format: TableOutputFormat) -> (bool, String) {
    let mut out = Vec::new();
    let args = TableArgs {
        path: path.to_owned(),
        connection: None,
        action: None,
        format,
        history: 2,
        verify: true,
        deep: false,
        repair: false,
    };
    let sound = run(args, &mut out).await.unwrap();
    (sound, String::from_utf8(out).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn table_command_prints_text_and_json() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(20)).await.unwrap();
    engine.run(20, 20).await.unwrap();
    let (sound, text) = printed(root.path(), TableOutputFormat::Table).await;
    assert!(sound && text.contains("none lost, none twice"), "{text}");
    assert!(text.contains("recording/all.jsonl") && text.contains("STREAMING UPDATE"), "{text}");
    let (_, json) = printed(root.path(), TableOutputFormat::Json).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    let pin = json["tables"].as_array().unwrap().iter().find(|table| table["table"] == "pin").unwrap();
    assert_eq!((&pin["version"], &pin["files"]), (&2.into(), &1.into()));
    assert_eq!(pin["history"].as_array().unwrap().len(), 2);
    assert_eq!(pin["history"][0]["rows"], pin["rows"]);
    assert_eq!(json["verify"]["violations"], Value::Array(Vec::new()));
    // A single table.
    let (sound, text) = printed(&root.path().join("geo"), TableOutputFormat::Table).await;
    assert!(!sound && text.contains("not checked: only geo of the four tables"), "{text}");
    // A violation only affects the exit code, so it is no error here.
    let damaged = tempfile::tempdir().unwrap();
    write(damaged.path(), &[(Table::Pin, 1, 0), (Table::Pin, 1, 0)], 2, 2).await;
    let (sound, text) = printed(damaged.path(), TableOutputFormat::Table).await;
    assert!(!sound && text.contains("NOT verified: 1 violation"), "{text}");
    let error = inspect(Path::new("/usr"), 0).await.unwrap_err();
    assert!(matches!(error, DeltaError::Foreign { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn encoder_batches_hold_every_row_of_the_window() {
    let root = tempfile::tempdir().unwrap();
    let mut engine = ModelEngine::start(root.path(), &partitions(9)).await.unwrap();
    let window = engine.window(9, 9, 1).unwrap();
    let rows = |table| window.batches.iter().map(|batches| batches.rows(table)).sum::<usize>();
    let total: usize = Table::ALL.into_iter().map(rows).sum();
    assert_eq!(total, expected(&partitions(9), 9).len());
}
