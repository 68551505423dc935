//! One file from its beginning to its end.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use proptest::prelude::*;

use super::super::line_splitter::LineLimits;
use super::super::{BLOCK_BYTES, LINE_BYTES_MAX, RecordingConfig, plan};
use super::harness::{SMALL, SourceRun, TestCompression, read, recording};
use pinflow_core::position::ResumePositions;

fn lines_of(text: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.jsonl"), text).unwrap();
    let received = read(folder.path(), ResumePositions::new());
    assert!(received.failed.is_none());
    assert_eq!(received.ended, ["recording/pin.jsonl"]);
    received.lines()
}

#[test]
fn every_line_becomes_a_record() {
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
fn gzip_members_and_zstd_frames_are_read_as_one_text() {
    for compression in TestCompression::ALL {
        let folder = tempfile::tempdir().unwrap();
        let parts = ["a\nb", "", "c\n", "d\ne"].map(|part| compression.compress(part.as_bytes()));
        fs::write(folder.path().join(compression.file_name()), parts.concat()).unwrap();
        assert_eq!(read(folder.path(), ResumePositions::new()).lines(), ["a", "bc", "d", "e"], "{compression:?}");
    }
}

#[test]
fn compression_is_detected_by_content_not_by_name() {
    for compression in TestCompression::ALL {
        for named in TestCompression::ALL {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(named.file_name()), compression.compress(b"a\nb\n")).unwrap();
            assert_eq!(read(folder.path(), ResumePositions::new()).lines(), ["a", "b"], "{compression:?} as {named:?}");
        }
    }
}

#[test]
fn line_longer_than_the_limit_is_truncated() {
    let huge = "x".repeat(LINE_BYTES_MAX + 3 * BLOCK_BYTES + 5);
    let longest = "y".repeat(LINE_BYTES_MAX);
    let text = format!("a\n{huge}\nb\n{longest}\n{huge}");
    let limits = LineLimits { block_bytes: BLOCK_BYTES, line_bytes_max: LINE_BYTES_MAX };
    for compression in TestCompression::ALL {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(compression.file_name()), compression.compress(text.as_bytes())).unwrap();
        let first = SourceRun::start(recording(folder.path()), limits, ResumePositions::new()).finish();
        let lengths: Vec<usize> = first.lines().iter().map(String::len).collect();
        assert_eq!(lengths, [1, LINE_BYTES_MAX, 1, LINE_BYTES_MAX, LINE_BYTES_MAX], "{compression:?}");
        let again = SourceRun::start(recording(folder.path()), limits, first.reached).finish();
        assert!(again.failed.is_none() && again.records.is_empty() && again.ended.len() == 1, "{compression:?}");
    }
}

#[test]
fn records_before_corrupt_data_are_read() {
    let text: String =
        (0..2_000).map(|line| format!("{{\"ind\":{line},\"h\":{}}}\n", line * 7919 % 1_000_003)).collect();
    for compression in [TestCompression::Gzip, TestCompression::Zstd] {
        let good = compression.compress(text.as_bytes());
        let mut two = [good.clone(), good.clone()].concat();
        two.truncate(good.len() + good.len() / 2);
        for (what, bytes) in [("cut short", two), ("garbage", [good.as_slice(), b"garbage after the end"].concat())] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(compression.file_name()), bytes).unwrap();
            let received = read(folder.path(), ResumePositions::new());
            let lines = received.lines();
            assert!(lines.len() >= 2_000 && lines.iter().zip(text.lines().cycle()).all(|(a, b)| a == b), "{what}");
            let after = format!("{} after line {}", compression.file_name(), lines.len());
            assert!(received.failure().contains(&after), "{compression:?} {what}: {}", received.failure());
            assert!(received.ended.is_empty());
            let again = read(folder.path(), received.reached.clone());
            assert!(again.lines().is_empty() && again.failed.is_some());
        }
    }
}

#[test]
fn wrong_checksum_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = TestCompression::Gzip.compress(b"a\nb\n");
    let crc = bytes.len() - 8;
    bytes[crc] ^= 1;
    fs::write(folder.path().join("pin.jsonl.gz"), bytes).unwrap();
    let received = read(folder.path(), ResumePositions::new());
    assert_eq!(received.lines(), ["a", "b"]);
    assert!(received.failed.is_some());
}

#[test]
fn remaining_bytes_fall_to_zero() {
    for compression in TestCompression::ALL {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(compression.file_name()), compression.compress(b"a\nb\nc")).unwrap();
        let received = read(folder.path(), ResumePositions::new());
        assert_eq!(received.remaining.into_values().collect::<Vec<_>>(), [Some(0)]);
    }
}

#[test]
fn rate_limited_records_are_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..60).map(|line| format!("{line}\n")).collect();
    for compression in TestCompression::ALL {
        fs::write(folder.path().join(compression.file_name()), compression.compress(text.as_bytes())).unwrap();
    }
    let rate_per_sec = NonZeroU32::new(2_000);
    let config = RecordingConfig { rate_per_sec, ..RecordingConfig::with_path(folder.path()) };
    let limits = LineLimits { block_bytes: 1 << 10, line_bytes_max: 1 << 10 };
    let received = SourceRun::start(plan(config, Path::new("/")).unwrap(), limits, ResumePositions::new()).finish();
    for records in received.records.values() {
        let lines: String = records.iter().map(|(_, line)| format!("{}\n", String::from_utf8_lossy(line))).collect();
        assert_eq!(lines, text);
    }
    assert_eq!(received.blocks, 3 * 60usize.div_ceil(8), "eight records leave together, and what is left of each file");
}

#[test]
fn stop_ends_a_slow_source_and_dropped_receiver_ends_a_fast_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin.jsonl"), "a\n".repeat(1_000)).unwrap();
    let config = RecordingConfig { rate_per_sec: NonZeroU32::new(1), ..RecordingConfig::with_path(folder.path()) };
    let mut slow = SourceRun::start(plan(config, Path::new("/")).unwrap(), SMALL, ResumePositions::new());
    slow.receive_until(|received| received.blocks == 1);
    let received = slow.stop();
    assert!(received.failed.is_none() && received.ended.is_empty() && received.positions().len() < 1_000);
    let mut fast = SourceRun::start(recording(folder.path()), SMALL, ResumePositions::new());
    fast.receive_until(|received| received.blocks == 1);
    assert!(fast.drop_receiver().ended.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn records_do_not_depend_on_compression(text in "([a-zé]{0,20}\r?\n){0,30}[a-z]{0,5}", block_bytes in 1usize..200) {
        let limits = LineLimits { block_bytes, line_bytes_max: 1 << 10 };
        let wanted: Vec<&str> = text.lines().collect();
        for compression in TestCompression::ALL {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(compression.file_name()), compression.compress(text.as_bytes())).unwrap();
            let received = SourceRun::start(recording(folder.path()), limits, ResumePositions::new()).finish();
            prop_assert_eq!(received.lines(), wanted.clone());
        }
    }
}
