//! Converts a file that is one JSON array to lines, one per element.
//!
//! Rows are often exported as `[{…}, {…}]`, on one line or pretty-printed. [`ArrayLines`] converts such a text while it is
//! read, so that positions, blocks, resuming and rate limits work as for a file of lines. The position of an element is
//! its number, from 1. A resumed run counts up to it.
//!
//! Only brackets, strings and commas are interpreted. The parser rejects elements that are not valid JSON. White space
//! around elements is dropped. Line ends between tokens become spaces. Line ends in strings, which JSON forbids, become
//! carriage returns, which it forbids too. Memory is one buffer, independent of the size and depth of elements.

use std::io::{self, Read};

const BUFFER_BYTES: usize = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How a file is divided into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordLayout {
    /// One record per line.
    Lines,
    /// One JSON array with one record per element.
    Array,
}

/// The depth of brackets at a byte of a JSON text, and whether it is in a string.
#[derive(Debug, Default, Clone, Copy)]
struct JsonNesting {
    depth: u64,
    in_string: bool,
    escaped: bool,
}

impl JsonNesting {
    /// Advances over a byte.
    fn advance(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Detects the layout from the beginning of a text, of which at most `bytes_max` bytes (the longest line) are read.
///
/// A line may itself be an array of wrapped rows (`[{"value":row}, …]`), so a bracket alone decides nothing. The file is an
/// array if a line ends inside the array, or if the array is the whole text and its first element has the key of a row.
/// In a file that `grows`, an array that is the whole text may be the first of several lines.
pub(super) fn detect_layout(text: &mut impl Read, bytes_max: usize, grows: bool) -> io::Result<RecordLayout> {
    let mut detector = LayoutDetector::default();
    let mut buffer = vec![0; 4 << 10];
    let mut left = bytes_max;
    while left > 0 {
        let room = buffer.len().min(left);
        let got = match text.read(&mut buffer[..room]) {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if got == 0 {
            return Ok(detector.at_end(grows));
        }
        for byte in &buffer[..got] {
            if let Some(layout) = detector.step(*byte) {
                return Ok(layout);
            }
        }
        left -= got;
        buffer.resize(BUFFER_BYTES, 0);
    }
    Ok(if detector.has_row { RecordLayout::Array } else { RecordLayout::Lines })
}

#[derive(Default)]
struct LayoutDetector {
    /// Bytes matched of a byte order mark.
    mark: Option<usize>,
    nesting: JsonNesting,
    /// The last byte that is not white space; 0 before the first.
    last: u8,
    /// A line ended after `last`, inside the array.
    line_ended: bool,
    closed: bool,
    is_empty: bool,
    /// The last string, which may be a key of the first element.
    key: Vec<u8>,
    first_element_ended: bool,
    /// The first element has the key of a row.
    has_row: bool,
}

impl LayoutDetector {
    /// The layout, once a byte decides it.
    fn step(&mut self, byte: u8) -> Option<RecordLayout> {
        let mark = self.mark.unwrap_or(0);
        if BYTE_ORDER_MARK.get(mark) == Some(&byte) && self.last == 0 {
            self.mark = Some(mark + 1);
            return None;
        }
        self.mark = Some(BYTE_ORDER_MARK.len());
        if self.nesting.in_string {
            return self.step_in_string(byte);
        }
        if is_space(byte) {
            self.line_ended |= byte == b'\n' && self.last != 0 && !self.closed;
            return None;
        }
        if self.closed || (self.last == 0 && byte != b'[') {
            return Some(RecordLayout::Lines);
        }
        if self.line_ended {
            // After a truncated line a value follows where JSON requires a comma or a bracket.
            let begins_value = matches!(byte, b'{' | b'[' | b'"');
            let goes_on = !begins_value || matches!(self.last, b'[' | b'{' | b',' | b':');
            return Some(if goes_on { RecordLayout::Array } else { RecordLayout::Lines });
        }
        self.is_empty = self.last == b'[' && self.nesting.depth == 1 && byte == b']';
        self.first_element_ended |= self.nesting.depth == 1 && byte == b',';
        if byte == b'"' {
            self.key.clear();
        }
        self.nesting.advance(byte);
        self.closed = self.nesting.depth == 0;
        self.note_key(byte);
        self.last = byte;
        None
    }

    fn step_in_string(&mut self, byte: u8) -> Option<RecordLayout> {
        if byte == b'\n' {
            // JSON strings contain no line ends.
            return Some(RecordLayout::Lines);
        }
        self.nesting.advance(byte);
        if self.nesting.in_string {
            if self.key.len() <= b"index".len() {
                self.key.push(byte);
            }
        } else {
            self.last = byte;
        }
        None
    }

    /// At a colon in the first element: checks whether the string before it is the key of a row.
    fn note_key(&mut self, byte: u8) {
        let in_first = !self.first_element_ended && self.nesting.depth == 2;
        if byte == b':' && in_first && self.last == b'"' {
            self.has_row |= self.key == b"ind" || self.key == b"index";
        }
    }

    fn at_end(&self, grows: bool) -> RecordLayout {
        let is_array = self.has_row || (self.closed && self.is_empty) || self.line_ended;
        if is_array && (!grows || (self.line_ended && !self.closed)) {
            RecordLayout::Array
        } else {
            RecordLayout::Lines
        }
    }
}

/// How far an array was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArrayPhase {
    /// Before its opening bracket.
    Before,
    Inside,
    /// After its closing bracket.
    After,
}

/// The elements of a JSON array, each as a line.
pub(super) struct ArrayLines<R> {
    text: R,
    buffer: Box<[u8]>,
    /// The range of the buffer that was not processed yet.
    start: usize,
    end: usize,
    /// Bytes of the text that were processed.
    offset: u64,
    phase: ArrayPhase,
    nesting: JsonNesting,
    /// Elements that were written.
    elements: u64,
    /// The offset at which the current element begins; `None` between elements.
    element_start: Option<u64>,
    /// White space inside the element was skipped. It is written as a space if more of the element follows.
    space: bool,
    /// A byte that did not fit into the caller's buffer.
    carried: Option<u8>,
}

impl<R: Read> ArrayLines<R> {
    /// The elements of `text`, which must be at the start of one JSON array.
    pub(super) fn new(text: R) -> ArrayLines<R> {
        ArrayLines {
            text,
            buffer: vec![0; BUFFER_BYTES].into(),
            start: 0,
            end: 0,
            offset: 0,
            phase: ArrayPhase::Before,
            nesting: JsonNesting::default(),
            elements: 0,
            element_start: None,
            space: false,
            carried: None,
        }
    }

    /// Fills the buffer; `false` at the end of the text.
    fn fill(&mut self) -> io::Result<bool> {
        (self.start, self.end) = (0, self.text.read(&mut self.buffer)?);
        Ok(self.end > 0)
    }

    /// Processes a byte. Returns what to write: whether a space, then at most one byte.
    fn step(&mut self, byte: u8) -> io::Result<(bool, Option<u8>)> {
        match self.phase {
            ArrayPhase::Before => self.step_before(byte).map(|()| (false, None)),
            ArrayPhase::After if is_space(byte) => Ok((false, None)),
            ArrayPhase::After => Err(self.trailing_data_error()),
            ArrayPhase::Inside => Ok(self.step_inside(byte)),
        }
    }

    fn step_before(&mut self, byte: u8) -> io::Result<()> {
        match byte {
            b'[' => {
                self.nesting.advance(byte);
                self.phase = ArrayPhase::Inside;
                Ok(())
            }
            _ if is_space(byte) || BYTE_ORDER_MARK.contains(&byte) => Ok(()),
            _ => Err(invalid_data(format!("byte {} is not the start of a JSON array", self.offset))),
        }
    }

    fn step_inside(&mut self, byte: u8) -> (bool, Option<u8>) {
        let between = self.nesting.depth == 1 && !self.nesting.in_string;
        if between {
            match byte {
                b',' => return (false, Some(self.end_element())),
                b']' => {
                    self.phase = ArrayPhase::After;
                    // An empty array has no element. After a comma there is one, even if it is empty.
                    let owed = self.element_start.is_some() || self.elements > 0;
                    return (false, owed.then(|| self.end_element()));
                }
                _ if is_space(byte) => {
                    self.space |= self.element_start.is_some();
                    return (false, None);
                }
                _ => {}
            }
        }
        self.element_start.get_or_insert(self.offset);
        let written = match byte {
            b'\n' if self.nesting.in_string => b'\r',
            b'\n' => b' ',
            other => other,
        };
        self.nesting.advance(byte);
        if self.nesting.depth == 0 {
            // A brace closed the array's bracket. The array ends here, and anything that follows is an error.
            self.phase = ArrayPhase::After;
        }
        (std::mem::take(&mut self.space), Some(written))
    }

    fn end_element(&mut self) -> u8 {
        self.elements += 1;
        self.element_start = None;
        self.space = false;
        b'\n'
    }

    fn trailing_data_error(&self) -> io::Error {
        invalid_data(format!(
            "the JSON array ends after element {} and more follows it, at byte {} of the text. A recording is one array, or \
             one object per line: export it again, or remove what follows",
            self.elements, self.offset
        ))
    }

    fn unclosed_array_error(&self) -> io::Error {
        let inside = match self.element_start {
            Some(start) => format!("in element {}, which begins at byte {start} of the text", self.elements + 1),
            None => format!("after element {}", self.elements),
        };
        invalid_data(format!(
            "the JSON array is not closed: the file ends {inside}. It was truncated, or is still being written: read it again \
             once it is complete"
        ))
    }
}

fn invalid_data(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: Read> Read for ArrayLines<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < into.len() {
            if let Some(byte) = self.carried.take() {
                into[written] = byte;
                written += 1;
                continue;
            }
            if self.start == self.end {
                if written > 0 {
                    break;
                }
                if !self.fill()? {
                    return if self.phase == ArrayPhase::After { Ok(0) } else { Err(self.unclosed_array_error()) };
                }
            }
            let byte = self.buffer[self.start];
            let (space, output) = match self.step(byte) {
                Ok(output) => output,
                // Return what was written first. The same byte fails again at the next call.
                Err(_) if written > 0 => break,
                Err(failed) => return Err(failed),
            };
            self.start += 1;
            self.offset += 1;
            match (space, output) {
                (true, output) => {
                    into[written] = b' ';
                    written += 1;
                    self.carried = output;
                }
                (false, Some(output)) => {
                    into[written] = output;
                    written += 1;
                }
                (false, None) => {}
            }
        }
        Ok(written)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A text that is read in chunks of this many bytes.
    struct ChunkedText<'a>(&'a [u8], usize);

    impl Read for ChunkedText<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let room = buffer.len().min(self.1);
            self.0.read(&mut buffer[..room])
        }
    }

    /// The lines of a text, and the error at its end.
    fn lines(text: &str, at_a_time: usize) -> (String, Option<String>) {
        let mut reader = ArrayLines::new(ChunkedText(text.as_bytes(), at_a_time));
        let (mut all, mut buffer) = (Vec::new(), vec![0; at_a_time]);
        let failed = loop {
            match reader.read(&mut buffer) {
                Ok(0) => break None,
                Ok(got) => all.extend_from_slice(&buffer[..got]),
                Err(failed) => break Some(failed.to_string()),
            }
        };
        (String::from_utf8(all).unwrap(), failed)
    }

    #[test]
    fn elements_become_lines_at_any_boundary() {
        for (text, wanted) in [
            ("[]", ""),
            (" [ \n ] \n", ""),
            ("[{\"a\":1},{\"b\":[2,3]}]", "{\"a\":1}\n{\"b\":[2,3]}\n"),
            ("\u{feff}[\n  {\n    \"a\": 1\n  },\n  {\"b\": 2}\n]\n", "{     \"a\": 1   }\n{\"b\": 2}\n"),
            (r#"["],[", "\"],\\", {"a":"}{\\\""}]"#, "\"],[\"\n\"\\\"],\\\\\"\n{\"a\":\"}{\\\\\\\"\"}\n"),
            ("[1 , null,\r\n[[]]\r\n]", "1\nnull\n[[]]\n"),
            ("[,{}, ]", "\n{}\n\n"),
            ("[{} {}\n{}]", "{} {} {}\n"),
            ("[\"a\nb\"]", "\"a\rb\"\n"),
            ("[\"é\u{1f600}\"]", "\"é\u{1f600}\"\n"),
        ] {
            for at_a_time in [1, 2, 3, 7, 100] {
                assert_eq!(lines(text, at_a_time), (wanted.to_owned(), None), "{text} by {at_a_time}");
            }
        }
    }

    #[test]
    fn incomplete_array_fails_after_its_complete_elements() {
        for (text, whole, failure) in [
            ("[{\"a\":1},{\"b\":", "{\"a\":1}\n", "in element 2, which begins at byte 9"),
            ("[{\"a\":1},", "{\"a\":1}\n", "ends after element 1"),
            ("[", "", "ends after element 0"),
            ("[{}]\n{}", "{}\n", "after element 1 and more follows it, at byte 5"),
            ("[{}}, {}]", "{}}", "more follows it, at byte 4"),
        ] {
            for at_a_time in [1, 3, 100] {
                let (lines, failed) = lines(text, at_a_time);
                assert!(lines.starts_with(whole), "{text}: {lines}");
                assert!(failed.as_deref().unwrap_or_default().contains(failure), "{text}: {failed:?}");
            }
        }
    }

    #[test]
    fn layout_is_detected_by_the_beginning() {
        use RecordLayout::{Array, Lines};
        for (text, whole, growing) in [
            ("", Lines, Lines),
            ("{\"ind\":1}\n", Lines, Lines),
            ("\n[{\"ind\":1}]", Array, Lines),
            ("[]", Array, Lines),
            ("[]\n{\"ind\":1}\n", Lines, Lines),
            ("[{\"ind\":1},{\"ind\":2}]\n", Array, Lines),
            ("\u{feff}[{\"a\":[1,2],\"index\": 1}]", Array, Lines),
            ("[{\"value\":{\"ind\":1}}]\n", Lines, Lines),
            ("[{\"value\":{\"ind\":1}}]\n[{\"value\":{\"ind\":2}}]\n", Lines, Lines),
            ("[{\"x\":\"ind\"},{\"ind\":2}]", Lines, Lines),
            ("[{\"ind\":1}]\n{\"ind\":2}\n", Lines, Lines),
            ("[\n{\"ind\":1}\n]\n", Array, Array),
            ("[{\"ind\":1},\n{\"ind\":2}]\n", Array, Array),
            ("[\n  {\"value\": {\"ind\":1}}\n]\n", Array, Array),
            ("[{\"ind\":1}", Array, Lines),
            ("[{\"value\":", Lines, Lines),
            ("[{\"value\":{\"ind\":1\n{\"ind\":2}\n", Lines, Lines),
            ("[{\"text\":\"cut of\n{\"ind\":2}\n", Lines, Lines),
        ] {
            for at_a_time in [1, 2, 100] {
                let detect =
                    |grows| detect_layout(&mut ChunkedText(text.as_bytes(), at_a_time), 1 << 20, grows).unwrap();
                assert_eq!((detect(false), detect(true)), (whole, growing), "{text}");
            }
        }
        let long = format!("[{{\"ind\":1}}{}", ",{}".repeat(1_000));
        assert_eq!(detect_layout(&mut long.as_bytes(), 100, false).unwrap(), Array, "longer than a line may be");
    }

    #[test]
    fn deep_nesting_is_read_in_constant_memory() {
        let deep = format!("[{}{}]", "[".repeat(1 << 20), "]".repeat(1 << 20));
        let mut all = String::new();
        ArrayLines::new(deep.as_bytes()).read_to_string(&mut all).unwrap();
        assert_eq!(all.len(), deep.len() - 1);
    }
}
