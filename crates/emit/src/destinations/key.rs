//! Message keys, which choose the partition or shard.

/// What the key of each message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MessageKey {
    /// The `ind`, so that all messages of an `ind` stay in order. None if it cannot be read.
    Ind,
    /// No key. Kinesis requires one, so its records get a random key.
    None,
    /// The same key for all messages.
    Fixed(Vec<u8>),
}

/// The digits of a message's `ind` or `index`, in any envelope except base64.
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
    fn find_ind_reads_every_envelope_but_base64() {
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
