//! delta-rs and DuckDB (from Python) read the tables: their rows equal the rows written.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use pinflow_dataflows::ingest::RowSink;
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use pinflow_dataflows::symbol::Symbol;
use pinflow_delta::Table;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use pinflow_testkit::readers::python;

use super::model::{ModelEngine, ModelPartition, append, expected, partitions};

/// What one table must hold, in sums.
#[derive(Default)]
struct RowSums {
    rows: u64,
    sum: u64,
    hash: u64,
}

/// Takes rows in place of the sink.
#[derive(Default)]
struct ReadRecorder {
    tables: BTreeMap<&'static str, RowSums>,
}

impl ReadRecorder {
    fn add(&mut self, table: Table, lineage: Lineage, measure: u64, mut cells: Vec<Value>) {
        let position = format!("{:020}", lineage.position);
        cells.extend([json!(&*lineage.source.text()), json!(position), json!(lineage.sub), json!(lineage.arrived_at)]);
        let digest = Sha256::digest(serde_json::to_string(&cells).unwrap());
        let sums = self.tables.entry(table.name()).or_default();
        sums.rows += 1;
        sums.sum += measure;
        sums.hash = sums.hash.wrapping_add(u64::from_be_bytes(digest[..8].try_into().unwrap()));
    }
}

impl RowSink for ReadRecorder {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        let cells = vec![
            json!(row.ind),
            json!(row.unique_id),
            json!(row.title),
            json!(row.description),
            json!(row.follower_count),
            json!(row.poster_name),
            json!(row.tag_list),
            json!(row.is_image_or_video),
            json!(row.image_src),
            json!(row.save_location),
            json!(row.category),
        ];
        self.add(Table::Pin, lineage, row.ind, cells);
    }
    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        let cells = vec![json!(row.ind), json!(row.country), json!(row.coordinates), json!(row.timestamp)];
        self.add(Table::Geo, lineage, row.ind, cells);
    }
    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        let cells = vec![json!(row.ind), json!(row.user_name), json!(row.age), json!(row.date_joined)];
        self.add(Table::User, lineage, row.ind, cells);
    }
    fn rejected(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let cells = vec![
            json!(stream.map(Stream::name)),
            json!(rejection.reason.name()),
            json!(rejection.detail),
            json!(hex(payload)),
            json!(payload.len()),
            json!(hex(&Sha256::digest(payload))),
        ];
        self.add(Table::Rejected, lineage, payload.len() as u64, cells);
    }
}

fn columns(table: Table) -> Vec<&'static str> {
    let own = match table {
        Table::Pin => {
            "ind unique_id title description follower_count poster_name tag_list is_image_or_video image_src save_location category"
        }
        Table::Geo => "ind country coordinates timestamp",
        Table::User => "ind user_name age date_joined",
        Table::Rejected => "stream reason detail payload payload_bytes payload_sha256",
    };
    own.split(' ').chain(["_source", "_position", "_sub", "_arrived_at"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_engines_read_every_row_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    let partitions = partitions(300);
    let mut engine = ModelEngine::start(root.path(), &partitions).await.unwrap();
    // Many commits, so that the readers meet checkpoints too.
    engine.run(300, 20).await.unwrap();
    assert_other_engines_read(root.path(), &partitions, 300);
}

/// Demands that other engines read every row of the model up to a record, and nothing else.
pub(super) fn assert_other_engines_read(root: &Path, partitions: &[ModelPartition], until: u64) {
    let Some(python) = python() else { return };
    let mut recorder = ReadRecorder::default();
    for ((source, position, sub), tables) in expected(partitions, until) {
        let arrived_at = (source == "recording/all.jsonl").then_some(1_700_000_000_000_000);
        let sub = u32::try_from(sub).unwrap();
        let lineage = Lineage { arrived_at, source: Symbol::new(&source), position: position.into(), sub };
        append(&mut recorder, tables[0], lineage);
    }
    let mut wanted = serde_json::Map::new();
    for table in Table::ALL {
        let RowSums { rows, sum, hash } = &recorder.tables[table.name()];
        let hash = format!("{hash:016x}");
        let sums = json!({ "columns": columns(table), "rows": rows, "sum": sum, "hash": hash });
        wanted.insert(table.name().to_owned(), sums);
    }
    let file = root.join("expected.json");
    std::fs::write(&file, Value::Object(wanted).to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/check.py");
    let output = Command::new(python).arg(script).arg(root).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
