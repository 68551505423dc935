//! Encodes rows of an answer as parquet, and decodes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use deltalake::arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
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

/// The columns that a table of changes has after those of the answer.
pub(super) const CHANGE_COLUMNS: [&str; 3] = ["_epoch", "_as_of", DIFF];

fn utc_micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn arrow_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Long => DataType::Int64,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Double => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Time => utc_micros(),
    }
}

fn arrow_schema(columns: &[AnswerColumn], form: AnswerTableForm) -> SchemaRef {
    let mut fields: Vec<_> = columns.iter().map(|of| Field::new(of.name.as_str(), arrow_type(of.kind), true)).collect();
    if form == AnswerTableForm::Changes {
        fields.push(Field::new("_epoch", DataType::Int64, true));
        fields.push(Field::new("_as_of", utc_micros(), true));
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
        ColumnType::Bool => DeltaType::BOOLEAN,
        ColumnType::Time => DeltaType::TIMESTAMP,
    };
    let nullable = |column: &AnswerColumn| StructField::nullable(column.name.as_str(), of(column.kind));
    let mut fields: Vec<_> = columns.iter().map(nullable).collect();
    if form == AnswerTableForm::Changes {
        fields.push(StructField::nullable("_epoch", DeltaType::LONG));
        fields.push(StructField::nullable("_as_of", DeltaType::TIMESTAMP));
        fields.push(StructField::nullable(DIFF, DeltaType::LONG));
    }
    fields
}

/// How many rows of a file hold these rows or changes: a current row is stored as often as it is there, a change once.
pub(super) fn stored_rows(form: AnswerTableForm, rows: &RowDiffs) -> usize {
    rows.values().map(|diff| repeats(form, *diff)).sum()
}

fn repeats(form: AnswerTableForm, diff: i64) -> usize {
    match form {
        AnswerTableForm::Current => usize::try_from(diff).unwrap_or_default(),
        AnswerTableForm::Changes => 1,
    }
}

/// Encodes rows or changes as a parquet file.
pub(super) fn encode_rows(
    columns: &[AnswerColumn],
    form: AnswerTableForm,
    rows: &RowDiffs,
    moment: EpochTime,
) -> Result<Vec<u8>, ArrowError> {
    let schema = arrow_schema(columns, form);
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let cells = rows.iter().flat_map(|(row, diff)| std::iter::repeat_n(&row.0[at], repeats(form, *diff)));
        arrays.push(match column.kind {
            ColumnType::Long => Arc::new(cells.map(long_value).collect::<Int64Array>()),
            ColumnType::Text => Arc::new(cells.map(text_value).collect::<StringArray>()),
            ColumnType::Double => Arc::new(cells.map(double_value).collect::<Float64Array>()),
            ColumnType::Bool => Arc::new(cells.map(bool_value).collect::<BooleanArray>()),
            ColumnType::Time => {
                Arc::new(cells.map(time_value).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
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

fn bool_value(cell: &AnswerCell) -> Option<bool> {
    if let AnswerCell::Bool(value) = cell { Some(*value) } else { None }
}

fn time_value(cell: &AnswerCell) -> Option<i64> {
    if let AnswerCell::Time(micros) = cell { Some(*micros) } else { None }
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
            columns.iter().map(|of| column(&of.name).map(|array| (of.kind, array))).collect::<Result<_, _>>()?;
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
    if array.is_null(at) {
        return Ok(AnswerCell::Null);
    }
    let cell = match kind {
        ColumnType::Long => array.as_primitive_opt::<Int64Type>().map(|of| AnswerCell::Long(of.value(at))),
        ColumnType::Text => array.as_string_opt::<i32>().map(|of| AnswerCell::text(of.value(at))),
        ColumnType::Double => array.as_primitive_opt::<Float64Type>().map(|of| AnswerCell::Double(of.value(at))),
        ColumnType::Bool => array.as_boolean_opt().map(|of| AnswerCell::Bool(of.value(at))),
        ColumnType::Time => {
            array.as_primitive_opt::<TimestampMicrosecondType>().map(|of| AnswerCell::time(of.value(at)))
        }
    };
    cell.ok_or_else(|| type_error(kind.name()))
}

fn type_error(wanted: &str) -> ArrowError {
    ArrowError::SchemaError(format!("a value is not a {wanted}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::answer::{bool_column, double_column, long_column, text_column, time_column};

    use super::*;

    fn columns() -> [AnswerColumn; 5] {
        [
            long_column("post_year").or_null(),
            text_column("category").or_null(),
            double_column("median").or_null(),
            bool_column("is_video").or_null(),
            time_column("first").or_null(),
        ]
    }

    fn row(year: i64, category: &str, median: f64, is_video: bool, micros: i64) -> AnswerRow {
        AnswerRow::new([
            AnswerCell::Long(year),
            AnswerCell::text(category),
            AnswerCell::Double(median),
            AnswerCell::Bool(is_video),
            AnswerCell::time(micros),
        ])
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
            std::fs::write(&path, encode_rows(&columns(), form, rows, moment).unwrap()).unwrap();
            path
        };
        let (art, tea) = (row(2018, "art", 1.5, true, -1), row(2019, "=té\u{0}\"", f64::MAX, false, i64::pow(10, 15)));
        let nulls = AnswerRow::new([const { AnswerCell::Null }; 5]);
        let current = RowDiffs::from([(art.clone(), 1), (tea.clone(), 3), (nulls, 2)]);
        assert_eq!(stored_rows(AnswerTableForm::Current, &current), 6);
        let mut read_back = RowDiffs::new();
        read_rows(
            &columns(),
            AnswerTableForm::Current,
            open(&file("current", AnswerTableForm::Current, &current)),
            &mut read_back,
        )
        .unwrap();
        assert_eq!(read_back, current);
        let mut summed = RowDiffs::new();
        let changes = [current.clone(), RowDiffs::from([(art.clone(), -1), (tea.clone(), -2)])];
        for (number, changes) in changes.iter().enumerate() {
            let path = file(&format!("changes-{number}"), AnswerTableForm::Changes, changes);
            read_rows(&columns(), AnswerTableForm::Changes, open(&path), &mut summed).unwrap();
        }
        let mut left = current.clone();
        left.remove(&art);
        left.insert(tea, 1);
        assert_eq!(summed, left);
        let missing =
            read_rows(&columns(), AnswerTableForm::Changes, open(&folder.path().join("current")), &mut RowDiffs::new());
        assert!(missing.unwrap_err().to_string().contains("_diff"));
    }
}
