//! Files that grow while they are read.

use std::fs;
use std::path::Path;

use super::super::{RecordingConfig, plan};
use super::harness::{ReceivedEvents, SMALL, SourceRun, TestCompression, append, followed, read, sleep_briefly};
use pinflow_connect::source::SourceError;
use pinflow_core::position::ResumePositions;

fn records(received: &ReceivedEvents) -> usize {
    received.records.values().map(Vec::len).sum()
}

/// A followed folder with one file of these lines, all of them read.
fn following(text: &str) -> (tempfile::TempDir, std::path::PathBuf, SourceRun) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin.jsonl");
    append(&file, text);
    let mut run = SourceRun::start(followed(folder.path()), SMALL, ResumePositions::new());
    run.receive_until(|received| records(received) == text.matches('\n').count() && !received.opened.is_empty());
    (folder, file, run)
}

fn changed(mut run: SourceRun) -> String {
    let received = run.receive_until(|received| received.failed.is_some());
    assert!(matches!(received.failed, Some(SourceError::Changed { .. })), "{}", received.failure());
    run.stop().failure()
}

#[test]
fn appended_lines_are_read_once_they_have_a_line_end() {
    let (_folder, file, mut run) = following("a\nb\nunfin");
    append(&file, "ished\r");
    sleep_briefly();
    append(&file, "\nc\n");
    run.receive_until(|received| records(received) == 4);
    append(&file, &"d\n".repeat(100));
    append(&file, "left");
    run.receive_until(|received| records(received) == 104);
    let received = run.stop();
    assert_eq!(received.lines()[..5], ["a", "b", "unfinished", "c", "d"]);
    assert_eq!(received.lines().len(), 104, "the last line has no end yet");
    assert!(received.ended.is_empty() && received.failed.is_none());
}

#[test]
fn line_that_grows_beyond_the_limit_is_truncated() {
    let (_folder, file, mut run) = following("a\n");
    for _ in 0..10 {
        append(&file, &"x".repeat(SMALL.line_bytes_max / 4));
        sleep_briefly();
    }
    append(&file, "\nb\n");
    run.receive_until(|received| records(received) == 3);
    let received = run.stop();
    assert_eq!(received.lines(), ["a".to_owned(), "x".repeat(SMALL.line_bytes_max), "b".to_owned()]);
    let reached = received.reached.values().next().unwrap();
    assert_eq!(reached.hint.byte_offset(), Some(fs::metadata(&file).unwrap().len()));
}

#[test]
fn following_resumes_after_a_stop() {
    let (folder, file, run) = following("a\nb\n");
    let first = run.stop();
    append(&file, "c\n");
    let mut run = SourceRun::start(followed(folder.path()), SMALL, first.reached.clone());
    run.receive_until(|received| records(received) == 1);
    append(&file, "d\n");
    run.receive_until(|received| records(received) == 2);
    assert_eq!(run.stop().positions(), [3, 4]);
}

#[test]
fn last_line_read_without_line_end_may_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin.jsonl");
    for (more, goes_on) in [("\nb\n", true), ("\r\nb\n", true), ("b\n", false)] {
        fs::write(&file, "a").unwrap();
        let first = read(folder.path(), ResumePositions::new());
        let mut run = SourceRun::start(followed(folder.path()), SMALL, first.reached);
        run.receive_until(|received| !received.opened.is_empty());
        sleep_briefly();
        append(&file, more);
        run.receive_until(|received| records(received) == 1 || received.failed.is_some());
        let received = run.stop();
        match goes_on {
            true => assert_eq!((received.lines(), received.positions()), (vec!["b".to_owned()], vec![2])),
            false => assert!(received.failure().contains("has grown since"), "{}", received.failure()),
        }
    }
}

#[test]
fn truncated_file_is_refused() {
    let (_folder, file, run) = following("a\nb\n");
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(2).unwrap();
    assert!(changed(run).contains("4 bytes had been read of it and it holds only 2"));
}

#[test]
fn replaced_file_is_refused_unless_it_continues_the_old_one() {
    let (folder, file, mut run) = following("a\nb\n");
    let new = folder.path().join("new.tmp");
    fs::write(&new, "a\nb\nc\n").unwrap();
    fs::rename(&new, &file).unwrap();
    run.receive_until(|received| records(received) == 3);
    assert_eq!(run.received.lines(), ["a", "b", "c"]);
    fs::write(&new, "x\ny\nz\nmore\n").unwrap();
    fs::rename(&new, &file).unwrap();
    assert!(changed(run).contains("it does not begin as the one that was read"));
}

#[test]
fn removed_file_is_refused_unless_allowed() {
    let (_folder, file, run) = following("a\n");
    fs::remove_file(&file).unwrap();
    assert!(changed(run).contains("removed"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin.jsonl");
    append(&file, "a\n");
    let config = RecordingConfig { follow: true, allow_removed: true, ..RecordingConfig::with_path(folder.path()) };
    let mut run = SourceRun::start(plan(config, Path::new("/")).unwrap(), SMALL, ResumePositions::new());
    run.receive_until(|received| records(received) == 1);
    fs::remove_file(&file).unwrap();
    append(&folder.path().join("geo.jsonl"), "b\n");
    run.receive_until(|received| records(received) == 2);
    assert!(run.stop().failed.is_none());
}

#[test]
fn new_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = SourceRun::start(followed(folder.path()), SMALL, ResumePositions::new());
    append(&folder.path().join("pin-1.jsonl"), "a\n");
    run.receive_until(|received| records(received) == 1);
    append(&folder.path().join("geo-1.jsonl"), "");
    append(&folder.path().join("notes.txt"), "not read\n");
    run.receive_until(|received| received.opened.len() == 2);
    append(&folder.path().join("geo-1.jsonl"), "b\n");
    append(&folder.path().join("pin-1.jsonl"), "c\n");
    run.receive_until(|received| records(received) == 3);
    let received = run.stop();
    assert!(received.failed.is_none() && received.ended.is_empty());
    assert_eq!(received.records["recording/pin-1.jsonl"], [(1, b"a".to_vec()), (2, b"c".to_vec())]);
    assert_eq!(received.records["recording/geo-1.jsonl"], [(1, b"b".to_vec())]);
}

#[test]
fn compressed_files_cannot_be_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin.jsonl");
    fs::write(&file, TestCompression::Gzip.compress(b"a\n")).unwrap();
    let config = RecordingConfig { follow: true, ..RecordingConfig::with_path(folder.path()) };
    let refused = plan(config, Path::new("/")).unwrap_err().to_string();
    assert!(refused.contains("gzip, and a compressed file cannot be followed"), "{refused}");
    fs::write(&file, "").unwrap();
    let mut run = SourceRun::start(followed(folder.path()), SMALL, ResumePositions::new());
    run.receive_until(|received| !received.opened.is_empty());
    sleep_briefly();
    fs::write(&file, TestCompression::Zstd.compress(b"a\n")).unwrap();
    run.receive_until(|received| received.failed.is_some());
    assert!(run.stop().failure().contains("zstd"));
}
