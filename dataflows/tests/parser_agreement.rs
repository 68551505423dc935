//! Two independent results agree, over mutated messages and random bytes: parsing with and without field prediction,
//! and our JSON reader and `serde_json`. The fuzz target runs the same check.

mod harness;
mod samples;

use harness::{check_payload, parse};
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;
use pinflow_dataflows::rejection::RejectionReason;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use samples::{GEO, PIN, USER};

/// A change that a producer, a network or an attacker may make to a message.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Truncate(Index),
    Insert(Index, &'static str),
    Remove(Index, usize),
    Swap(Index, Index),
    Repeat(Index),
    Value(Index, &'static str),
    Escape(Index),
}

fn any_mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let piece = || {
        select(vec![
            " ",
            "\n",
            ",",
            ":",
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            "\\u0041",
            "\\ud800",
            "\\ud83c\\udf84",
            "\0",
            "\u{1f}",
            "é",
            "🎄",
            "null",
            "1e400",
            "-0",
            "\u{feff}",
            "\"ind\":4211,",
            "\"index\":\"4211\",",
            "\"index\":1,",
            "\"title\":\"x\",",
            "\"img_src\":null,",
            "\"x\":[1,{\"y\":2}],",
            "\"value\":",
        ])
    };
    let value = select(vec![
        "null",
        "true",
        "7",
        "-7",
        "1.0",
        "1e3",
        "1e400",
        "9223372036854775808",
        "\"7\"",
        "\"\"",
        "\" \"",
        "[]",
        "[\"a\",\"b\"]",
        "[1]",
        "{}",
        "\"2020-01-01 00:00:00\"",
        "\"1.2k\"",
        "\"\\ud800\"",
        "\"\\u00e9\"",
        "4211",
    ]);
    vec(
        prop_oneof![
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
            any::<Index>().prop_map(Mutation::Truncate),
            (any::<Index>(), piece()).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
            (any::<Index>(), 1_usize..6).prop_map(|(at, count)| Mutation::Remove(at, count)),
            (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Mutation::Swap(one, other)),
            any::<Index>().prop_map(Mutation::Repeat),
            (any::<Index>(), value).prop_map(|(at, value)| Mutation::Value(at, value)),
            any::<Index>().prop_map(Mutation::Escape),
        ],
        0..5,
    )
}

/// Applies changes of whole fields first, then changes of bytes.
fn mutate(message: &str, changes: &[Mutation]) -> Vec<u8> {
    let inner = message.trim_start_matches('{').trim_end_matches('}');
    let mut fields: Vec<String> = inner.replace(",\"", "\u{1}\"").split('\u{1}').map(str::to_owned).collect();
    for change in changes {
        let count = fields.len();
        match change {
            Mutation::Swap(one, other) => fields.swap(one.index(count), other.index(count)),
            Mutation::Repeat(at) => fields.push(fields[at.index(count)].clone()),
            Mutation::Value(at, value) => {
                let field = &mut fields[at.index(count)];
                field.truncate(field.find(':').map_or(0, |colon| colon + 1));
                field.push_str(value);
            }
            Mutation::Escape(at) => {
                let field = &mut fields[at.index(count)];
                let letter = field.as_bytes()[1];
                *field = format!("\"\\u{letter:04x}{}", &field[2..]);
            }
            _ => {}
        }
    }
    let mut bytes = format!("{{{}}}", fields.join(",")).into_bytes();
    for change in changes {
        let count = bytes.len();
        match change {
            Mutation::Flip(at, byte) if count > 0 => bytes[at.index(count)] ^= byte,
            Mutation::Truncate(at) => bytes.truncate(at.index(count + 1)),
            Mutation::Insert(at, piece) => {
                let at = at.index(count + 1);
                bytes.splice(at..at, piece.bytes());
            }
            Mutation::Remove(at, removed) => {
                let at = at.index(count + 1);
                bytes.drain(at..(at + removed).min(count));
            }
            _ => {}
        }
    }
    bytes
}

/// Whether the bytes are exactly one JSON value, according to `serde_json`.
fn is_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    // Passed over as ours is: without judging numbers by size or escapes by meaning.
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok())
}

fn refuses_text(bytes: &[u8]) -> bool {
    let (seen, _) = parse(StreamHint::Only(Stream::Pin), bytes);
    let harness::ParseOutcome::Rejected { reason, .. } = &seen[0].outcome else { return false };
    matches!(reason, RejectionReason::NotUtf8 | RejectionReason::NotJson | RejectionReason::TrailingBytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn field_prediction_does_not_change_result(message in select(vec![PIN, GEO, USER]), changes in any_mutations()) {
        check_payload(&mutate(message, &changes));
    }

    #[test]
    fn field_prediction_does_not_change_result_in_wrappers(
        rows in vec((select(vec![PIN, GEO, USER]), any_mutations()), 1..4),
        shape in 0_usize..4,
    ) {
        let rows: Vec<Vec<u8>> = rows.iter().map(|(message, changes)| mutate(message, changes)).collect();
        let elements: Vec<Vec<u8>> = rows.iter().map(|row| [b"{\"value\":", &row[..], b"}"].concat()).collect();
        let array = [b"[", &elements.join(&b","[..])[..], b"]"].concat();
        check_payload(&match shape {
            0 => array,
            1 => [b"{\"records\":", &array[..], b"}"].concat(),
            2 => serde_json::to_vec(&String::from_utf8_lossy(&array)).expect("a string"),
            _ => elements[0].clone(),
        });
    }

    #[test]
    fn random_bytes_are_parsed_without_panic(bytes in vec(any::<u8>(), 0..200)) {
        check_payload(&bytes);
    }

    #[test]
    fn random_json_tokens_are_parsed_without_panic(tokens in vec(select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\"ind\"", "\"index\"", "\"value\"", "\"records\"", "\"payload\"", "\"title\"", "\"a\"", "1", "-1", "null", "true", " ", "eyJ",
    ]), 0..24)) {
        check_payload(tokens.concat().as_bytes());
    }

    #[test]
    fn text_is_accepted_exactly_if_serde_json_accepts_it(message in select(vec![PIN, GEO, USER]), changes in any_mutations()) {
        let bytes = mutate(message, &changes);
        // A row can be valid JSON and contain half a surrogate pair, which the escape reveals.
        prop_assume!(!bytes.windows(3).any(|three| three.eq_ignore_ascii_case(b"\\ud")) && !matches!(bytes[..], [0, ..] | [_, 0, ..]));
        // A message that is a string wraps another text, which must also be JSON.
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        prop_assume!(!matches!(text.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'"')));
        prop_assert_eq!(refuses_text(&bytes), !is_json(&bytes), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn fuzz_corpus_passes() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/record");
    let messages: Vec<_> = std::fs::read_dir(corpus).expect("committed beside the crate").collect();
    assert!(messages.len() > 10);
    for message in messages {
        check_payload(&std::fs::read(message.expect("an entry").path()).expect("a message"));
    }
}
