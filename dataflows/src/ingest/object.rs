//! An object becomes the raw row it holds, or shows itself as a wrapper around rows.
//!
//! Producers write their fields in one order, so the reader expects the next one and compares it byte by byte; any other
//! key takes the general way: it is unescaped and looked up. The expectation chooses only how a key is recognised, and
//! every byte is checked in either case.

use std::borrow::Cow;

use crate::record::{Field, Raw, Stream, Value};
use crate::rejection::Reason;

use super::json::{Fault, Reader};

/// What one object holds.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub(super) raw: Raw<'a>,
    pub(super) wrapped: Wrapped<'a>,
}

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

/// Reads an object; the reader stands at its `{`. `usual` learns the stream whose fields it saw.
///
/// # Errors
/// Where the text is no JSON, too deep, or says two things under one key.
pub(super) fn object<'a>(reader: &mut Reader<'a>, usual: &mut Usual) -> Result<Object<'a>, Fault> {
    let mut object = Object { raw: Raw::default(), wrapped: Wrapped::default() };
    reader.deeper(0)?;
    reader.require(b'{', "`{`")?;
    reader.space();
    if reader.take(b"}") {
        return Ok(object);
    }
    let mut fields = if usual.expecting { usual.stream.fields() } else { &[] };
    loop {
        reader.space();
        let at = reader.at();
        match fields {
            [field, rest @ ..] if reader.take(quoted(*field, usual.stream)) => {
                fields = rest;
                reader.require(b':', "`:`")?;
                put(reader, &mut object.raw, *field, at)?;
            }
            _ => {
                let key = reader.string()?;
                reader.require(b':', "`:`")?;
                if let Some(field) = Field::named(&key) {
                    fields = after(field, usual);
                    put(reader, &mut object.raw, field, at)?;
                } else {
                    reader.space();
                    let written = reader.skip(1)?;
                    object.raw.unknown = object.raw.unknown.saturating_add(1);
                    wrap(&mut object.wrapped, &key, written, at)?;
                }
            }
        }
        if !reader.more(b'}')? {
            return Ok(object);
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

fn put<'a>(reader: &mut Reader<'a>, raw: &mut Raw<'a>, field: Field, at: usize) -> Result<(), Fault> {
    reader.space();
    let value = value(reader, field)?;
    if raw.put(field, value) { Ok(()) } else { Err(duplicate(field.name(), at)) }
}

fn value<'a>(reader: &mut Reader<'a>, field: Field) -> Result<Value<'a>, Fault> {
    Ok(match reader.peek() {
        Some(b'"') => Value::Text(reader.string()?),
        Some(b'-' | b'0'..=b'9') => Value::Number(reader.number()?),
        Some(b'{') => Value::Object(reader.skip(1)?),
        Some(b'[') => {
            let written = reader.skip(1)?;
            let joined = if field == Field::TagList { joined(written)? } else { None };
            joined.map_or(Value::Array(written), |text| Value::Text(Cow::Owned(text)))
        }
        _ => match reader.word()? {
            "null" => Value::Null,
            word => Value::Bool(word == "true"),
        },
    })
}

/// An array of strings joined with `,`; `None` if something else is in it.
fn joined(array: &str) -> Result<Option<String>, Fault> {
    let mut text = String::with_capacity(array.len());
    for (number, element) in Elements::new(array).enumerate() {
        if number > 0 {
            text.push(',');
        }
        match element.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            None => return Ok(None),
            Some(inner) => super::json::unescape(inner, 0, &mut text)?,
        }
    }
    Ok(Some(text))
}

fn wrap<'a>(wrapped: &mut Wrapped<'a>, key: &str, written: &'a str, at: usize) -> Result<(), Fault> {
    let slot = match key {
        "value" => &mut wrapped.value,
        "records" => &mut wrapped.records,
        "payload" => &mut wrapped.payload,
        _ => return Ok(()),
    };
    if slot.is_some_and(|first| first != written) {
        return Err(duplicate(key, at));
    }
    *slot = Some(written);
    Ok(())
}

#[cold]
fn duplicate(key: &str, at: usize) -> Fault {
    let what = format!("field `{key}` (or its alias) stands twice with different values");
    Fault { reason: Reason::DuplicateField, at, what: what.into() }
}

/// The name with its quotes, as it usually stands. A pin post calls its key `index`.
fn quoted(field: Field, stream: Stream) -> &'static [u8] {
    match field {
        Field::Ind if stream == Stream::Pin => b"\"index\"",
        Field::Ind => b"\"ind\"",
        Field::UniqueId => b"\"unique_id\"",
        Field::Title => b"\"title\"",
        Field::Description => b"\"description\"",
        Field::PosterName => b"\"poster_name\"",
        Field::FollowerCount => b"\"follower_count\"",
        Field::TagList => b"\"tag_list\"",
        Field::IsImageOrVideo => b"\"is_image_or_video\"",
        Field::ImageSrc => b"\"image_src\"",
        Field::Downloaded => b"\"downloaded\"",
        Field::SaveLocation => b"\"save_location\"",
        Field::Category => b"\"category\"",
        Field::Timestamp => b"\"timestamp\"",
        Field::Latitude => b"\"latitude\"",
        Field::Longitude => b"\"longitude\"",
        Field::Country => b"\"country\"",
        Field::FirstName => b"\"first_name\"",
        Field::LastName => b"\"last_name\"",
        Field::Age => b"\"age\"",
        Field::DateJoined => b"\"date_joined\"",
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
        let mut reader = Reader::new(array, super::json::DEPTH_MAX);
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
