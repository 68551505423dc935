//! Reads the tables without any code of pinflow and lists their rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use deltalake::arrow::array::{Array, AsArray, RecordBatch};
use deltalake::arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use deltalake::parquet::arrow::ProjectionMask;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rusqlite::types::Value;

/// The tables of a run.
pub const TABLES: [&str; 4] = ["pin", "geo", "user", "rejected"];

/// The rows of a table, with its column names. Lists are omitted, and times are ISO 8601 text.
pub struct TableRows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The cells of each row, in the order of the columns.
    pub rows: Vec<Vec<Value>>,
}

fn value(batch: &RecordBatch, column: usize, row: usize) -> Value {
    let array = batch.column(column);
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Int64 => Value::Integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => Value::Integer(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let at = jiff::Timestamp::from_microsecond(micros).expect("a moment in range");
            Value::Text(format!("{at:.6}").replace('T', " ").replace('Z', ""))
        }
        _ => Value::Null,
    }
}

/// Reads every row of a table according to its log.
pub fn read(table: &Path) -> TableRows {
    read_projected(table, None)
}

/// Reads these columns of a table, or all.
fn read_projected(table: &Path, columns: Option<&[&str]>) -> TableRows {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let files = runtime.block_on(async {
        let url = deltalake::ensure_table_uri(table.to_str().expect("a path in UTF-8")).expect("a place");
        let opened = deltalake::open_table(url).await.expect("a table");
        opened.get_file_uris().expect("files").collect::<Vec<_>>()
    });
    let mut read = TableRows { columns: Vec::new(), rows: Vec::new() };
    for file in files {
        let path = file.strip_prefix("file://").unwrap_or(&file);
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("a file")).expect("parquet");
        if let Some(columns) = columns {
            let mask = ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied());
            reader = reader.with_projection(mask);
        }
        for batch in reader.build().expect("a reader") {
            let batch = batch.expect("rows");
            read.columns = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
            read.rows.extend(
                (0..batch.num_rows()).map(|row| (0..batch.num_columns()).map(|c| value(&batch, c, row)).collect()),
            );
        }
    }
    read
}

/// How often each (`_source`, `_position`, `_sub`) is in the four tables, where positions fit 64 bits.
pub fn deliveries(root: &Path) -> BTreeMap<(String, u64, i64), usize> {
    let number = |((source, position, sub), times): ((String, String, i64), usize)| {
        ((source, position.parse().expect("a number"), sub), times)
    };
    places(root).into_iter().map(number).collect()
}

/// How often each (`_source`, `_position`, `_sub`) is in the four tables, with positions as text.
pub fn places(root: &Path) -> BTreeMap<(String, String, i64), usize> {
    let mut found = BTreeMap::new();
    for table in TABLES {
        let rows = read_projected(&root.join(table), Some(&["_source", "_position", "_sub"]));
        let at = |name: &str| rows.columns.iter().position(|column| column == name);
        // A table without rows has no columns.
        let (Some(source), Some(position), Some(sub)) = (at("_source"), at("_position"), at("_sub")) else { continue };
        for row in &rows.rows {
            let (Value::Text(source), Value::Text(position), Value::Integer(sub)) =
                (&row[source], &row[position], &row[sub])
            else {
                panic!("{table} holds a row without a place: {row:?}");
            };
            let key = (source.clone(), position.clone(), *sub);
            *found.entry(key).or_default() += 1;
        }
    }
    found
}

/// Asserts that every line of every file of a recording (one row each) is in the tables exactly once, and nothing else.
pub fn assert_each_line_once(recording: &Path, root: &Path) {
    let found = deliveries(root);
    let mut lines = 0;
    for stream in ["pin", "geo", "user"] {
        let name = format!("{stream}.jsonl");
        let bytes = std::fs::read(recording.join(&name)).expect("a recording");
        let count = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        for position in 1..=count {
            let times = found.get(&(format!("recording/{name}"), position, 0)).copied().unwrap_or_default();
            assert_eq!(times, 1, "line {position} of {name} is {times} times in the tables");
        }
        lines += count;
    }
    assert_eq!(found.len() as u64, lines, "rows that no line explains");
}
