//! Encodes a message as a line of an archive object, and decodes it byte for byte.
//!
//! A message that is one line of JSON is written unchanged, as the connector's JsonFormat writes it. Any other message (a
//! tombstone, invalid JSON, JSON on several lines) is wrapped: a JSON object with one field, its bytes in base64. So every
//! line of the archive is JSON for every tool:
//!
//! ```json
//! {"_pinflow_raw":"eyJpbmQiOg=="}
//! {"_pinflow_raw":null}
//! ```
//!
//! A message that itself begins like a wrapped one is wrapped too. So decoding always returns what was received.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::IgnoredAny;

/// The beginning of a wrapped message.
pub const WRAPPED_PREFIX: &str = "{\"_pinflow_raw\":";

/// Appends a message and a line end to `into`. `None` is a tombstone.
pub fn encode_line(payload: Option<&[u8]>, into: &mut Vec<u8>) {
    match payload {
        None => into.extend_from_slice(format!("{WRAPPED_PREFIX}null}}").as_bytes()),
        Some(bytes) if needs_no_wrapping(bytes) => into.extend_from_slice(bytes),
        Some(bytes) => {
            into.extend_from_slice(WRAPPED_PREFIX.as_bytes());
            into.push(b'"');
            into.extend_from_slice(BASE64_STANDARD.encode(bytes).as_bytes());
            into.extend_from_slice(b"\"}");
        }
    }
    into.push(b'\n');
}

fn needs_no_wrapping(bytes: &[u8]) -> bool {
    let one_line = memchr::memchr2(b'\n', b'\r', bytes).is_none();
    one_line && !bytes.starts_with(WRAPPED_PREFIX.as_bytes()) && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// The message of a line, given without its line end. `None` is a tombstone.
///
/// A line that begins like a wrapped message but is malformed was written by another tool. It is returned unchanged.
#[must_use]
pub fn decode_line(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    match line.strip_prefix(WRAPPED_PREFIX.as_bytes()) {
        Some(b"null}") => None,
        Some(tail) => {
            let text = tail.strip_prefix(b"\"").and_then(|tail| tail.strip_suffix(b"\"}"));
            let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok());
            Some(bytes.map_or(Cow::Borrowed(line), Cow::Owned))
        }
        None => Some(Cow::Borrowed(line)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(payload: Option<&[u8]>) -> Vec<u8> {
        let mut line = Vec::new();
        encode_line(payload, &mut line);
        line
    }

    fn assert_decodes_to_itself(payload: Option<&[u8]>) {
        let written = encoded(payload);
        let one = written.strip_suffix(b"\n").unwrap();
        assert!(!one.contains(&b'\n') && !one.ends_with(b"\r"));
        serde_json::from_slice::<IgnoredAny>(one).unwrap();
        assert_eq!(decode_line(one).as_deref(), payload);
    }

    #[test]
    fn json_line_is_unchanged_and_other_messages_are_wrapped() {
        assert_eq!(encoded(Some(b"{\"ind\": 1, \"a\":[]}")), b"{\"ind\": 1, \"a\":[]}\n");
        assert_eq!(encoded(Some(b"{\"ind\":")), b"{\"_pinflow_raw\":\"eyJpbmQiOg==\"}\n");
        assert_eq!(encoded(None), b"{\"_pinflow_raw\":null}\n");
        let wrapped = encoded(Some(b"x"));
        let payloads: [&[u8]; 9] = [
            b"",
            b" ",
            b"{\n}",
            b"{}\r",
            b"\xff\x00",
            b"\xef\xbb\xbf{}",
            b"{\"_pinflow_raw\":null}",
            b"{\"_pinflow_raw\":7}",
            wrapped.strip_suffix(b"\n").unwrap(),
        ];
        payloads.into_iter().for_each(|payload| assert_decodes_to_itself(Some(payload)));
        assert_decodes_to_itself(None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_to_themselves(bytes: Vec<u8>) {
            assert_decodes_to_itself(Some(&bytes));
        }

        #[test]
        fn any_json_like_text_is_decoded_to_itself(text in "[{}\\[\\]\",:0-9a-z_\\\\ \\r\\n]{0,30}") {
            assert_decodes_to_itself(Some(text.as_bytes()));
            assert_decodes_to_itself(Some(format!("{WRAPPED_PREFIX}{text}").as_bytes()));
        }
    }
}
