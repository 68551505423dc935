//! Edits JSON text without parsing values, so that numbers and escapes keep their digits.

/// Removes the white space between the tokens of a JSON value, so that it fits on one line. Numbers, escapes and the order
/// of fields are kept.
///
/// `json` must be valid JSON. In any other text, only what is between quotes is kept unchanged.
pub(super) fn strip_whitespace(json: &str) -> Vec<u8> {
    let mut kept = Vec::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        if quoted {
            (quoted, escaped) = match (escaped, byte) {
                (false, b'"') => (false, false),
                (false, b'\\') => (true, true),
                _ => (true, false),
            };
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            quoted = byte == b'"';
        }
        kept.push(byte);
    }
    kept
}

/// Truncates an error message that may quote a whole value of a client.
pub(super) fn truncate_message(text: impl Into<String>) -> String {
    const CHARS_MAX: usize = 200;
    let mut text = text.into();
    if let Some((at, _)) = text.char_indices().nth(CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn strip_whitespace_keeps_tokens() {
        let json = "{ \"a b\" : [ 1.50, 1e400,\n\t-0 ], \"q\\\" x\" : \" \\\\\" ,\"é\":\"\\u00e9 \" }";
        let kept = "{\"a b\":[1.50,1e400,-0],\"q\\\" x\":\" \\\\\",\"é\":\"\\u00e9 \"}";
        assert_eq!(String::from_utf8(strip_whitespace(json)).unwrap(), kept);
    }

    #[test]
    fn truncate_message_cuts_between_characters() {
        assert_eq!(truncate_message("é".repeat(200)), "é".repeat(200));
        assert_eq!(truncate_message("é".repeat(100_000)), format!("{}…", "é".repeat(200)));
    }

    fn json_values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~\\n\\t\"\\\\é]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[ -~]{0,4}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn strip_whitespace_of_pretty_json_equals_compact_json(value in json_values()) {
            let spread = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(strip_whitespace(&spread), serde_json::to_vec(&value).unwrap());
        }
    }
}
