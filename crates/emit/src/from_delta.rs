//! Cleaned rows of Delta tables as the messages that a producer would send. Cleaning such a message gives the same row
//! again.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pinflow_dataflows::record::{Geo, Micros, Pin, User};

use super::json;
use pinflow_delta::StoredPost;

/// The prefix that cleaning removes from `save_location`.
const SAVE_LOCATION_PREFIX: &str = "Local save in ";

/// Appends the message of a row: one JSON object without a line feed.
pub(crate) fn write_row(row: &StoredPost<'_>, out: &mut Vec<u8>) {
    match row {
        StoredPost::Pin(row) => write_pin(row, out),
        StoredPost::Geo(row) => write_geo(row, out),
        StoredPost::User(row) => write_user(row, out),
    }
}

fn write_pin(row: &Pin<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"index\":");
    json::push_number(row.ind, out);
    push_text_field("unique_id", row.unique_id.as_deref(), out);
    push_text_field("title", row.title.as_deref(), out);
    push_text_field("description", row.description.as_deref(), out);
    push_text_field("poster_name", row.poster_name.as_deref(), out);
    push_name("follower_count", out);
    push_number(row.follower_count, out);
    push_text_field("tag_list", row.tag_list.as_deref(), out);
    push_text_field("is_image_or_video", row.is_image_or_video.as_deref(), out);
    push_text_field("image_src", row.image_src.as_deref(), out);
    let saved = row.save_location.as_deref().map(|place| format!("{SAVE_LOCATION_PREFIX}{place}"));
    push_text_field("save_location", saved.as_deref(), out);
    push_text_field("category", row.category.as_deref(), out);
    out.push(b'}');
}

fn write_geo(row: &Geo<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"ind\":");
    json::push_number(row.ind, out);
    push_time_field("timestamp", row.timestamp, out);
    for (at, of) in ["latitude", "longitude"].into_iter().enumerate() {
        push_name(of, out);
        push_number(row.coordinates.map(|degrees| degrees[at]), out);
    }
    push_text_field("country", row.country.as_deref(), out);
    out.push(b'}');
}

fn write_user(row: &User<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"ind\":");
    json::push_number(row.ind, out);
    // Cleaning joins both names with one space, so only two non-empty names may be split.
    let whole = row.user_name.as_deref();
    let halves = whole.and_then(|whole| whole.split_once(' '));
    match halves.filter(|(first, last)| !first.trim().is_empty() && !last.trim().is_empty()) {
        Some((first, last)) => {
            push_text_field("first_name", Some(first), out);
            push_text_field("last_name", Some(last), out);
        }
        None => {
            push_text_field("first_name", whole, out);
            push_text_field("last_name", None, out);
        }
    }
    push_name("age", out);
    push_number(row.age, out);
    push_time_field("date_joined", row.date_joined, out);
    out.push(b'}');
}

fn push_name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn push_text_field(of: &str, text: Option<&str>, out: &mut Vec<u8>) {
    push_name(of, out);
    match text {
        Some(text) => json::push_string(text, false, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Rust prints the shortest digits that parse to the same number.
fn push_number(value: Option<impl std::fmt::Display>, out: &mut Vec<u8>) {
    match value {
        // Writing to memory cannot fail.
        Some(value) => drop(write!(out, "{value}")),
        None => out.extend_from_slice(b"null"),
    }
}

fn push_time_field(of: &str, micros: Option<Micros>, out: &mut Vec<u8>) {
    let moment = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let written = moment.map(|moment| moment.to_zoned_datetime(TimeZone::UTC).datetime().to_string());
    push_text_field(of, written.as_deref(), out);
}
