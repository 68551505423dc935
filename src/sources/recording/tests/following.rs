//! Files that grow while they are read.

use std::fs;
use std::path::Path;

use super::super::{RecordingConfig, plan};
use super::harness::{Heard, Packing, Run, SMALL, a_while, append, followed, read};
use crate::position::ResumePositions;
use crate::sources::SourceError;

fn records(heard: &Heard) -> usize {
    heard.records.values().map(Vec::len).sum()
}

/// A followed folder with one file of these lines, all of them read.
fn following(text: &str) -> (tempfile::TempDir, std::path::PathBuf, Run) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin.jsonl");
    append(&file, text);
    let mut run = Run::start(followed(folder.path()), SMALL, ResumePositions::new());
    run.until(|heard| records(heard) == text.matches('\n').count() && !heard.opened.is_empty());
    (folder, file, run)
}

fn changed(mut run: Run) -> String {
    let heard = run.until(|heard| heard.failed.is_some());
    assert!(matches!(heard.failed, Some(SourceError::Changed { .. })), "{}", heard.failure());
    run.stop().failure()
}

#[test]
fn what_is_appended_comes_and_a_line_waits_for_its_end() {
    let (_folder, file, mut run) = following("a\nb\nunfin");
    append(&file, "ished\r");
    a_while();
    append(&file, "\nc\n");
    run.until(|heard| records(heard) == 4);
    append(&file, &"d\n".repeat(100));
    append(&file, "left");
    run.until(|heard| records(heard) == 104);
    let heard = run.stop();
    assert_eq!(heard.lines()[..5], ["a", "b", "unfinished", "c", "d"]);
    assert_eq!(heard.lines().len(), 104, "the last line has no end yet");
    assert!(heard.ended.is_empty() && heard.failed.is_none());
}

#[test]
fn a_line_that_outgrows_its_bound_piece_by_piece_is_cut() {
    let (_folder, file, mut run) = following("a\n");
    for _ in 0..10 {
        append(&file, &"x".repeat(SMALL.line_bytes_max / 4));
        a_while();
    }
    append(&file, "\nb\n");
    run.until(|heard| records(heard) == 3);
    let heard = run.stop();
    assert_eq!(heard.lines(), ["a".to_owned(), "x".repeat(SMALL.line_bytes_max), "b".to_owned()]);
    let reached = heard.reached.values().next().unwrap();
    assert_eq!(reached.seek, fs::metadata(&file).unwrap().len());
}

#[test]
fn following_goes_on_after_a_stop() {
    let (folder, file, run) = following("a\nb\n");
    let first = run.stop();
    append(&file, "c\n");
    let mut run = Run::start(followed(folder.path()), SMALL, first.reached.clone());
    run.until(|heard| records(heard) == 1);
    append(&file, "d\n");
    run.until(|heard| records(heard) == 2);
    assert_eq!(run.stop().positions(), [3, 4]);
}

#[test]
fn a_last_line_without_end_that_was_read_may_gain_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin.jsonl");
    for (more, goes_on) in [("\nb\n", true), ("\r\nb\n", true), ("b\n", false)] {
        fs::write(&file, "a").unwrap();
        let first = read(folder.path(), ResumePositions::new());
        let mut run = Run::start(followed(folder.path()), SMALL, first.reached);
        run.until(|heard| !heard.opened.is_empty());
        a_while();
        append(&file, more);
        run.until(|heard| records(heard) == 1 || heard.failed.is_some());
        let heard = run.stop();
        match goes_on {
            true => assert_eq!((heard.lines(), heard.positions()), (vec!["b".to_owned()], vec![2])),
            false => assert!(heard.failure().contains("written on since"), "{}", heard.failure()),
        }
    }
}

#[test]
fn truncation_is_told() {
    let (_folder, file, run) = following("a\nb\n");
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(2).unwrap();
    assert!(changed(run).contains("4 bytes had been read of it and it holds only 2"));
}

#[test]
fn replacement_by_other_content_is_told_and_by_a_continuation_is_not() {
    let (folder, file, mut run) = following("a\nb\n");
    let new = folder.path().join("new.tmp");
    fs::write(&new, "a\nb\nc\n").unwrap();
    fs::rename(&new, &file).unwrap();
    run.until(|heard| records(heard) == 3);
    assert_eq!(run.heard.lines(), ["a", "b", "c"]);
    fs::write(&new, "x\ny\nz\nmore\n").unwrap();
    fs::rename(&new, &file).unwrap();
    assert!(changed(run).contains("it does not begin as the one that was read"));
}

#[test]
fn removal_is_told_unless_it_is_allowed() {
    let (_folder, file, run) = following("a\n");
    fs::remove_file(&file).unwrap();
    assert!(changed(run).contains("removed"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin.jsonl");
    append(&file, "a\n");
    let config = RecordingConfig { follow: true, allow_removed: true, ..RecordingConfig::at(folder.path()) };
    let mut run = Run::start(plan(config, Path::new("/")).unwrap(), SMALL, ResumePositions::new());
    run.until(|heard| records(heard) == 1);
    fs::remove_file(&file).unwrap();
    append(&folder.path().join("geo.jsonl"), "b\n");
    run.until(|heard| records(heard) == 2);
    assert!(run.stop().failed.is_none());
}

#[test]
fn new_files_join() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::start(followed(folder.path()), SMALL, ResumePositions::new());
    append(&folder.path().join("pin-1.jsonl"), "a\n");
    run.until(|heard| records(heard) == 1);
    append(&folder.path().join("geo-1.jsonl"), "");
    append(&folder.path().join("notes.txt"), "not read\n");
    run.until(|heard| heard.opened.len() == 2);
    append(&folder.path().join("geo-1.jsonl"), "b\n");
    append(&folder.path().join("pin-1.jsonl"), "c\n");
    run.until(|heard| records(heard) == 3);
    let heard = run.stop();
    assert!(heard.failed.is_none() && heard.ended.is_empty());
    assert_eq!(heard.records["recording/pin-1.jsonl"], [(1, b"a".to_vec()), (2, b"c".to_vec())]);
    assert_eq!(heard.records["recording/geo-1.jsonl"], [(1, b"b".to_vec())]);
}

#[test]
fn compressed_files_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin.jsonl");
    fs::write(&file, Packing::Gzip.pack(b"a\n")).unwrap();
    let config = RecordingConfig { follow: true, ..RecordingConfig::at(folder.path()) };
    let refused = plan(config, Path::new("/")).unwrap_err().to_string();
    assert!(refused.contains("gzip, and a compressed file cannot be followed"), "{refused}");
    fs::write(&file, "").unwrap();
    let mut run = Run::start(followed(folder.path()), SMALL, ResumePositions::new());
    run.until(|heard| !heard.opened.is_empty());
    a_while();
    fs::write(&file, Packing::Zstd.pack(b"a\n")).unwrap();
    run.until(|heard| heard.failed.is_some());
    assert!(run.stop().failure().contains("zstd"));
}
