//! The limits of `--verify`, `doctor` and `check`: no false proof and no false report of loss.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deltalake::arrow::array::{RecordBatch, new_null_array};
use deltalake::kernel::{Action, Add};
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::file::reader::{FileReader, SerializedFileReader};
use pinflow_delta::{ColumnScope, Table, TableFinding, VerifyReport, diagnose, inspect, verify};

use super::conflicts::commit_as_other_writer;
use super::model::{ModelEngine, batches, handle, partitions};
use pinflow_testkit::{create_temp_dir, emit, pinflow, succeed};

const RECORDS: u64 = 60;

async fn check_with(root: &Path, columns: ColumnScope) -> VerifyReport {
    verify(inspect(root, 0).await.unwrap(), columns, |_| {}).await.unwrap()
}

async fn write_tables(root: &Path) {
    let mut engine = ModelEngine::start(root, &partitions(RECORDS)).await.unwrap();
    engine.run(RECORDS, 20).await.unwrap();
}

fn data_file(root: &Path, table: Table) -> PathBuf {
    let names = fs::read_dir(root.join(table.name())).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|it| it == "parquet")).min().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_and_doctor_fail_when_a_table_is_missing() {
    for table in Table::ALL {
        let root = tempfile::tempdir().unwrap();
        write_tables(root.path()).await;
        fs::rename(root.path().join(table.name()), root.path().join("gone")).unwrap();
        let verdict = check_with(root.path(), ColumnScope::Lineage).await;
        let wanted = format!("table `{table}` is missing");
        assert!(verdict.violations.iter().any(|what| what.contains(&wanted)), "{verdict:?}");
        assert!(!verdict.is_proved() && !verdict.unproved.is_empty(), "{verdict:?}");
        let symptoms = diagnose(root.path()).await.unwrap();
        assert!(TableFinding::has_problem(&symptoms), "{symptoms:?}");
    }
}

#[test]
fn every_command_fails_when_a_table_is_missing() {
    let place = create_temp_dir();
    let (recording, tables) = (place.path().join("recording"), place.path().join("tables"));
    emit(&recording, 50, 100, 3, &["--malformed", "0.1"]);
    succeed(pinflow(["run", "--output", "none"]).arg(&recording).arg("--tables").arg(&tables));
    fs::rename(tables.join("user"), place.path().join("gone")).unwrap();
    let verify = [tables.to_str().unwrap(), "--verify"];
    let doctor = [tables.to_str().unwrap(), "doctor"];
    let mut commands = [pinflow(["table"]), pinflow(["table"]), pinflow(["check"])];
    commands[0].args(verify);
    commands[1].args(doctor);
    commands[2].arg(&recording).arg("--tables").arg(&tables);
    for mut command in commands {
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {text}");
        assert!(text.contains("`user` is missing"), "{command:?}: {text}");
        assert!(!text.contains("none lost"), "{command:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_page_is_found_by_deep_verify_only() {
    let root = tempfile::tempdir().unwrap();
    write_tables(root.path()).await;
    assert!(check_with(root.path(), ColumnScope::All).await.is_proved());
    let file = data_file(root.path(), Table::Pin);
    let reader = SerializedFileReader::new(File::open(&file).unwrap()).unwrap();
    let group = reader.metadata().row_group(0);
    let title = group.columns().iter().find(|chunk| chunk.column_path().string() == "title").unwrap();
    let (start, length) = title.byte_range();
    let mut bytes = fs::read(&file).unwrap();
    let middle = usize::try_from(start + length / 2).unwrap();
    bytes[middle..middle + 8].fill(0xff);
    fs::write(&file, bytes).unwrap();
    let verdict = check_with(root.path(), ColumnScope::Lineage).await;
    assert!(verdict.is_proved() && verdict.columns == ColumnScope::Lineage, "{verdict:?}");
    let verdict = check_with(root.path(), ColumnScope::All).await;
    let name = file.file_name().unwrap().to_str().unwrap();
    let is_named = |what: &String| what.contains(name) && what.contains("damaged");
    assert!(verdict.violations.iter().all(is_named) && verdict.violations.len() == 1, "{verdict:?}");
    assert!(!verdict.unproved.is_empty(), "its rows were not counted: {verdict:?}");
}

#[test]
fn deep_verify_shows_progress_and_plain_verify_names_what_it_skips() {
    let place = create_temp_dir();
    let (recording, tables) = (place.path().join("recording"), place.path().join("tables"));
    emit(&recording, 50, 100, 3, &[]);
    succeed(pinflow(["run", "--output", "none"]).arg(&recording).arg("--tables").arg(&tables));
    let plain = succeed(pinflow(["table", "--verify"]).arg(&tables));
    assert!(String::from_utf8_lossy(&plain.stdout).contains("read: the lineage columns"), "{plain:?}");
    let deep = succeed(pinflow(["table", "--verify", "--deep"]).arg(&tables));
    assert!(String::from_utf8_lossy(&deep.stdout).contains("read: all columns"), "{deep:?}");
    assert!(String::from_utf8_lossy(&deep.stderr).contains("MiB of data"), "{deep:?}");
}

/// Appends the rows of a table again without their lineage, as another tool would.
async fn append_without_lineage(root: &Path) {
    let rows = batches(root, Table::Geo).await.remove(0);
    let schema = rows.schema();
    let nulled = schema.fields().iter().zip(rows.columns()).map(|(field, column)| match field.name().as_str() {
        "_source" | "_position" | "_sub" => new_null_array(field.data_type(), rows.num_rows()),
        _ => Arc::clone(column),
    });
    let nulled = RecordBatch::try_new(rows.schema(), nulled.collect()).unwrap();
    let path = root.join("geo/from-another-tool.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), nulled.schema(), None).unwrap();
    writer.write(&nulled).unwrap();
    writer.close().unwrap();
    let add = Add {
        path: "from-another-tool.parquet".to_owned(),
        size: i64::try_from(fs::metadata(path).unwrap().len()).unwrap(),
        data_change: true,
        stats: Some(format!("{{\"numRecords\":{}}}", nulled.num_rows())),
        ..Add::default()
    };
    commit_as_other_writer(&handle(&root.join("geo")).await, vec![Action::Add(add)], Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_lineage_are_reported_with_their_commit() {
    let root = tempfile::tempdir().unwrap();
    write_tables(root.path()).await;
    append_without_lineage(root.path()).await;
    let version = inspect(root.path(), 0).await.unwrap()[2].version;
    let verdict = check_with(root.path(), ColumnScope::Lineage).await;
    assert!(verdict.violations.len() == 1, "{verdict:?}");
    for part in
        ["from-another-tool.parquet", &format!("version {version},"), "operation WRITE", "engine delta-rs", "DELETE"]
    {
        assert!(verdict.violations[0].contains(part), "{part}: {verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_during_commits_never_reports_a_loss() {
    const COMMITS: u64 = 200;
    let root = tempfile::tempdir().unwrap();
    let partitions = partitions(COMMITS * 3);
    let mut engine = ModelEngine::start(root.path(), &partitions).await.unwrap();
    let first = engine.window(3, 3, 0).unwrap();
    engine.tables.commit(first).await.unwrap();
    let run = tokio::spawn(async move { engine.run(COMMITS * 3, 3).await });
    let mut checks = 0;
    while !run.is_finished() {
        let verdict = check_with(root.path(), ColumnScope::Lineage).await;
        assert!(verdict.is_proved(), "after {checks} checks: {verdict:?}");
        checks += 1;
    }
    run.await.unwrap().unwrap();
    assert!(checks > 3, "only {checks} checks were made while it ran");
    // A real loss is still found: remove the newest rejections.
    let log = root.path().join("rejected/_delta_log");
    let files = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let (mut commits, checkpoints): (Vec<_>, Vec<_>) =
        files.partition(|path| path.extension().is_some_and(|it| it == "json"));
    checkpoints.iter().for_each(|path| fs::remove_file(path).unwrap());
    commits.sort();
    let with_rows = |path: &&PathBuf| fs::read_to_string(path).unwrap().contains("\"add\"");
    let last = commits.iter().rposition(|path| with_rows(&path)).unwrap();
    commits[last..].iter().for_each(|path| fs::remove_file(path).unwrap());
    let verdict = check_with(root.path(), ColumnScope::Lineage).await;
    assert!(verdict.violations.iter().any(|what| what.contains("the tables hold")), "{verdict:?}");
}
