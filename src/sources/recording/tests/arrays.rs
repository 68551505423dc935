//! Files that are one JSON array.

use std::fs;

use proptest::prelude::*;

use super::super::{RecordingConfig, plan};
use super::harness::{Heard, Packing, Run, SMALL, a_while, append, followed, read, recording};
use crate::finding::Finding;
use crate::position::ResumePositions;
use crate::sources::recording::lines::Limits;

/// The records of a file with this content, read from `stored` on in blocks of so many bytes.
fn read_file(file: &str, content: &[u8], block_bytes: usize, stored: ResumePositions) -> Heard {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), content).unwrap();
    let limits = Limits { block_bytes, line_bytes_max: 1 << 20 };
    Run::start(recording(folder.path()), limits, stored).finish()
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
    // What tells an array of rows: the first element has a key.
    value.prop_map(|value| format!("{{\"ind\":7,\"of\":{value}}}"))
}

/// How an export writes an array.
#[derive(Debug, Clone, Copy)]
enum Style {
    OneLine,
    ElementALine,
    Pretty,
}

fn array(elements: &[String], style: Style) -> String {
    match style {
        Style::OneLine => format!("[{}]", elements.join(", ")),
        Style::ElementALine => format!("[\n{}\n]\n", elements.join(",\n")),
        Style::Pretty => {
            let values: Vec<serde_json::Value> =
                elements.iter().map(|element| serde_json::from_str(element).unwrap()).collect();
            serde_json::to_string_pretty(&values).unwrap()
        }
    }
}

/// The values of records: white space aside, which pretty-printing adds.
fn values(heard: &Heard) -> Vec<(u64, serde_json::Value)> {
    assert!(heard.failed.is_none(), "{}", heard.failure());
    let records = heard.records.values().flatten();
    records.map(|(position, record)| (*position, serde_json::from_slice(record).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn array_gives_the_rows_of_its_elements_as_lines(
        elements in prop::collection::vec(element(), 0..12),
        style in prop_oneof![Just(Style::OneLine), Just(Style::ElementALine), Just(Style::Pretty)],
        block_bytes in 1..200_usize,
        packing in 0..3_usize,
    ) {
        let packing = Packing::ALL[packing];
        let lines: String = elements.iter().map(|element| format!("{element}\n")).collect();
        let as_lines = read_file("pin.jsonl", lines.as_bytes(), block_bytes, ResumePositions::new());
        let packed = packing.pack(array(&elements, style).as_bytes());
        let as_array = read_file(packing.file(), &packed, block_bytes, ResumePositions::new());
        prop_assert_eq!(values(&as_array), values(&as_lines));
        prop_assert_eq!(as_array.ended.len(), 1);
    }

    #[test]
    fn array_is_resumed_after_any_block(
        elements in prop::collection::vec(element(), 1..10),
        style in prop_oneof![Just(Style::OneLine), Just(Style::Pretty)],
        block_bytes in 1..100_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pin.json"), array(&elements, style)).unwrap();
        let limits = Limits { block_bytes, line_bytes_max: 1 << 20 };
        let all = Run::start(recording(folder.path()), limits, ResumePositions::new()).finish();
        for blocks in 1..=all.blocks {
            let mut run = Run::start(recording(folder.path()), limits, ResumePositions::new());
            run.until(|heard| heard.blocks == blocks);
            let first = run.drop_the_engine();
            let second = Run::start(recording(folder.path()), limits, first.reached.clone()).finish();
            prop_assert_eq!([values(&first), values(&second)].concat(), values(&all));
        }
    }
}

#[test]
fn element_longer_than_a_message_is_cut_in_its_place() {
    let long = format!("[{{\"ind\":1}},\n\"{}\",{{\"ind\":3}}]", "x".repeat(1_000));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.json"), long).unwrap();
    let heard = read(folder.path(), ResumePositions::new());
    assert_eq!(heard.lines()[1].len(), SMALL.line_bytes_max);
    assert_eq!((heard.lines()[2].as_str(), heard.positions()), ("{\"ind\":3}", vec![1, 2, 3]));
}

#[test]
fn array_that_is_not_whole_ends_the_run_after_its_whole_elements() {
    for (text, failure) in [
        ("[\n{\"ind\":1},\n{\"ind\":2", "the file ends in element 2, which begins at byte 13"),
        ("[\n{\"ind\":1}\n]\n{\"ind\":2}\n", "the JSON array ends after element 1 and more follows it, at byte 14"),
    ] {
        let heard = read_file("pin.json", text.as_bytes(), 16, ResumePositions::new());
        assert_eq!(heard.lines(), ["{\"ind\":1}"]);
        assert!(heard.failure().contains(failure), "{}", heard.failure());
        assert!(heard.failure().contains("recording/pin.json after line 1"), "{}", heard.failure());
    }
}

#[test]
fn array_that_has_gained_elements_is_read_on_and_another_one_is_refused() {
    let first = read_file("pin.json", b"[\n{\"ind\":1}\n]", 16, ResumePositions::new());
    let again = |text: &str| read_file("pin.json", text.as_bytes(), 16, first.reached.clone());
    assert_eq!(again("[\n{\"ind\":1},\n{\"ind\":2}\n]").positions(), [2]);
    assert!(again("[\n{\"ind\":1}\n]").records.is_empty());
    assert!(again("[\n{\"ind\":9}\n]").failure().contains("line 1 held"));
}

#[test]
fn array_is_named_by_check_and_lines_that_are_arrays_are_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.json"), "[{\"ind\":1}]").unwrap();
    let wrapped = "[{\"value\":{\"ind\":1}}]\n[{\"value\":{\"ind\":2}}]\n";
    fs::write(folder.path().join("geo.json"), wrapped).unwrap();
    let checked = recording(folder.path()).check();
    assert!(checked.contains(&Finding::Well("recording/pin.json: pin, plain, a JSON array, 11 bytes".to_owned())));
    assert!(checked.contains(&Finding::Well("recording/geo.json: geo, plain, 44 bytes".to_owned())), "{checked:?}");
}

#[test]
fn array_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.json"), "[\n{\"ind\":1}\n]").unwrap();
    let config = RecordingConfig { follow: true, ..RecordingConfig::at(folder.path()) };
    let refused = plan(config, std::path::Path::new("/")).unwrap_err().to_string();
    assert!(refused.contains("pin.json: a JSON array cannot be followed"), "{refused}");
    fs::write(folder.path().join("pin.json"), "").unwrap();
    let mut run = Run::start(followed(folder.path()), SMALL, ResumePositions::new());
    run.until(|heard| !heard.opened.is_empty());
    append(&folder.path().join("pin.json"), "[");
    a_while();
    append(&folder.path().join("pin.json"), "\n{\"ind\":1}");
    run.until(|heard| heard.failed.is_some());
    assert!(run.stop().failure().contains("a JSON array cannot be followed"));
}
