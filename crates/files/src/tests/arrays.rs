//! Files that are one JSON array.

use std::fs;

use proptest::prelude::*;

use super::super::{RecordingConfig, plan};
use super::harness::{
    ReceivedEvents, SMALL, SourceRun, TestCompression, append, followed, read, recording, sleep_briefly,
};
use crate::line_splitter::LineLimits;
use pinflow_core::finding::Finding;
use pinflow_core::position::ResumePositions;

/// The records of a file with this content, read from `stored` on in blocks of so many bytes.
fn read_file(file: &str, content: &[u8], block_bytes: usize, stored: ResumePositions) -> ReceivedEvents {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), content).unwrap();
    let limits = LineLimits { block_bytes, line_bytes_max: 1 << 20 };
    SourceRun::start(recording(folder.path()), limits, stored).finish()
}

/// A JSON value as text, as elements of an array may be: with strings that hold brackets, commas, quotes and escapes.
fn element() -> impl Strategy<Value = String> {
    let text = r#"[\[\]{},:" \\/a-zé😀\n\t]{0,12}"#;
    let leaf = prop_oneof![
        any::<i32>().prop_map(|number| number.to_string()),
        Just("null".to_owned()),
        text.prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec((text, inner), 0..4).prop_map(|fields| {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    // An array of rows is recognised by the key of its first element.
    value.prop_map(|value| format!("{{\"ind\":7,\"of\":{value}}}"))
}

/// How an export writes an array.
#[derive(Debug, Clone, Copy)]
enum ArrayStyle {
    OneLine,
    ElementALine,
    Pretty,
}

fn array(elements: &[String], style: ArrayStyle) -> String {
    match style {
        ArrayStyle::OneLine => format!("[{}]", elements.join(", ")),
        ArrayStyle::ElementALine => format!("[\n{}\n]\n", elements.join(",\n")),
        ArrayStyle::Pretty => {
            let values: Vec<serde_json::Value> =
                elements.iter().map(|element| serde_json::from_str(element).unwrap()).collect();
            serde_json::to_string_pretty(&values).unwrap()
        }
    }
}

/// The values of records: white space aside, which pretty-printing adds.
fn values(received: &ReceivedEvents) -> Vec<(u64, serde_json::Value)> {
    assert!(received.failed.is_none(), "{}", received.failure());
    let records = received.records.values().flatten();
    records.map(|(position, record)| (*position, serde_json::from_slice(record).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn array_is_read_as_one_record_per_element(
        elements in prop::collection::vec(element(), 0..12),
        style in prop_oneof![Just(ArrayStyle::OneLine), Just(ArrayStyle::ElementALine), Just(ArrayStyle::Pretty)],
        block_bytes in 1..200_usize,
        compression in 0..3_usize,
    ) {
        let compression = TestCompression::ALL[compression];
        let lines: String = elements.iter().map(|element| format!("{element}\n")).collect();
        let as_lines = read_file("pin.jsonl", lines.as_bytes(), block_bytes, ResumePositions::new());
        let packed = compression.compress(array(&elements, style).as_bytes());
        let as_array = read_file(compression.file_name(), &packed, block_bytes, ResumePositions::new());
        prop_assert_eq!(values(&as_array), values(&as_lines));
        prop_assert_eq!(as_array.ended.len(), 1);
    }

    #[test]
    fn array_resumes_after_any_block(
        elements in prop::collection::vec(element(), 1..10),
        style in prop_oneof![Just(ArrayStyle::OneLine), Just(ArrayStyle::Pretty)],
        block_bytes in 1..100_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pin.json"), array(&elements, style)).unwrap();
        let limits = LineLimits { block_bytes, line_bytes_max: 1 << 20 };
        let all = SourceRun::start(recording(folder.path()), limits, ResumePositions::new()).finish();
        for blocks in 1..=all.blocks {
            let mut run = SourceRun::start(recording(folder.path()), limits, ResumePositions::new());
            run.receive_until(|received| received.blocks == blocks);
            let first = run.drop_receiver();
            let second = SourceRun::start(recording(folder.path()), limits, first.reached.clone()).finish();
            prop_assert_eq!([values(&first), values(&second)].concat(), values(&all));
        }
    }
}

#[test]
fn element_longer_than_the_limit_is_truncated_at_its_position() {
    let long = format!("[{{\"ind\":1}},\n\"{}\",{{\"ind\":3}}]", "x".repeat(1_000));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.json"), long).unwrap();
    let received = read(folder.path(), ResumePositions::new());
    assert_eq!(received.lines()[1].len(), SMALL.line_bytes_max);
    assert_eq!((received.lines()[2].as_str(), received.positions()), ("{\"ind\":3}", vec![1, 2, 3]));
}

#[test]
fn incomplete_array_fails_after_its_complete_elements() {
    for (text, failure) in [
        ("[\n{\"ind\":1},\n{\"ind\":2", "the file ends in element 2, which begins at byte 13"),
        ("[\n{\"ind\":1}\n]\n{\"ind\":2}\n", "the JSON array ends after element 1 and more follows it, at byte 14"),
    ] {
        let received = read_file("pin.json", text.as_bytes(), 16, ResumePositions::new());
        assert_eq!(received.lines(), ["{\"ind\":1}"]);
        assert!(received.failure().contains(failure), "{}", received.failure());
        assert!(received.failure().contains("recording/pin.json after line 1"), "{}", received.failure());
    }
}

#[test]
fn grown_array_continues_and_changed_array_is_refused() {
    let first = read_file("pin.json", b"[\n{\"ind\":1}\n]", 16, ResumePositions::new());
    let again = |text: &str| read_file("pin.json", text.as_bytes(), 16, first.reached.clone());
    assert_eq!(again("[\n{\"ind\":1},\n{\"ind\":2}\n]").positions(), [2]);
    assert!(again("[\n{\"ind\":1}\n]").records.is_empty());
    assert!(again("[\n{\"ind\":9}\n]").failure().contains("line 1 held"));
}

#[test]
fn check_reports_array_file_and_not_lines_of_arrays() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.json"), "[{\"ind\":1}]").unwrap();
    let wrapped = "[{\"value\":{\"ind\":1}}]\n[{\"value\":{\"ind\":2}}]\n";
    fs::write(folder.path().join("geo.json"), wrapped).unwrap();
    let checked = recording(folder.path()).check();
    assert!(checked.contains(&Finding::Passed("recording/pin.json: pin, plain, a JSON array, 11 bytes".to_owned())));
    assert!(checked.contains(&Finding::Passed("recording/geo.json: geo, plain, 44 bytes".to_owned())), "{checked:?}");
}

#[test]
fn array_not_followed_problem() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.json"), "[\n{\"ind\":1}\n]").unwrap();
    let config = RecordingConfig { follow: true, ..RecordingConfig::with_path(folder.path()) };
    let refused = plan(config, std::path::Path::new("/")).unwrap_err().to_string();
    assert!(refused.contains("pin.json: a JSON array cannot be followed"), "{refused}");
    fs::write(folder.path().join("pin.json"), "").unwrap();
    let mut run = SourceRun::start(followed(folder.path()), SMALL, ResumePositions::new());
    run.receive_until(|received| !received.opened.is_empty());
    append(&folder.path().join("pin.json"), "[");
    sleep_briefly();
    append(&folder.path().join("pin.json"), "\n{\"ind\":1}");
    run.receive_until(|received| received.failed.is_some());
    assert!(run.stop().failure().contains("a JSON array cannot be followed"));
}
