//! `pinflow rejected`: lists, counts and shows what was rejected.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use pinflow_testkit::{create_temp_dir, pinflow, succeed};

/// A message that is no JSON, and whose bytes control a terminal and are not UTF-8.
const HOSTILE: &[u8] = b"{\"index\":1,\"title\":\"\x1b[2J\xff=1+1\"";

/// Tables of a recording with rejections of several reasons, streams and positions.
fn write_tables(folder: &Path) {
    let posts = folder.join("posts");
    fs::create_dir(&posts).unwrap();
    let pins: [&[u8]; 6] = [
        b"{\"index\":1,\"category\":\"art\"}",
        HOSTILE,
        b"{\"category\":\"art\"}",
        b"[{\"value\":{\"index\":3}},{\"value\":{}},{\"value\":{\"index\":-1}}]",
        b"{\"index\":4,\"category\":[1]}",
        b"nothing",
    ];
    fs::write(posts.join("pin.jsonl"), pins.join(&b'\n')).unwrap();
    fs::write(posts.join("geo.jsonl"), "{\"ind\":1,\"country\":\"Chad\"}\n{\"country\":\"Fiji\"}\n").unwrap();
    fs::write(posts.join("user.jsonl"), "{\"ind\":1,\"age\":30}\n").unwrap();
    succeed(pinflow(["run", "posts", "--tables", "data", "--output", "none"]).current_dir(folder));
}

fn rejected(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(pinflow_testkit::program());
    command.arg("rejected").args(arguments).args(["--tables", "data"]).current_dir(folder).output().unwrap()
}

/// Runs the command, which must succeed, and parses its output.
fn rejected_json(folder: &Path, arguments: &[&str]) -> Value {
    let output = rejected(folder, &[arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Source, position and row of each listed rejection.
fn listed_places(folder: &Path, arguments: &[&str]) -> Vec<(String, u64, u64)> {
    let all = rejected_json(folder, &[&["list"], arguments].concat());
    let place = |of: &Value| {
        let position = of["_position"].as_str().unwrap().parse().unwrap();
        (of["_source"].as_str().unwrap().to_owned(), position, of["_sub"].as_u64().unwrap())
    };
    all.as_array().unwrap().iter().map(place).collect()
}

#[test]
fn rejections_are_listed_newest_first_and_filtered() {
    let place = create_temp_dir();
    let folder = place.path();
    write_tables(folder);
    let pin = |position, sub| ("recording/pin.jsonl".to_owned(), position, sub);
    let geo = ("recording/geo.jsonl".to_owned(), 2, 0);
    // Recordings have no times, and all was written at once: the order is that of the positions.
    let of_pin = [pin(6, 0), pin(5, 0), pin(4, 2), pin(4, 1), pin(3, 0), pin(2, 0)];
    assert_eq!(listed_places(folder, &["--stream", "pin"]), of_pin);
    assert_eq!(listed_places(folder, &["--source", "recording/geo"]), std::slice::from_ref(&geo));
    assert_eq!(listed_places(folder, &["--reason", "no_key", "--reason", "bad_key"]).len(), 4);
    assert_eq!(listed_places(folder, &["--reason", "no_key", "--source", "recording/pin"]), [pin(4, 1), pin(3, 0)]);
    assert_eq!(listed_places(folder, &["--since", "1h"]).len(), 7);
    assert_eq!(listed_places(folder, &["--since", "2100-01-01"]), []);
    let limited = rejected(folder, &["list", "--limit", "2", "--format", "json"]);
    assert_eq!(serde_json::from_slice::<Value>(&limited.stdout).unwrap().as_array().unwrap().len(), 2);
    let said = String::from_utf8(limited.stderr).unwrap();
    assert!(said.contains("the newest 2 of 7 rejections"), "{said}");
    let listed = rejected_json(folder, &["list", "--reason", "wrong_type"]);
    assert_eq!(json!([listed[0]["stream"], listed[0]["_arrived_at"]]), json!(["pin", null]));
    assert!(listed[0]["detail"].as_str().unwrap().contains("category"), "{listed}");
    assert_eq!(listed[0]["payload_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn rejections_are_printed_as_a_table_and_as_csv_without_control_characters() {
    let place = create_temp_dir();
    write_tables(place.path());
    let csv = String::from_utf8(rejected(place.path(), &["list", "--format", "csv"]).stdout).unwrap();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "_arrived_at,_source,_position,_sub,stream,reason,detail,payload_bytes,payload_sha256,replay_source,replay_position"
        )
    );
    assert_eq!(lines.count(), 7);
    let table = String::from_utf8(rejected(place.path(), &["list", "--format", "table"]).stdout).unwrap();
    for word in ["detail", "wrong_type", "recording/geo.jsonl", "not_utf8"] {
        assert!(table.contains(word), "{word} is not in:\n{table}");
    }
    assert!(!table.contains('\u{1b}') && !csv.contains('\u{1b}'));
}

#[test]
fn rejections_are_counted_by_reason_stream_and_source() {
    let place = create_temp_dir();
    let folder = place.path();
    write_tables(folder);
    let counted = rejected_json(folder, &["count"]);
    assert_eq!(counted["rejections"], 7);
    assert_eq!(counted["kinds"][0]["reason"], "no_key");
    assert_eq!(counted["kinds"][0]["rejections"], 3);
    let by = rejected_json(folder, &["count", "--by", "stream,reason", "--reason", "no_key"]);
    let pairs: Vec<_> =
        by["kinds"].as_array().unwrap().iter().map(|of| json!([of["stream"], of["rejections"]])).collect();
    assert_eq!(pairs, [json!(["pin", 2]), json!(["geo", 1])]);
    let csv = String::from_utf8(rejected(folder, &["count", "--by", "source", "--format", "csv"]).stdout).unwrap();
    let begin: Vec<_> = csv.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    assert_eq!(begin, ["_source,rejections", "recording/pin.jsonl,6", "recording/geo.jsonl,1"]);
    let table = String::from_utf8(rejected(folder, &["count", "--format", "table"]).stdout).unwrap();
    assert!(table.ends_with("\n7 rejections\n"), "{table}");
}

#[test]
fn one_rejection_is_shown_escaped_and_written_byte_for_byte() {
    let place = create_temp_dir();
    let folder = place.path();
    write_tables(folder);
    let shown = rejected(folder, &["show", "recording/pin.jsonl", "2"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success() && !text.contains('\u{1b}'), "{text}");
    for part in ["reason    not_utf8", "source    recording/pin.jsonl", "\\u{1b}[2J\\xff=1+1", "bytes     "] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let raw = rejected(folder, &["show", "recording/pin.jsonl", "00000000000000000002", "--raw", "-"]);
    assert_eq!(raw.stdout, HOSTILE, "{}", String::from_utf8_lossy(&raw.stderr));
    assert!(rejected(folder, &["show", "recording/pin.jsonl", "2", "--raw", "message"]).status.success());
    assert_eq!(fs::read(folder.join("message")).unwrap(), HOSTILE);
    let fails = |arguments: &[&str], code: i32, words: &str| {
        let output = rejected(folder, arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words) && output.stdout.is_empty(), "{arguments:?}: {stderr}");
    };
    fails(&["show", "recording/pin.jsonl", "2", "--raw", "message"], 1, "name a new file");
    // Two rows of this message were rejected.
    fails(&["show", "recording/pin.jsonl", "4"], 2, "rows 1, 2 of this message");
    assert!(rejected(folder, &["show", "recording/pin.jsonl", "4", "--sub", "2"]).status.success());
    fails(&["show", "recording/pin.jsonl", "4", "--sub", "0"], 1, "position 4, row 0, was rejected");
    fails(&["show", "recording/pin.jsonl", "1"], 1, "was rejected");
    fails(&["show", "recording/geo.jsonl", "first"], 2, "no number");
    fails(&["list", "--since", "yesterday"], 2, "--since `yesterday`");
    fs::rename(folder.join("data"), folder.join("moved")).unwrap();
    fails(&["count"], 2, "data");
}
