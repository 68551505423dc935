//! A row is parsed to the same result in every encoding and wrapper.

mod harness;
mod samples;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use harness::{ParsedRow, parse};
use pinflow_dataflows::clean::FieldFault;
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;
use pinflow_dataflows::rejection::RejectionReason;
use samples::{GEO, PIN, USER, sample_of};

fn quote_json(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}

/// The only row of a message.
fn parse_row(stream_hint: StreamHint, payload: &str) -> String {
    let (seen, _) = parse(stream_hint, payload.as_bytes());
    assert_eq!(seen.len(), 1, "{payload}");
    seen[0].row().to_owned()
}

/// All encodings of a text that holds one row.
fn all_encodings(text: &str) -> Vec<String> {
    let (once, twice) = (quote_json(text), quote_json(&quote_json(text)));
    vec![
        text.to_owned(),
        format!(" \r\n\t{text}\n"),
        format!("\u{feff}{text}"),
        once.clone(),
        twice.clone(),
        STANDARD.encode(text),
        STANDARD_NO_PAD.encode(format!("\u{feff}{text}")),
        STANDARD.encode(&once),
        STANDARD.encode(&twice),
        quote_json(&STANDARD.encode(text)),
        quote_json(&STANDARD.encode(quote_json(&once))),
        format!("{}\n", STANDARD.encode(format!(" {text}"))),
    ]
}

fn all_wrappers(text: &str) -> Vec<String> {
    vec![
        format!(r#"{{"value":{text}}}"#),
        format!(r#"{{"key":null,"value":{text},"partition":0}}"#),
        format!(r#"[{{"value":{text}}}]"#),
        format!(r#"{{"records":[{{"value":{text}}}]}}"#),
        format!(r#"{{"schema":{{"type":"struct","fields":[]}},"payload":{text}}}"#),
        format!(r#"{{"records":[{{"value":{{"schema":null,"payload":{text}}}}}]}}"#),
        format!(r#"{{"value":{{"value":{text}}}}}"#),
    ]
}

#[test]
fn row_is_parsed_from_every_encoding_and_wrapper() {
    for stream in Stream::ALL {
        let plain = sample_of(stream);
        let expected = parse_row(StreamHint::Only(stream), plain);
        let mut shapes = all_encodings(plain);
        for wrapped in all_wrappers(plain) {
            shapes.extend(all_encodings(&wrapped));
        }
        for encoded in [quote_json(plain), quote_json(&quote_json(plain)), quote_json(&STANDARD.encode(plain))] {
            shapes.extend(all_wrappers(&encoded));
        }
        for shape in shapes {
            assert_eq!(parse_row(StreamHint::Only(stream), &shape), expected, "{shape}");
            assert_eq!(parse_row(StreamHint::Auto, &shape), expected, "{shape}");
        }
    }
}

#[test]
fn sample_rows_are_cleaned_as_specified() {
    assert_eq!(
        parse_row(StreamHint::Auto, PIN),
        "Pin { ind: 4211, unique_id: Some(\"7c1f-44\"), title: Some(\"Paper \\\"lanterns\\\" …\"), description: None, \
         follower_count: Some(12000), poster_name: Some(\"Ida & Söhne 🎄\"), tag_list: Some(\"paper,light\"), \
         is_image_or_video: Some(\"image\"), image_src: Some(\"https://images.example/a.jpg\"), \
         save_location: Some(\"/data/home-decor\"), category: Some(\"home-decor\") }"
    );
    assert_eq!(
        parse_row(StreamHint::Auto, GEO),
        "Geo { ind: 4211, country: Some(\"Côte d'Ivoire\"), coordinates: Some([-12.5, 101.25]), timestamp: Some(1556612100000000) }"
    );
    assert_eq!(
        parse_row(StreamHint::Auto, USER),
        "User { ind: 4211, user_name: Some(\"Ida Berg\"), age: Some(31), date_joined: Some(1456790399000000) }"
    );
}

#[test]
fn field_in_other_notation_is_parsed_to_same_row() {
    for (stream, changes) in [
        (
            Stream::Pin,
            vec![
                ("\"index\"", "\"ind\""),
                ("\"index\"", r#""\u0069ndex""#),
                ("4211", "\"4211\""),
                ("4211", "4211.0"),
                ("4211", "4.211e3"),
                ("\"image_src\"", "\"img_src\""),
                ("\"paper,light\"", r#"["paper","light"]"#),
                ("\"12k\"", "12000"),
                ("\"12k\"", "\"12,000\""),
                ("\"downloaded\":1,", ""),
                ("\"downloaded\":1", "\"downloaded\":\"0\""),
                ("\":", "\" : "),
                (",\"", " ,\n\""),
                ("\\u2026", "…"),
                ("{\"index\":4211", "{\"index\":4211,\"ind\":\"4211\""),
                ("🎄", r"\ud83c\udf84"),
            ],
        ),
        (
            Stream::Geo,
            vec![
                ("\"ind\"", "\"index\""),
                ("4211", "\"4211\""),
                ("-12.5", "\"-12.50\""),
                ("101.25", "1.0125e2"),
                ("30T08", "30 08"),
                (":00\"", ":00Z\""),
                (":00\"", ":00.000+00:00\""),
                ("T08:15:00", "T10:15:00+02:00"),
            ],
        ),
        (
            Stream::User,
            vec![
                ("\"ind\"", "\"index\""),
                ("31", "\"31\""),
                ("31", "31.0"),
                ("29T23", "29 23"),
                ("\"ind\":4211,", "\"index\":4211,\"ind\":4211,"),
            ],
        ),
    ] {
        let expected = parse_row(StreamHint::Only(stream), sample_of(stream));
        for (from, to) in changes {
            let changed = sample_of(stream).replace(from, to);
            assert_ne!(changed, sample_of(stream), "{from}");
            assert_eq!(parse_row(StreamHint::Only(stream), &changed), expected, "{changed}");
        }
    }
}

#[test]
fn unknown_fields_are_ignored_and_counted() {
    let message = GEO.replacen('{', r#"{"x":{"y":[1,{"z":"\ud800"}]},"value":3,"age":null,"#, 1);
    let (seen, counts) = parse(StreamHint::Only(Stream::Geo), message.as_bytes());
    assert_eq!(seen[0].row(), parse_row(StreamHint::Auto, GEO));
    assert_eq!((counts.unknown_fields, counts.rows(Stream::Geo)), (3, 1));
}

#[test]
fn rows_of_aggregate_are_numbered_and_checked_one_by_one() {
    let elements = [
        PIN.to_owned(),
        r#"{"title":"no key","category":"art"}"#.to_owned(),
        "null".to_owned(),
        "7".to_owned(),
        quote_json(GEO),
        r#"{"ind":1,"age":{}}"#.to_owned(),
        quote_json("{broken"),
        r#"{"ind":1,"age":1,"ind":2}"#.to_owned(),
        r#"{"ind":1,"first_name":"\udc00"}"#.to_owned(),
        quote_json(USER),
    ];
    let mut values: Vec<String> = elements.iter().map(|row| format!(r#"{{"value":{row}}}"#)).collect();
    values.push(PIN.to_owned());
    values.push("[]".to_owned());
    let nested = format!(r#"{{"value":[{{"value":{USER}}}]}}"#);
    values.push(nested);
    let array = format!("[{}]", values.join(" ,\n"));
    for message in [array.clone(), format!(r#"{{"records":{array}}}"#), quote_json(&array), STANDARD.encode(&array)] {
        let (seen, counts) = parse(StreamHint::Auto, message.as_bytes());
        let rows: Vec<usize> =
            (0..seen.len()).filter(|&n| matches!(seen[n].outcome, harness::ParseOutcome::Row(_))).collect();
        assert_eq!(rows, [0, 4, 9]);
        assert_eq!(
            (seen[0].row(), seen[4].row(), seen[9].row()),
            (
                &*parse_row(StreamHint::Auto, PIN),
                &*parse_row(StreamHint::Auto, GEO),
                &*parse_row(StreamHint::Auto, USER)
            )
        );
        let rejected = |n: usize| {
            (seen[n].stream, seen[n].rejection().0, std::str::from_utf8(seen[n].rejection().2).expect("text"))
        };
        assert_eq!(rejected(1), (Some(Stream::Pin), RejectionReason::NoKey, &*elements[1]));
        assert_eq!(rejected(2), (None, RejectionReason::Tombstone, "null"));
        assert_eq!(rejected(3), (None, RejectionReason::NotAnObject, "7"));
        assert_eq!(rejected(5), (Some(Stream::User), RejectionReason::WrongType, &*elements[5]));
        assert_eq!(rejected(6), (None, RejectionReason::NotJson, &*elements[6]));
        assert_eq!(rejected(7), (None, RejectionReason::DuplicateField, &*elements[7]));
        assert_eq!(rejected(8), (Some(Stream::User), RejectionReason::NotUtf8, &*elements[8]));
        assert_eq!(rejected(10), (None, RejectionReason::NotAnObject, PIN));
        assert_eq!(rejected(11), (None, RejectionReason::NotAnObject, "[]"));
        assert_eq!(rejected(12).1, RejectionReason::NotAnObject);
        assert_eq!((counts.read(), seen.len()), (13, 13));
    }
}

#[test]
fn auto_source_identifies_streams_by_fields() {
    for (message, stream) in [
        (r#"{"ind":1,"unique_id":"x"}"#, Stream::Pin),
        (r#"{"ind":1,"category":null}"#, Stream::Pin),
        (r#"{"ind":1,"latitude":1}"#, Stream::Geo),
        (r#"{"index":1,"country":"Chad"}"#, Stream::Geo),
        (r#"{"ind":1,"age":20,"title":"Dr"}"#, Stream::User),
        (r#"{"ind":1,"last_name":"Ali"}"#, Stream::User),
    ] {
        assert_eq!(parse(StreamHint::Auto, message.as_bytes()).0[0].stream, Some(stream), "{message}");
    }
    for message in [
        r#"{"ind":1}"#,
        r#"{"ind":1,"title":"x"}"#,
        r#"{"ind":1,"timestamp":null}"#,
        r#"{"ind":1,"age":2,"country":"Chad"}"#,
    ] {
        let seen = &parse(StreamHint::Auto, message.as_bytes()).0[0];
        assert_eq!((seen.stream, seen.rejection().0), (None, RejectionReason::WrongStream), "{message}");
    }
}

/// A shared sample file, if it exists next to the repository.
fn shared_sample(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real").join(name);
    std::fs::read_to_string(path).ok()
}

#[test]
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn shared_wire_samples_are_parsed_or_rejected_as_listed() {
    let Some(text) = shared_sample("wire_variants.json") else {
        eprintln!("no samples beside this checkout: only the shapes in this file are tested");
        return;
    };
    let variants: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    for variant in variants {
        let (shape, sample) =
            (variant["shape"].as_str().expect("a shape"), variant["sample"].as_str().expect("a sample"));
        let twice = variant["json_string_encoded_twice"] == true;
        let messages =
            if twice { vec![quote_json(sample), quote_json(&quote_json(sample))] } else { vec![sample.to_owned()] };
        for message in messages {
            let seen: Vec<ParsedRow> = parse(StreamHint::Auto, message.as_bytes()).0;
            let refused = match shape {
                "{example_field:str}" => Some(RejectionReason::NoKey),
                _ if shape.starts_with("{index:{") => Some(RejectionReason::BadKey),
                _ => None,
            };
            match refused {
                Some(reason) => assert_eq!(seen[0].rejection().0, reason, "{shape}"),
                None => assert!(seen.iter().all(|seen| !seen.row().is_empty()), "{shape}"),
            }
        }
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn shared_posts_are_all_parsed() {
    if shared_sample("pin.jsonl").is_none() {
        eprintln!("no samples beside this checkout: only the messages in this file are parsed");
        return;
    }
    for folder in ["", "recovered/"] {
        for stream in Stream::ALL {
            let name = format!("{folder}{stream}.jsonl");
            let posts = shared_sample(&name).unwrap_or_else(|| panic!("the samples have no {name}"));
            for line in posts.lines() {
                for stream_hint in [StreamHint::Only(stream), StreamHint::Auto] {
                    let (seen, counts) = parse(stream_hint, line.as_bytes());
                    assert_eq!((seen.len(), seen[0].stream), (1, Some(stream)), "{line}");
                    assert!(!seen[0].row().is_empty());
                    // No real post has a field fault, because placeholders are valid.
                    assert!(FieldFault::ALL.iter().all(|&fault| counts.field_faults(fault) == 0), "{line}");
                    assert_eq!(counts.unknown_fields, 0, "{line}");
                }
            }
        }
    }
}
