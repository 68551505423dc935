//! The walk through one message: out of its wrappers, row by row.

use crate::clean::{self, FieldFaults};
use crate::record::{Lineage, Raw, Stream, Text};
use crate::rejection::{Reason, Rejection};

use super::bytes::{from_base64, without_mark};
use super::json::{Fault, Reader};
use super::object::{Elements, Usual, object};
use super::{Carries, Counts, Limits, Rows};

/// How often a text may be encoded in another: as a JSON string twice, in base64 once, and within it again as a string.
pub(super) const LAYERS: usize = STRINGS_MAX + 1 + STRINGS_MAX;
const STRINGS_MAX: usize = 2;

/// One message on its way.
pub(super) struct Walk<'w, R: ?Sized> {
    pub(super) limits: Limits,
    pub(super) carries: Carries,
    /// Of the next row.
    pub(super) lineage: Lineage,
    pub(super) usual: &'w mut Usual,
    pub(super) name: &'w mut String,
    pub(super) counts: &'w mut Counts,
    pub(super) rows: &'w mut R,
}

/// Where in a message a text stands.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// JSON strings around it, up to a base64.
    strings: usize,
    /// Whether base64 is around it.
    base64: bool,
    /// Whether it stands under a wrapper's key.
    wrapped: bool,
    /// Whether it is one row of several.
    aggregate: bool,
}

/// What a text turns out to be.
enum Shape<'a> {
    /// The row that was read.
    Row,
    Null,
    String(Text<'a>),
    Value(&'a str),
    Payload(&'a str),
    Records(&'a str),
    Array(&'a str),
}

impl<R: Rows + ?Sized> Walk<'_, R> {
    pub(super) fn message(&mut self, text: &str, payload: &[u8], layers: &mut [String; LAYERS]) {
        self.text(text, payload, Place::default(), layers);
    }

    /// A text that holds one row, or in which several are found. `payload` is what a rejection shows.
    fn text(&mut self, text: &str, payload: &[u8], place: Place, layers: &mut [String]) {
        let mut raw = Raw::default();
        let shape = match self.shape(text, &mut raw) {
            Ok(shape) => shape,
            Err(fault) => return self.not_json(text, &fault, payload, place, layers),
        };
        let within = Place { wrapped: true, ..place };
        match shape {
            Shape::Row => self.row(&raw, payload),
            Shape::Value(inner) | Shape::Payload(inner) => self.text(inner, payload, within, layers),
            Shape::String(inner) => self.string(inner, payload, place, layers),
            Shape::Records(array) | Shape::Array(array) => self.aggregate(array, payload, place, layers),
            Shape::Null if place.wrapped => self.refuse(Reason::Tombstone, "a wrapper around null", payload),
            Shape::Null => self.refuse(Reason::NotAnObject, "null", payload),
        }
    }

    /// Reads a text to its end and says what it is; a row is put into `raw`.
    #[inline]
    fn shape<'a>(&mut self, text: &'a str, raw: &mut Raw<'a>) -> Result<Shape<'a>, Fault> {
        let mut reader = Reader::new(text, self.limits.depth_max);
        reader.space();
        let shape = match reader.peek() {
            Some(b'{') => shape_of_object(&mut reader, self.usual, raw),
            Some(b'[') => reader.skip(0).map(Shape::Array),
            Some(b'"') => reader.string().map(Shape::String),
            Some(b'-' | b'0'..=b'9') => reader.number().and_then(|_| Err(not_an_object(&reader, "a number"))),
            _ => reader.word().and_then(|word| match word {
                "null" => Ok(Shape::Null),
                _ => Err(not_an_object(&reader, "a boolean")),
            }),
        };
        match shape {
            // The value is whole; bytes that follow it are the graver fault.
            Err(fault) if matches!(fault.reason, Reason::NotAnObject | Reason::DuplicateField) => {
                reader.end().and(Err(fault))
            }
            Ok(shape) => reader.end().map(|()| shape),
            Err(fault) => Err(fault),
        }
    }

    /// A text that is no message, unless it is base64.
    fn not_json(&mut self, text: &str, fault: &Fault, payload: &[u8], place: Place, layers: &mut [String]) {
        if let (false, [layer, layers @ ..]) = (place.base64, layers) {
            let mut decoded = std::mem::take(layer);
            let found = from_base64(text, &mut decoded);
            match &found {
                Err(rejection) => self.reject(None, rejection, payload),
                Ok(true) => {
                    self.text(without_mark(&decoded), payload, Place { base64: true, strings: 0, ..place }, layers);
                }
                Ok(false) => {}
            }
            *layer = decoded;
            if !matches!(found, Ok(false)) {
                return;
            }
        }
        let encoded = if place.base64 || place.strings > 0 { " of the encoded text" } else { "" };
        self.refuse(fault.reason, &format!("{} at byte {}{encoded}", fault.what, fault.at), payload);
    }

    fn string(&mut self, inner: Text<'_>, payload: &[u8], place: Place, layers: &mut [String]) {
        let (true, [layer, layers @ ..]) = (place.strings < STRINGS_MAX, layers) else {
            return self.refuse(Reason::NotAnObject, "a string in a string in a string", payload);
        };
        let mut decoded = std::mem::take(layer);
        decoded.clear();
        let place = Place { strings: place.strings + 1, ..place };
        match inner.read_into(&mut decoded) {
            Err(lone) => self.refuse(Reason::NotUtf8, &lone.to_string(), payload),
            Ok(()) => self.text(without_mark(&decoded), payload, place, layers),
        }
        *layer = decoded;
    }

    /// Several rows, each under a wrapper's key `value`.
    fn aggregate(&mut self, array: &str, payload: &[u8], place: Place, layers: &mut [String]) {
        if place.aggregate {
            return self.refuse(Reason::NotAnObject, "several rows where one of several must stand", payload);
        }
        if !array.starts_with('[') {
            return self.refuse(Reason::NotAnObject, "`records` is no array", payload);
        }
        let count = Elements::new(array).count();
        if count == 0 {
            return self.refuse(Reason::NotAnObject, "an array without a row", payload);
        }
        if count > self.limits.rows_max as usize {
            let detail = format!("{count} rows, where a message may have {}", self.limits.rows_max);
            return self.refuse(Reason::TooManyRows, &detail, payload);
        }
        let place = Place { wrapped: true, aggregate: true, ..place };
        for element in Elements::new(array) {
            match self.shape(element, &mut Raw::default()) {
                Ok(Shape::Value(inner)) => self.text(inner, inner.as_bytes(), place, layers),
                Ok(_) => {
                    self.refuse(Reason::NotAnObject, "an element that is no object with `value`", element.as_bytes());
                }
                Err(fault) => {
                    self.refuse(
                        fault.reason,
                        &format!("{} at byte {} of its element", fault.what, fault.at),
                        element.as_bytes(),
                    );
                }
            }
        }
    }

    fn row(&mut self, raw: &Raw<'_>, payload: &[u8]) {
        let told = stream(self.carries, raw);
        let known = told.as_ref().ok().copied();
        match self.cleaned(raw, told) {
            Ok((stream, faults)) => {
                self.counts.row(stream, faults, raw.unknown_to(stream));
                self.lineage.sub += 1;
            }
            Err(rejection) => self.reject(known, &rejection, payload),
        }
    }

    /// Cleans a row and hands it on.
    fn cleaned(&mut self, raw: &Raw<'_>, told: Result<Stream, Rejection>) -> Result<(Stream, FieldFaults), Rejection> {
        let mut faults = FieldFaults::default();
        let ind = clean::key(raw)?;
        let stream = told?;
        let text_bytes_max = self.limits.text_bytes_max;
        match stream {
            Stream::Pin => self.rows.pin(self.lineage, &clean::pin(raw, ind, text_bytes_max, &mut faults)?),
            Stream::Geo => self.rows.geo(self.lineage, &clean::geo(raw, ind, text_bytes_max, &mut faults)?),
            Stream::User => {
                self.rows.user(self.lineage, &clean::user(raw, ind, text_bytes_max, self.name, &mut faults)?);
            }
        }
        Ok((stream, faults))
    }

    #[cold]
    fn refuse(&mut self, reason: Reason, detail: &str, payload: &[u8]) {
        self.reject(None, &Rejection { reason, detail: detail.to_owned() }, payload);
    }

    /// Hands on a rejection; a source of one stream knows the stream of whatever it carries.
    #[cold]
    pub(super) fn reject(&mut self, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        let stream = match self.carries {
            Carries::Only(only) => Some(only),
            Carries::Auto => stream,
        };
        self.rows.rejected(self.lineage, stream, rejection, payload);
        self.counts.rejection(rejection.reason);
        self.lineage.sub += 1;
    }
}

fn shape_of_object<'a>(reader: &mut Reader<'a>, usual: &mut Usual, raw: &mut Raw<'a>) -> Result<Shape<'a>, Fault> {
    let wrapped = object(reader, usual, raw)?;
    if !raw.is_empty() {
        return Ok(Shape::Row);
    }
    match (wrapped.value, wrapped.records, wrapped.payload) {
        (None, None, None) => Ok(Shape::Row),
        (Some(value), None, None) => Ok(Shape::Value(value)),
        (None, Some(records), None) => Ok(Shape::Records(records)),
        (None, None, Some(payload)) => Ok(Shape::Payload(payload)),
        _ => Err(not_an_object(reader, "a wrapper with more than one of `value`, `records` and `payload`")),
    }
}

fn not_an_object(reader: &Reader<'_>, what: &'static str) -> Fault {
    reader.fault(Reason::NotAnObject, what)
}

/// The stream of a row. On a source of one stream a row is taken for its own unless it says that it is another's:
/// by the fields that tell streams apart, or else by having fields of others alone.
fn stream(carries: Carries, raw: &Raw<'_>) -> Result<Stream, Rejection> {
    let mut told = Stream::ALL.into_iter().filter(|stream| raw.tells(*stream));
    let wrong = |detail: String| Err(Rejection { reason: Reason::WrongStream, detail });
    match carries {
        Carries::Only(only) if raw.tells(only) => Ok(only),
        Carries::Only(only) => match told.next() {
            Some(other) => wrong(format!("a {other} row where {only} rows are carried")),
            None if raw.unknown_to(only) > raw.unknown && !raw.has_any_of(only) => {
                wrong(format!("no field of a {only} row, but of others"))
            }
            None => Ok(only),
        },
        Carries::Auto => match (told.next(), told.next()) {
            (Some(stream), None) => Ok(stream),
            (None, _) => wrong("no field tells the stream".to_owned()),
            (Some(one), Some(other)) => wrong(format!("fields of a {one} row and of a {other} row")),
        },
    }
}
