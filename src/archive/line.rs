//! A message as a line of an object, and back, byte for byte.
//!
//! A message that is one line of JSON stands there as it is, as the connector's JsonFormat writes it. Any other one (a
//! tombstone, no JSON, JSON on several lines) becomes a JSON object with one field, its bytes in base64, so that every line
//! of the archive is JSON for every tool:
//!
//! ```json
//! {"_pinflow_raw":"eyJpbmQiOg=="}
//! {"_pinflow_raw":null}
//! ```
//!
//! A message that itself begins so is wrapped, too; so what is read back is what was received, whatever it was.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::IgnoredAny;

/// What a wrapped message begins with.
pub const MARK: &str = "{\"_pinflow_raw\":";

/// Appends a message with its line end; `None` is a tombstone.
pub fn write(payload: Option<&[u8]>, into: &mut Vec<u8>) {
    match payload {
        None => into.extend_from_slice(format!("{MARK}null}}").as_bytes()),
        Some(bytes) if stands_as_it_is(bytes) => into.extend_from_slice(bytes),
        Some(bytes) => {
            into.extend_from_slice(MARK.as_bytes());
            into.push(b'"');
            into.extend_from_slice(BASE64_STANDARD.encode(bytes).as_bytes());
            into.extend_from_slice(b"\"}");
        }
    }
    into.push(b'\n');
}

fn stands_as_it_is(bytes: &[u8]) -> bool {
    let one_line = memchr::memchr2(b'\n', b'\r', bytes).is_none();
    one_line && !bytes.starts_with(MARK.as_bytes()) && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// The message of a line without its end; `None` is a tombstone.
///
/// A line that begins as a wrapped message and is none (somebody else's) is taken as it is.
#[must_use]
pub fn read(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    match line.strip_prefix(MARK.as_bytes()) {
        Some(b"null}") => None,
        Some(rest) => {
            let text = rest.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"}"));
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

    fn line(payload: Option<&[u8]>) -> Vec<u8> {
        let mut line = Vec::new();
        write(payload, &mut line);
        line
    }

    fn assert_comes_back(payload: Option<&[u8]>) {
        let written = line(payload);
        let one = written.strip_suffix(b"\n").unwrap();
        assert!(!one.contains(&b'\n') && !one.ends_with(b"\r"));
        serde_json::from_slice::<IgnoredAny>(one).unwrap();
        assert_eq!(read(one).as_deref(), payload);
    }

    #[test]
    fn a_line_of_json_stands_as_it_is_and_everything_else_comes_back() {
        assert_eq!(line(Some(b"{\"ind\": 1, \"a\":[]}")), b"{\"ind\": 1, \"a\":[]}\n");
        assert_eq!(line(Some(b"{\"ind\":")), b"{\"_pinflow_raw\":\"eyJpbmQiOg==\"}\n");
        assert_eq!(line(None), b"{\"_pinflow_raw\":null}\n");
        let wrapped = line(Some(b"x"));
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
        payloads.into_iter().for_each(|payload| assert_comes_back(Some(payload)));
        assert_comes_back(None);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>) {
            assert_comes_back(Some(&bytes));
        }

        #[test]
        fn any_text_of_json_letters_comes_back(text in "[{}\\[\\]\",:0-9a-z_\\\\ \\r\\n]{0,30}") {
            assert_comes_back(Some(text.as_bytes()));
            assert_comes_back(Some(format!("{MARK}{text}").as_bytes()));
        }
    }
}
