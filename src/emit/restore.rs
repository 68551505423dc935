//! A cleaned row as the message that a producer would write for it: cleaned again, it is the same row.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pinflow_dataflows::record::{Geo, Micros, Pin, User};

use super::json;
use crate::sinks::delta::Row;

/// What cleaning takes off a place of storage.
const SAVED: &str = "Local save in ";

/// Appends the message, one JSON object without a line break.
pub(crate) fn write(row: &Row<'_>, out: &mut Vec<u8>) {
    match row {
        Row::Pin(row) => pin(row, out),
        Row::Geo(row) => geo(row, out),
        Row::User(row) => user(row, out),
    }
}

fn pin(row: &Pin<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"index\":");
    json::number(row.ind, out);
    text("unique_id", row.unique_id.as_deref(), out);
    text("title", row.title.as_deref(), out);
    text("description", row.description.as_deref(), out);
    text("poster_name", row.poster_name.as_deref(), out);
    name("follower_count", out);
    number(row.follower_count, out);
    text("tag_list", row.tag_list.as_deref(), out);
    text("is_image_or_video", row.is_image_or_video.as_deref(), out);
    text("image_src", row.image_src.as_deref(), out);
    let saved = row.save_location.as_deref().map(|place| format!("{SAVED}{place}"));
    text("save_location", saved.as_deref(), out);
    text("category", row.category.as_deref(), out);
    out.push(b'}');
}

fn geo(row: &Geo<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"ind\":");
    json::number(row.ind, out);
    time("timestamp", row.timestamp, out);
    for (at, of) in ["latitude", "longitude"].into_iter().enumerate() {
        name(of, out);
        number(row.coordinates.map(|degrees| degrees[at]), out);
    }
    text("country", row.country.as_deref(), out);
    out.push(b'}');
}

fn user(row: &User<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"ind\":");
    json::number(row.ind, out);
    // Put together again with one space: so it must be two texts, neither of them empty, or one.
    let whole = row.user_name.as_deref();
    let halves = whole.and_then(|whole| whole.split_once(' '));
    match halves.filter(|(first, last)| !first.trim().is_empty() && !last.trim().is_empty()) {
        Some((first, last)) => {
            text("first_name", Some(first), out);
            text("last_name", Some(last), out);
        }
        None => {
            text("first_name", whole, out);
            text("last_name", None, out);
        }
    }
    name("age", out);
    number(row.age, out);
    time("date_joined", row.date_joined, out);
    out.push(b'}');
}

fn name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(of: &str, text: Option<&str>, out: &mut Vec<u8>) {
    name(of, out);
    match text {
        Some(text) => json::string(text, false, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Rust writes the shortest digits that are read back as the same number.
fn number(value: Option<impl std::fmt::Display>, out: &mut Vec<u8>) {
    match value {
        // Writing to memory does not fail.
        Some(value) => drop(write!(out, "{value}")),
        None => out.extend_from_slice(b"null"),
    }
}

fn time(of: &str, micros: Option<Micros>, out: &mut Vec<u8>) {
    let moment = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let written = moment.map(|moment| moment.to_zoned(TimeZone::UTC).datetime().to_string());
    text(of, written.as_deref(), out);
}
