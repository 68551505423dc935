//! Reads the rows of a cleaned table that count, with some of its columns, as values of SQL.
//!
//! With [`RowExtent::Consistent`] all tables are read up to the position that every one of them has reached, so rows of a
//! run that is committing are those of one moment. Files are read one after the other. The rows that count are in memory at the end, and with
//! [`DuplicatePolicy::Latest`] each key has one.

use std::collections::HashMap;
use std::path::Path;

use deltalake::arrow::array::RecordBatch;
use pinflow_dataflows::clean::StoredTexts;
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::hash::KeyedState;
use pinflow_dataflows::record::{Ind, Lineage, Position};
use pinflow_dataflows::symbol::Symbol;
use pinflow_sql::datum::Row;

use super::decide::resume_points;
use super::error::DeltaError;
use super::inspect::TableContents;
use super::open::ActiveFile;
use super::post_columns::{PostColumns, bounded_values, read_arrivals};
use super::rows::{SourceSymbols, for_each_row, read_batches, row_error};
use super::schema::{LINEAGE_COLUMNS, Table};
use pinflow_connect::sink::RowId;

/// The column with the key.
const KEY_COLUMN: &str = "ind";

/// Which rows and columns of a cleaned table are read.
#[derive(Debug, Clone)]
pub struct RowSelection {
    /// The table.
    pub table: Table,
    /// The columns of the relation in the catalog of questions, in order. `None` for a column whose values are not
    /// needed: they are null.
    pub columns: Vec<Option<&'static str>>,
    /// Which of several rows of a key count.
    pub duplicates: DuplicatePolicy,
    /// How far the table is read.
    pub extent: RowExtent,
    /// Stored texts that are longer than this limit of a run count as null, as in its answers. `None` for no limit.
    pub text_bytes_max: Option<usize>,
}

/// Which rows of a version of a table are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowExtent {
    /// Those before the position that all tables have reached.
    Consistent,
    /// All of them. The versions of the tables must belong together.
    WholeVersion,
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
    let ends = (selection.extent == RowExtent::Consistent).then(|| read_ends(tables));
    let mut counting = CountingRows { ends, ..CountingRows::new(selection) };
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
    texts: Option<StoredTexts>,
    /// The position of each source up to which rows count. `None` if all do.
    ends: Option<HashMap<Symbol, Position>>,
    rows: Vec<Row>,
    /// The place and the version of the row of each key, if only the latest counts.
    latest: HashMap<Ind, (usize, Lineage), KeyedState>,
}

impl<'a> CountingRows<'a> {
    fn new(selection: &'a RowSelection) -> CountingRows<'a> {
        let texts = selection.text_bytes_max.map(StoredTexts::new);
        CountingRows { selection, texts, ends: None, rows: Vec::new(), latest: HashMap::default() }
    }

    fn add_batch(&mut self, batch: &RecordBatch, path: &Path, sources: &mut SourceSymbols) -> Result<(), DeltaError> {
        let wanted: Vec<&str> = self.selection.columns.iter().flatten().copied().collect();
        let posts = PostColumns::read(self.selection.table, batch, path, &wanted)?;
        let arrivals = read_arrivals(batch, path)?;
        let mut unknown = None;
        for_each_row(batch, path, sources, |row, RowId { source, position, sub }| {
            let end = self.ends.as_ref().map_or(Some(&Position::END), |ends| ends.get(&source));
            let Some(end) = end else {
                unknown = unknown.or(Some(source));
                return;
            };
            if position < *end {
                let lineage = Lineage { arrived_at: arrivals.of_row(row), source, position, sub };
                let (columns, texts) = (&self.selection.columns, self.texts);
                self.add_row(posts.inds()[row], lineage, || bounded_values(&posts.post(row), texts, &lineage, columns));
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

    fn add_row(&mut self, ind: Ind, version: Lineage, values: impl FnOnce() -> Row) {
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
}
