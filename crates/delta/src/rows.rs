//! Reads rows back from data files, on background threads.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use deltalake::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Int32Type};
use deltalake::parquet::arrow::ProjectionMask;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::errors::ParquetError;
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::hash::KeyedState;
use pinflow_dataflows::ingest::RowSink;
use pinflow_dataflows::questions::ReadColumns;
use pinflow_dataflows::record::{Lineage, Position, Stream};
use pinflow_dataflows::symbol::Symbol;
use tokio::sync::mpsc;

use super::columns::digits_between;
use super::error::{DeltaError, from_arrow};
use super::input::FileAt;
use super::open::ActiveFile;
use super::post_columns::{PostColumns, StoredPost, read_arrivals};
use super::schema::Table;
use super::superseded::SupersededFilter;
use pinflow_connect::sink::{RowId, StoredChunk};

/// The number of rows of a chunk.
const CHUNK_ROWS: usize = 16_384;
/// The number of rows of a chunk that fills a question in a running pipeline: few, so that an epoch is short.
const FILL_CHUNK_ROWS: usize = 2_048;
/// The most decoded chunks that wait for the receiver.
const MAX_CHUNKS_AHEAD: usize = 4;
/// The number of decoder threads. More than two are faster than the dataflow graph.
const DECODER_THREADS: usize = 2;

/// A chunk of rows of one table, with only the columns that questions read.
#[derive(Debug)]
pub struct StoredRows {
    columns: PostColumns,
    lineages: Vec<Lineage>,
    /// Whether each row is known not to count. Empty if all rows count.
    superseded: Vec<bool>,
}

impl StoredRows {
    /// The lineage of each row.
    pub(crate) fn lineages(&self) -> &[Lineage] {
        &self.lineages
    }

    /// The indices of the rows that may count.
    fn counting_rows(&self) -> impl Iterator<Item = usize> {
        (0..self.lineages.len()).filter(|row| !self.superseded.get(*row).is_some_and(|superseded| *superseded))
    }
}

impl StoredChunk for StoredRows {
    fn replay(&self, rows: &mut dyn RowSink) {
        for row in self.counting_rows() {
            let lineage = self.lineages[row];
            match self.columns.post(row) {
                StoredPost::Pin(pin) => rows.pin(lineage, &pin),
                StoredPost::Geo(geo) => rows.geo(lineage, &geo),
                StoredPost::User(user) => rows.user(lineage, &user),
            }
        }
    }

    fn len(&self) -> usize {
        self.lineages.len()
    }

    fn text_bytes(&self) -> usize {
        self.columns.text_bytes()
    }
}

/// The columns of a table that are read, besides its lineage. `None` if no row of it is.
fn table_columns(table: Table, columns: &ReadColumns) -> Option<Vec<&'static str>> {
    let stream = match table {
        Table::Pin => Stream::Pin,
        Table::Geo => Stream::Geo,
        Table::User => Stream::User,
        Table::Rejected => return None,
    };
    let own = columns.of_stream(stream)?.iter().copied().filter(|column| !LINEAGE.contains(column));
    Some(iter::once("ind").chain(own).collect())
}

/// Whether rows of a table are read.
pub(crate) fn reads_table(table: Table, columns: &ReadColumns) -> bool {
    table_columns(table, columns).is_some()
}

/// The niceness of threads that read rows to fill a question. With 5 they get a quarter of a CPU core that the run also
/// wants.
const FILL_NICENESS: i32 = 5;

/// What rows are read back for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadPurpose {
    /// To rebuild all answers, before any record is read.
    Rebuild,
    /// To fill a question while records flow.
    Fill,
}

impl ReadPurpose {
    fn chunk_rows(self) -> usize {
        match self {
            ReadPurpose::Rebuild => CHUNK_ROWS,
            ReadPurpose::Fill => FILL_CHUNK_ROWS,
        }
    }

    /// Makes way for the records that flow meanwhile.
    fn lower_priority(self) {
        if self == ReadPurpose::Fill
            && let Err(cause) = rustix::process::nice(FILL_NICENESS)
        {
            tracing::debug!("rows are read with the priority of the run: {cause}");
        }
    }
}

/// The files in the order in which they are read back: of each table those with the newest rows first.
pub(crate) fn newest_first(files: &[ActiveFile]) -> Vec<FileAt> {
    let mut files: Vec<_> = files.iter().map(|file| (newest_arrival(file), file.written_ms, &file.at)).collect();
    files.sort_by(|(one, one_ms, _), (other, other_ms, _)| (other, other_ms).cmp(&(one, one_ms)));
    files.into_iter().map(|(_, _, file)| file.clone()).collect()
}

/// The greatest arrival time in a file, as text that sorts like the time. `None` if the statistics do not tell.
fn newest_arrival(file: &ActiveFile) -> Option<String> {
    let stats: serde_json::Value = serde_json::from_str(file.stats.as_deref()?).ok()?;
    Some(stats.get("maxValues")?.get("_arrived_at")?.as_str()?.to_owned())
}

/// Decodes files on background threads, in this order. Chunks arrive in any order. With [`DuplicatePolicy::Latest`],
/// chunks leave out rows that are known not to count when they are replayed.
pub(crate) fn read_back(
    files: Vec<(Table, FileAt)>,
    duplicates: DuplicatePolicy,
    columns: &ReadColumns,
    purpose: ReadPurpose,
) -> mpsc::Receiver<Result<StoredRows, DeltaError>> {
    let (sender, receiver) = mpsc::channel(MAX_CHUNKS_AHEAD);
    let threads = DECODER_THREADS.min(files.len());
    let queue = Arc::new(Mutex::new(files.into_iter()));
    for number in 0..threads {
        let columns = columns.clone();
        let (queue, sender, spare) = (queue.clone(), sender.clone(), sender.clone());
        let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let mut filter = (duplicates == DuplicatePolicy::Latest).then(SupersededFilter::new);
        let read = move || {
            purpose.lower_priority();
            while let Some((table, file)) = next() {
                let mut gone = false;
                let each = |mut rows: StoredRows| {
                    if let Some(filter) = &mut filter {
                        rows.superseded = filter.find_superseded(table, rows.columns.inds(), &rows.lineages);
                    }
                    gone = sender.blocking_send(Ok(rows)).is_err();
                    !gone
                };
                if let Err(error) = read_file(table, &file, &columns, purpose.chunk_rows(), each) {
                    gone |= sender.blocking_send(Err(error)).is_err();
                }
                if gone {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("read back {number}")).spawn(read);
        if thread.is_err() {
            // Otherwise the receiver would take the missing thread for the end of the rows.
            let died = Err(DeltaError::Died { what: "starting a thread to read rows back" });
            tokio::spawn(async move { spare.send(died).await });
        }
    }
    receiver
}

fn read_file(
    table: Table,
    file: &FileAt,
    columns: &ReadColumns,
    chunk_rows: usize,
    mut each: impl FnMut(StoredRows) -> bool,
) -> Result<(), DeltaError> {
    let (path, mut sources) = (&file.path, SourceSymbols::default());
    let wanted = table_columns(table, columns).unwrap_or_default();
    for batch in read_batches_of(file, wanted.iter().chain(&LINEAGE), chunk_rows)? {
        let batch = batch.map_err(|cause| DeltaError::File { path: path.to_owned(), cause })?;
        if !each(decode_rows((table, &wanted), &batch, path, &mut sources)?) {
            return Ok(());
        }
    }
    Ok(())
}

const LINEAGE: [&str; 4] = ["_source", "_position", "_sub", "_arrived_at"];

/// Reads some columns of a file in batches.
pub(super) fn read_batches<'a>(
    file: &FileAt,
    columns: impl Iterator<Item = &'a &'static str>,
) -> Result<impl Iterator<Item = Result<RecordBatch, ParquetError>>, DeltaError> {
    read_batches_of(file, columns, CHUNK_ROWS)
}

fn read_batches_of<'a>(
    file: &FileAt,
    columns: impl Iterator<Item = &'a &'static str>,
    batch_rows: usize,
) -> Result<impl Iterator<Item = Result<RecordBatch, ParquetError>>, DeltaError> {
    let failed = |cause| DeltaError::File { path: file.path.clone(), cause };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.open()?).map_err(failed)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.copied());
    // The last row groups first: they hold the newest rows, which supersede others.
    let groups = (0..builder.metadata().num_row_groups()).rev().collect();
    let reader = builder.with_projection(mask).with_row_groups(groups).with_batch_size(batch_rows);
    let reader = reader.build().map_err(failed)?;
    Ok(reader.map(|batch| batch.map_err(from_arrow)))
}

/// Reads a column by name, cast to the type `kind` if another engine stored it in another type.
pub(super) fn read_column(
    batch: &RecordBatch,
    name: &str,
    kind: &DataType,
    path: &Path,
) -> Result<ArrayRef, DeltaError> {
    let found = batch.column_by_name(name);
    let found = found.ok_or_else(|| row_error(path, format!("no column {name}")))?;
    if found.data_type() == kind {
        return Ok(found.clone());
    }
    cast(found, kind).map_err(|error| row_error(path, format!("column {name}: {error}")))
}

pub(super) fn row_error(path: &Path, what: String) -> DeltaError {
    DeltaError::Row { path: path.to_owned(), what }
}

fn decode_rows(
    (table, wanted): (Table, &[&str]),
    batch: &RecordBatch,
    path: &Path,
    sources: &mut SourceSymbols,
) -> Result<StoredRows, DeltaError> {
    let columns = PostColumns::read(table, batch, path, wanted)?;
    let arrivals = read_arrivals(batch, path)?;
    let mut lineages = Vec::with_capacity(batch.num_rows());
    for_each_row(batch, path, sources, |row, RowId { source, position, sub }| {
        lineages.push(Lineage { arrived_at: arrivals.of_row(row), source, position, sub });
    })?;
    Ok(StoredRows { columns, lineages, superseded: Vec::new() })
}

/// Interns the names of sources. It caches the last one, because rows of one source are adjacent.
#[derive(Debug, Default)]
pub(super) struct SourceSymbols {
    last: Option<Symbol>,
}

impl SourceSymbols {
    fn intern(&mut self, text: &str) -> Symbol {
        match self.last {
            Some(last) if *last.text() == *text => last,
            _ => *self.last.insert(Symbol::new(text)),
        }
    }
}

/// Calls `each` with the index and the id of every row of a batch.
///
/// # Errors
/// If a row has no lineage, because another tool wrote it.
pub(super) fn for_each_row(
    batch: &RecordBatch,
    path: &Path,
    sources: &mut SourceSymbols,
    mut each: impl FnMut(usize, RowId),
) -> Result<(), DeltaError> {
    let mut first_fault = None;
    read_lineages(batch, path, sources, |row, delivery| match delivery {
        Ok(delivery) => each(row, delivery),
        Err(what) => first_fault = first_fault.take().or(Some(what)),
    })?;
    match first_fault {
        None => Ok(()),
        Some(what) => {
            let what = format!("a row without lineage, written by another tool ({what}); {NAME_COMMIT}");
            Err(row_error(path, what))
        }
    }
}

/// What the user can do about rows that another tool has written.
const NAME_COMMIT: &str = "`pinflow table PATH --verify` names the commit that added it and what to do";

/// Calls `each` with the index and the id of every row of a batch, or why it has no id.
fn read_lineages(
    batch: &RecordBatch,
    path: &Path,
    sources: &mut SourceSymbols,
    mut each: impl FnMut(usize, Result<RowId, String>),
) -> Result<(), DeltaError> {
    if let Some(absent) = LINEAGE[..3].iter().find(|name| batch.column_by_name(name).is_none()) {
        (0..batch.num_rows()).for_each(|row| each(row, Err(format!("no column {absent}"))));
        return Ok(());
    }
    let texts =
        |name: &str| Ok::<_, DeltaError>(read_column(batch, name, &DataType::Utf8, path)?.as_string::<i32>().clone());
    let (names, positions) = (texts("_source")?, texts("_position")?);
    let subs = read_column(batch, "_sub", &DataType::Int32, path)?.as_primitive::<Int32Type>().clone();
    for row in 0..batch.num_rows() {
        let nulls =
            [("_source", names.is_null(row)), ("_position", positions.is_null(row)), ("_sub", subs.is_null(row))];
        if let Some((name, _)) = nulls.iter().find(|(_, is_null)| *is_null) {
            each(row, Err(format!("{name} is null")));
            continue;
        }
        let (text, sub) = (positions.value(row), subs.value(row));
        let delivery = match (Position::parse(text.as_bytes()), u32::try_from(sub)) {
            (None, _) => Err(format!("_position `{text}` is not a number")),
            (_, Err(_)) => Err(format!("_sub {sub} is negative")),
            (Some(position), Ok(sub)) => Ok(RowId { source: sources.intern(names.value(row)), position, sub }),
        };
        each(row, delivery);
    }
    Ok(())
}

/// Calls `each` with the id of every row of a file.
pub(crate) fn for_each_row_id(file: &FileAt, mut each: impl FnMut(RowId)) -> Result<(), DeltaError> {
    let (path, mut sources) = (&file.path, SourceSymbols::default());
    for batch in read_batches(file, LINEAGE[..3].iter())? {
        let batch = batch.map_err(|cause| DeltaError::File { path: path.to_owned(), cause })?;
        for_each_row(&batch, path, &mut sources, |_, delivery| each(delivery))?;
    }
    Ok(())
}

/// Calls `each` with the id of every row of a file, or why it has no id.
pub(crate) fn for_each_lineage(file: &FileAt, mut each: impl FnMut(Result<RowId, String>)) -> Result<(), DeltaError> {
    let (path, mut sources) = (&file.path, SourceSymbols::default());
    for batch in read_batches(file, LINEAGE[..3].iter())? {
        let batch = batch.map_err(|cause| DeltaError::File { path: path.to_owned(), cause })?;
        read_lineages(&batch, path, &mut sources, |_, delivery| each(delivery))?;
    }
    Ok(())
}

/// Reads and decodes all columns of a file. Returns the number of rows.
pub(crate) fn read_all_columns(file: &FileAt) -> Result<u64, DeltaError> {
    let failed = |cause| DeltaError::File { path: file.path.clone(), cause };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.open()?).map_err(failed)?;
    let mut rows = 0;
    for batch in builder.with_batch_size(CHUNK_ROWS).build().map_err(failed)? {
        rows += batch.map_err(|error| failed(from_arrow(error)))?.num_rows() as u64;
    }
    Ok(rows)
}

/// The ids of all rows in files at or after the position of their source.
pub(crate) fn find_rows_from(
    files: &[(FileAt, Option<String>)],
    sources: &[(Symbol, Position)],
) -> Result<HashSet<RowId, KeyedState>, DeltaError> {
    let least = sources.iter().map(|(_, position)| *position).min().unwrap_or(Position::END);
    let from: HashMap<Symbol, Position> = sources.iter().copied().collect();
    let mut found = HashSet::default();
    for (file, stats) in files {
        if stats.as_deref().and_then(position_bounds).is_some_and(|(_, greatest)| greatest < least) {
            continue;
        }
        for_each_row_id(file, |delivery| {
            if from.get(&delivery.source).is_some_and(|from| delivery.position >= *from) {
                found.insert(delivery);
            }
        })?;
    }
    Ok(found)
}

/// The least and greatest position in a file according to its statistics; `None` if they do not tell.
pub(crate) fn position_bounds(stats: &str) -> Option<(Position, Position)> {
    let stats: serde_json::Value = serde_json::from_str(stats).ok()?;
    let text = |which: &str, column: &str| stats.get(which)?.get(column)?.as_str();
    let digits = digits_between(text("minValues", "_source")?, text("maxValues", "_source")?)?;
    // A text of another length was truncated, and is no bound.
    let whole = |which: &str| text(which, "_position").filter(|text| text.len() == digits);
    let number = |which: &str| Position::parse(whole(which)?.as_bytes());
    Some((number("minValues")?, number("maxValues")?))
}

/// Counts the rows of files. Reads the metadata of files without statistics.
pub(crate) async fn count_table_rows(files: &[ActiveFile]) -> Result<u64, DeltaError> {
    let mut rows = 0;
    for file in files {
        rows += match file.rows {
            Some(rows) => rows,
            None => count_rows(file.at.clone()).await?,
        };
    }
    Ok(rows)
}

/// Counts the rows of a file, from its own metadata.
pub(crate) async fn count_rows(file: FileAt) -> Result<u64, DeltaError> {
    let count = move || {
        let opened = ParquetRecordBatchReaderBuilder::try_new(file.open()?);
        let opened = opened.map_err(|cause| DeltaError::File { path: file.path.clone(), cause })?;
        Ok(u64::try_from(opened.metadata().file_metadata().num_rows()).unwrap_or(0))
    };
    tokio::task::spawn_blocking(count).await.map_err(|_| DeltaError::Died { what: "counting rows" })?
}
