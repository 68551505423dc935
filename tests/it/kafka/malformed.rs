//! Malformed messages through the broker: each becomes a row of `rejected` with its reason and position.

use std::collections::BTreeMap;

use rusqlite::types::Value;

use pinflow_testkit::kafka::broker::KafkaBroker;
use pinflow_testkit::kafka::site::PostsSite;
use pinflow_testkit::kafka::skipped;
use pinflow_testkit::ledger::read;

/// Messages for the pin topic, each with its expected rejection reason or row.
fn messages() -> Vec<(&'static str, Option<Vec<u8>>, &'static str)> {
    let row = r#"{"index":1,"unique_id":"u","category":"art"}"#;
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let framed = [&[0, 0, 0, 0, 7], row.as_bytes()].concat();
    let kpl = [&[0xf3, 0x89, 0x9a, 0xc2], row.as_bytes(), &[0; 16]].concat();
    let gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 4, 0, 9, 0, 0, b'a', 1, 2, 3, 4];
    let records = |count: usize| format!("{{\"records\":[{}]}}", vec![format!("{{\"value\":{row}}}"); count].join(","));
    let keys: String = (0..20_000).map(|n| format!(",\"k{n}\":{n}")).collect();
    vec![
        ("tombstone", None, "tombstone"),
        ("empty", text(""), "not_json"),
        ("white space", text(" \n\t "), "not_json"),
        ("not UTF-8", Some(vec![b'{', 0xff, 0xfe, b'}']), "not_utf8"),
        ("byte order mark", Some([b"\xef\xbb\xbf", row.as_bytes()].concat()), "row"),
        ("UTF-16", Some([vec![0xff, 0xfe], utf16(row)].concat()), "not_utf8"),
        ("truncated", text(&row[..20]), "not_json"),
        ("trailing", text(&format!("{row} x")), "trailing_bytes"),
        ("two values", text(&format!("{row}{row}")), "trailing_bytes"),
        ("too large", Some(vec![b' '; 70_000]), "too_large"),
        ("gzip", Some(gzip), "not_utf8"),
        ("zstd", Some(zstd), "not_utf8"),
        ("Confluent framing", Some(framed), "not_json"),
        ("aggregate of a producer library", Some(kpl), "not_utf8"),
        ("deep", text(&format!("{{\"index\":1,\"x\":{}1{}}}", "[".repeat(1_000), "]".repeat(1_000))), "too_deep"),
        ("array", text("[1,2]"), "not_an_object not_an_object"),
        ("number", text("17"), "not_an_object"),
        ("string", text("\"post\""), "not_json"),
        ("null", text("null"), "not_an_object"),
        ("true", text("true"), "not_an_object"),
        ("key twice", text(r#"{"index":1,"index":2,"unique_id":"u"}"#), "duplicate_field"),
        ("key and its alias", text(r#"{"index":1,"ind":2,"unique_id":"u"}"#), "duplicate_field"),
        ("title twice", text(r#"{"index":1,"title":"a","title":"b"}"#), "duplicate_field"),
        ("many unknown keys", text(&format!("{{\"index\":1,\"unique_id\":\"u\"{}}}", &keys[..60_000 - 7])), "not_json"),
        ("lone surrogate", text(r#"{"index":1,"unique_id":"u","title":"\ud800"}"#), "not_utf8"),
        ("NaN", text(r#"{"index":1,"unique_id":"u","downloaded":NaN}"#), "not_json"),
        ("Infinity", text(r#"{"index":Infinity,"unique_id":"u"}"#), "not_json"),
        ("no key", text(r#"{"unique_id":"u","category":"art"}"#), "no_key"),
        ("null key", text(r#"{"index":null,"unique_id":"u"}"#), "bad_key"),
        ("empty key", text(r#"{"index":"","unique_id":"u"}"#), "bad_key"),
        ("negative key", text(r#"{"index":-1,"unique_id":"u"}"#), "bad_key"),
        ("broken key", text(r#"{"index":1.5,"unique_id":"u"}"#), "bad_key"),
        ("huge key", text(r#"{"index":1e400,"unique_id":"u"}"#), "bad_key"),
        ("key above 2^63", text(r#"{"index":9223372036854775808,"unique_id":"u"}"#), "bad_key"),
        ("key with letters", text(r#"{"index":"12abc","unique_id":"u"}"#), "bad_key"),
        ("key that is a list", text(r#"{"index":[1],"unique_id":"u"}"#), "bad_key"),
        ("a geo row", text(r#"{"ind":1,"latitude":1.0,"longitude":2.0,"country":"Albania"}"#), "wrong_stream"),
        ("a title that is a number", text(r#"{"index":1,"unique_id":"u","title":{"a":1}}"#), "wrong_type"),
        ("too many rows", text(&records(1_200)), "too_large"),
        ("an attack", text(r#"{"index":1,"unique_id":"<script>","title":"=cmd()","category":"\u001b[31m"}"#), "row"),
        ("two rows", text(&records(2)), "row row"),
    ]
}

#[test]
fn malformed_message_is_rejected_with_its_reason_and_position() {
    if skipped() {
        return;
    }
    let broker = KafkaBroker::shared();
    let site = PostsSite::without_topics(&broker.plaintext());
    let topic = site.topic("pin");
    broker.create_topic(&topic, 1, &[]);
    let config = site.configure_topics(&format!("pin = \"{topic}\""), "");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[engine]\n", "[engine]\nmessage_bytes_max = 65536\n")).unwrap();
    let messages = messages();
    let mut sending = site.producer();
    for (_, payload, _) in &messages {
        sending.send(&topic, 0, payload.as_deref());
    }
    sending.flush();
    let name = format!("kafka/{topic}/0");
    let live = site.run(&config, &[]);
    live.wait_until_read(&BTreeMap::from([(name.clone(), messages.len() as u64)]));
    let snapshot = live.stop();

    let mut ended: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for table in ["pin", "rejected"] {
        let rows = read(&site.tables().join(table));
        let at = |name: &str| rows.columns.iter().position(|column| column == name).unwrap();
        for row in &rows.rows {
            assert_eq!(row[at("_source")], Value::Text(name.clone()));
            let Value::Text(position) = &row[at("_position")] else { panic!("{row:?}") };
            let what = if table == "pin" { Value::Text("row".to_owned()) } else { row[at("reason")].clone() };
            let Value::Text(what) = what else { panic!("{row:?}") };
            assert!(matches!(row[at("_arrived_at")], Value::Text(_)), "the broker's time: {row:?}");
            ended.entry(position.parse().unwrap()).or_default().push(what);
        }
    }
    let found = |position| ended.get(&position).map_or_else(|| "nothing".to_owned(), |found| found.join(" "));
    let wrong: Vec<String> = (0..)
        .zip(&messages)
        .filter(|(position, (_, _, expected))| found(*position) != *expected)
        .map(|(position, (what, _, expected))| format!("{what} at {position}: {}, not {expected}", found(position)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let source = &snapshot.cut["sources"][0];
    let rows: u64 = ended.values().map(|of| of.len() as u64).sum();
    assert_eq!(source["read"], rows);
    pinflow_testkit::succeed(pinflow_testkit::pinflow(["table"]).arg(site.tables()).arg("--verify"));
}
