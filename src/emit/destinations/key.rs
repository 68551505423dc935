//! Keys of messages: what decides on their partition or shard.

/// What decides on a message's partition or shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MessageKey {
    /// The ind, so that all messages of an ind stay in order; none where it cannot be read.
    Ind,
    /// Messages have no key; those of Kinesis, which must have one, have one that nobody chose.
    None,
    /// The same for all messages.
    Fixed(Vec<u8>),
}

/// The digits of a message's ind or index, wherever its row begins. Rows that are text within text are looked through,
/// those in base64 are not.
pub(super) fn find_ind(message: &[u8]) -> Option<&[u8]> {
    let quoted = |text: &[u8]| text.iter().take_while(|byte| matches!(byte, b'\\' | b'"')).count();
    for at in memchr::memmem::find_iter(message, b"\"ind") {
        let rest = &message[at + 4..];
        let rest = rest.strip_prefix(b"ex").unwrap_or(rest);
        let rest = match quoted(rest) {
            0 => continue,
            quotes => rest[quotes..].trim_ascii_start(),
        };
        let Some(rest) = rest.strip_prefix(b":") else { continue };
        let rest = rest.trim_ascii_start();
        let rest = &rest[quoted(rest)..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            return Some(&rest[..digits]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ind_is_found_in_every_shape_that_shows_it() {
        for (message, ind) in [
            ("{\"ind\":7,\"age\":1}", Some("7")),
            ("{\"index\":12,\"title\":\"a\"}", Some("12")),
            ("{\"index\": \"12\"}", Some("12")),
            ("{\"records\":[{\"value\":{\"ind\":3}},{\"value\":{\"ind\":4}}]}", Some("3")),
            ("\"{\\\"ind\\\":9}\"", Some("9")),
            ("\"\\\"{\\\\\\\"index\\\\\\\":9}\\\"\"", Some("9")),
            ("{\"title\":\"\\\"ind\",\"index\":5}", Some("5")),
            ("{\"industry\":1}", None),
            ("\"eyJpbmQiOjF9\"", None),
            ("{\"ind\":-1}", None),
            ("", None),
        ] {
            assert_eq!(find_ind(message.as_bytes()), ind.map(str::as_bytes), "{message}");
        }
    }
}
