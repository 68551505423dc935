//! Byte ranges of a reply (RFC 9110, section 14), for clients that read a file by parts, such as polars and DuckDB.
//!
//! A range is a slice of the reply that all clients of an epoch share. The `ETag` says whether two parts belong together:
//! with `If-Range` or `If-Match` a client never gets a part of another epoch.

use std::ops::Range;

use axum::http::header::{HeaderMap, IF_MATCH, IF_RANGE, RANGE};

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestedPart {
    /// The whole reply: no range, one that is not understood, several, or one of an older reply.
    Whole,
    /// These bytes, at least one.
    Part(Range<usize>),
    /// Bytes after the end.
    Unsatisfiable,
}

/// The part of a reply of `len` bytes with this `ETag` that a GET asks for.
pub(super) fn requested_part(headers: &HeaderMap, tag: &str, len: usize) -> RequestedPart {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(RANGE) else { return RequestedPart::Whole };
    // A weak tag never matches, nor does a date: the reply has no `Last-Modified`.
    if headers.contains_key(IF_RANGE) && text(IF_RANGE).map(str::trim) != Some(tag) {
        return RequestedPart::Whole;
    }
    let Some((unit, ranges)) = range.split_once('=') else { return RequestedPart::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return RequestedPart::Whole;
    }
    match parse_range(ranges.trim(), len) {
        None => RequestedPart::Whole,
        Some(range) if range.is_empty() => RequestedPart::Unsatisfiable,
        Some(range) => RequestedPart::Part(range),
    }
}

/// Whether `If-Match` allows a reply with this `ETag`.
pub(super) fn allows_tag(headers: &HeaderMap, tag: &str) -> bool {
    if !headers.contains_key(IF_MATCH) {
        return true;
    }
    let given = headers.get_all(IF_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || one == tag)
}

/// Parses `FIRST-LAST`, `FIRST-` or `-LENGTH`. Empty if there are no such bytes, `None` if it is not one range.
fn parse_range(text: &str, len: usize) -> Option<Range<usize>> {
    let (first, last) = text.split_once('-')?;
    if first.is_empty() {
        let suffix = parse_position(last)?;
        return Some(len.saturating_sub(suffix)..len);
    }
    let first = parse_position(first)?;
    let last = if last.is_empty() { usize::MAX } else { parse_position(last)? };
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(len);
    Some(first.min(end)..end)
}

/// Parses digits. A number that is too large is after the end in any case.
fn parse_position(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TAG: &str = "\"run-7\"";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn part(range: &str) -> RequestedPart {
        requested_part(&headers(&[("range", range)]), TAG, 100)
    }

    #[test]
    fn one_range_is_cut_to_the_reply() {
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-99", 0..100),
            ("bytes=10-19", 10..20),
            ("bytes=90-1000", 90..100),
            ("bytes=90-99999999999999999999999", 90..100),
            ("bytes=50-", 50..100),
            ("bytes=-10", 90..100),
            ("bytes=-1000", 0..100),
            ("BYTES = 1-2", 1..3),
        ] {
            assert_eq!(part(range), RequestedPart::Part(expected), "{range}");
        }
    }

    #[test]
    fn range_after_the_end_is_unsatisfiable_and_others_are_ignored() {
        for range in ["bytes=100-", "bytes=100-200", "bytes=99999999999999999999999-", "bytes=-0"] {
            assert_eq!(part(range), RequestedPart::Unsatisfiable, "{range}");
        }
        for range in
            ["bytes=2-1", "bytes=0-1,5-6", "rows=0-1", "bytes", "bytes=a-b", "bytes=-", "bytes=+1-2", "bytes=1"]
        {
            assert_eq!(part(range), RequestedPart::Whole, "{range}");
        }
        assert_eq!(requested_part(&HeaderMap::new(), TAG, 100), RequestedPart::Whole);
        assert_eq!(requested_part(&headers(&[("range", "bytes=0-")]), TAG, 0), RequestedPart::Unsatisfiable);
    }

    #[test]
    fn range_of_another_reply_gets_the_whole_one() {
        let given = |if_range| requested_part(&headers(&[("range", "bytes=0-9"), ("if-range", if_range)]), TAG, 100);
        assert_eq!(given(TAG), RequestedPart::Part(0..10));
        for other in ["\"run-6\"", "W/\"run-7\"", "Sat, 28 Nov 2026 00:00:00 GMT", ""] {
            assert_eq!(given(other), RequestedPart::Whole, "{other}");
        }
    }

    #[test]
    fn if_match_allows_only_this_reply() {
        for (given, allowed) in
            [("*", true), (TAG, true), ("\"a\", \"run-7\"", true), ("\"a\"", false), ("W/\"run-7\"", false)]
        {
            assert_eq!(allows_tag(&headers(&[("if-match", given)]), TAG), allowed, "{given}");
        }
        assert!(allows_tag(&HeaderMap::new(), TAG));
    }
}
