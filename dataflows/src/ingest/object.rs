//! An object becomes the raw row it holds, or shows itself as a wrapper around rows.
//!
//! Producers write their fields in one order, so the reader expects the next one and compares it byte by byte; any other
//! key takes the general way: it is unescaped and looked up. The expectation chooses only how a key is recognised, and
//! every byte is checked in either case.

use crate::record::{Field, Raw, Stream, Value};
use crate::rejection::Reason;

use super::json::{DEPTH_MAX, Fault, FaultAt, Reader};

/// What stands under the keys of wrappers, as written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wrapped<'a> {
    pub(super) value: Option<&'a str>,
    pub(super) records: Option<&'a str>,
    pub(super) payload: Option<&'a str>,
}

/// Which fields are expected, and in which order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    pub(super) stream: Stream,
    /// False takes the general way for every key: for tests.
    pub(super) expecting: bool,
}

/// Reads an object into `raw`, which is empty; the reader stands at its `{`. `usual` learns the stream whose fields it saw.
///
/// # Errors
/// Where the text is no JSON, too deep, or says two things under one key.
pub(super) fn object<'a>(reader: &mut Reader<'a>, usual: &mut Usual, raw: &mut Raw<'a>) -> Result<Wrapped<'a>, Fault> {
    let mut wrapped = Wrapped::default();
    // Told at the end only: that the text is no JSON is the graver fault.
    let mut conflict = None;
    reader.deeper(0)?;
    reader.require(b'{', "`{`")?;
    reader.space();
    if reader.take(b"}") {
        return Ok(wrapped);
    }
    let mut fields = if usual.expecting { usual.stream.fields() } else { &[] };
    loop {
        reader.space();
        let at = reader.at();
        match fields {
            [field, rest @ ..] if take_key(reader, *field, usual.stream) => {
                fields = rest;
                conflict = conflict.or(put(reader, raw, *field, at)?);
            }
            _ => {
                let key = reader
                    .string()?
                    .read()
                    .map_err(|lone| reader.fault(Reason::NotUtf8, format!("a key with {lone}")))?;
                match Field::named(&key) {
                    Some(field) => {
                        fields = after(field, usual);
                        conflict = conflict.or(put(reader, raw, field, at)?);
                    }
                    None => conflict = conflict.or(unknown(reader, raw, &mut wrapped, &key, at)?),
                }
            }
        }
        if !reader.more(b'}')? {
            return conflict.map_or(Ok(wrapped), Err);
        }
    }
}

/// What is expected after a field that was not.
fn after(field: Field, usual: &mut Usual) -> &'static [Field] {
    if !usual.expecting {
        return &[];
    }
    usual.stream = field.stream().unwrap_or(usual.stream);
    let fields = usual.stream.fields();
    match fields.iter().position(|&other| other == field) {
        Some(place) => &fields[place + 1..],
        None => fields,
    }
}

/// Reads the value of a field, from its colon on; gives a conflict with what stood under the same key before.
#[inline]
fn put<'a>(reader: &mut Reader<'a>, raw: &mut Raw<'a>, field: Field, at: usize) -> Result<Option<Fault>, Fault> {
    reader.require(b':', "`:`")?;
    reader.space();
    // Each value is put where it is made: moved through one variable, it is stored and loaded in pieces of different
    // sizes, and the processor waits.
    let same = match reader.peek() {
        Some(b'"') => raw.put(field, Value::Text(reader.string()?)),
        Some(b'-' | b'0'..=b'9') => raw.put(field, Value::Number(reader.number()?)),
        Some(b'{') => raw.put(field, Value::Object(reader.skip(1)?)),
        Some(b'[') => raw.put(field, Value::Array(reader.skip(1)?)),
        _ => match reader.word()? {
            "null" => raw.put(field, Value::Null),
            word => raw.put(field, Value::Bool(word == "true")),
        },
    };
    if same { Ok(None) } else { Ok(Some(duplicate(field.name(), at))) }
}

/// Passes a field that no stream has, unless a wrapper has it.
fn unknown<'a>(
    reader: &mut Reader<'a>,
    raw: &mut Raw<'a>,
    wrapped: &mut Wrapped<'a>,
    key: &str,
    at: usize,
) -> Result<Option<Fault>, Fault> {
    reader.require(b':', "`:`")?;
    reader.space();
    let written = reader.skip(1)?;
    raw.unknown = raw.unknown.saturating_add(1);
    let slot = match key {
        "value" => &mut wrapped.value,
        "records" => &mut wrapped.records,
        "payload" => &mut wrapped.payload,
        _ => return Ok(None),
    };
    if slot.is_some_and(|first| first != written) {
        return Ok(Some(duplicate(key, at)));
    }
    *slot = Some(written);
    Ok(None)
}

#[cold]
fn duplicate(key: &str, at: usize) -> Fault {
    let what = format!("field `{key}` (or its alias) stands twice with different values");
    Box::new(FaultAt { reason: Reason::DuplicateField, at, what: what.into() })
}

/// Takes a key with its quotes, as it is usually written, if it comes next. A pin post calls its key `index`. Each text
/// stands where it is compared: of a known length it is compared without a call.
#[inline]
fn take_key(reader: &mut Reader<'_>, field: Field, stream: Stream) -> bool {
    match field {
        Field::Ind if stream == Stream::Pin => reader.take(b"\"index\""),
        Field::Ind => reader.take(b"\"ind\""),
        Field::UniqueId => reader.take(b"\"unique_id\""),
        Field::Title => reader.take(b"\"title\""),
        Field::Description => reader.take(b"\"description\""),
        Field::PosterName => reader.take(b"\"poster_name\""),
        Field::FollowerCount => reader.take(b"\"follower_count\""),
        Field::TagList => reader.take(b"\"tag_list\""),
        Field::IsImageOrVideo => reader.take(b"\"is_image_or_video\""),
        Field::ImageSrc => reader.take(b"\"image_src\""),
        Field::Downloaded => reader.take(b"\"downloaded\""),
        Field::SaveLocation => reader.take(b"\"save_location\""),
        Field::Category => reader.take(b"\"category\""),
        Field::Timestamp => reader.take(b"\"timestamp\""),
        Field::Latitude => reader.take(b"\"latitude\""),
        Field::Longitude => reader.take(b"\"longitude\""),
        Field::Country => reader.take(b"\"country\""),
        Field::FirstName => reader.take(b"\"first_name\""),
        Field::LastName => reader.take(b"\"last_name\""),
        Field::Age => reader.take(b"\"age\""),
        Field::DateJoined => reader.take(b"\"date_joined\""),
    }
}

/// The elements of an array that was read once before, each as written.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    reader: Reader<'a>,
    done: bool,
}

impl<'a> Elements<'a> {
    pub(super) fn new(array: &'a str) -> Elements<'a> {
        let mut reader = Reader::new(array, DEPTH_MAX);
        let opens = reader.take(b"[");
        reader.space();
        let done = !opens || reader.take(b"]");
        Elements { reader, done }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.done {
            return None;
        }
        self.reader.space();
        let element = self.reader.skip(0);
        self.done = !matches!(self.reader.more(b']'), Ok(true));
        element.ok()
    }
}
