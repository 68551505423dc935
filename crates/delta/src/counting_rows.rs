//! Reads the rows of a cleaned table that count, with some of its columns, as values of SQL.
//!
//! All tables are read up to the position that every one of them has reached, so rows of a run that is committing are
//! those of one moment. Files are read one after the other. The rows that count are in memory at the end, and with
//! [`DuplicatePolicy::Latest`] each key has one.

use std::collections::HashMap;
use std::path::Path;

use deltalake::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use deltalake::arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::hash::KeyedState;
use pinflow_dataflows::record::{Lineage, Position};
use pinflow_dataflows::symbol::Symbol;
use pinflow_sql::datum::{Datum, Row};

use super::decide::resume_points;
use super::error::DeltaError;
use super::inspect::TableContents;
use super::open::ActiveFile;
use super::rows::{SourceSymbols, for_each_row, read_batches, read_column, row_error};
use super::schema::{LINEAGE_COLUMNS, Table};
use pinflow_connect::sink::RowId;

/// The column with the key.
const KEY_COLUMN: &str = "ind";

/// Which rows and columns of a cleaned table are read.
#[derive(Debug, Clone)]
pub struct RowSelection {
    /// The table.
    pub table: Table,
    /// The columns of the result, by name. `None` for a column whose values are not needed: they are null.
    pub columns: Vec<Option<&'static str>>,
    /// Which of several rows of a key count.
    pub duplicates: DuplicatePolicy,
}

/// Reads the rows of a table that count. `tables` is what [`inspect`](super::inspect) found. Blocks while files are read.
///
/// `on_progress` gets the number of rows read so far, after each batch.
///
/// # Errors
/// If the table is not there, a file cannot be read, or a row was written by another tool.
pub fn read_counting_rows(
    tables: &[TableContents],
    selection: &RowSelection,
    mut on_progress: impl FnMut(u64),
) -> Result<Vec<Row>, DeltaError> {
    let Some(contents) = tables.iter().find(|contents| contents.which == selection.table) else {
        let path = tables.first().map(|contents| contents.path.clone()).unwrap_or_default();
        let what =
            format!("the table `{}` is not there; name the folder that contains pin, geo and user", selection.table);
        return Err(DeltaError::Foreign { path, what });
    };
    let mut counting = CountingRows { ends: read_ends(tables), ..CountingRows::new(selection) };
    let mut read = 0;
    for file in &contents.active {
        read_file(file, selection, |batch, path, sources| {
            read += batch.num_rows() as u64;
            counting.add_batch(batch, path, sources)?;
            on_progress(read);
            Ok(())
        })?;
    }
    Ok(counting.rows)
}

/// The position of each source up to which all tables have its rows.
fn read_ends(tables: &[TableContents]) -> HashMap<Symbol, Position> {
    let stored: Vec<_> = tables.iter().map(|contents| (contents.which, contents.reached.clone())).collect();
    if let [only] = tables {
        // A table alone is as of its own positions.
        return only.reached.iter().map(|moved| (Symbol::new(&moved.source), moved.reached.next)).collect();
    }
    let ends = resume_points(&stored).into_values();
    ends.map(|point| (Symbol::new(&point.source), point.at.map_or(Position::START, |at| at.reached.next))).collect()
}

/// Reads the selected columns of a file, with its lineage, in batches.
fn read_file(
    file: &ActiveFile,
    selection: &RowSelection,
    mut each: impl FnMut(&RecordBatch, &Path, &mut SourceSymbols) -> Result<(), DeltaError>,
) -> Result<(), DeltaError> {
    let path = &file.at.path;
    let lineage = LINEAGE_COLUMNS.iter().map(|column| &column.name);
    let columns = selection.columns.iter().flatten().chain(lineage).chain([&KEY_COLUMN]);
    let mut sources = SourceSymbols::default();
    for batch in read_batches(&file.at, columns)? {
        let batch = batch.map_err(|cause| DeltaError::File { path: path.clone(), cause })?;
        each(&batch, path, &mut sources)?;
    }
    Ok(())
}

/// The rows that count so far.
struct CountingRows<'a> {
    selection: &'a RowSelection,
    schema: SchemaRef,
    ends: HashMap<Symbol, Position>,
    rows: Vec<Row>,
    /// The place and the version of the row of each key, if only the latest counts.
    latest: HashMap<i64, (usize, Lineage), KeyedState>,
}

impl<'a> CountingRows<'a> {
    fn new(selection: &'a RowSelection) -> CountingRows<'a> {
        CountingRows {
            selection,
            schema: selection.table.arrow_schema(),
            ends: HashMap::new(),
            rows: Vec::new(),
            latest: HashMap::default(),
        }
    }

    fn add_batch(&mut self, batch: &RecordBatch, path: &Path, sources: &mut SourceSymbols) -> Result<(), DeltaError> {
        let columns = self.read_values(batch, path)?;
        let inds = read_column(batch, KEY_COLUMN, &DataType::Int64, path)?.as_primitive::<Int64Type>().clone();
        if inds.null_count() > 0 || inds.values().iter().any(|ind| *ind < 0) {
            return Err(row_error(path, "an ind is null or negative".to_owned()));
        }
        let arrived = ColumnValues::read(batch, "_arrived_at", &time_type(), path)?;
        let mut unknown = None;
        for_each_row(batch, path, sources, |row, RowId { source, position, sub }| {
            let Some(end) = self.ends.get(&source) else {
                unknown = unknown.or(Some(source));
                return;
            };
            if position < *end {
                let arrived_at = arrived.time(row);
                let lineage = Lineage { arrived_at, source, position, sub };
                self.add_row(inds.value(row), lineage, || columns.iter().map(|column| column.datum(row)).collect());
            }
        })?;
        match unknown {
            None => Ok(()),
            Some(source) => {
                let what = format!(
                    "a row is from {}, which has no stored position; `pinflow table PATH --verify` says what to do",
                    source.text()
                );
                Err(row_error(path, what))
            }
        }
    }

    fn add_row(&mut self, ind: i64, version: Lineage, values: impl FnOnce() -> Row) {
        if self.selection.duplicates == DuplicatePolicy::Keep {
            return self.rows.push(values());
        }
        match self.latest.get_mut(&ind) {
            None => {
                self.latest.insert(ind, (self.rows.len(), version));
                self.rows.push(values());
            }
            Some((place, known)) if version > *known => {
                *known = version;
                self.rows[*place] = values();
            }
            Some(_) => {}
        }
    }

    /// The selected columns of a batch.
    fn read_values(&self, batch: &RecordBatch, path: &Path) -> Result<Vec<ColumnValues>, DeltaError> {
        let read = |name: &Option<&'static str>| {
            let Some(name) = name else { return Ok(ColumnValues::Nulls) };
            let kind =
                self.schema.field_with_name(name).map_err(|error| row_error(path, error.to_string()))?.data_type();
            ColumnValues::read(batch, name, kind, path)
        };
        self.selection.columns.iter().map(read).collect()
    }
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The values of one column of a batch.
enum ColumnValues {
    Longs(ArrayRef),
    /// Ages: numbers beyond 0…255, which only another engine stores, are null, as in a run.
    Ages(ArrayRef),
    Texts(ArrayRef),
    Times(ArrayRef),
    Lists(ArrayRef),
    Nulls,
}

impl ColumnValues {
    /// Reads a column that has this type in tables of pinflow.
    fn read(batch: &RecordBatch, name: &str, kind: &DataType, path: &Path) -> Result<ColumnValues, DeltaError> {
        let column = |kind: &DataType| read_column(batch, name, kind, path);
        Ok(match kind {
            DataType::Int64 => ColumnValues::Longs(column(&DataType::Int64)?),
            DataType::Int32 => ColumnValues::Ages(column(&DataType::Int64)?),
            DataType::Timestamp(..) => ColumnValues::Times(column(&time_type())?),
            DataType::List(_) => {
                let doubles = DataType::List(std::sync::Arc::new(Field::new("element", DataType::Float64, true)));
                ColumnValues::Lists(column(&doubles)?)
            }
            _ => ColumnValues::Texts(column(&DataType::Utf8)?),
        })
    }

    fn time(&self, row: usize) -> Option<i64> {
        match self {
            ColumnValues::Times(times) if times.is_valid(row) => {
                Some(times.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            _ => None,
        }
    }

    fn datum(&self, row: usize) -> Datum {
        let (ColumnValues::Longs(array)
        | ColumnValues::Ages(array)
        | ColumnValues::Texts(array)
        | ColumnValues::Times(array)
        | ColumnValues::Lists(array)) = self
        else {
            return Datum::Null;
        };
        if array.is_null(row) {
            return Datum::Null;
        }
        match self {
            ColumnValues::Longs(longs) => Datum::Long(longs.as_primitive::<Int64Type>().value(row)),
            ColumnValues::Ages(ages) => {
                let age = ages.as_primitive::<Int64Type>().value(row);
                if u8::try_from(age).is_ok() { Datum::Long(age) } else { Datum::Null }
            }
            ColumnValues::Texts(texts) => Datum::text(texts.as_string::<i32>().value(row)),
            ColumnValues::Times(times) => Datum::Time(times.as_primitive::<TimestampMicrosecondType>().value(row)),
            ColumnValues::Lists(lists) => {
                let list = lists.as_list::<i32>().value(row);
                let doubles = list.as_primitive::<Float64Type>();
                let double = |value: Option<f64>| value.and_then(Datum::double).unwrap_or(Datum::Null);
                Datum::List(doubles.iter().map(double).collect())
            }
            ColumnValues::Nulls => Datum::Null,
        }
    }
}
