//! Batches become the bytes of one parquet file, with the statistics that the log keeps of it.

use std::collections::HashMap;

use bytes::Bytes;
use deltalake::arrow::array::RecordBatch;
use deltalake::kernel::Add;
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::arrow::arrow_writer::ArrowWriterOptions;
use deltalake::parquet::basic::{Compression as Codec, ZstdLevel};
use deltalake::parquet::data_type::ByteArray;
use deltalake::parquet::errors::ParquetError;
use deltalake::parquet::file::metadata::ParquetMetaData;
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties};
use deltalake::parquet::file::statistics::Statistics;
use deltalake::parquet::schema::types::ColumnPath;
use serde_json::{Map, Value};

use super::schema::{Kind, Table, all};

/// How data files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Fastest.
    #[default]
    Snappy,
    /// A quarter to a half smaller, for a fifth more of processor time.
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

/// A file before it is put.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    /// Its name in the table's folder; unique, so that it never stands for two contents.
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
    pub(crate) rows: usize,
    stats: String,
}

impl DataFile {
    /// The action that makes it part of the table.
    pub(crate) fn add(&self, now_ms: i64) -> Add {
        Add {
            path: self.name.clone(),
            partition_values: HashMap::new(),
            size: i64::try_from(self.bytes.len()).unwrap_or(i64::MAX),
            modification_time: now_ms,
            data_change: true,
            stats: Some(self.stats.clone()),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        }
    }
}

/// Encodes a window's rows for one table. Takes a core for about a second per million pins.
pub(crate) fn encode(
    table: Table,
    batches: &[RecordBatch],
    compression: Compression,
) -> Result<DataFile, ParquetError> {
    let options = ArrowWriterOptions::new()
        .with_properties(properties(table, compression))
        // The log states the schema; the copy inside each file only costs bytes.
        .with_skip_arrow_metadata(true);
    // About what comes out, so that the file is not moved again and again while it grows.
    let held: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let mut bytes = Vec::with_capacity(held / 2);
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, table.arrow(), options)?;
    for batch in batches {
        writer.write(batch)?;
    }
    let metadata = writer.close()?;
    let stats = statistics(table, batches, &metadata);
    let name = format!("part-00000-{}-c000.{}.parquet", uuid::Uuid::new_v4(), compression.name());
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    Ok(DataFile { name, bytes: bytes.into(), rows, stats: Value::Object(stats).to_string() })
}

fn properties(table: Table, compression: Compression) -> WriterProperties {
    let codec = match compression {
        Compression::Snappy => Codec::SNAPPY,
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()),
    };
    let mut properties = WriterProperties::builder()
        .set_compression(codec)
        .set_created_by(concat!("pinflow ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None);
    for column in all(table) {
        let path = ColumnPath::from(column.name);
        if column.bounds {
            properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk);
        }
        properties = properties.set_column_dictionary_enabled(path, column.repeats);
    }
    properties.build()
}

/// What the log keeps of a file: rows, nulls, and least and greatest values where they are whole.
fn statistics(table: Table, batches: &[RecordBatch], metadata: &ParquetMetaData) -> Map<String, Value> {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (at, column) in all(table).enumerate() {
        if column.kind == Kind::Pair {
            continue; // Engines differ in how they name the elements of a list.
        }
        let count: usize = batches.iter().map(|batch| batch.column(at).null_count()).sum();
        nulls.insert(column.name.to_owned(), count.into());
        if !column.bounds {
            continue;
        }
        let groups = metadata.row_groups().iter().filter_map(|group| {
            group.columns().iter().find(|chunk| chunk.column_path().string() == column.name)?.statistics()
        });
        if let Some((low, high)) = bounds(column.kind, groups) {
            least.insert(column.name.to_owned(), low);
            greatest.insert(column.name.to_owned(), high);
        }
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut stats = Map::new();
    stats.insert("numRecords".to_owned(), rows.into());
    stats.insert("minValues".to_owned(), least.into());
    stats.insert("maxValues".to_owned(), greatest.into());
    stats.insert("nullCount".to_owned(), nulls.into());
    stats
}

fn bounds<'a>(kind: Kind, groups: impl Iterator<Item = &'a Statistics>) -> Option<(Value, Value)> {
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
                texts = fold(texts, pair);
                continue;
            }
            _ => return None,
        };
        numbers = fold(numbers, number);
    }
    match kind {
        Kind::Long | Kind::Int => numbers.map(|(low, high)| (low.into(), high.into())),
        Kind::Time => numbers.and_then(|(low, high)| Some((time(low)?.into(), time(high)?.into()))),
        _ => texts.and_then(|(low, high)| {
            Some((std::str::from_utf8(low).ok()?.into(), std::str::from_utf8(high).ok()?.into()))
        }),
    }
}

fn fold<T: Ord + Copy>(so_far: Option<(T, T)>, next: Option<(T, T)>) -> Option<(T, T)> {
    match (so_far, next) {
        (Some((low, high)), Some((min, max))) => Some((low.min(min), high.max(max))),
        (one, other) => one.or(other),
    }
}

fn time(micros: i64) -> Option<String> {
    let moment = jiff::Timestamp::from_microsecond(micros).ok()?;
    // Before the year 0 the notation is no longer agreed on.
    (moment.to_zoned(jiff::tz::TimeZone::UTC).year() >= 0).then(|| format!("{moment:.6}"))
}
