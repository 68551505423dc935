use std::collections::VecDeque;
use std::io::{self, Read};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{LineLimits, LineSplitter, SplitResult, TextBlock, strip_carriage_return};

/// A reader that returns pieces of varying size, and then fails or ends.
struct FailingReader {
    bytes: VecDeque<u8>,
    pieces: Vec<usize>,
    turn: usize,
    fails: bool,
}

impl Read for FailingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() && std::mem::take(&mut self.fails) {
            return Err(io::Error::other("broken"));
        }
        let piece = self.pieces[self.turn % self.pieces.len()].min(self.bytes.len()).min(buffer.len());
        self.turn += 1;
        for (to, from) in buffer.iter_mut().zip(self.bytes.drain(..piece)) {
            *to = from;
        }
        Ok(piece)
    }
}

/// Every record with its line number and the offset after it, the plain way.
fn naive(bytes: &[u8], line_bytes_max: usize, finish: bool) -> Vec<(u64, Vec<u8>, u64)> {
    let mut records = Vec::new();
    let mut end = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len() as u64;
        let ended = line.ends_with(b"\n");
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = &line[..line.len().min(line_bytes_max)];
        if ended || finish {
            records.push((records.len() as u64 + 1, strip_carriage_return(line).to_vec(), end));
        }
    }
    records
}

/// Every record of the texts; the offset only where a text ends.
fn records(texts: Vec<TextBlock>) -> Vec<(u64, Vec<u8>, Option<u64>)> {
    let mut records = Vec::new();
    for text in texts {
        let (end, count, last, first) = (text.end, text.count, text.last_record().to_vec(), text.first);
        let before = records.len();
        pinflow_connect::source::BlockRecords::Lines { first: text.first, text: text.text.into() }
            .for_each(|entry| records.push((entry.position.narrow().unwrap(), entry.payload.unwrap().to_vec(), None)));
        assert_eq!((records.len() - before) as u64, count);
        assert_eq!(first + count - 1, records.last().unwrap().0);
        assert_eq!(records.last().unwrap().1, last);
        records.last_mut().unwrap().2 = Some(end);
    }
    records
}

fn assert_same(cut: &[(u64, Vec<u8>, Option<u64>)], naive: &[(u64, Vec<u8>, u64)]) {
    assert_eq!(cut.len(), naive.len());
    for (cut, naive) in cut.iter().zip(naive) {
        assert_eq!((cut.0, &cut.1), (naive.0, &naive.1));
        assert_eq!(cut.2.unwrap_or(naive.2), naive.2);
    }
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![3 => Just(b'\n'), 1 => Just(b'\r'), 8 => any::<u8>()], 0..400)
}

/// Lines about as long as the bound, from a bit shorter to several times it.
fn long_lines() -> impl Strategy<Value = Vec<u8>> {
    vec((0usize..80, prop_oneof![Just("\n"), Just("\r\n")]), 0..12).prop_map(|lines| {
        let text =
            lines.iter().enumerate().map(|(at, (length, end))| format!("{}{end}", at.to_string().repeat(*length)));
        text.collect::<String>().into_bytes()
    })
}

proptest! {
    #[test]
    fn blocks_match_a_naive_reader(
        bytes in prop_oneof![any_bytes(), long_lines()],
        pieces in vec(1usize..50, 1..5),
        block_bytes in 1usize..60,
        line_bytes_max in 1usize..60,
        fails in any::<bool>(),
    ) {
        let mut from = FailingReader { bytes: bytes.clone().into(), pieces, turn: 0, fails };
        let mut lines = LineSplitter::new(LineLimits { block_bytes, line_bytes_max }, 1, 0);
        let mut texts = Vec::new();
        let failed = loop {
            match lines.read(&mut from, u64::MAX) {
                Ok(SplitResult::Lines(text)) => {
                    // Shared and dropped at once: the next block gets this one's memory.
                    let shared = lines.share(text.text.clone());
                    prop_assert_eq!(&shared[..], &text.text[..]);
                    texts.push(text);
                }
                Ok(SplitResult::Partial) => prop_assert!(lines.partial_line().len() <= line_bytes_max),
                Ok(SplitResult::End) => break false,
                Err(_) => break true,
            }
        };
        prop_assert_eq!(failed, fails);
        prop_assert_eq!(lines.read_offset(), bytes.len() as u64);
        if !failed {
            texts.extend(lines.take_unfinished_line());
        }
        assert_same(&records(texts), &naive(&bytes, line_bytes_max, !failed));
    }

    #[test]
    fn split_block_concatenates_to_the_original(bytes in prop_oneof![any_bytes(), long_lines()], at_once in 1u64..7) {
        let limits = LineLimits { block_bytes: 30, line_bytes_max: 40 };
        let mut lines = LineSplitter::new(limits, 1, 0);
        let (mut from, mut pieces) = (bytes.as_slice(), Vec::new());
        loop {
            let mut text = match lines.read(&mut from, u64::MAX).unwrap() {
                SplitResult::Lines(text) => text,
                SplitResult::Partial => continue,
                SplitResult::End => break,
            };
            while let Some(first) = text.split_first(at_once) {
                prop_assert_eq!(first.count, at_once);
                pieces.push(first);
            }
            pieces.push(text);
        }
        pieces.extend(lines.take_unfinished_line());
        assert_same(&records(pieces), &naive(&bytes, limits.line_bytes_max, true));
    }
}

#[test]
fn read_is_bounded_by_the_available_bytes() {
    let mut lines = LineSplitter::new(LineLimits { block_bytes: 100, line_bytes_max: 100 }, 7, 1000);
    let mut from: &[u8] = b"ab\ncd\nef\n";
    let SplitResult::Lines(text) = lines.read(&mut from, 4).unwrap() else { panic!("a line was there") };
    assert_eq!((text.first, text.text.as_slice(), text.count, text.end), (7, b"ab\n".as_slice(), 1, 1003));
    assert_eq!(
        (lines.next_line(), lines.next_offset(), lines.read_offset(), lines.partial_line()),
        (8, 1003, 1004, b"c".as_slice())
    );
}
