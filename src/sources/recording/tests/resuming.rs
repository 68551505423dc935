//! A run that goes on where another one stopped.

use std::fs;
use std::path::Path;

use super::harness::{Packing, Run, SMALL, append, read, recording};
use crate::position::{PartitionProgress, ResumePositions, record_fingerprint};
use crate::sources::SourceError;

const TEXT: &str = "{\"ind\":1}\r\nb\n\nd is a line longer than a block\n{\"ind\":5}\n\r\ng\nand the last";

/// Every place in a text: after each line.
fn places(text: &str, seekable: bool) -> Vec<PartitionProgress> {
    let (mut seek, mut places) = (0, Vec::new());
    for (next, line) in (2..).zip(text.split_inclusive('\n')) {
        seek += line.len() as u64;
        let record = line.strip_suffix('\n').unwrap_or(line);
        let record = record.strip_suffix('\r').unwrap_or(record);
        let seek = if seekable { seek } else { 0 };
        places.push(PartitionProgress {
            next: next.into(),
            rows: next - 1,
            anchor: record_fingerprint(record.as_bytes()),
            seek,
        });
    }
    places
}

fn stored(file: &str, reached: PartitionProgress) -> ResumePositions {
    ResumePositions::from([(format!("recording/{file}"), reached)])
}

/// What is read of `text` as a file when the tables say `reached`.
fn resumed(file: &str, text: &[u8], reached: PartitionProgress) -> super::harness::Heard {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), text).unwrap();
    read(folder.path(), stored(file, reached))
}

#[test]
fn every_place_leads_to_the_next_line() {
    let lines: Vec<&str> = TEXT.lines().collect();
    for packing in Packing::ALL {
        let packed = packing.pack(TEXT.as_bytes());
        let seeks = places(TEXT, true).into_iter().filter(|_| packing == Packing::Plain);
        for reached in places(TEXT, false).into_iter().chain(seeks) {
            let heard = resumed(packing.file(), &packed, reached);
            assert!(heard.failed.is_none(), "{packing:?} {reached:?}: {}", heard.failure());
            let from = usize::try_from(reached.next_number() - 1).unwrap();
            assert_eq!(heard.lines(), lines[from..], "{packing:?} {reached:?}");
            let (last, wanted) = (*heard.reached.values().next().unwrap(), *places(TEXT, true).last().unwrap());
            assert_eq!((last.next, last.anchor), (wanted.next, wanted.anchor));
            assert_eq!(heard.ended.len(), 1);
        }
    }
}

#[test]
fn a_run_can_stop_after_any_block() {
    for packing in Packing::ALL {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(packing.file()), packing.pack(TEXT.as_bytes())).unwrap();
        let all = read(folder.path(), ResumePositions::new());
        for blocks in 1..=all.blocks {
            let mut run = Run::start(recording(folder.path()), SMALL, ResumePositions::new());
            run.until(|heard| heard.blocks == blocks);
            let first = run.drop_the_engine();
            let second = read(folder.path(), first.reached.clone());
            assert_eq!([first.lines(), second.lines()].concat(), all.lines(), "{packing:?} after {blocks} blocks");
            assert_eq!([first.positions(), second.positions()].concat(), all.positions());
        }
    }
}

#[test]
fn another_file_is_told() {
    let [_, .., before_last, last] = places(TEXT, true)[..] else { panic!("there are lines") };
    let edited = TEXT.replace("\ng\n", "\nG\n");
    let unanchored = |reached: PartitionProgress| PartitionProgress { seek: 0, ..reached };
    let shorter = &TEXT.as_bytes()[..TEXT.len() - 1];
    let cases: [(&[u8], PartitionProgress, &str); 6] = [
        (edited.as_bytes(), before_last, "line 7 held a record with anchor"),
        (edited.as_bytes(), unanchored(before_last), "line 7 held a record with anchor"),
        (shorter, last, "bytes had been read of it and it holds only"),
        (b"a\nb\n", unanchored(last), "8 lines had been read of it and it holds only 2"),
        (b"", last, "it holds only 0"),
        (b"", unanchored(last), "8 lines had been read of it and it holds only 0"),
    ];
    for (text, reached, what) in cases {
        let heard = resumed("pin.jsonl", text, reached);
        assert!(heard.records.is_empty() && heard.ended.is_empty());
        assert!(matches!(heard.failed, Some(SourceError::Changed { .. })), "{}", heard.failure());
        assert!(heard.failure().contains(what) && heard.failure().contains("Put back"), "{}", heard.failure());
    }
    for packing in [Packing::Gzip, Packing::Zstd] {
        let heard = resumed(packing.file(), &packing.pack(edited.as_bytes()), unanchored(before_last));
        assert!(heard.failure().contains("line 7 held"), "{}", heard.failure());
    }
}

#[test]
fn a_last_line_may_gain_its_end_but_not_more() {
    for seekable in [true, false] {
        let last = *places("a\nb", seekable).last().unwrap();
        for (more, lines) in
            [("", &[][..]), ("\n", &[]), ("\r", &[]), ("\r\n", &[]), ("\nc", &["c"]), ("\r\nc\n", &["c"])]
        {
            let heard = resumed("pin.jsonl", format!("a\nb{more}").as_bytes(), last);
            assert!(heard.failed.is_none(), "{more:?}: {}", heard.failure());
            assert_eq!(heard.lines(), lines, "{more:?} {seekable}");
        }
        for more in ["c", "c\n", "\rc\n"] {
            let heard = resumed("pin.jsonl", format!("a\nb{more}").as_bytes(), last);
            assert!(matches!(heard.failed, Some(SourceError::Changed { .. })), "{more:?} {seekable}");
        }
    }
}

#[test]
fn a_file_that_has_grown_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin.jsonl");
    append(&file, "a\nb\n");
    let first = read(folder.path(), ResumePositions::new());
    append(&file, "c\nd\n");
    let second = read(folder.path(), first.reached);
    assert_eq!(second.lines(), ["c", "d"]);
    assert_eq!(second.positions(), [3, 4]);
}

#[test]
fn a_file_that_is_gone_is_told() {
    let folder = tempfile::tempdir().unwrap();
    append(&folder.path().join("pin.jsonl"), "a\n");
    let reached = PartitionProgress { next: 3.into(), rows: 2, anchor: 1, seek: 4 };
    let start = |key: &str, allow_removed| {
        let config =
            super::super::RecordingConfig { allow_removed, ..super::super::RecordingConfig::at(folder.path()) };
        let source = super::super::plan(config, Path::new("/")).unwrap();
        Run::start(source, SMALL, ResumePositions::from([(key.to_owned(), reached)])).finish()
    };
    let heard = start("recording/geo.jsonl", false);
    assert!(
        heard.failure().contains("recording/geo.jsonl") && heard.failure().contains("2 lines"),
        "{}",
        heard.failure()
    );
    assert!(heard.opened.is_empty());
    for (key, allowed) in [("recording/geo.jsonl", true), ("recording/other/geo.jsonl", false), ("kafka/pin/0", false)]
    {
        assert_eq!(start(key, allowed).lines(), ["a"], "{key}");
    }
}
