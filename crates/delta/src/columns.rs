//! Arrow builders for the columns of the four tables.

use std::cmp::Ordering;
use std::sync::Arc;

use deltalake::arrow::array::{
    ArrayRef, BinaryBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use deltalake::arrow::datatypes::{DataType, Field};
use pinflow_dataflows::record::{Geo, Lineage, Pin, Position, Stream, User};
use pinflow_dataflows::rejection::Rejection;
use sha2::{Digest, Sha256};

use super::schema::Table;

/// The most bytes of a rejected message that are stored.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 64 << 10;
/// The prefix of sources whose positions are wider than 64 bits.
const WIDE_POSITION_PREFIX: &str = "kinesis/";

/// The number of digits of a source's positions: those of the largest `u64`, or of the largest Kinesis sequence number.
/// All positions of a source have the same number of digits, so that text order is numeric order.
pub(crate) fn position_digits(source: &str) -> usize {
    if source.starts_with(WIDE_POSITION_PREFIX) { Position::DIGITS } else { Position::NARROW_DIGITS }
}

/// The number of digits of the positions of all sources whose names are between two names. `None` if they may differ:
/// then bounds of the texts are not bounds of the numbers.
pub(crate) fn digits_between(first: &str, last: &str) -> Option<usize> {
    // Sources with wide positions share a prefix, so they are adjacent in the order of names.
    let side = |name: &str| {
        if name.starts_with(WIDE_POSITION_PREFIX) { Ordering::Equal } else { name.cmp(WIDE_POSITION_PREFIX) }
    };
    (side(first) == side(last)).then(|| position_digits(first))
}

/// The column builders of one table, in the order of its columns.
pub(super) trait ColumnBuilders: Default {
    /// The table.
    const TABLE: Table;

    /// Takes the columns that were appended since the last call.
    fn finish(&mut self) -> Vec<ArrayRef>;
}

/// Finishes a text column and reserves the same capacity again, so that the next chunk does not reallocate.
fn finish_text(builder: &mut StringBuilder) -> ArrayRef {
    let (rows, bytes) = (builder.offsets_slice().len() - 1, builder.values_slice().len());
    let full = std::mem::replace(builder, StringBuilder::with_capacity(rows, bytes + bytes / 8));
    Arc::new({ full }.finish())
}

fn append_text(builder: &mut StringBuilder, value: Option<&str>) -> usize {
    builder.append_option(value);
    value.map_or(0, str::len)
}

/// Builds a column of timestamps: microseconds, UTC.
struct TimestampColumnBuilder(TimestampMicrosecondBuilder);

impl Default for TimestampColumnBuilder {
    fn default() -> TimestampColumnBuilder {
        TimestampColumnBuilder(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
    }
}

impl TimestampColumnBuilder {
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

#[derive(Default)]
struct LineageColumns {
    source: StringBuilder,
    position: StringBuilder,
    sub: Int32Builder,
    arrived_at: TimestampColumnBuilder,
}

impl LineageColumns {
    fn append(&mut self, lineage: Lineage) -> usize {
        let source = lineage.source.text();
        self.source.append_value(&*source);
        let (digits, count) = (lineage.position.digits(), position_digits(&source));
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
pub(super) struct PinColumns {
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

/// Converts an `ind`, which is in 0…2^63−1 by contract, or a length in bytes.
fn to_i64(ind: u64) -> i64 {
    i64::try_from(ind).unwrap_or(i64::MAX)
}

impl PinColumns {
    /// Appends a row. Returns its bytes of text.
    pub(super) fn append(&mut self, lineage: Lineage, row: &Pin<'_>) -> usize {
        self.ind.append_value(to_i64(row.ind));
        self.follower_count.append_option(row.follower_count);
        append_text(&mut self.unique_id, row.unique_id.as_deref())
            + append_text(&mut self.title, row.title.as_deref())
            + append_text(&mut self.description, row.description.as_deref())
            + append_text(&mut self.poster_name, row.poster_name.as_deref())
            + append_text(&mut self.tag_list, row.tag_list.as_deref())
            + append_text(&mut self.is_image_or_video, row.is_image_or_video.as_deref())
            + append_text(&mut self.image_src, row.image_src.as_deref())
            + append_text(&mut self.save_location, row.save_location.as_deref())
            + append_text(&mut self.category, row.category.as_deref())
            + self.lineage.append(lineage)
    }
}

impl ColumnBuilders for PinColumns {
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

pub(super) struct GeoColumns {
    ind: Int64Builder,
    country: StringBuilder,
    coordinates: ListBuilder<Float64Builder>,
    timestamp: TimestampColumnBuilder,
    lineage: LineageColumns,
}

impl Default for GeoColumns {
    fn default() -> GeoColumns {
        let element = Field::new("element", DataType::Float64, true);
        GeoColumns {
            ind: Int64Builder::default(),
            country: StringBuilder::default(),
            coordinates: ListBuilder::new(Float64Builder::default()).with_field(element),
            timestamp: TimestampColumnBuilder::default(),
            lineage: LineageColumns::default(),
        }
    }
}

impl GeoColumns {
    /// Appends a row. Returns its bytes of text.
    pub(super) fn append(&mut self, lineage: Lineage, row: &Geo<'_>) -> usize {
        self.ind.append_value(to_i64(row.ind));
        if let Some(pair) = row.coordinates {
            self.coordinates.values().append_slice(&pair);
        }
        self.coordinates.append(row.coordinates.is_some());
        self.timestamp.0.append_option(row.timestamp);
        append_text(&mut self.country, row.country.as_deref()) + self.lineage.append(lineage)
    }
}

impl ColumnBuilders for GeoColumns {
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
pub(super) struct UserColumns {
    ind: Int64Builder,
    user_name: StringBuilder,
    age: Int32Builder,
    date_joined: TimestampColumnBuilder,
    lineage: LineageColumns,
}

impl UserColumns {
    /// Appends a row. Returns its bytes of text.
    pub(super) fn append(&mut self, lineage: Lineage, row: &User<'_>) -> usize {
        self.ind.append_value(to_i64(row.ind));
        self.age.append_option(row.age.map(i32::from));
        self.date_joined.0.append_option(row.date_joined);
        append_text(&mut self.user_name, row.user_name.as_deref()) + self.lineage.append(lineage)
    }
}

impl ColumnBuilders for UserColumns {
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
pub(super) struct RejectedColumns {
    stream: StringBuilder,
    reason: StringBuilder,
    detail: StringBuilder,
    payload: BinaryBuilder,
    payload_bytes: Int64Builder,
    payload_sha256: StringBuilder,
    lineage: LineageColumns,
}

impl RejectedColumns {
    /// Appends a row. Returns its bytes of text.
    pub(super) fn append(
        &mut self,
        lineage: Lineage,
        stream: Option<Stream>,
        rejection: &Rejection,
        payload: &[u8],
    ) -> usize {
        let kept = &payload[..payload.len().min(MAX_PAYLOAD_BYTES)];
        self.payload.append_value(kept);
        self.payload_bytes.append_value(to_i64(payload.len() as u64));
        let hex = encode_hex(Sha256::digest(payload).into());
        kept.len()
            + append_text(&mut self.stream, stream.map(Stream::name))
            + append_text(&mut self.reason, Some(rejection.reason.name()))
            + append_text(&mut self.detail, Some(&rejection.detail))
            + append_text(&mut self.payload_sha256, Some(std::str::from_utf8(&hex).expect("hex is ASCII")))
            + self.lineage.append(lineage)
    }
}

impl ColumnBuilders for RejectedColumns {
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

fn encode_hex(digest: [u8; 32]) -> [u8; 64] {
    let mut hex = [0; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_between_is_none_if_widths_may_differ() {
        for (first, last, digits) in [
            ("kafka/a/0", "kafka/b/1", Some(20)),
            ("recording/a", "recording/b", Some(20)),
            ("kinesis/a/0", "kinesis/b/0", Some(56)),
            ("kafka/a/0", "kinesis/b/0", None),
            ("kinesis/a/0", "recording/b", None),
            // Kinesis sources are between these names.
            ("kafka/a/0", "recording/b", None),
        ] {
            assert_eq!(digits_between(first, last), digits, "{first} {last}");
        }
    }
}
