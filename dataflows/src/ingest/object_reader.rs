//! Reads a JSON object into a raw row, or recognises it as a wrapper of rows.
//!
//! Producers write their fields in a fixed order. So the reader predicts the next key and compares it byte by byte. Any
//! other key is unescaped and looked up by name. The prediction changes only how a key is recognised: every byte is
//! checked in both cases.

use crate::record::{Field, JsonValue, RawRow, Stream};
use crate::rejection::RejectionReason;

use super::json_reader::{DEPTH_MAX, JsonError, JsonErrorDetail, JsonReader};

/// The values of the wrapper keys, as written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WrapperFields<'a> {
    pub(super) value: Option<&'a str>,
    pub(super) records: Option<&'a str>,
    pub(super) payload: Option<&'a str>,
}

/// The stream of the last row, whose field order predicts the keys of the next one.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldOrderCache {
    pub(super) stream: Stream,
    /// False looks up every key by name. For tests.
    pub(super) is_predicting: bool,
}

/// Reads an object into `raw`, which must be empty. The reader must be at its `{`. `field_order` is set to the stream
/// whose fields were seen.
///
/// # Errors
/// If the text is not JSON, is too deep, or has one key twice with different values.
pub(super) fn read_object<'a>(
    reader: &mut JsonReader<'a>,
    field_order: &mut FieldOrderCache,
    raw: &mut RawRow<'a>,
) -> Result<WrapperFields<'a>, JsonError> {
    let mut wrapped = WrapperFields::default();
    // Reported only at the end: that the text is not JSON is the more serious error.
    let mut conflict = None;
    reader.check_depth(0)?;
    reader.expect_byte(b'{', "`{`")?;
    reader.skip_whitespace();
    if reader.consume(b"}") {
        return Ok(wrapped);
    }
    let mut fields = if field_order.is_predicting { field_order.stream.fields() } else { &[] };
    loop {
        reader.skip_whitespace();
        let at = reader.offset();
        match fields {
            [field, rest @ ..] if consume_key(reader, *field, field_order.stream) => {
                fields = rest;
                conflict = conflict.or(read_field(reader, raw, *field, at)?);
            }
            _ => {
                let key = reader
                    .read_string()?
                    .unescape()
                    .map_err(|lone| reader.error(RejectionReason::NotUtf8, format!("a key with {lone}")))?;
                match Field::from_name(&key) {
                    Some(field) => {
                        fields = fields_after(field, field_order);
                        conflict = conflict.or(read_field(reader, raw, field, at)?);
                    }
                    None => conflict = conflict.or(skip_unknown_field(reader, raw, &mut wrapped, &key, at)?),
                }
            }
        }
        if !reader.has_more(b'}')? {
            return conflict.map_or(Ok(wrapped), Err);
        }
    }
}

/// The predicted fields after a key that was not predicted.
fn fields_after(field: Field, field_order: &mut FieldOrderCache) -> &'static [Field] {
    if !field_order.is_predicting {
        return &[];
    }
    field_order.stream = field.stream().unwrap_or(field_order.stream);
    let fields = field_order.stream.fields();
    match fields.iter().position(|&other| other == field) {
        Some(place) => &fields[place + 1..],
        None => fields,
    }
}

/// Reads the value of a field, from its colon on. Returns a conflict if the key came before with another value.
#[inline]
fn read_field<'a>(
    reader: &mut JsonReader<'a>,
    raw: &mut RawRow<'a>,
    field: Field,
    at: usize,
) -> Result<Option<JsonError>, JsonError> {
    reader.expect_byte(b':', "`:`")?;
    reader.skip_whitespace();
    // Store each value where it is made. If it moved through one variable, it would be stored and loaded in pieces of
    // different sizes, which stalls the processor.
    let same = match reader.peek() {
        Some(b'"') => raw.set_field(field, JsonValue::Text(reader.read_string()?)),
        Some(b'-' | b'0'..=b'9') => raw.set_field(field, JsonValue::Number(reader.read_number()?)),
        Some(b'{') => raw.set_field(field, JsonValue::Object(reader.skip_value(1)?)),
        Some(b'[') => raw.set_field(field, JsonValue::Array(reader.skip_value(1)?)),
        _ => match reader.read_literal()? {
            "null" => raw.set_field(field, JsonValue::Null),
            word => raw.set_field(field, JsonValue::Bool(word == "true")),
        },
    };
    if same { Ok(None) } else { Ok(Some(duplicate_error(field.name(), at))) }
}

/// Skips an unknown field, and stores its value if it is a wrapper key.
fn skip_unknown_field<'a>(
    reader: &mut JsonReader<'a>,
    raw: &mut RawRow<'a>,
    wrapped: &mut WrapperFields<'a>,
    key: &str,
    at: usize,
) -> Result<Option<JsonError>, JsonError> {
    reader.expect_byte(b':', "`:`")?;
    reader.skip_whitespace();
    let written = reader.skip_value(1)?;
    raw.unknown = raw.unknown.saturating_add(1);
    let slot = match key {
        "value" => &mut wrapped.value,
        "records" => &mut wrapped.records,
        "payload" => &mut wrapped.payload,
        _ => return Ok(None),
    };
    if slot.is_some_and(|first| first != written) {
        return Ok(Some(duplicate_error(key, at)));
    }
    *slot = Some(written);
    Ok(None)
}

#[cold]
fn duplicate_error(key: &str, at: usize) -> JsonError {
    let what = format!("field `{key}` (or its alias) stands twice with different values");
    Box::new(JsonErrorDetail { reason: RejectionReason::DuplicateField, at, what: what.into() })
}

/// Consumes the expected key with its quotes, if it comes next. Pin posts call their key `index`.
///
/// The texts are literals at the comparison, because a comparison of known length needs no call.
#[inline]
fn consume_key(reader: &mut JsonReader<'_>, field: Field, stream: Stream) -> bool {
    match field {
        Field::Ind if stream == Stream::Pin => reader.consume(b"\"index\""),
        Field::Ind => reader.consume(b"\"ind\""),
        Field::UniqueId => reader.consume(b"\"unique_id\""),
        Field::Title => reader.consume(b"\"title\""),
        Field::Description => reader.consume(b"\"description\""),
        Field::PosterName => reader.consume(b"\"poster_name\""),
        Field::FollowerCount => reader.consume(b"\"follower_count\""),
        Field::TagList => reader.consume(b"\"tag_list\""),
        Field::IsImageOrVideo => reader.consume(b"\"is_image_or_video\""),
        Field::ImageSrc => reader.consume(b"\"image_src\""),
        Field::Downloaded => reader.consume(b"\"downloaded\""),
        Field::SaveLocation => reader.consume(b"\"save_location\""),
        Field::Category => reader.consume(b"\"category\""),
        Field::Timestamp => reader.consume(b"\"timestamp\""),
        Field::Latitude => reader.consume(b"\"latitude\""),
        Field::Longitude => reader.consume(b"\"longitude\""),
        Field::Country => reader.consume(b"\"country\""),
        Field::FirstName => reader.consume(b"\"first_name\""),
        Field::LastName => reader.consume(b"\"last_name\""),
        Field::Age => reader.consume(b"\"age\""),
        Field::DateJoined => reader.consume(b"\"date_joined\""),
    }
}

/// The elements of a valid JSON array, each as written.
#[derive(Debug)]
pub(super) struct ArrayElements<'a> {
    reader: JsonReader<'a>,
    done: bool,
}

impl<'a> ArrayElements<'a> {
    pub(super) fn new(array: &'a str) -> ArrayElements<'a> {
        let mut reader = JsonReader::new(array, DEPTH_MAX);
        let opens = reader.consume(b"[");
        reader.skip_whitespace();
        let done = !opens || reader.consume(b"]");
        ArrayElements { reader, done }
    }
}

impl<'a> Iterator for ArrayElements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.done {
            return None;
        }
        self.reader.skip_whitespace();
        let element = self.reader.skip_value(0);
        self.done = !matches!(self.reader.has_more(b']'), Ok(true));
        element.ok()
    }
}
