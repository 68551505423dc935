//! Rows become encoded groups of rows, on the worker's own thread.

use deltalake::arrow::array::RecordBatch;
use deltalake::parquet::errors::ParquetError;
use pinflow_dataflows::ingest::RowSink;
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::Rejection;

use super::columns::{ColumnBuilders, GeoColumns, PinColumns, RejectedColumns, UserColumns};
use super::file::Compression;
use super::group::{FileFormat, RowGroup};
use super::schema::Table;
use pinflow_connect::sink::RowEncoder;

/// The most rows of a chunk: enough for efficient encoding, and few enough to stay in the CPU cache and not to delay
/// the answers.
const MAX_CHUNK_ROWS: usize = 2_048;

/// The most bytes of text in a chunk, for large rows.
const MAX_CHUNK_BYTES: usize = 4 << 20;

/// The rows that one worker has encoded for a window.
#[derive(Debug, Default)]
pub struct EncodedBatches {
    tables: [EncodedGroup; 4],
}

/// The encoded rows of one table; `None` without rows.
type EncodedGroup = Option<Result<RowGroup, ParquetError>>;

impl EncodedBatches {
    /// The number of rows of a table.
    #[must_use]
    pub fn rows(&self, table: Table) -> usize {
        self.encoded_groups().filter(|(of, _)| *of == table).map(|(_, group)| group.rows).sum()
    }

    /// The size in memory, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.encoded_groups().map(|(_, group)| group.memory_bytes()).sum()
    }

    fn encoded_groups(&self) -> impl Iterator<Item = (Table, &RowGroup)> {
        Table::ALL
            .into_iter()
            .zip(&self.tables)
            .filter_map(|(table, encoded)| Some((table, encoded.as_ref()?.as_ref().ok()?)))
    }

    pub(crate) fn take_group(&mut self, table: Table) -> EncodedGroup {
        self.tables[table as usize].take()
    }
}

/// Encodes the rows of one worker for all four tables.
pub struct DeltaEncoder {
    pin: ChunkEncoder<PinColumns>,
    geo: ChunkEncoder<GeoColumns>,
    user: ChunkEncoder<UserColumns>,
    rejected: ChunkEncoder<RejectedColumns>,
}

impl DeltaEncoder {
    /// Creates an encoder without rows.
    #[must_use]
    pub fn new(compression: Compression) -> DeltaEncoder {
        DeltaEncoder {
            pin: ChunkEncoder::new(compression),
            geo: ChunkEncoder::new(compression),
            user: ChunkEncoder::new(compression),
            rejected: ChunkEncoder::new(compression),
        }
    }
}

impl RowSink for DeltaEncoder {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.pin.add_row(|columns| columns.append(lineage, row));
    }

    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        self.geo.add_row(|columns| columns.append(lineage, row));
    }

    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        self.user.add_row(|columns| columns.append(lineage, row));
    }

    fn rejected(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        self.rejected.add_row(|columns| columns.append(lineage, stream, rejection, payload));
    }
}

impl RowEncoder for DeltaEncoder {
    type Batches = EncodedBatches;

    fn cut(&mut self) -> EncodedBatches {
        // In the order of `Table`.
        EncodedBatches { tables: [self.rejected.cut(), self.pin.cut(), self.geo.cut(), self.user.cut()] }
    }
}

/// Encodes the rows of one table in chunks.
struct ChunkEncoder<C> {
    format: FileFormat,
    columns: C,
    rows: usize,
    bytes: usize,
    /// The rows encoded since the last cut. After an error nothing more is encoded: the commit returns the error, which
    /// ends the run.
    encoded: EncodedGroup,
}

impl<C: ColumnBuilders> ChunkEncoder<C> {
    fn new(compression: Compression) -> ChunkEncoder<C> {
        ChunkEncoder {
            format: FileFormat::new(C::TABLE, compression),
            columns: C::default(),
            rows: 0,
            bytes: 0,
            encoded: None,
        }
    }

    /// Adds one row. `append` returns its bytes of text.
    fn add_row(&mut self, append: impl FnOnce(&mut C) -> usize) {
        self.bytes += append(&mut self.columns);
        self.rows += 1;
        if self.rows == MAX_CHUNK_ROWS || self.bytes >= MAX_CHUNK_BYTES {
            self.encode_chunk();
        }
    }

    fn encode_chunk(&mut self) {
        if self.rows == 0 {
            return;
        }
        (self.rows, self.bytes) = (0, 0);
        let batch = RecordBatch::try_new(C::TABLE.arrow_schema(), self.columns.finish());
        let batch = batch.expect("the builders have the order of the schema and grow by one each row");
        let encoded = self.encoded.get_or_insert_with(|| self.format.new_group());
        if let Ok(group) = encoded
            && let Err(error) = group.add_batch(&batch)
        {
            *encoded = Err(error);
        }
    }

    fn cut(&mut self) -> EncodedGroup {
        self.encode_chunk();
        self.encoded.take()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::super::columns::MAX_PAYLOAD_BYTES;
    use super::super::file;
    use super::*;
    use deltalake::arrow::array::{Array, AsArray};
    use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use pinflow_dataflows::record::Position;
    use pinflow_dataflows::rejection::RejectionReason;
    use pinflow_dataflows::symbol::Symbol;

    fn lineage(position: u64) -> Lineage {
        lineage_of("recording/x.jsonl", position.into())
    }

    fn lineage_of(source: &str, position: Position) -> Lineage {
        Lineage { arrived_at: None, source: Symbol::new(source), position, sub: 0 }
    }

    fn encoder() -> DeltaEncoder {
        DeltaEncoder::new(Compression::Snappy)
    }

    /// The rows that a reader finds in the file of a table.
    fn read_back(batches: &mut EncodedBatches, table: Table) -> RecordBatch {
        let group = batches.take_group(table).unwrap().unwrap();
        let file = file::join_groups(&FileFormat::new(table, Compression::Snappy), vec![group]).unwrap();
        let mut batches = ParquetRecordBatchReaderBuilder::try_new(file.bytes).unwrap().build().unwrap();
        batches.next().unwrap().unwrap()
    }

    fn encoded_rows<C>(chunks: &ChunkEncoder<C>) -> usize {
        chunks.encoded.as_ref().map_or(0, |group| group.as_ref().unwrap().rows)
    }

    #[test]
    fn rejected_payload_is_empty_for_tombstone_and_truncated_for_large_message() {
        let mut encoder = encoder();
        let rejection = Rejection { reason: RejectionReason::Tombstone, detail: "null".to_owned() };
        encoder.rejected(lineage(1), None, &rejection, b"");
        encoder.rejected(lineage(2), Some(Stream::Geo), &rejection, &vec![b'x'; MAX_PAYLOAD_BYTES + 9]);
        let batch = read_back(&mut encoder.cut(), Table::Rejected);
        let lengths: Vec<usize> = (0..2).map(|row| batch.column(3).as_binary::<i32>().value(row).len()).collect();
        assert_eq!(lengths, [0, MAX_PAYLOAD_BYTES]);
        let sha = batch.column(5).as_string::<i32>();
        assert_eq!(sha.value(0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(batch.column(0).is_null(0));
        assert_eq!(batch.column(0).as_string::<i32>().value(1), "geo");
    }

    #[test]
    fn positions_have_the_same_order_as_text_and_as_numbers() {
        let texts = |source: &str, positions: &[Position]| {
            let mut encoder = encoder();
            let row = User { ind: 1, user_name: None, age: None, date_joined: None };
            positions.iter().for_each(|position| encoder.user(lineage_of(source, *position), &row));
            let batch = read_back(&mut encoder.cut(), Table::User);
            let texts = batch.column_by_name("_position").unwrap().as_string::<i32>().clone();
            texts.iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut positions: Vec<Position> = [0, 9, 42, 99_999, u64::MAX].map(Position::from).into();
        let narrow = texts("kafka/posts/0", &positions);
        assert!(narrow.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((&*narrow[2], &*narrow[4]), ("00000000000000000042", "18446744073709551615"));
        let number = "49590338271490256608559692538361571095921575989136588898";
        positions.push(number.parse().unwrap());
        let wide = texts("kinesis/posts/shardId-000000000000", &positions);
        assert!(wide.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(wide[5], number);
        assert_eq!(wide[2], format!("{:056}", 42));
    }

    #[test]
    fn chunk_is_encoded_at_row_and_byte_limit_and_cut_takes_the_rest() {
        let mut encoder = encoder();
        let row = User { ind: 1, user_name: None, age: None, date_joined: None };
        for position in 0..MAX_CHUNK_ROWS as u64 * 2 + 1 {
            encoder.user(lineage(position), &row);
        }
        let rejection = Rejection { reason: RejectionReason::NotJson, detail: "d".repeat(MAX_CHUNK_BYTES / 2) };
        for position in 0..3 {
            encoder.rejected(lineage(position), None, &rejection, b"");
        }
        assert_eq!(
            (encoded_rows(&encoder.user), encoded_rows(&encoder.rejected), encoded_rows(&encoder.pin)),
            (MAX_CHUNK_ROWS * 2, 2, 0)
        );
        let mut batches = encoder.cut();
        let rows = Table::ALL.map(|table| batches.rows(table));
        assert_eq!(rows, [3, 0, 0, MAX_CHUNK_ROWS * 2 + 1]);
        assert!(batches.take_group(Table::Pin).is_none() && batches.take_group(Table::User).is_some());
        assert_eq!(encoder.cut().bytes(), 0);
    }
}
