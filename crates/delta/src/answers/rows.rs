//! Encodes rows of an answer as parquet, and decodes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltalake::arrow::array::TimestampMicrosecondArray;
use deltalake::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use deltalake::arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use deltalake::arrow::error::ArrowError;
use deltalake::kernel::{DataType as DeltaType, StructField};
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::basic::Compression;
use deltalake::parquet::file::properties::WriterProperties;
use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerCell, AnswerColumn, AnswerRow, ColumnType};

use super::AnswerTableForm;
use crate::FileInput;
use pinflow_core::position::Epoch;

/// The change in the number of occurrences of each row.
pub(super) type RowDiffs = BTreeMap<AnswerRow, i64>;

/// The epoch and the time of the written answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct EpochTime {
    pub(super) epoch: Epoch,
    pub(super) as_of: Timestamp,
}

const DIFF: &str = "_diff";

fn arrow_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Long => DataType::Int64,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Double => DataType::Float64,
    }
}

fn arrow_schema(columns: &[AnswerColumn], form: AnswerTableForm) -> SchemaRef {
    let mut fields: Vec<_> = columns.iter().map(|of| Field::new(of.name, arrow_type(of.kind), true)).collect();
    if form == AnswerTableForm::Changes {
        fields.push(Field::new("_epoch", DataType::Int64, true));
        fields.push(Field::new("_as_of", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true));
        fields.push(Field::new(DIFF, DataType::Int64, true));
    }
    Arc::new(Schema::new(fields))
}

/// The fields of the Delta schema.
pub(super) fn delta_fields(columns: &[AnswerColumn], form: AnswerTableForm) -> Vec<StructField> {
    let of = |kind| match kind {
        ColumnType::Long => DeltaType::LONG,
        ColumnType::Text => DeltaType::STRING,
        ColumnType::Double => DeltaType::DOUBLE,
    };
    let mut fields: Vec<_> = columns.iter().map(|column| StructField::nullable(column.name, of(column.kind))).collect();
    if form == AnswerTableForm::Changes {
        fields.push(StructField::nullable("_epoch", DeltaType::LONG));
        fields.push(StructField::nullable("_as_of", DeltaType::TIMESTAMP));
        fields.push(StructField::nullable(DIFF, DeltaType::LONG));
    }
    fields
}

/// Encodes rows or changes as a parquet file. A row of an answer occurs once.
pub(super) fn encode_rows(
    columns: &[AnswerColumn],
    form: AnswerTableForm,
    rows: &RowDiffs,
    moment: EpochTime,
) -> Result<Vec<u8>, ArrowError> {
    let schema = arrow_schema(columns, form);
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let cells = rows.keys().map(|row| &row.0[at]);
        arrays.push(match column.kind {
            ColumnType::Long => Arc::new(cells.map(long_value).collect::<Int64Array>()),
            ColumnType::Text => Arc::new(cells.map(text_value).collect::<StringArray>()),
            ColumnType::Double => Arc::new(cells.map(double_value).collect::<Float64Array>()),
        });
    }
    if form == AnswerTableForm::Changes {
        let epoch = i64::try_from(moment.epoch).unwrap_or(i64::MAX);
        let as_of = TimestampMicrosecondArray::from_value(moment.as_of.as_microsecond(), rows.len());
        arrays.push(Arc::new(Int64Array::from_value(epoch, rows.len())));
        arrays.push(Arc::new(as_of.with_timezone("UTC")));
        arrays.push(Arc::new(rows.values().copied().collect::<Int64Array>()));
    }
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

fn long_value(cell: &AnswerCell) -> Option<i64> {
    if let AnswerCell::Long(value) = cell { Some(*value) } else { None }
}

fn text_value(cell: &AnswerCell) -> Option<&str> {
    if let AnswerCell::Text(value) = cell { Some(value) } else { None }
}

fn double_value(cell: &AnswerCell) -> Option<f64> {
    if let AnswerCell::Double(value) = cell { Some(*value) } else { None }
}

/// Adds the rows or changes of a file to `into`.
pub(super) fn read_rows(
    columns: &[AnswerColumn],
    form: AnswerTableForm,
    file: FileInput,
    into: &mut RowDiffs,
) -> Result<(), ArrowError> {
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        let batch = batch?;
        let column = |name: &str| {
            let missing = || ArrowError::SchemaError(format!("there is no column {name}"));
            batch.column_by_name(name).ok_or_else(missing)
        };
        let cells: Vec<_> =
            columns.iter().map(|of| column(of.name).map(|array| (of.kind, array))).collect::<Result<_, _>>()?;
        let diffs = if form == AnswerTableForm::Changes { Some(column(DIFF)?) } else { None };
        for at in 0..batch.num_rows() {
            let row = cells.iter().map(|(kind, array)| read_cell(*kind, array, at)).collect::<Result<_, _>>()?;
            let diff = match diffs {
                Some(diffs) => read_whole_number(diffs, at)?,
                None => 1,
            };
            *into.entry(AnswerRow(row)).or_default() += diff;
        }
    }
    into.retain(|_, diff| *diff != 0);
    Ok(())
}

fn read_whole_number(array: &ArrayRef, at: usize) -> Result<i64, ArrowError> {
    let numbers = array.as_primitive_opt::<Int64Type>().filter(|numbers| !numbers.is_null(at));
    numbers.map(|numbers| numbers.value(at)).ok_or_else(|| type_error("whole number"))
}

fn read_cell(kind: ColumnType, array: &ArrayRef, at: usize) -> Result<AnswerCell, ArrowError> {
    match kind {
        ColumnType::Long => read_whole_number(array, at).map(AnswerCell::Long),
        ColumnType::Text => {
            let texts = array.as_string_opt::<i32>().filter(|texts| !texts.is_null(at));
            texts.map(|texts| AnswerCell::text(texts.value(at))).ok_or_else(|| type_error("text"))
        }
        ColumnType::Double => {
            let numbers = array.as_primitive_opt::<Float64Type>().filter(|numbers| !numbers.is_null(at));
            numbers.map(|numbers| AnswerCell::Double(numbers.value(at))).ok_or_else(|| type_error("number"))
        }
    }
}

fn type_error(wanted: &str) -> ArrowError {
    ArrowError::SchemaError(format!("a value is not a {wanted}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::answer::{double_column, long_column, text_column};

    use super::*;

    const COLUMNS: &[AnswerColumn] = &[long_column("post_year"), text_column("category"), double_column("median")];

    fn row(year: i64, category: &str, median: f64) -> AnswerRow {
        AnswerRow(Box::new([AnswerCell::Long(year), AnswerCell::text(category), AnswerCell::Double(median)]))
    }

    fn open(path: &std::path::Path) -> FileInput {
        FileInput::Disk(std::fs::File::open(path).unwrap())
    }

    #[test]
    fn encoded_rows_are_read_back_and_changes_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let moment = EpochTime { epoch: 7, as_of: "2026-01-01T00:00:00.5Z".parse().unwrap() };
        let file = |name: &str, form, rows: &RowDiffs| {
            let path = folder.path().join(name);
            std::fs::write(&path, encode_rows(COLUMNS, form, rows, moment).unwrap()).unwrap();
            path
        };
        let (art, tea) = (row(2018, "art", 1.5), row(2019, "=té\u{0}\"", f64::MAX));
        let current = RowDiffs::from([(art.clone(), 1), (tea.clone(), 1)]);
        let mut read_back = RowDiffs::new();
        read_rows(
            COLUMNS,
            AnswerTableForm::Current,
            open(&file("current", AnswerTableForm::Current, &current)),
            &mut read_back,
        )
        .unwrap();
        assert_eq!(read_back, current);
        let mut summed = RowDiffs::new();
        let changes = [RowDiffs::from([(art.clone(), 1), (tea.clone(), 1)]), RowDiffs::from([(art, -1)])];
        for (number, changes) in changes.iter().enumerate() {
            let path = file(&format!("changes-{number}"), AnswerTableForm::Changes, changes);
            read_rows(COLUMNS, AnswerTableForm::Changes, open(&path), &mut summed).unwrap();
        }
        assert_eq!(summed, RowDiffs::from([(tea, 1)]));
        let missing =
            read_rows(COLUMNS, AnswerTableForm::Changes, open(&folder.path().join("current")), &mut RowDiffs::new());
        assert!(missing.unwrap_err().to_string().contains("_diff"));
    }
}
