use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use clap::Parser;

use super::*;
use crate::acks::DestinationAcks;
use crate::delivery::DeliveryTracker;
use crate::stop::StopRequest;
use crate::{ConnectionReaders, EmitArgs, EmitError, run};
use pinflow_core::user_error::UsageError;

#[derive(clap::Parser)]
struct TestCommand {
    #[command(flatten)]
    emit: EmitArgs,
}

fn parse_args(folder: &Path, flags: &str) -> EmitArgs {
    let to = folder.to_str().unwrap();
    TestCommand::parse_from(["emit", "--to", to].into_iter().chain(flags.split_whitespace())).emit
}

fn emit(folder: &Path, flags: &str) -> Result<(), EmitError> {
    let none = ConnectionReaders {
        kafka: |_| Err(Box::new(UsageError::new("no test here reads a configuration"))),
        kinesis: |_| Err(Box::new(UsageError::new("no test here reads a configuration"))),
    };
    run(parse_args(folder, flags), &none)
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn compressed_files_hold_the_messages_of_plain_ones() {
    let folder = tempfile::tempdir().unwrap();
    for compress in ["none", "gzip", "zstd"] {
        emit(folder.path(), &format!("--inds 700 --order shuffled --compress {compress}")).unwrap();
    }
    let config = ComposerConfig::new(100, 700, DrawOrder::Shuffled, WrapMode::None, 0.0, MalformedOptions::default());
    for stream in Stream::ALL {
        let expected = generate_text(&config, stream, 0..700);
        assert_eq!(read(folder.path(), &format!("{stream}.jsonl")), expected);
        let zst = read(folder.path(), &format!("{stream}.jsonl.zst"));
        assert_eq!(zstd::decode_all(zst.as_slice()).unwrap(), expected);
        let gz = read(folder.path(), &format!("{stream}.jsonl.gz"));
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(gz.as_slice()), &mut plain).unwrap();
        assert_eq!(plain, expected);
    }
}

#[test]
fn appended_recording_equals_one_generated_at_once() {
    for (compress, ending) in [("none", ""), ("gzip", ".gz"), ("zstd", ".zst")] {
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let flags = format!("--inds 300 --order emulator --malformed 0.05 --compress {compress}");
        emit(whole.path(), &format!("{flags} --count 500")).unwrap();
        emit(parts.path(), &format!("{flags} --append --count 120")).unwrap();
        emit(parts.path(), &format!("{flags} --append --count 380 --streams geo,pin,user")).unwrap();
        for stream in Stream::ALL {
            let name = format!("{stream}.jsonl{ending}");
            let plain = |folder: &Path| {
                let bytes = read(folder, &name);
                let mut plain = Vec::new();
                match compress {
                    "gzip" => {
                        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes.as_slice()), &mut plain)
                            .unwrap()
                    }
                    "zstd" => {
                        std::io::Read::read_to_end(&mut zstd::Decoder::new(bytes.as_slice()).unwrap(), &mut plain)
                            .unwrap()
                    }
                    _ => std::io::Read::read_to_end(&mut bytes.as_slice(), &mut plain).unwrap(),
                };
                plain
            };
            assert_eq!(plain(parts.path()), plain(whole.path()), "{name}");
        }
    }
}

#[test]
fn existing_recording_is_not_changed_without_force() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("user.jsonl"), "{\"ind\":1").unwrap();
    let refused = format!("{:#}", emit(folder.path(), "--inds 10").unwrap_err());
    assert!(refused.contains("user.jsonl already exists: --force"), "{refused}");
    assert!(!folder.path().join("pin.jsonl").exists(), "a refusal leaves nothing behind");
    let refused = pinflow_core::error_text::error_text(&emit(folder.path(), "--inds 10 --append").unwrap_err());
    assert!(refused.contains("it ends within a message"), "{refused}");
    assert_eq!(read(folder.path(), "user.jsonl"), b"{\"ind\":1");
    emit(folder.path(), "--inds 10 --force").unwrap();
    assert_eq!(split_lines(&read(folder.path(), "user.jsonl")).count(), 10);
}

#[test]
fn manifest_counts_only_the_selected_streams() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("manifest.json");
    let flags = format!("--inds 2k --streams geo --malformed 0.1 --count 1_000 --manifest {}", manifest.display());
    emit(folder.path(), &flags).unwrap();
    assert!(!folder.path().join("pin.jsonl").exists());
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let geo = &manifest["streams"]["geo"];
    let sum = |counts: &Value| counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!(manifest["inds"], 2000);
    assert_eq!(geo["messages"], 1000);
    assert_eq!(geo["rows"].as_u64().unwrap() + sum(&geo["rejected"]), 1000);
    assert_eq!(geo["bytes"], read(folder.path(), "geo.jsonl").len());
    assert!(manifest["streams"].get("pin").is_none());
}

#[test]
fn contradictions_are_reported_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let problems = parse_args(folder.path(), "--inds 0 --append --wrap mixed").validate();
    assert_eq!(problems.len(), 2, "{problems:?}");
    for flags in ["--inds x", "--malformed 1.5", "--malformed NaN", "--rate 0", "--streams pins", "--force --append"] {
        let words = ["emit", "--to", "x"].into_iter().chain(flags.split_whitespace());
        assert!(TestCommand::try_parse_from(words).is_err(), "{flags}");
    }
}

/// The rows in a message, in any envelope.
fn rows_in_message(message: &[u8]) -> Vec<Value> {
    fn rows(value: Value) -> Vec<Value> {
        match value {
            Value::String(text) => {
                let inner = serde_json::from_str(&text);
                rows(inner.unwrap_or_else(|_| {
                    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
                    serde_json::from_slice(&bytes).unwrap()
                }))
            }
            Value::Array(values) => values.into_iter().flat_map(rows).collect(),
            Value::Object(mut fields) => {
                match ["value", "records", "payload"].iter().find_map(|field| fields.remove(*field)) {
                    Some(inner) => rows(inner),
                    None => vec![Value::Object(fields)],
                }
            }
            other => panic!("{other} is no row"),
        }
    }
    rows(serde_json::from_slice(message.strip_prefix("\u{feff}".as_bytes()).unwrap_or(message)).unwrap())
}

#[test]
fn every_wrap_mode_keeps_the_rows() {
    for stream in Stream::ALL {
        let plain = generate_values(&config(6, 400), stream, 400);
        for wrap in [WrapMode::Value, WrapMode::Records, WrapMode::String, WrapMode::Base64, WrapMode::Mixed] {
            let config = ComposerConfig::new(6, 400, DrawOrder::Once, wrap, 0.0, MalformedOptions::default());
            let wrapped = generate_text(&config, stream, 0..400);
            let rows: Vec<Value> = split_lines(&wrapped).flat_map(rows_in_message).collect();
            assert!(rows == plain, "{wrap:?} of {stream}");
            assert_eq!(split_lines(&wrapped).count() == 400, wrap.has_one_row_per_message());
        }
    }
}

#[test]
fn streams_of_one_destination_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (folder.path().join("all"), config(6, 100));
    let composers = Stream::ALL.map(|stream| MessageComposer::new(&config, stream, 0..100));
    let acks = Arc::new(DestinationAcks::new("all".to_owned(), 0, Some(100)));
    let none = crate::OutputCompression::None;
    let refuse = crate::destinations::IfFileExists::Refuse;
    let destination = crate::destinations::open_file(&path, refuse, none, Arc::clone(&acks)).unwrap();
    let sender =
        crate::senders::DestinationSender { acks: Arc::clone(&acks), destination, composers: composers.into() };
    crate::senders::run_senders(vec![sender], Some(100_000.0), &DeliveryTracker::without_signals(StopRequest::never()))
        .unwrap();
    assert_eq!((acks.counts().acknowledged, acks.resume_draw()), (300, 100));
    let sent = std::fs::read(path).unwrap();
    let keys: Vec<u64> = split_lines(&sent)
        .map(|line| rows_in_message(line).remove(0))
        .map(|row| row["ind"].as_u64().or(row["index"].as_u64()).unwrap())
        .collect();
    assert_eq!(keys.len(), 300);
    assert!(keys.is_sorted(), "the three messages of a draw stand together");
    assert!(split_lines(&sent).step_by(3).all(|line| line.starts_with(b"{\"index\"")));
}

#[test]
fn closed_pipe_ends_a_sender_without_error() {
    struct ClosedPipe;
    impl crate::destinations::Destination for ClosedPipe {
        fn send(&mut self, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
        fn finish(self: Box<Self>) -> std::io::Result<()> {
            Ok(())
        }
    }
    let config = config(6, 100);
    let composers = vec![MessageComposer::new(&config, Stream::Pin, 0..u64::from(u32::MAX))];
    let acks = Arc::new(DestinationAcks::new("pipe".to_owned(), 0, None));
    let sender = crate::senders::DestinationSender { acks, destination: Box::new(ClosedPipe), composers };
    assert!(
        crate::senders::run_senders(vec![sender], None, &DeliveryTracker::without_signals(StopRequest::never()))
            .is_ok()
    );
}

#[test]
fn sample_recordings_are_what_their_readme_command_generates() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/recordings");
    let readme = String::from_utf8(read(&sample, "README.md")).unwrap();
    let command = readme.lines().find_map(|line| line.strip_prefix("pinflow emit --to examples/recordings ")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    emit(folder.path(), command).unwrap();
    for stream in Stream::ALL {
        let name = format!("{stream}.jsonl");
        assert!(read(folder.path(), &name) == read(&sample, &name), "{name} is not what the command makes");
    }
}
