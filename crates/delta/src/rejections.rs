//! Reads the rows of the table `rejected`.

use std::collections::HashSet;
use std::path::Path;

use deltalake::arrow::array::{Array, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray};
use deltalake::arrow::datatypes::{DataType, Int64Type};
use pinflow_dataflows::record::{Micros, Position};
use pinflow_dataflows::symbol::Symbol;

use super::error::DeltaError;
use super::inspect::TableContents;
use super::post_columns::read_arrivals;
use super::rows::{SourceSymbols, for_each_row, for_each_row_id, position_bounds, read_batches, read_column};
use super::schema::{LINEAGE_COLUMNS, Table};
use pinflow_connect::sink::RowId;

/// A row of the table `rejected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRejection {
    /// The `_source` of the message.
    pub source: String,
    /// Its place in that partition.
    pub position: Position,
    /// The number of the row in the message.
    pub sub: u32,
    /// When the message arrived, microseconds since 1970. `None` if that is not known.
    pub arrived_at: Option<Micros>,
    /// When the data file with the row was written, microseconds since 1970. A compaction writes a later one.
    pub written_at: Micros,
    /// The stream of the row. `None` if it is not known.
    pub stream: Option<String>,
    /// Why it was rejected.
    pub reason: String,
    /// The error in words.
    pub detail: String,
    /// The first bytes of the message. `None` if they were not read, or the message had no payload.
    pub payload: Option<Vec<u8>>,
    /// The size of the whole message, bytes.
    pub payload_bytes: u64,
    /// The SHA-256 of the whole message, hexadecimal.
    pub payload_sha256: Option<String>,
}

/// Which rejections are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RejectionScan {
    /// Whether the payloads are read, too.
    pub payloads: bool,
    /// Only the rows at this position. Files without it are not read.
    pub position: Option<Position>,
}

/// The columns of a rejection besides its lineage and its payload.
const COLUMNS: [&str; 5] = ["stream", "reason", "detail", "payload_bytes", "payload_sha256"];

/// Calls `each` with every rejection that is chosen, in no order. `tables` is what [`inspect`](super::inspect) found. Blocks
/// while files are read.
///
/// # Errors
/// If the table is not there, a file cannot be read, or a row was written by another tool.
pub fn scan_rejections(
    tables: &[TableContents],
    scan: RejectionScan,
    mut each: impl FnMut(StoredRejection),
) -> Result<(), DeltaError> {
    let Some(contents) = tables.iter().find(|contents| contents.which == Table::Rejected) else {
        let path = tables.first().map(|contents| contents.path.clone()).unwrap_or_default();
        let what = "the table `rejected` is not there; name the folder that contains it".to_owned();
        return Err(DeltaError::Foreign { path, what });
    };
    for file in &contents.active {
        let bounds = file.stats.as_deref().and_then(position_bounds);
        let may_have = |position: Position| bounds.is_none_or(|(least, most)| (least..=most).contains(&position));
        if scan.position.is_some_and(|position| !may_have(position)) {
            continue;
        }
        let (path, mut sources) = (&file.at.path, SourceSymbols::default());
        let lineage = LINEAGE_COLUMNS.iter().map(|column| &column.name);
        let payload = scan.payloads.then_some(&"payload");
        for batch in read_batches(&file.at, COLUMNS.iter().chain(lineage).chain(payload))? {
            let batch = batch.map_err(|cause| DeltaError::File { path: path.clone(), cause })?;
            let columns = RejectionColumns::read(&batch, path, scan.payloads)?;
            let arrivals = read_arrivals(&batch, path)?;
            for_each_row(&batch, path, &mut sources, |row, id| {
                if scan.position.is_none_or(|position| position == id.position) {
                    let written_at = file.written_ms.saturating_mul(1_000);
                    each(columns.rejection(row, id, arrivals.of_row(row), written_at));
                }
            })?;
        }
    }
    Ok(())
}

/// Those of some messages, given by source and position, of which a cleaned table has a row. Blocks while files are read.
///
/// # Errors
/// If a file cannot be read, or a row was written by another tool.
pub fn find_accepted_messages(
    tables: &[TableContents],
    messages: &HashSet<(Symbol, Position)>,
) -> Result<HashSet<(Symbol, Position)>, DeltaError> {
    let mut found = HashSet::new();
    let cleaned = tables.iter().filter(|contents| contents.which != Table::Rejected);
    for file in cleaned.flat_map(|contents| &contents.active) {
        let bounds = file.stats.as_deref().and_then(position_bounds);
        let may_have = |position: Position| bounds.is_none_or(|(least, most)| (least..=most).contains(&position));
        if messages.iter().any(|(_, position)| may_have(*position)) {
            for_each_row_id(&file.at, |row| found.extend(messages.get(&(row.source, row.position))))?;
        }
    }
    Ok(found)
}

/// The columns of a batch of rejections.
struct RejectionColumns {
    stream: StringArray,
    reason: StringArray,
    detail: StringArray,
    payload: Option<BinaryArray>,
    payload_bytes: Int64Array,
    payload_sha256: StringArray,
}

impl RejectionColumns {
    fn read(batch: &RecordBatch, path: &Path, payloads: bool) -> Result<RejectionColumns, DeltaError> {
        let text = |name: &str| {
            let column = read_column(batch, name, &DataType::Utf8, path)?;
            Ok::<_, DeltaError>(column.as_string::<i32>().clone())
        };
        let payload = payloads.then(|| read_column(batch, "payload", &DataType::Binary, path)).transpose()?;
        let bytes = read_column(batch, "payload_bytes", &DataType::Int64, path)?;
        Ok(RejectionColumns {
            stream: text("stream")?,
            reason: text("reason")?,
            detail: text("detail")?,
            payload: payload.map(|column| column.as_binary::<i32>().clone()),
            payload_bytes: bytes.as_primitive::<Int64Type>().clone(),
            payload_sha256: text("payload_sha256")?,
        })
    }

    fn rejection(&self, row: usize, id: RowId, arrived_at: Option<Micros>, written_at: Micros) -> StoredRejection {
        let text = |texts: &StringArray| texts.is_valid(row).then(|| texts.value(row).to_owned());
        let payload = self.payload.as_ref().filter(|payloads| payloads.is_valid(row));
        let bytes = if self.payload_bytes.is_valid(row) { self.payload_bytes.value(row) } else { 0 };
        StoredRejection {
            source: id.source.text().to_owned(),
            position: id.position,
            sub: id.sub,
            arrived_at,
            written_at,
            stream: text(&self.stream),
            reason: text(&self.reason).unwrap_or_default(),
            detail: text(&self.detail).unwrap_or_default(),
            payload: payload.map(|payloads| payloads.value(row).to_vec()),
            payload_bytes: u64::try_from(bytes).unwrap_or(0),
            payload_sha256: text(&self.payload_sha256),
        }
    }
}
