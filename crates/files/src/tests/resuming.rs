//! A run resumes where the previous one stopped.

use std::fs;
use std::path::Path;

use super::harness::{SMALL, SourceRun, TestCompression, append, read, recording};
use pinflow_connect::source::SourceError;
use pinflow_core::position::{PartitionProgress, ResumeHint, ResumePositions, record_fingerprint};

const TEXT: &str = "{\"ind\":1}\r\nb\n\nd is a line longer than a block\n{\"ind\":5}\n\r\ng\nand the last";

/// Every resume position in a text: after each line.
fn places(text: &str, seekable: bool) -> Vec<PartitionProgress> {
    let (mut seek, mut places) = (0, Vec::new());
    for (next, line) in (2..).zip(text.split_inclusive('\n')) {
        seek += line.len() as u64;
        let record = line.strip_suffix('\n').unwrap_or(line);
        let record = record.strip_suffix('\r').unwrap_or(record);
        let hint = if seekable { ResumeHint::ByteOffset(seek) } else { ResumeHint::None };
        places.push(PartitionProgress {
            next: next.into(),
            rows: next - 1,
            fingerprint: record_fingerprint(record.as_bytes()),
            hint,
        });
    }
    places
}

fn stored(file: &str, reached: PartitionProgress) -> ResumePositions {
    ResumePositions::from([(format!("recording/{file}"), reached)])
}

/// The records read from a file with `text` if the tables have the position `reached`.
fn resumed(file: &str, text: &[u8], reached: PartitionProgress) -> super::harness::ReceivedEvents {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), text).unwrap();
    read(folder.path(), stored(file, reached))
}

#[test]
fn every_resume_point_continues_with_the_next_line() {
    let lines: Vec<&str> = TEXT.lines().collect();
    for compression in TestCompression::ALL {
        let packed = compression.compress(TEXT.as_bytes());
        let seeks = places(TEXT, true).into_iter().filter(|_| compression == TestCompression::Plain);
        for reached in places(TEXT, false).into_iter().chain(seeks) {
            let received = resumed(compression.file_name(), &packed, reached);
            assert!(received.failed.is_none(), "{compression:?} {reached:?}: {}", received.failure());
            let from = usize::try_from(reached.next_number() - 1).unwrap();
            assert_eq!(received.lines(), lines[from..], "{compression:?} {reached:?}");
            let (last, wanted) = (*received.reached.values().next().unwrap(), *places(TEXT, true).last().unwrap());
            assert_eq!((last.next, last.fingerprint), (wanted.next, wanted.fingerprint));
            assert_eq!(received.ended.len(), 1);
        }
    }
}

#[test]
fn run_resumes_after_any_block() {
    for compression in TestCompression::ALL {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(compression.file_name()), compression.compress(TEXT.as_bytes())).unwrap();
        let all = read(folder.path(), ResumePositions::new());
        for blocks in 1..=all.blocks {
            let mut run = SourceRun::start(recording(folder.path()), SMALL, ResumePositions::new());
            run.receive_until(|received| received.blocks == blocks);
            let first = run.drop_receiver();
            let second = read(folder.path(), first.reached.clone());
            assert_eq!([first.lines(), second.lines()].concat(), all.lines(), "{compression:?} after {blocks} blocks");
            assert_eq!([first.positions(), second.positions()].concat(), all.positions());
        }
    }
}

#[test]
fn changed_file_is_refused() {
    let [_, .., before_last, last] = places(TEXT, true)[..] else { panic!("there are lines") };
    let edited = TEXT.replace("\ng\n", "\nG\n");
    let without_offset = |reached: PartitionProgress| PartitionProgress { hint: ResumeHint::None, ..reached };
    let shorter = &TEXT.as_bytes()[..TEXT.len() - 1];
    let cases: [(&[u8], PartitionProgress, &str); 6] = [
        (edited.as_bytes(), before_last, "line 7 held a record with fingerprint"),
        (edited.as_bytes(), without_offset(before_last), "line 7 held a record with fingerprint"),
        (shorter, last, "bytes had been read of it and it holds only"),
        (b"a\nb\n", without_offset(last), "8 lines had been read of it and it holds only 2"),
        (b"", last, "it holds only 0"),
        (b"", without_offset(last), "8 lines had been read of it and it holds only 0"),
    ];
    for (text, reached, what) in cases {
        let received = resumed("pin.jsonl", text, reached);
        assert!(received.records.is_empty() && received.ended.is_empty());
        assert!(matches!(received.failed, Some(SourceError::Changed { .. })), "{}", received.failure());
        assert!(received.failure().contains(what) && received.failure().contains("Put back"), "{}", received.failure());
    }
    for compression in [TestCompression::Gzip, TestCompression::Zstd] {
        let received =
            resumed(compression.file_name(), &compression.compress(edited.as_bytes()), without_offset(before_last));
        assert!(received.failure().contains("line 7 held"), "{}", received.failure());
    }
}

#[test]
fn last_line_may_get_a_line_end_but_no_more_text() {
    for seekable in [true, false] {
        let last = *places("a\nb", seekable).last().unwrap();
        for (more, lines) in
            [("", &[][..]), ("\n", &[]), ("\r", &[]), ("\r\n", &[]), ("\nc", &["c"]), ("\r\nc\n", &["c"])]
        {
            let received = resumed("pin.jsonl", format!("a\nb{more}").as_bytes(), last);
            assert!(received.failed.is_none(), "{more:?}: {}", received.failure());
            assert_eq!(received.lines(), lines, "{more:?} {seekable}");
        }
        for more in ["c", "c\n", "\rc\n"] {
            let received = resumed("pin.jsonl", format!("a\nb{more}").as_bytes(), last);
            assert!(matches!(received.failed, Some(SourceError::Changed { .. })), "{more:?} {seekable}");
        }
    }
}

#[test]
fn grown_file_continues() {
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
fn removed_file_is_reported_at_resume() {
    let folder = tempfile::tempdir().unwrap();
    append(&folder.path().join("pin.jsonl"), "a\n");
    let reached = PartitionProgress { next: 3.into(), rows: 2, fingerprint: 1, hint: ResumeHint::ByteOffset(4) };
    let start = |key: &str, allow_removed| {
        let config =
            super::super::RecordingConfig { allow_removed, ..super::super::RecordingConfig::with_path(folder.path()) };
        let source = super::super::plan(config, Path::new("/")).unwrap();
        SourceRun::start(source, SMALL, ResumePositions::from([(key.to_owned(), reached)])).finish()
    };
    let received = start("recording/geo.jsonl", false);
    assert!(
        received.failure().contains("recording/geo.jsonl") && received.failure().contains("2 lines"),
        "{}",
        received.failure()
    );
    assert!(received.opened.is_empty());
    for (key, allowed) in [("recording/geo.jsonl", true), ("recording/other/geo.jsonl", false), ("kafka/pin/0", false)]
    {
        assert_eq!(start(key, allowed).lines(), ["a"], "{key}");
    }
}
