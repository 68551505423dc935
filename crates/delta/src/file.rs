//! Joins row groups into one parquet file, with the statistics for the Delta log.

use std::collections::HashMap;

use bytes::Bytes;
use deltalake::kernel::Add;
use deltalake::parquet::data_type::ByteArray;
use deltalake::parquet::errors::ParquetError;
use deltalake::parquet::file::metadata::ParquetMetaData;
use deltalake::parquet::file::statistics::Statistics;
use serde_json::{Map, Value};

use super::group::{FileFormat, RowGroup};
use super::schema::{Table, TableColumnType, all_columns};
use pinflow_connect::sink::WrittenFile;

/// The compression of data files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// The fastest.
    #[default]
    Snappy,
    /// Files are 25 to 50 % smaller, and encoding takes 20 % more CPU time.
    Zstd,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        }
    }
}

/// An encoded file that is not put yet.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    pub(crate) bytes: Bytes,
    /// What a commit says of it.
    pub(crate) written: WrittenFile,
}

/// The `add` action that makes a file part of its table.
pub(crate) fn add_action(file: &WrittenFile, now_ms: i64) -> Add {
    Add {
        path: file.name.clone(),
        partition_values: HashMap::new(),
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: now_ms,
        data_change: true,
        stats: Some(file.statistics.clone()),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// Joins the row groups that workers encoded for one table into a file.
pub(crate) fn join_groups(format: &FileFormat, groups: Vec<RowGroup>) -> Result<DataFile, ParquetError> {
    let rows = groups.iter().map(|group| group.rows).sum();
    let nulls: Vec<usize> =
        (0..all_columns(format.table).count()).map(|at| groups.iter().map(|group| group.nulls[at]).sum()).collect();
    // Reserve about the final size, so that the buffer is not reallocated while it grows.
    let mut bytes = Vec::with_capacity(groups.iter().map(RowGroup::memory_bytes).sum());
    let mut writer = format.new_writer(&mut bytes)?;
    for group in groups {
        let mut open = writer.next_row_group()?;
        for chunk in group.close()? {
            chunk.append_to_row_group(&mut open)?;
        }
        open.close()?;
    }
    let metadata = writer.close()?;
    let stats = file_statistics(format.table, rows, &nulls, &metadata);
    let name = format!("part-00000-{}-c000.{}.parquet", uuid::Uuid::new_v4(), format.compression.name());
    let written = WrittenFile {
        table: format.table.name().to_owned(),
        name,
        bytes: bytes.len() as u64,
        rows: rows as u64,
        statistics: Value::Object(stats).to_string(),
    };
    Ok(DataFile { bytes: bytes.into(), written })
}

/// The statistics of a file for the log: rows, nulls, and exact minimum and maximum values.
fn file_statistics(table: Table, rows: usize, absent: &[usize], metadata: &ParquetMetaData) -> Map<String, Value> {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (column, &count) in all_columns(table).zip(absent) {
        if column.kind == TableColumnType::Pair {
            continue; // Engines name the elements of a list differently.
        }
        nulls.insert(column.name.to_owned(), count.into());
        if !column.bounds {
            continue;
        }
        let groups = metadata.row_groups().iter().filter_map(|group| {
            group.columns().iter().find(|chunk| chunk.column_path().string() == column.name)?.statistics()
        });
        if let Some((low, high)) = column_bounds(column.kind, groups) {
            least.insert(column.name.to_owned(), low);
            greatest.insert(column.name.to_owned(), high);
        }
    }
    let mut stats = Map::new();
    stats.insert("numRecords".to_owned(), rows.into());
    stats.insert("minValues".to_owned(), least.into());
    stats.insert("maxValues".to_owned(), greatest.into());
    stats.insert("nullCount".to_owned(), nulls.into());
    stats
}

fn column_bounds<'a>(kind: TableColumnType, groups: impl Iterator<Item = &'a Statistics>) -> Option<(Value, Value)> {
    let mut numbers: Option<(i64, i64)> = None;
    let mut texts: Option<(&[u8], &[u8])> = None;
    for group in groups {
        let number = match group {
            Statistics::Int64(values) => values.min_opt().copied().zip(values.max_opt().copied()),
            Statistics::Int32(values) => {
                values.min_opt().map(|v| i64::from(*v)).zip(values.max_opt().map(|v| i64::from(*v)))
            }
            Statistics::ByteArray(values) => {
                if !(values.min_is_exact() && values.max_is_exact()) && values.min_opt().is_some() {
                    return None;
                }
                let pair = values.min_opt().map(ByteArray::data).zip(values.max_opt().map(ByteArray::data));
                texts = merge_bounds(texts, pair);
                continue;
            }
            _ => return None,
        };
        numbers = merge_bounds(numbers, number);
    }
    match kind {
        TableColumnType::Long | TableColumnType::Int => numbers.map(|(low, high)| (low.into(), high.into())),
        TableColumnType::Time => {
            numbers.and_then(|(low, high)| Some((format_time(low)?.into(), format_time(high)?.into())))
        }
        _ => texts.and_then(|(low, high)| {
            Some((std::str::from_utf8(low).ok()?.into(), std::str::from_utf8(high).ok()?.into()))
        }),
    }
}

fn merge_bounds<T: Ord + Copy>(so_far: Option<(T, T)>, next: Option<(T, T)>) -> Option<(T, T)> {
    match (so_far, next) {
        (Some((low, high)), Some((min, max))) => Some((low.min(min), high.max(max))),
        (one, other) => one.or(other),
    }
}

fn format_time(micros: i64) -> Option<String> {
    let moment = jiff::Timestamp::from_microsecond(micros).ok()?;
    // Engines do not agree on the notation of years before 0.
    (moment.to_zoned_datetime(jiff::tz::TimeZone::UTC).year() >= 0).then(|| format!("{moment:.6}"))
}
