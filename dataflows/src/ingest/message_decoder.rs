//! Decodes one message: unwraps it, and passes each row or rejection to the [`RowSink`].

use crate::clean::{self, FieldFaults};
use crate::record::{JsonString, Lineage, RawRow, Stream};
use crate::rejection::{ARRAY_ELEMENT_DETAIL, ELEMENT_ERROR_SUFFIX, Rejection, RejectionReason};

use super::json_reader::{JsonError, JsonReader};
use super::object_reader::{ArrayElements, FieldOrderCache, read_object};
use super::payload_text::{decode_base64, strip_byte_order_mark};
use super::{IngestCounts, MessageLimits, RowSink, StreamHint};

/// The most layers of encoding: two JSON strings, base64, and two JSON strings inside it.
pub(super) const DECODE_LAYERS: usize = NESTED_STRINGS_MAX + 1 + NESTED_STRINGS_MAX;
const NESTED_STRINGS_MAX: usize = 2;

/// The decoder of one message.
pub(super) struct MessageDecoder<'w, R: ?Sized> {
    pub(super) limits: MessageLimits,
    pub(super) stream_hint: StreamHint,
    /// The lineage of the next row.
    pub(super) lineage: Lineage,
    pub(super) field_order: &'w mut FieldOrderCache,
    pub(super) name: &'w mut String,
    pub(super) counts: &'w mut IngestCounts,
    pub(super) rows: &'w mut R,
}

/// How a text is nested in its message.
#[derive(Debug, Clone, Copy, Default)]
struct EncodingNesting {
    /// The JSON strings around it, counted from the base64 layer if there is one.
    strings: usize,
    /// Whether it is inside base64.
    base64: bool,
    /// Whether it is the value of a wrapper.
    wrapped: bool,
    /// Whether it is one of several rows.
    aggregate: bool,
}

/// What a text contains.
enum Envelope<'a> {
    /// A row. It was read into the raw row.
    Row,
    Null,
    String(JsonString<'a>),
    Value(&'a str),
    Payload(&'a str),
    Records(&'a str),
    Array(&'a str),
}

impl<R: RowSink + ?Sized> MessageDecoder<'_, R> {
    pub(super) fn decode(&mut self, text: &str, payload: &[u8], layers: &mut [String; DECODE_LAYERS]) {
        self.decode_text(text, payload, EncodingNesting::default(), layers);
    }

    /// Decodes a text that is one row or contains some. `payload` is the bytes to keep with a rejection.
    fn decode_text(&mut self, text: &str, payload: &[u8], nesting: EncodingNesting, layers: &mut [String]) {
        let mut raw = RawRow::default();
        let envelope = match self.read_envelope(text, &mut raw) {
            Ok(envelope) => envelope,
            Err(error) => return self.decode_base64_or_reject(text, &error, payload, nesting, layers),
        };
        let within = EncodingNesting { wrapped: true, ..nesting };
        match envelope {
            Envelope::Row => self.process_row(&raw, payload),
            Envelope::Value(inner) | Envelope::Payload(inner) => self.decode_text(inner, payload, within, layers),
            Envelope::String(inner) => self.decode_string(inner, payload, nesting, layers),
            Envelope::Records(array) | Envelope::Array(array) => self.decode_aggregate(array, payload, nesting, layers),
            Envelope::Null if nesting.wrapped => {
                self.reject_as(RejectionReason::Tombstone, "a wrapper around null", payload);
            }
            Envelope::Null => self.reject_as(RejectionReason::NotAnObject, "null", payload),
        }
    }

    /// Reads a whole text and returns what it contains. A row is read into `raw`.
    #[inline]
    fn read_envelope<'a>(&mut self, text: &'a str, raw: &mut RawRow<'a>) -> Result<Envelope<'a>, JsonError> {
        let mut reader = JsonReader::new(text, self.limits.depth_max);
        reader.skip_whitespace();
        let envelope = match reader.peek() {
            Some(b'{') => object_envelope(&mut reader, self.field_order, raw),
            Some(b'[') => reader.skip_value(0).map(Envelope::Array),
            Some(b'"') => reader.read_string().map(Envelope::String),
            Some(b'-' | b'0'..=b'9') => reader.read_number().and_then(|_| Err(not_an_object(&reader, "a number"))),
            _ => reader.read_literal().and_then(|word| match word {
                "null" => Ok(Envelope::Null),
                _ => Err(not_an_object(&reader, "a boolean")),
            }),
        };
        match envelope {
            // The value is complete, so trailing bytes are the more serious error: report them instead.
            Err(error) if matches!(error.reason, RejectionReason::NotAnObject | RejectionReason::DuplicateField) => {
                reader.expect_end().and(Err(error))
            }
            Ok(envelope) => reader.expect_end().map(|()| envelope),
            Err(error) => Err(error),
        }
    }

    /// Decodes a text that is not JSON as base64, or rejects it.
    fn decode_base64_or_reject(
        &mut self,
        text: &str,
        error: &JsonError,
        payload: &[u8],
        nesting: EncodingNesting,
        layers: &mut [String],
    ) {
        if let (false, [layer, layers @ ..]) = (nesting.base64, layers) {
            let mut decoded = std::mem::take(layer);
            let found = decode_base64(text, &mut decoded);
            match &found {
                Err(rejection) => self.reject(None, rejection, payload),
                Ok(true) => {
                    self.decode_text(
                        strip_byte_order_mark(&decoded),
                        payload,
                        EncodingNesting { base64: true, strings: 0, ..nesting },
                        layers,
                    );
                }
                Ok(false) => {}
            }
            *layer = decoded;
            if !matches!(found, Ok(false)) {
                return;
            }
        }
        let encoded = if nesting.base64 || nesting.strings > 0 { " of the encoded text" } else { "" };
        self.reject_as(error.reason, &format!("{} at byte {}{encoded}", error.what, error.at), payload);
    }

    fn decode_string(
        &mut self,
        inner: JsonString<'_>,
        payload: &[u8],
        nesting: EncodingNesting,
        layers: &mut [String],
    ) {
        let (true, [layer, layers @ ..]) = (nesting.strings < NESTED_STRINGS_MAX, layers) else {
            return self.reject_as(RejectionReason::NotAnObject, "a string in a string in a string", payload);
        };
        let mut decoded = std::mem::take(layer);
        decoded.clear();
        let nesting = EncodingNesting { strings: nesting.strings + 1, ..nesting };
        match inner.unescape_into(&mut decoded) {
            Err(lone) => self.reject_as(RejectionReason::NotUtf8, &lone.to_string(), payload),
            Ok(()) => self.decode_text(strip_byte_order_mark(&decoded), payload, nesting, layers),
        }
        *layer = decoded;
    }

    /// Decodes several rows, each the `value` of a wrapper.
    fn decode_aggregate(&mut self, array: &str, payload: &[u8], nesting: EncodingNesting, layers: &mut [String]) {
        if nesting.aggregate {
            return self.reject_as(
                RejectionReason::NotAnObject,
                "several rows where one of several must stand",
                payload,
            );
        }
        if !array.starts_with('[') {
            return self.reject_as(RejectionReason::NotAnObject, "`records` is no array", payload);
        }
        let count = ArrayElements::new(array).count();
        if count == 0 {
            return self.reject_as(RejectionReason::NotAnObject, "an array without a row", payload);
        }
        if count > self.limits.rows_max as usize {
            let detail = format!("{count} rows, where a message may have {}", self.limits.rows_max);
            return self.reject_as(RejectionReason::TooManyRows, &detail, payload);
        }
        let nesting = EncodingNesting { wrapped: true, aggregate: true, ..nesting };
        for element in ArrayElements::new(array) {
            match self.read_envelope(element, &mut RawRow::default()) {
                Ok(Envelope::Value(inner)) => self.decode_text(inner, inner.as_bytes(), nesting, layers),
                Ok(_) => {
                    self.reject_as(RejectionReason::NotAnObject, ARRAY_ELEMENT_DETAIL, element.as_bytes());
                }
                Err(error) => {
                    self.reject_as(
                        error.reason,
                        &format!("{} at byte {}{ELEMENT_ERROR_SUFFIX}", error.what, error.at),
                        element.as_bytes(),
                    );
                }
            }
        }
    }

    fn process_row(&mut self, raw: &RawRow<'_>, payload: &[u8]) {
        let told = identify_stream(self.stream_hint, raw);
        let known = told.as_ref().ok().copied();
        match self.clean_row(raw, told) {
            Ok((stream, faults)) => {
                self.counts.count_row(stream, faults, raw.unknown_to(stream));
                self.lineage.sub += 1;
            }
            Err(rejection) => self.reject(known, &rejection, payload),
        }
    }

    /// Cleans a row and passes it to the sink.
    fn clean_row(
        &mut self,
        raw: &RawRow<'_>,
        told: Result<Stream, Rejection>,
    ) -> Result<(Stream, FieldFaults), Rejection> {
        let mut faults = FieldFaults::default();
        let ind = clean::parse_key(raw)?;
        let stream = told?;
        let text_bytes_max = self.limits.text_bytes_max;
        match stream {
            Stream::Pin => self.rows.pin(self.lineage, &clean::clean_pin(raw, ind, text_bytes_max, &mut faults)?),
            Stream::Geo => self.rows.geo(self.lineage, &clean::clean_geo(raw, ind, text_bytes_max, &mut faults)?),
            Stream::User => {
                self.rows.user(self.lineage, &clean::clean_user(raw, ind, text_bytes_max, self.name, &mut faults)?);
            }
        }
        Ok((stream, faults))
    }

    #[cold]
    fn reject_as(&mut self, reason: RejectionReason, detail: &str, payload: &[u8]) {
        self.reject(None, &Rejection { reason, detail: detail.to_owned() }, payload);
    }

    /// Passes a rejection to the sink. A source of one stream determines the stream of all its rows.
    #[cold]
    pub(super) fn reject(&mut self, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        let stream = match self.stream_hint {
            StreamHint::Only(only) => Some(only),
            StreamHint::Auto => stream,
        };
        self.rows.rejected(self.lineage, stream, rejection, payload);
        self.counts.count_rejection(rejection.reason);
        self.lineage.sub += 1;
    }
}

fn object_envelope<'a>(
    reader: &mut JsonReader<'a>,
    field_order: &mut FieldOrderCache,
    raw: &mut RawRow<'a>,
) -> Result<Envelope<'a>, JsonError> {
    let wrapped = read_object(reader, field_order, raw)?;
    if !raw.is_empty() {
        return Ok(Envelope::Row);
    }
    match (wrapped.value, wrapped.records, wrapped.payload) {
        (None, None, None) => Ok(Envelope::Row),
        (Some(value), None, None) => Ok(Envelope::Value(value)),
        (None, Some(records), None) => Ok(Envelope::Records(records)),
        (None, None, Some(payload)) => Ok(Envelope::Payload(payload)),
        _ => Err(not_an_object(reader, "a wrapper with more than one of `value`, `records` and `payload`")),
    }
}

fn not_an_object(reader: &JsonReader<'_>, what: &'static str) -> JsonError {
    reader.error(RejectionReason::NotAnObject, what)
}

/// The stream of a row, from its fields.
///
/// A source of one stream accepts a row unless the row has identifying fields of another stream, or only fields of
/// others.
fn identify_stream(stream_hint: StreamHint, raw: &RawRow<'_>) -> Result<Stream, Rejection> {
    let mut told = Stream::ALL.into_iter().filter(|stream| raw.has_identifying_field(*stream));
    let wrong = |detail: String| Err(Rejection { reason: RejectionReason::WrongStream, detail });
    match stream_hint {
        StreamHint::Only(only) if raw.has_identifying_field(only) => Ok(only),
        StreamHint::Only(only) => match told.next() {
            Some(other) => wrong(format!("a {other} row where {only} rows are carried")),
            None if raw.unknown_to(only) > raw.unknown && !raw.has_any_of(only) => {
                wrong(format!("no field of a {only} row, but of others"))
            }
            None => Ok(only),
        },
        StreamHint::Auto => match (told.next(), told.next()) {
            (Some(stream), None) => Ok(stream),
            (None, _) => wrong("no field tells the stream".to_owned()),
            (Some(one), Some(other)) => wrong(format!("fields of a {one} row and of a {other} row")),
        },
    }
}
