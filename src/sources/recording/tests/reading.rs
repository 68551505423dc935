//! One file from its beginning to its end.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use proptest::prelude::*;

use super::super::lines::Limits;
use super::super::{BLOCK_BYTES, LINE_BYTES_MAX, RecordingConfig, plan};
use super::harness::{Packing, Run, SMALL, read, recording};
use crate::position::ResumePositions;

fn lines_of(text: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.jsonl"), text).unwrap();
    let heard = read(folder.path(), ResumePositions::new());
    assert!(heard.failed.is_none());
    assert_eq!(heard.ended, ["recording/pin.jsonl"]);
    heard.lines()
}

#[test]
fn every_line_is_a_record() {
    let cases: [(&[u8], &[&str]); 9] = [
        (b"", &[]),
        (b"\n", &[""]),
        (b"a", &["a"]),
        (b"a\n", &["a"]),
        (b"a\nb", &["a", "b"]),
        (b"a\r\n\r\nb\r\n", &["a", "", "b"]),
        (b"\n\na\n\n", &["", "", "a", ""]),
        (b"a\rb\nc\r", &["a\rb", "c"]),
        (b"\xef\xbb\xbfa\nb\n", &["\u{feff}a", "b"]),
    ];
    for (text, lines) in cases {
        assert_eq!(lines_of(text), lines, "{text:?}");
    }
}

#[test]
fn members_and_frames_are_one_text() {
    for packing in Packing::ALL {
        let folder = tempfile::tempdir().unwrap();
        let parts = ["a\nb", "", "c\n", "d\ne"].map(|part| packing.pack(part.as_bytes()));
        fs::write(folder.path().join(packing.file()), parts.concat()).unwrap();
        assert_eq!(read(folder.path(), ResumePositions::new()).lines(), ["a", "bc", "d", "e"], "{packing:?}");
    }
}

#[test]
fn the_first_bytes_tell_the_compression_not_the_name() {
    for packing in Packing::ALL {
        for named in Packing::ALL {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(named.file()), packing.pack(b"a\nb\n")).unwrap();
            assert_eq!(read(folder.path(), ResumePositions::new()).lines(), ["a", "b"], "{packing:?} as {named:?}");
        }
    }
}

#[test]
fn a_huge_line_is_handed_over_as_its_beginning() {
    let huge = "x".repeat(LINE_BYTES_MAX + 3 * BLOCK_BYTES + 5);
    let longest = "y".repeat(LINE_BYTES_MAX);
    let text = format!("a\n{huge}\nb\n{longest}\n{huge}");
    let limits = Limits { block_bytes: BLOCK_BYTES, line_bytes_max: LINE_BYTES_MAX };
    for packing in Packing::ALL {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(packing.file()), packing.pack(text.as_bytes())).unwrap();
        let first = Run::start(recording(folder.path()), limits, ResumePositions::new()).finish();
        let lengths: Vec<usize> = first.lines().iter().map(String::len).collect();
        assert_eq!(lengths, [1, LINE_BYTES_MAX, 1, LINE_BYTES_MAX, LINE_BYTES_MAX], "{packing:?}");
        let again = Run::start(recording(folder.path()), limits, first.reached).finish();
        assert!(again.failed.is_none() && again.records.is_empty() && again.ended.len() == 1, "{packing:?}");
    }
}

#[test]
fn what_comes_before_a_corruption_is_kept() {
    let text: String =
        (0..2_000).map(|line| format!("{{\"ind\":{line},\"h\":{}}}\n", line * 7919 % 1_000_003)).collect();
    for packing in [Packing::Gzip, Packing::Zstd] {
        let good = packing.pack(text.as_bytes());
        let mut two = [good.clone(), good.clone()].concat();
        two.truncate(good.len() + good.len() / 2);
        for (what, bytes) in [("cut short", two), ("garbage", [good.as_slice(), b"garbage after the end"].concat())] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(packing.file()), bytes).unwrap();
            let heard = read(folder.path(), ResumePositions::new());
            let lines = heard.lines();
            assert!(lines.len() >= 2_000 && lines.iter().zip(text.lines().cycle()).all(|(a, b)| a == b), "{what}");
            let after = format!("{} after line {}", packing.file(), lines.len());
            assert!(heard.failure().contains(&after), "{packing:?} {what}: {}", heard.failure());
            assert!(heard.ended.is_empty());
            let again = read(folder.path(), heard.reached.clone());
            assert!(again.lines().is_empty() && again.failed.is_some());
        }
    }
}

#[test]
fn a_wrong_checksum_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = Packing::Gzip.pack(b"a\nb\n");
    let crc = bytes.len() - 8;
    bytes[crc] ^= 1;
    fs::write(folder.path().join("pin.jsonl.gz"), bytes).unwrap();
    let heard = read(folder.path(), ResumePositions::new());
    assert_eq!(heard.lines(), ["a", "b"]);
    assert!(heard.failed.is_some());
}

#[test]
fn remaining_bytes_fall_to_nothing() {
    for packing in Packing::ALL {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(packing.file()), packing.pack(b"a\nb\nc")).unwrap();
        let heard = read(folder.path(), ResumePositions::new());
        assert_eq!(heard.remaining.into_values().collect::<Vec<_>>(), [Some(0)]);
    }
}

#[test]
fn paced_records_are_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..60).map(|line| format!("{line}\n")).collect();
    for packing in Packing::ALL {
        fs::write(folder.path().join(packing.file()), packing.pack(text.as_bytes())).unwrap();
    }
    let rate_per_sec = NonZeroU32::new(2_000);
    let config = RecordingConfig { rate_per_sec, ..RecordingConfig::at(folder.path()) };
    let limits = Limits { block_bytes: 1 << 10, line_bytes_max: 1 << 10 };
    let heard = Run::start(plan(config, Path::new("/")).unwrap(), limits, ResumePositions::new()).finish();
    for records in heard.records.values() {
        let lines: String = records.iter().map(|(_, line)| format!("{}\n", String::from_utf8_lossy(line))).collect();
        assert_eq!(lines, text);
    }
    assert_eq!(heard.blocks, 3 * 60usize.div_ceil(8), "eight records leave together, and what is left of each file");
}

#[test]
fn a_stop_ends_a_slow_source_and_an_engine_that_goes_ends_a_fast_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.jsonl"), "a\n".repeat(1_000)).unwrap();
    let config = RecordingConfig { rate_per_sec: NonZeroU32::new(1), ..RecordingConfig::at(folder.path()) };
    let mut slow = Run::start(plan(config, Path::new("/")).unwrap(), SMALL, ResumePositions::new());
    slow.until(|heard| heard.blocks == 1);
    let heard = slow.stop();
    assert!(heard.failed.is_none() && heard.ended.is_empty() && heard.positions().len() < 1_000);
    let mut fast = Run::start(recording(folder.path()), SMALL, ResumePositions::new());
    fast.until(|heard| heard.blocks == 1);
    assert!(fast.drop_the_engine().ended.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn packing_makes_no_difference(text in "([a-zé]{0,20}\r?\n){0,30}[a-z]{0,5}", block_bytes in 1usize..200) {
        let limits = Limits { block_bytes, line_bytes_max: 1 << 10 };
        let wanted: Vec<&str> = text.lines().collect();
        for packing in Packing::ALL {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(packing.file()), packing.pack(text.as_bytes())).unwrap();
            let heard = Run::start(recording(folder.path()), limits, ResumePositions::new()).finish();
            prop_assert_eq!(heard.lines(), wanted.clone());
        }
    }
}
