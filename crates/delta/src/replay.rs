//! Reads complete rows of a table in their original order.

use std::ops::ControlFlow;

use super::error::DeltaError;
use super::inspect::TableContents;
use super::post_columns::{PostColumns, StoredPost};
use super::rows::{self, SourceSymbols};
use super::schema::all_columns;
use pinflow_connect::sink::RowId;

/// Calls `each` with every row of a cleaned table, until it breaks.
///
/// Files are read in the order in which they were written, and the rows of a file are sorted by source and position. So
/// rows of a partition keep their order, unless another engine has merged files. One file is in memory at a time.
///
/// # Errors
/// If a file cannot be read, or contains values that a cleaned row cannot have.
pub fn replay(
    contents: &TableContents,
    mut each: impl FnMut(StoredPost<'_>) -> ControlFlow<()>,
) -> Result<(), DeltaError> {
    let table = contents.which;
    let names: Vec<&'static str> = all_columns(table).map(|column| column.name).collect();
    let mut files: Vec<_> = contents.active.iter().collect();
    files.sort_by(|one, other| (one.written_ms, &one.at.path).cmp(&(other.written_ms, &other.at.path)));
    for file in files {
        let (path, mut sources) = (&file.at.path, SourceSymbols::default());
        let (mut batches, mut order) = (Vec::new(), Vec::new());
        for batch in rows::read_batches(&file.at, names.iter())? {
            let batch = batch.map_err(|cause| DeltaError::File { path: path.clone(), cause })?;
            let place = batches.len();
            rows::for_each_row(&batch, path, &mut sources, |row, delivery| order.push((delivery, place, row)))?;
            batches.push(PostColumns::read(table, &batch, path, &names)?);
        }
        order.sort_by_key(|(RowId { source, position, sub }, ..)| (*source, *position, *sub));
        for (_, place, row) in order {
            if each(batches[place].post(row)).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}
