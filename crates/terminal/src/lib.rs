//! Text output for terminals: text from outside cannot control the terminal, and a closed output is no error.
//!
//! Topic names, file names, server responses and cells can contain anything. [`sanitize`] escapes characters that
//! control a terminal or reorder its text. [`SafeWriter`] applies it to everything that a command prints for people.

pub mod output;
pub mod panics;
mod progress_bars;
mod screen;
pub mod shutdown;

pub use progress_bars::{PROGRESS_BARS, add_progress_bar};
pub use screen::{AlternateScreen, can_redraw, held_logs, hold_log, restore_screen, size};

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// Whether a character controls the terminal or reorders the text around it: C0 and C1 controls, and the bidirectional
/// controls of Unicode. Line breaks and tabs do not count.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Line and paragraph separators break the line on some terminals.
        '\u{2028}' | '\u{2029}' => true,
        c => c.is_control(),
    }
}

/// Escapes the characters that control a terminal, as in `\u{1b}`. Keeps line breaks and tabs.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    sanitize_as(text, EscapeStyle::Text)
}

/// Escapes the characters that control a terminal in JSON text. The values stay the same.
#[must_use]
pub fn sanitize_json(text: &str) -> Cow<'_, str> {
    sanitize_as(text, EscapeStyle::Json)
}

fn sanitize_as(text: &str, escapes: EscapeStyle) -> Cow<'_, str> {
    if escapes == EscapeStyle::None || !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match escapes {
            _ if !is_unsafe(c) => safe.push(c),
            // All unsafe characters are in the basic multilingual plane.
            EscapeStyle::Json => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => safe.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(safe)
}

/// How unsafe characters are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EscapeStyle {
    /// As in Rust: `\u{1b}`.
    Text,
    /// As in JSON, where they only occur within strings: `\u001b`.
    Json,
    /// Unchanged, for output that no person reads.
    None,
}

/// Like [`sanitize`], but also escapes line breaks and tabs, for text of one line.
#[must_use]
pub fn sanitize_line(text: &str) -> String {
    let safe = sanitize(text);
    safe.replace('\n', "\\n").replace('\t', "\\t")
}

/// Shortens the text to `columns` cells of a terminal. `…` marks the cut.
#[must_use]
pub fn fit_width(text: &str, columns: usize) -> Cow<'_, str> {
    use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut width = 0;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width < columns
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    if columns > 0 {
        cut.push('…');
    }
    Cow::Owned(cut)
}

/// Writes a sanitized line to standard error. Errors are ignored.
pub fn write_error_line(line: &str) {
    if hold_log(format!("{}\n", sanitize(line)).as_bytes()) {
        return;
    }
    // A single write, so that lines of several threads do not mix.
    let _ = io::stderr().write_all(format!("{}\n", sanitize(line)).as_bytes());
}

/// What a [`SafeWriter`] does once its reader has closed the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenClosed {
    /// Discards further output: the command continues to its exit code.
    Discard,
    /// Returns an error: the command ends.
    Fail,
}

/// Standard output of a command that prints text or JSON (`is_json`). JSON is only escaped on a terminal.
#[must_use]
pub fn stdout(is_json: bool, when_closed: WhenClosed) -> SafeWriter<io::Stdout> {
    let escapes = match (is_json, io::stdout().is_terminal()) {
        (false, _) => EscapeStyle::Text,
        (true, true) => EscapeStyle::Json,
        (true, false) => EscapeStyle::None,
    };
    SafeWriter::new(io::stdout(), escapes, when_closed)
}

/// Sanitizes everything that is written to it. Bytes that are not UTF-8 are escaped too.
pub struct SafeWriter<W> {
    out: W,
    escapes: EscapeStyle,
    when_closed: WhenClosed,
    is_closed: bool,
    /// The start of an incomplete character, or a carriage return that a line feed may follow.
    rest: Vec<u8>,
}

impl<W: Write> SafeWriter<W> {
    /// Creates a writer to `out`.
    pub fn new(out: W, escapes: EscapeStyle, when_closed: WhenClosed) -> SafeWriter<W> {
        SafeWriter { out, escapes, when_closed, is_closed: false, rest: Vec::new() }
    }

    /// Whether the reader has closed the output.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_closed && self.when_closed == WhenClosed::Discard {
            return Ok(());
        }
        let written = self.out.write_all(bytes);
        self.note(written)
    }

    fn note(&mut self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                if self.when_closed == WhenClosed::Discard { Ok(()) } else { Err(error) }
            }
            result => result,
        }
    }

    /// Escapes the bytes of an incomplete character at the end.
    fn end_rest(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        let escaped: String = rest.iter().map(|byte| escape_byte(*byte, self.escapes)).collect();
        self.pass(escaped.as_bytes())
    }
}

fn escape_byte(byte: u8, escapes: EscapeStyle) -> String {
    match escapes {
        // A carriage return that no line feed follows; other bytes cannot be said in JSON.
        EscapeStyle::Json if byte == b'\r' => "\\r".to_owned(),
        EscapeStyle::Json => "\\ufffd".to_owned(),
        _ => format!("\\x{byte:02x}"),
    }
}

/// The sanitized text of the bytes, and the number of bytes at their end that must wait for more input.
fn sanitize_bytes(bytes: &[u8], escapes: EscapeStyle) -> (String, usize) {
    let mut safe = String::with_capacity(bytes.len());
    let mut left = bytes;
    loop {
        let (valid, invalid) = match std::str::from_utf8(left) {
            Ok(text) => (text, None),
            Err(error) => {
                let (valid, rest) = left.split_at(error.valid_up_to());
                (std::str::from_utf8(valid).unwrap_or_default(), Some((rest, error.error_len())))
            }
        };
        let is_last = invalid.is_none_or(|(_, length)| length.is_none());
        let waits_for_line_feed = is_last && invalid.is_none() && valid.ends_with('\r');
        let text = if waits_for_line_feed { &valid[..valid.len() - 1] } else { valid };
        // A line can end with CR LF, as in CSV.
        let mut lines = text.split("\r\n");
        safe.push_str(&sanitize_as(lines.next().unwrap_or_default(), escapes));
        for line in lines {
            safe.push_str("\r\n");
            safe.push_str(&sanitize_as(line, escapes));
        }
        match invalid {
            None => return (safe, usize::from(waits_for_line_feed)),
            Some((rest, None)) => return (safe, rest.len()),
            Some((rest, Some(length))) => {
                safe.extend(rest[..length].iter().map(|byte| escape_byte(*byte, escapes)));
                left = &rest[length..];
            }
        }
    }
}

impl<W: Write> Write for SafeWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.escapes == EscapeStyle::None {
            self.pass(bytes)?;
            return Ok(bytes.len());
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let (safe, waiting) = sanitize_bytes(&all, self.escapes);
        self.rest = all.split_off(all.len() - waiting);
        self.pass(safe.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_rest()?;
        if self.is_closed && self.when_closed == WhenClosed::Discard {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.note(flushed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(parts: &[&[u8]], escapes: EscapeStyle) -> String {
        let mut writer = SafeWriter::new(Vec::new(), escapes, WhenClosed::Fail);
        parts.iter().for_each(|part| writer.write_all(part).unwrap());
        writer.flush().unwrap();
        String::from_utf8(writer.out).unwrap()
    }

    #[test]
    fn controls_and_bidi_are_escaped_and_plain_text_is_borrowed() {
        assert!(matches!(sanitize("Zürich 東京 🎄\n\tליאור"), Cow::Borrowed(_)));
        assert_eq!(sanitize("\u{1b}[31mred\u{7}"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(
            sanitize("a\u{202e}b\u{2066}c\u{200f}d\u{9b}e\u{7f}"),
            "a\\u{202e}b\\u{2066}c\\u{200f}d\\u{9b}e\\u{7f}"
        );
        assert_eq!(sanitize_line("a\nb\tc\r"), "a\\nb\\tc\\u{d}");
    }

    #[test]
    fn writer_sanitizes_however_the_bytes_are_cut() {
        let text = "é\u{1b}]0;x\u{7}\u{202e}東\r\nok\rno\n".as_bytes();
        let whole = written(&[text], EscapeStyle::Text);
        assert_eq!(whole, "é\\u{1b}]0;x\\u{7}\\u{202e}東\r\nok\\u{d}no\n");
        for at in 0..text.len() {
            assert_eq!(written(&[&text[..at], &text[at..]], EscapeStyle::Text), whole, "cut at {at}");
        }
        assert_eq!(written(&[b"a\x9bb\xff", b"\xe2\x80"], EscapeStyle::Text), "a\\x9bb\\xff\\xe2\\x80");
    }

    #[test]
    fn json_stays_json_and_data_for_programs_stays_as_it_is() {
        let json = "{\"a\":\"\u{202e}\u{9b}\"}\n";
        let shown = written(&[json.as_bytes()], EscapeStyle::Json);
        assert_eq!(shown, "{\"a\":\"\\u202e\\u009b\"}\n");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(json));
        assert_eq!(written(&[json.as_bytes()], EscapeStyle::None), json);
    }

    #[test]
    fn text_fits_width_of_cells_not_of_characters() {
        assert_eq!(fit_width("abc", 3), "abc");
        assert_eq!(fit_width("abcd", 3), "ab…");
        assert_eq!(fit_width("東京都", 5), "東京…");
        assert_eq!(fit_width("東京都", 4), "東…");
        assert_eq!(fit_width("ab", 0), "");
    }

    #[test]
    fn writer_discards_or_fails_once_reader_is_gone() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let mut discarding = SafeWriter::new(Gone, EscapeStyle::Text, WhenClosed::Discard);
        assert!(discarding.write_all(b"a").is_ok() && discarding.flush().is_ok() && discarding.is_closed());
        let mut failing = SafeWriter::new(Gone, EscapeStyle::Text, WhenClosed::Fail);
        assert!(failing.write_all(b"a").is_err() && failing.is_closed());
    }
}
