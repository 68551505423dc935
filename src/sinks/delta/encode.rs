//! Rows become columns, on the worker's own thread.

use deltalake::arrow::array::{
    ArrayRef, BinaryBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use deltalake::arrow::datatypes::{DataType, Field};
use deltalake::parquet::errors::ParquetError;
use pinflow_dataflows::ingest::Rows;
use pinflow_dataflows::record::{Geo, Lineage, Pin, Position, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::sync::Arc;

use super::file::Compression;
use super::group::{Format, RowGroup};
use super::schema::Table;
use crate::sinks::Encoder;

/// Rows that are encoded together: enough for the encoder of the file, few enough to stay in the processor's cache and
/// not to keep the answers waiting.
const ROWS_MAX: usize = 2_048;
/// Bytes of text that are encoded together: few, too, where rows are large.
const BYTES_MAX: usize = 4 << 20;
/// Of a rejected message, this much is kept.
pub(crate) const PAYLOAD_KEPT_BYTES: usize = 64 << 10;
/// What the names of sources begin with whose positions are wider than 64 bits.
const WIDE: &str = "kinesis/";

/// Digits of a source's positions, so that text order is number order: as many as the largest `u64` has, or the largest
/// sequence number of Kinesis.
pub(crate) fn position_digits(source: &str) -> usize {
    if source.starts_with(WIDE) { Position::DIGITS } else { Position::NARROW_DIGITS }
}

/// Digits of the positions of all sources from one name to another, in the order of names; `None` if they differ, or may.
/// Then bounds of the texts are no bounds of the numbers.
pub(crate) fn digits_between(first: &str, last: &str) -> Option<usize> {
    // Sources with wide positions stand next to one another.
    let side = |name: &str| if name.starts_with(WIDE) { Ordering::Equal } else { name.cmp(WIDE) };
    (side(first) == side(last)).then(|| position_digits(first))
}

/// Everything that one worker has encoded for a window.
#[derive(Debug, Default)]
pub struct Batches {
    tables: [Encoded; 4],
}

/// What was encoded of one table; `None` without rows.
type Encoded = Option<Result<RowGroup, ParquetError>>;

impl Batches {
    /// Rows for a table.
    #[must_use]
    pub fn rows(&self, table: Table) -> usize {
        self.groups().filter(|(of, _)| *of == table).map(|(_, group)| group.rows).sum()
    }

    /// Bytes held in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.groups().map(|(_, group)| group.bytes()).sum()
    }

    fn groups(&self) -> impl Iterator<Item = (Table, &RowGroup)> {
        Table::ALL
            .into_iter()
            .zip(&self.tables)
            .filter_map(|(table, encoded)| Some((table, encoded.as_ref()?.as_ref().ok()?)))
    }

    pub(crate) fn take(&mut self, table: Table) -> Encoded {
        self.tables[table as usize].take()
    }
}

/// Builders for the four tables. One for each worker.
pub struct DeltaEncoder {
    pin: Chunks<PinColumns>,
    geo: Chunks<GeoColumns>,
    user: Chunks<UserColumns>,
    rejected: Chunks<RejectedColumns>,
}

impl DeltaEncoder {
    /// Without rows.
    #[must_use]
    pub fn new(compression: Compression) -> DeltaEncoder {
        DeltaEncoder {
            pin: Chunks::new(compression),
            geo: Chunks::new(compression),
            user: Chunks::new(compression),
            rejected: Chunks::new(compression),
        }
    }
}

impl Rows for DeltaEncoder {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.pin.add(|columns| columns.append(lineage, row));
    }

    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        self.geo.add(|columns| columns.append(lineage, row));
    }

    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        self.user.add(|columns| columns.append(lineage, row));
    }

    fn rejected(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        self.rejected.add(|columns| columns.append(lineage, stream, rejection, payload));
    }
}

impl Encoder for DeltaEncoder {
    type Batches = Batches;

    fn cut(&mut self) -> Batches {
        // In the order of `Table`.
        Batches { tables: [self.rejected.cut(), self.pin.cut(), self.geo.cut(), self.user.cut()] }
    }
}

/// The builders of one table, in the order of its columns.
trait Columns: Default {
    const TABLE: Table;
    fn finish(&mut self) -> Vec<ArrayRef>;
}

struct Chunks<C> {
    format: Format,
    columns: C,
    rows: usize,
    bytes: usize,
    /// What was encoded since the last cut; after a fault nothing more is, for the commit will tell of it and end the run.
    encoded: Encoded,
}

impl<C: Columns> Chunks<C> {
    fn new(compression: Compression) -> Chunks<C> {
        Chunks { format: Format::new(C::TABLE, compression), columns: C::default(), rows: 0, bytes: 0, encoded: None }
    }

    /// Adds one row, which tells how many bytes of text it has.
    fn add(&mut self, append: impl FnOnce(&mut C) -> usize) {
        self.bytes += append(&mut self.columns);
        self.rows += 1;
        if self.rows == ROWS_MAX || self.bytes >= BYTES_MAX {
            self.encode();
        }
    }

    fn encode(&mut self) {
        if self.rows == 0 {
            return;
        }
        (self.rows, self.bytes) = (0, 0);
        let batch = RecordBatch::try_new(C::TABLE.arrow(), self.columns.finish());
        let batch = batch.expect("the builders stand in the order of the schema and grow by one each row");
        let encoded = self.encoded.get_or_insert_with(|| self.format.group());
        if let Ok(group) = encoded
            && let Err(fault) = group.add(&batch)
        {
            *encoded = Err(fault);
        }
    }

    fn cut(&mut self) -> Encoded {
        self.encode();
        self.encoded.take()
    }
}

/// Finishes a text column and makes room for as much again, so that steady windows do not grow it step by step.
fn finish_text(builder: &mut StringBuilder) -> ArrayRef {
    let (rows, bytes) = (builder.offsets_slice().len() - 1, builder.values_slice().len());
    let full = std::mem::replace(builder, StringBuilder::with_capacity(rows, bytes + bytes / 8));
    Arc::new({ full }.finish())
}

fn text(builder: &mut StringBuilder, value: Option<&str>) -> usize {
    builder.append_option(value);
    value.map_or(0, str::len)
}

/// Microseconds, UTC.
struct Times(TimestampMicrosecondBuilder);

impl Default for Times {
    fn default() -> Times {
        Times(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
    }
}

impl Times {
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

#[derive(Default)]
struct LineageColumns {
    source: StringBuilder,
    position: StringBuilder,
    sub: Int32Builder,
    arrived_at: Times,
}

impl LineageColumns {
    fn append(&mut self, lineage: Lineage) -> usize {
        let source = lineage.source.text();
        self.source.append_value(source);
        let (digits, count) = (lineage.position.digits(), position_digits(source));
        let digits = &digits[Position::DIGITS - count..];
        self.position.append_value(std::str::from_utf8(digits).expect("digits are ASCII"));
        // `too_many_rows` keeps messages far below 2^31 rows.
        self.sub.append_value(i32::try_from(lineage.sub).unwrap_or(i32::MAX));
        self.arrived_at.0.append_option(lineage.arrived_at);
        source.len() + count
    }

    fn finish(&mut self) -> [ArrayRef; 4] {
        let sub = Arc::new(self.sub.finish());
        [finish_text(&mut self.source), finish_text(&mut self.position), sub, self.arrived_at.finish()]
    }
}

#[derive(Default)]
struct PinColumns {
    ind: Int64Builder,
    unique_id: StringBuilder,
    title: StringBuilder,
    description: StringBuilder,
    follower_count: Int64Builder,
    poster_name: StringBuilder,
    tag_list: StringBuilder,
    is_image_or_video: StringBuilder,
    image_src: StringBuilder,
    save_location: StringBuilder,
    category: StringBuilder,
    lineage: LineageColumns,
}

/// `ind` is a whole number in 0…2^63−1 by contract.
fn long(ind: u64) -> i64 {
    i64::try_from(ind).unwrap_or(i64::MAX)
}

impl PinColumns {
    fn append(&mut self, lineage: Lineage, row: &Pin<'_>) -> usize {
        self.ind.append_value(long(row.ind));
        self.follower_count.append_option(row.follower_count);
        text(&mut self.unique_id, row.unique_id.as_deref())
            + text(&mut self.title, row.title.as_deref())
            + text(&mut self.description, row.description.as_deref())
            + text(&mut self.poster_name, row.poster_name.as_deref())
            + text(&mut self.tag_list, row.tag_list.as_deref())
            + text(&mut self.is_image_or_video, row.is_image_or_video.as_deref())
            + text(&mut self.image_src, row.image_src.as_deref())
            + text(&mut self.save_location, row.save_location.as_deref())
            + text(&mut self.category, row.category.as_deref())
            + self.lineage.append(lineage)
    }
}

impl Columns for PinColumns {
    const TABLE: Table = Table::Pin;

    fn finish(&mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.ind.finish()),
            finish_text(&mut self.unique_id),
            finish_text(&mut self.title),
            finish_text(&mut self.description),
            Arc::new(self.follower_count.finish()),
            finish_text(&mut self.poster_name),
            finish_text(&mut self.tag_list),
            finish_text(&mut self.is_image_or_video),
            finish_text(&mut self.image_src),
            finish_text(&mut self.save_location),
            finish_text(&mut self.category),
        ];
        columns.extend(self.lineage.finish());
        columns
    }
}

struct GeoColumns {
    ind: Int64Builder,
    country: StringBuilder,
    coordinates: ListBuilder<Float64Builder>,
    timestamp: Times,
    lineage: LineageColumns,
}

impl Default for GeoColumns {
    fn default() -> GeoColumns {
        let element = Field::new("element", DataType::Float64, true);
        GeoColumns {
            ind: Int64Builder::default(),
            country: StringBuilder::default(),
            coordinates: ListBuilder::new(Float64Builder::default()).with_field(element),
            timestamp: Times::default(),
            lineage: LineageColumns::default(),
        }
    }
}

impl GeoColumns {
    fn append(&mut self, lineage: Lineage, row: &Geo<'_>) -> usize {
        self.ind.append_value(long(row.ind));
        if let Some(pair) = row.coordinates {
            self.coordinates.values().append_slice(&pair);
        }
        self.coordinates.append(row.coordinates.is_some());
        self.timestamp.0.append_option(row.timestamp);
        text(&mut self.country, row.country.as_deref()) + self.lineage.append(lineage)
    }
}

impl Columns for GeoColumns {
    const TABLE: Table = Table::Geo;

    fn finish(&mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.ind.finish()),
            finish_text(&mut self.country),
            Arc::new(self.coordinates.finish()),
            self.timestamp.finish(),
        ];
        columns.extend(self.lineage.finish());
        columns
    }
}

#[derive(Default)]
struct UserColumns {
    ind: Int64Builder,
    user_name: StringBuilder,
    age: Int32Builder,
    date_joined: Times,
    lineage: LineageColumns,
}

impl UserColumns {
    fn append(&mut self, lineage: Lineage, row: &User<'_>) -> usize {
        self.ind.append_value(long(row.ind));
        self.age.append_option(row.age.map(i32::from));
        self.date_joined.0.append_option(row.date_joined);
        text(&mut self.user_name, row.user_name.as_deref()) + self.lineage.append(lineage)
    }
}

impl Columns for UserColumns {
    const TABLE: Table = Table::User;

    fn finish(&mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.ind.finish()),
            finish_text(&mut self.user_name),
            Arc::new(self.age.finish()),
            self.date_joined.finish(),
        ];
        columns.extend(self.lineage.finish());
        columns
    }
}

#[derive(Default)]
struct RejectedColumns {
    stream: StringBuilder,
    reason: StringBuilder,
    detail: StringBuilder,
    payload: BinaryBuilder,
    payload_bytes: Int64Builder,
    payload_sha256: StringBuilder,
    lineage: LineageColumns,
}

impl RejectedColumns {
    fn append(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) -> usize {
        let kept = &payload[..payload.len().min(PAYLOAD_KEPT_BYTES)];
        self.payload.append_value(kept);
        self.payload_bytes.append_value(long(payload.len() as u64));
        let hex = hex(Sha256::digest(payload).into());
        kept.len()
            + text(&mut self.stream, stream.map(Stream::name))
            + text(&mut self.reason, Some(rejection.reason.name()))
            + text(&mut self.detail, Some(&rejection.detail))
            + text(&mut self.payload_sha256, Some(std::str::from_utf8(&hex).expect("hex is ASCII")))
            + self.lineage.append(lineage)
    }
}

impl Columns for RejectedColumns {
    const TABLE: Table = Table::Rejected;

    fn finish(&mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            finish_text(&mut self.stream),
            finish_text(&mut self.reason),
            finish_text(&mut self.detail),
            Arc::new(self.payload.finish()),
            Arc::new(self.payload_bytes.finish()),
            finish_text(&mut self.payload_sha256),
        ];
        columns.extend(self.lineage.finish());
        columns
    }
}

fn hex(digest: [u8; 32]) -> [u8; 64] {
    let mut hex = [0; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    hex
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::super::file;
    use super::*;
    use deltalake::arrow::array::{Array, AsArray};
    use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use pinflow_dataflows::rejection::Reason;
    use pinflow_dataflows::symbol::Symbol;

    fn lineage(position: u64) -> Lineage {
        of("recording/x.jsonl", position.into())
    }

    fn of(source: &str, position: Position) -> Lineage {
        Lineage { arrived_at: None, source: Symbol::new(source), position, sub: 0 }
    }

    fn encoder() -> DeltaEncoder {
        DeltaEncoder::new(Compression::Snappy)
    }

    /// What a reader finds in the file of a table.
    fn stored(batches: &mut Batches, table: Table) -> RecordBatch {
        let group = batches.take(table).unwrap().unwrap();
        let file = file::join(&Format::new(table, Compression::Snappy), vec![group]).unwrap();
        let mut batches = ParquetRecordBatchReaderBuilder::try_new(file.bytes).unwrap().build().unwrap();
        batches.next().unwrap().unwrap()
    }

    fn encoded<C>(chunks: &Chunks<C>) -> usize {
        chunks.encoded.as_ref().map_or(0, |group| group.as_ref().unwrap().rows)
    }

    #[test]
    fn a_tombstone_has_no_bytes_and_a_large_message_keeps_its_head() {
        let mut encoder = encoder();
        let rejection = Rejection { reason: Reason::Tombstone, detail: "null".to_owned() };
        encoder.rejected(lineage(1), None, &rejection, b"");
        encoder.rejected(lineage(2), Some(Stream::Geo), &rejection, &vec![b'x'; PAYLOAD_KEPT_BYTES + 9]);
        let batch = stored(&mut encoder.cut(), Table::Rejected);
        let lengths: Vec<usize> = (0..2).map(|row| batch.column(3).as_binary::<i32>().value(row).len()).collect();
        assert_eq!(lengths, [0, PAYLOAD_KEPT_BYTES]);
        let sha = batch.column(5).as_string::<i32>();
        assert_eq!(sha.value(0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(batch.column(0).is_null(0));
        assert_eq!(batch.column(0).as_string::<i32>().value(1), "geo");
    }

    #[test]
    fn text_order_of_positions_is_number_order() {
        let texts = |source: &str, positions: &[Position]| {
            let mut encoder = encoder();
            let row = User { ind: 1, user_name: None, age: None, date_joined: None };
            positions.iter().for_each(|position| encoder.user(of(source, *position), &row));
            let batch = stored(&mut encoder.cut(), Table::User);
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
    fn bounds_of_mixed_widths_are_none() {
        for (first, last, digits) in [
            ("kafka/a/0", "kafka/b/1", Some(20)),
            ("recording/a", "recording/b", Some(20)),
            ("kinesis/a/0", "kinesis/b/0", Some(56)),
            ("kafka/a/0", "kinesis/b/0", None),
            ("kinesis/a/0", "recording/b", None),
            // A shard may stand between them.
            ("kafka/a/0", "recording/b", None),
        ] {
            assert_eq!(digits_between(first, last), digits, "{first} {last}");
        }
    }

    #[test]
    fn chunks_are_encoded_by_rows_and_by_bytes_and_nothing_stays_behind() {
        let mut encoder = encoder();
        let row = User { ind: 1, user_name: None, age: None, date_joined: None };
        for position in 0..ROWS_MAX as u64 * 2 + 1 {
            encoder.user(lineage(position), &row);
        }
        let rejection = Rejection { reason: Reason::NotJson, detail: "d".repeat(BYTES_MAX / 2) };
        for position in 0..3 {
            encoder.rejected(lineage(position), None, &rejection, b"");
        }
        assert_eq!((encoded(&encoder.user), encoded(&encoder.rejected), encoded(&encoder.pin)), (ROWS_MAX * 2, 2, 0));
        let mut batches = encoder.cut();
        let rows = Table::ALL.map(|table| batches.rows(table));
        assert_eq!(rows, [3, 0, 0, ROWS_MAX * 2 + 1]);
        assert!(batches.take(Table::Pin).is_none() && batches.take(Table::User).is_some());
        assert_eq!(encoder.cut().bytes(), 0);
    }
}
