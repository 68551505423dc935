//! Bad inputs with their expected rejections or field faults. The harness checks for each that all rows are counted.

mod harness;
mod samples;

use harness::{CARRIES, lineage, parse, parse_with};
use pinflow_dataflows::clean::FieldFault;
use pinflow_dataflows::ingest::{MessageLimits, MessageParser, StreamHint};
use pinflow_dataflows::record::Stream;
use pinflow_dataflows::rejection::RejectionReason;
use samples::{GEO, PIN, USER};

/// Checks that the whole message is rejected as one row, for every stream hint.
fn check_rejected(payload: &[u8], reason: RejectionReason, detail: &str) {
    for stream_hint in CARRIES {
        let (seen, _) = parse(stream_hint, payload);
        assert_eq!(seen.len(), 1, "{payload:?}");
        let (found, told, shown) = seen[0].rejection();
        assert_eq!(found, reason, "{told}: {:?}", String::from_utf8_lossy(payload));
        assert!(told.contains(detail), "{told:?} lacks {detail:?}");
        assert_eq!(shown, payload);
    }
}

#[test]
fn payload_that_is_not_text_is_rejected() {
    for stream_hint in CARRIES {
        let (seen, _) = parse_with(&mut MessageParser::new(MessageLimits::default()), stream_hint, None);
        assert_eq!(seen[0].rejection(), (RejectionReason::Tombstone, "null payload", &[][..]));
    }
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let gzip = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3];
    let kpl = [0xF3, 0x89, 0x9A, 0xC2, 0x0A, 0x01, b'a'];
    let framed = [&[0, 0, 0, 0, 7][..], GEO.as_bytes()].concat();
    let cases: [(&[u8], RejectionReason, &str); 25] = [
        (b"", RejectionReason::NotJson, "empty payload"),
        (b"\xEF\xBB\xBF", RejectionReason::NotJson, "empty payload"),
        (b" \r\n\t ", RejectionReason::NotJson, "only white space"),
        (b"{\"ind\":1,\"title\":\"\xFF\"}", RejectionReason::NotUtf8, "at byte 18"),
        (b"{\"ind\":1,\"title\":\"\xED\xA0\x80\"}", RejectionReason::NotUtf8, "at byte 18"),
        (b"{\"ind\":1,\"title\":\"\xC0\xAF\"}", RejectionReason::NotUtf8, "at byte 18"),
        (&utf16(&format!("\u{feff}{GEO}"), u16::to_le_bytes), RejectionReason::NotUtf8, "UTF-16"),
        (&utf16(&format!("\u{feff}{GEO}"), u16::to_be_bytes), RejectionReason::NotUtf8, "UTF-16"),
        (&utf16("{\"ind\":1}", u16::to_le_bytes), RejectionReason::NotUtf8, "UTF-16"),
        (&utf16("{\"ind\":1}", u16::to_be_bytes), RejectionReason::NotUtf8, "UTF-16"),
        (&gzip, RejectionReason::NotUtf8, "gzip"),
        (&[0x28, 0xB5, 0x2F, 0xFD, 4], RejectionReason::NotUtf8, "zstd"),
        (&kpl, RejectionReason::NotUtf8, "Kinesis Producer Library"),
        (&framed, RejectionReason::NotJson, "Confluent schema registry framing (magic byte 0, schema 7)"),
        (b"{\"ind\":1", RejectionReason::NotJson, "at byte 8"),
        (b"{\"ind\":1,\"title\":\"a", RejectionReason::NotJson, "ends inside a string at byte 19"),
        (b"{\"ind\":1}}", RejectionReason::TrailingBytes, "at byte 9"),
        (b"{\"ind\":1}\n{\"ind\":2}", RejectionReason::TrailingBytes, "at byte 10"),
        (b"{\"ind\":1}\0", RejectionReason::TrailingBytes, "1 bytes follow"),
        (b"7 8", RejectionReason::TrailingBytes, "at byte 2"),
        (b"\"{}\" x", RejectionReason::TrailingBytes, "at byte 5"),
        (b"[{\"value\":{}}],", RejectionReason::TrailingBytes, "at byte 14"),
        (b"ind=1", RejectionReason::NotJson, "at byte 0"),
        (b"eyJpbmQiOjF9eyJ=ab", RejectionReason::NotJson, "at byte 0"),
        (b"eyJpbmQi/w==", RejectionReason::NotUtf8, "base64"),
    ];
    for (payload, reason, detail) in cases {
        check_rejected(payload, reason, detail);
    }
}

#[test]
fn invalid_json_is_rejected_with_its_offset() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let cases: &[(&str, RejectionReason, &str)] = &[
        ("7528", RejectionReason::NotAnObject, "a number"),
        ("-0.5e3", RejectionReason::NotAnObject, "a number"),
        ("true", RejectionReason::NotAnObject, "a boolean"),
        ("null", RejectionReason::NotAnObject, "null"),
        ("[]", RejectionReason::NotAnObject, "without a row"),
        (r#"{"records":[]}"#, RejectionReason::NotAnObject, "without a row"),
        (r#"{"records":{}}"#, RejectionReason::NotAnObject, "no array"),
        (r#"{"value":7}"#, RejectionReason::NotAnObject, "a number"),
        (r#"{"value":null}"#, RejectionReason::Tombstone, "null"),
        (r#"{"schema":null,"payload":null}"#, RejectionReason::Tombstone, "null"),
        (r#"{"value":{"ind":1},"payload":{"ind":1}}"#, RejectionReason::NotAnObject, "more than one"),
        (r#"{"value":{"ind":1},"value":{"ind":2}}"#, RejectionReason::DuplicateField, "`value`"),
        (r#""hello""#, RejectionReason::NotJson, "of the encoded text"),
        (r#""\"\\\"{}\\\"\"""#, RejectionReason::NotAnObject, "a string in a string"),
        (r#""\ud800""#, RejectionReason::NotUtf8, "surrogate"),
        (r#"{"ind":1,"\ud800":2}"#, RejectionReason::NotUtf8, "a key with a lone surrogate"),
        (r#"{"ind":NaN}"#, RejectionReason::NotJson, "'N' where a JSON value must stand at byte 7"),
        (r#"{"ind":1,"latitude":Infinity}"#, RejectionReason::NotJson, "at byte 20"),
        (r#"{"ind":1,"latitude":-Infinity}"#, RejectionReason::NotJson, "a digit"),
        (r#"{"ind":01}"#, RejectionReason::NotJson, "at byte 8"),
        (r#"{"ind":+1}"#, RejectionReason::NotJson, "at byte 7"),
        (r#"{"ind":1.}"#, RejectionReason::NotJson, "a digit"),
        (r#"{"ind":.5}"#, RejectionReason::NotJson, "at byte 7"),
        (r#"{"ind":1e}"#, RejectionReason::NotJson, "a digit"),
        (r#"{"ind":0x1}"#, RejectionReason::NotJson, "at byte 8"),
        (r#"{"ind":1,}"#, RejectionReason::NotJson, "a string"),
        (r#"{,"ind":1}"#, RejectionReason::NotJson, "a string"),
        (r#"{"ind" 1}"#, RejectionReason::NotJson, "`:`"),
        (r#"{"ind":1 "age":2}"#, RejectionReason::NotJson, "`,` or `}`"),
        (r#"{'ind':1}"#, RejectionReason::NotJson, "a string"),
        (r#"{ind:1}"#, RejectionReason::NotJson, "a string"),
        (r#"{"ind":1,"x":[1,]}"#, RejectionReason::NotJson, "a JSON value"),
        (r#"{"ind":1,"x":[1}"#, RejectionReason::NotJson, "`,` or `]`"),
        (r#"{"ind":1,"x":nul}"#, RejectionReason::NotJson, "a JSON value"),
        (r#"{"ind":1,"x":"\q"}"#, RejectionReason::NotJson, "escape"),
        (r#"{"ind":1,"x":"\u12"}"#, RejectionReason::NotJson, "escape"),
        (r#"{"ind":1,"x":"\u12G4"}"#, RejectionReason::NotJson, "escape"),
        ("{\"ind\":1,\"x\":\"a\nb\"}", RejectionReason::NotJson, "control character 0x0a"),
        ("{\"ind\":1,\"x\":\"a\0b\"}", RejectionReason::NotJson, "control character 0x00"),
        ("{\"ind\":1,\u{a0}\"x\":1}", RejectionReason::NotJson, "a string"),
        ("// post\n{\"ind\":1}", RejectionReason::NotJson, "at byte 0"),
        (r#"[{"value":{"ind":1}},{"value":{"ind":"#, RejectionReason::NotJson, "the end of the text"),
        (r#"{"ind":1,"ind":2}"#, RejectionReason::DuplicateField, "`ind`"),
        (r#"{"ind":1,"index":2}"#, RejectionReason::DuplicateField, "alias"),
        (r#"{"ind":1,"index":null}"#, RejectionReason::DuplicateField, "alias"),
        (
            r#"{"ind":1,"title":"a","title":"b"}"#,
            RejectionReason::DuplicateField,
            "`title` (or its alias) stands twice with different values at byte 21",
        ),
        (r#"{"ind":1,"image_src":"a","img_src":"b"}"#, RejectionReason::DuplicateField, "`image_src`"),
        (r#"{"ind":1,"ind":2}x"#, RejectionReason::TrailingBytes, "at byte 17"),
        (r#"{"ind":1,"ind":2,"#, RejectionReason::NotJson, "the end of the text"),
        (r#"{"ind":1,"age":1,"age":1.0}"#, RejectionReason::DuplicateField, "`age`"),
    ];
    for &(payload, reason, detail) in cases {
        check_rejected(payload.as_bytes(), reason, detail);
    }
    check_rejected(deep(65).as_bytes(), RejectionReason::TooDeep, "more than 64 levels deep at byte 64");
    check_rejected("[".repeat(100_000).as_bytes(), RejectionReason::TooDeep, "64");
    check_rejected("{\"value\":".repeat(100_000).as_bytes(), RejectionReason::TooDeep, "64");
    check_rejected(format!(r#"{{"ind":1,"x":{}}}"#, deep(64)).as_bytes(), RejectionReason::TooDeep, "64");
    // As deep as it may be: an aggregate, of which one element is refused.
    assert_eq!(parse(StreamHint::Auto, deep(64).as_bytes()).0[0].rejection().0, RejectionReason::NotAnObject);
}

#[test]
fn unusual_but_valid_messages_are_accepted() {
    let long = "x".repeat(1 << 20);
    let keys: String = (0..20_000).map(|n| format!(",\"key{n}\":{n}")).collect();
    for message in [
        format!("{{\"ind\":1,\"country\":\"Chad\"{keys}}}"),
        format!("{{\"ind\":1,\"country\":\"Chad\",\"{long}\":1}}"),
        format!("{{\"ind\":1,\"country\":\"Chad\",\"x\":\"{}\"}}", "x".repeat(8 << 20)),
        format!("{{\"ind\":1,\"country\":\"Chad\",\"x\":{}{}}}", "[".repeat(63), "]".repeat(63)),
        r#"{"ind":1,"country":"Chad","x":1e400,"x":-0}"#.to_owned(),
        r#"{"ind":1,"country":"Chad","country":"Cha\u0064"}"#.to_owned(),
        r#"{"ind":1,"index":"1","country":"Chad","ind":1}"#.to_owned(),
    ] {
        // Some are longer than a message may be by default.
        let mut ingest = MessageParser::new(MessageLimits { bytes_max: 10 << 20, ..MessageLimits::default() });
        let (seen, _) = parse_with(&mut ingest, StreamHint::Auto, Some(message.as_bytes()));
        assert_eq!(seen[0].row(), r#"Geo { ind: 1, country: Some("Chad"), coordinates: None, timestamp: None }"#);
    }
    for text in ["<script>alert(1)</script>", "=cmd()", "\u{1b}[31m", "\u{202e}gpj", "a\0b", " edge\u{a0}", "🎄"] {
        let message = format!(r#"{{"ind":1,"country":{}}}"#, serde_json::to_string(text).expect("a string"));
        let (seen, _) = parse(StreamHint::Auto, message.as_bytes());
        assert!(seen[0].row().contains(&format!("country: Some({text:?})")), "{text:?}");
    }
}

#[test]
fn message_beyond_limits_is_rejected() {
    let small = MessageLimits { bytes_max: 200, depth_max: 3, rows_max: 2, ..MessageLimits::default() };
    let outcome = |limits: MessageLimits, message: &str| {
        let (seen, _) =
            parse_with(&mut MessageParser::new(limits), StreamHint::Only(Stream::Geo), Some(message.as_bytes()));
        let refusal = matches!(seen[0].outcome, harness::ParseOutcome::Rejected { .. }).then(|| seen[0].rejection().0);
        (seen.len(), refusal)
    };
    let rows = |count: usize| format!("[{}]", vec![r#"{"value":{"ind":1,"country":"Chad"}}"#; count].join(","));
    assert_eq!(outcome(small, &rows(2)), (2, None));
    assert_eq!(outcome(small, &rows(3)), (1, Some(RejectionReason::TooManyRows)));
    assert_eq!(outcome(small, &format!("{{\"ind\":1}}{}", " ".repeat(191))), (1, None));
    assert_eq!(outcome(small, &format!("{{\"ind\":1}}{}", " ".repeat(192))), (1, Some(RejectionReason::TooLarge)));
    assert_eq!(outcome(small, r#"{"ind":1,"x":[[]]}"#), (1, None));
    assert_eq!(outcome(small, r#"{"ind":1,"x":[[[]]]}"#), (1, Some(RejectionReason::TooDeep)));
    assert_eq!(outcome(MessageLimits { depth_max: 0, ..small }, r#"{"ind":1}"#), (1, Some(RejectionReason::TooDeep)));
    assert_eq!(
        outcome(MessageLimits { depth_max: usize::MAX, ..small }, &"[".repeat(70)),
        (1, Some(RejectionReason::TooDeep))
    );
    let defaults = MessageLimits::default();
    assert_eq!((defaults.bytes_max, defaults.depth_max, defaults.rows_max), (1 << 20, 64, 10_000));
    assert_eq!(outcome(defaults, &rows(10_000)), (10_000, None));
    assert_eq!(outcome(defaults, &rows(10_001)), (1, Some(RejectionReason::TooManyRows)));
}

#[test]
fn row_with_invalid_key_is_rejected() {
    for written in [
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        "\" \"",
        "\"12abc\"",
        "\"0x1\"",
        "\"1,000\"",
        "\"９\"",
        "-1",
        "1.5",
        "1e-3",
        "\"-1\"",
        "9223372036854775808",
        "18446744073709551616",
        "9223372036854775807.5",
        "1e400",
        "1e18446744073709551616",
        "\"1e400\"",
        r#"{"index":1}"#,
    ] {
        check_rejected(format!(r#"{{"ind":{written},"title":"x"}}"#).as_bytes(), RejectionReason::BadKey, "`ind` is ");
    }
    for name in ["Ind", "IND", " ind", "ind ", "in\u{131}d", "indéx", "key", "\u{ff49}nd", ""] {
        check_rejected(
            format!(r#"{{"{name}":1,"title":"x"}}"#).as_bytes(),
            RejectionReason::NoKey,
            "neither `ind` nor `index`",
        );
    }
    check_rejected(b"{}", RejectionReason::NoKey, "");
    for (written, ind) in [
        ("0", 0),
        ("-0", 0),
        ("1.0", 1),
        ("\" 7 \"", 7),
        ("9007199254740993", 9_007_199_254_740_993),
        ("9223372036854775807", i64::MAX),
        ("\"9223372036854775807\"", i64::MAX),
    ] {
        let (seen, _) = parse(StreamHint::Auto, format!(r#"{{"ind":{written},"age":1}}"#).as_bytes());
        assert!(seen[0].row().starts_with(&format!("User {{ ind: {ind},")), "{}", seen[0].row());
    }
}

#[test]
fn row_of_another_stream_is_rejected() {
    for (carried, message) in [
        (Stream::Pin, GEO),
        (Stream::Pin, USER),
        (Stream::Geo, PIN),
        (Stream::Geo, USER),
        (Stream::User, PIN),
        (Stream::User, GEO),
        (Stream::User, r#"{"ind":1,"timestamp":"2020-01-01 00:00:00"}"#),
        (Stream::Geo, r#"{"ind":1,"timestamp":"2020-01-01 00:00:00","category":"art"}"#),
    ] {
        let (seen, _) = parse(StreamHint::Only(carried), message.as_bytes());
        assert_eq!((seen[0].stream, seen[0].rejection().0), (Some(carried), RejectionReason::WrongStream), "{message}");
    }
    // A key alone is a row of the stream it came on, and so is one that has some of its fields.
    for (carried, message) in [
        (Stream::Pin, r#"{"ind":1}"#),
        (Stream::Pin, r#"{"ind":1,"shop":"x"}"#),
        (Stream::User, r#"{"ind":1,"age":2,"country":"Chad"}"#),
    ] {
        assert_eq!(parse(StreamHint::Only(carried), message.as_bytes()).1.rows(carried), 1);
    }
}

#[test]
fn value_of_wrong_type_rejects_row() {
    let text = ["1", "true", "[]", "{}", "[\"a\"]"].as_slice();
    let number = ["true", "[]", "{}"].as_slice();
    let tags = ["1", "false", "{}", "[1]", "[null]", "[\"a\",[]]"].as_slice();
    let time = ["1598586767", "1598586767000", "true", "[]", "{}"].as_slice();
    for (sample, fields) in [
        (
            PIN,
            vec![
                ("unique_id", text),
                ("title", text),
                ("description", text),
                ("poster_name", text),
                ("follower_count", number),
                ("tag_list", tags),
                ("is_image_or_video", text),
                ("image_src", text),
                ("downloaded", number),
                ("save_location", text),
                ("category", text),
            ],
        ),
        (GEO, vec![("timestamp", time), ("latitude", number), ("longitude", number), ("country", text)]),
        (USER, vec![("first_name", text), ("last_name", text), ("age", number), ("date_joined", time)]),
    ] {
        for (field, values) in fields {
            for value in values {
                let mut row: serde_json::Value = serde_json::from_str(sample).expect("JSON");
                row[field] = serde_json::from_str(value).expect("JSON");
                let (seen, counts) = parse(StreamHint::Auto, row.to_string().as_bytes());
                let (reason, detail, _) = seen[0].rejection();
                assert_eq!(reason, RejectionReason::WrongType, "{field}: {value}");
                assert!(detail.contains(&format!("`{field}`")), "{detail}");
                assert!(
                    FieldFault::ALL.iter().all(|&fault| counts.field_faults(fault) == 0),
                    "faults of a rejected row"
                );
            }
        }
    }
}

#[test]
fn unreadable_column_is_null_and_row_is_kept() {
    let cases = [
        (
            PIN,
            "\"12k\"",
            FieldFault::FollowerCount,
            vec!["-5", "1.5", "1e400", "9223372036854775808", "\"\"", "\"-5k\"", "\"12abc\"", "\"99999999999B\""],
        ),
        (
            PIN,
            "\"downloaded\":1",
            FieldFault::Downloaded,
            vec!["\"downloaded\":2", "\"downloaded\":\"yes\"", "\"downloaded\":0.5"],
        ),
        (
            GEO,
            "-12.5",
            FieldFault::Coordinates,
            vec!["-90.5", "91", "1e400", "-1e400", "null", "\"\"", "\"north\"", "\"NaN\"", "\"inf\""],
        ),
        (GEO, "101.25", FieldFault::Coordinates, vec!["180.0000001", "-181", "null"]),
        (
            GEO,
            "\"2019-04-30T08:15:00\"",
            FieldFault::Timestamp,
            vec![
                "\"\"",
                "\"0000-01-01T00:00:00\"",
                "\"+275760-09-13T00:00:00\"",
                "\"2016-12-31T23:59:60\"",
                "\"2016-12-31T24:00:00\"",
                "\"2019-02-29T00:00:00\"",
                "\"9999-12-31T23:59:59-01:00\"",
                "\"0001-01-01T00:00:00+01:00\"",
                "\"1556612100\"",
                "\"yesterday\"",
            ],
        ),
        (USER, "31", FieldFault::Age, vec!["151", "-1", "1e400", "31.5", "\"\"", "\"12abc\"", "4294967327"]),
        (
            USER,
            "\"2016-02-29T23:59:59\"",
            FieldFault::DateJoined,
            vec!["\"2015-02-29T23:59:59\"", "\" \"", "\"2016-02-29\""],
        ),
    ];
    for (sample, from, fault, written) in cases {
        for to in written {
            let message = sample.replacen(from, to, 1);
            assert_ne!(message, sample);
            let (seen, counts) = parse(StreamHint::Auto, message.as_bytes());
            assert!(!seen[0].row().is_empty());
            for other in FieldFault::ALL {
                assert_eq!(counts.field_faults(other), u64::from(other == fault), "{other:?} of {message}");
            }
        }
    }
    // Far in the future, at the edges of the calendar and in the gap of a summer time: times like any other.
    for time in [
        "2999-01-01T00:00:00",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59.999999",
        "2021-03-28T02:30:00",
        "1998-01-01 00:00:00",
    ] {
        let (_, counts) = parse(StreamHint::Auto, GEO.replace("2019-04-30T08:15:00", time).as_bytes());
        assert_eq!((counts.rows(Stream::Geo), counts.field_faults(FieldFault::Timestamp)), (1, 0), "{time}");
    }
}

#[test]
fn text_beyond_limit_is_null_and_counted_by_column() {
    let columns = [
        (PIN, "category", FieldFault::Category, Stream::Pin),
        (PIN, "poster_name", FieldFault::PosterName, Stream::Pin),
        (GEO, "country", FieldFault::Country, Stream::Geo),
        (USER, "first_name", FieldFault::FirstName, Stream::User),
        (USER, "last_name", FieldFault::LastName, Stream::User),
    ];
    // The last character has one, two and four bytes: the limit counts bytes, and never cuts a character.
    for (last, limit) in [("x", 64), ("é", 64), ("🎄", 64), ("🎄", 1024)] {
        for (sample, field, fault, stream) in columns {
            for (bytes, faults) in [(limit - 1, 0), (limit, 0), (limit + 1, 1), (limit + last.len(), 1)] {
                let text = "y".repeat(bytes - last.len()) + last;
                let mut row: serde_json::Value = serde_json::from_str(sample).expect("JSON");
                row[field] = text.clone().into();
                for escaped in [false, true] {
                    let message = if escaped { row.to_string().replace('y', "\\u0079") } else { row.to_string() };
                    // Keys have that letter too, where the reader looks for escapes as well.
                    let limits = MessageLimits { text_bytes_max: limit, ..MessageLimits::default() };
                    let (seen, counts) =
                        parse_with(&mut MessageParser::new(limits), StreamHint::Auto, Some(message.as_bytes()));
                    assert_eq!(seen[0].row().contains(&text), faults == 0, "{field} of {bytes} bytes, limit {limit}");
                    assert_eq!((counts.rows(stream), counts.rejections(RejectionReason::TooLarge)), (1, 0));
                    for other in FieldFault::ALL {
                        let expected = if other == fault { faults } else { 0 };
                        assert_eq!(counts.field_faults(other), expected, "{other:?}: {field} of {bytes} bytes");
                    }
                }
            }
        }
    }
    // Titles, descriptions and other texts that never become symbols have no limit of their own.
    let long = PIN.replacen("\"title\":\"", &format!("\"title\":\"{}", "t".repeat(100_000)), 1);
    let (seen, counts) = parse(StreamHint::Auto, long.as_bytes());
    assert!(seen[0].row().contains(&"t".repeat(100_000)));
    assert!(FieldFault::ALL.iter().all(|&fault| counts.field_faults(fault) == 0));
    // Any number of blanks is empty.
    let blank = GEO.replacen(&country_of_geo(), &" ".repeat(5_000), 1);
    assert_eq!(parse(StreamHint::Auto, blank.as_bytes()).1.field_faults(FieldFault::Country), 0);
}

fn country_of_geo() -> String {
    let row: serde_json::Value = serde_json::from_str(GEO).expect("JSON");
    row["country"].as_str().expect("a country").to_owned()
}

#[test]
fn parser_continues_after_any_message() {
    let mut ingest = MessageParser::new(MessageLimits::default());
    let messages: [Option<&[u8]>; 8] = [
        Some(PIN.as_bytes()),
        None,
        Some(b"\xFF"),
        Some(GEO.as_bytes()),
        Some(b"{\"ind\":"),
        Some(USER.as_bytes()),
        Some(b"\"eyJ\""),
        Some(PIN.as_bytes()),
    ];
    let mut rows = harness::CollectRows::default();
    let held: u32 =
        messages.iter().map(|message| ingest.parse_message(StreamHint::Auto, *message, lineage(), &mut rows)).sum();
    let counts = ingest.take_counts();
    assert_eq!((held, rows.0.len(), counts.read()), (8, 8, 8));
    assert_eq!(Stream::ALL.map(|stream| counts.rows(stream)), [2, 1, 1]);
    assert_eq!(ingest.take_counts().read(), 0);
}
