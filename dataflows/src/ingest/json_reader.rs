//! A strict reader of JSON text (RFC 8259) that keeps what the ledger needs: where a value begins and ends, at which
//! byte the text went wrong, and numbers as they were written.

use std::borrow::Cow;

use crate::record::JsonString;
use crate::rejection::RejectionReason;

/// Where a text goes wrong, and how. Boxed, as it is rare and results pass through registers without it.
pub(super) type JsonError = Box<JsonErrorDetail>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonErrorDetail {
    pub(super) reason: RejectionReason,
    /// Bytes from the beginning of the text.
    pub(super) at: usize,
    pub(super) what: Cow<'static, str>,
}

/// The deepest nesting that can be configured: one bit of a `u64` for each level.
pub(super) const DEPTH_MAX: usize = 64;

/// Reads a text from front to back.
#[derive(Debug)]
pub(super) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    depth_max: usize,
}

impl<'a> JsonReader<'a> {
    /// `depth_max`: how deeply arrays and objects may nest, at most [`DEPTH_MAX`].
    pub(super) fn new(text: &'a str, depth_max: usize) -> JsonReader<'a> {
        JsonReader { text, at: 0, depth_max: depth_max.min(DEPTH_MAX) }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[cold]
    pub(super) fn error(&self, reason: RejectionReason, what: impl Into<Cow<'static, str>>) -> JsonError {
        Box::new(JsonErrorDetail { reason, at: self.at, what: what.into() })
    }

    #[cold]
    fn unexpected(&self, wanted: &str) -> JsonError {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => "the end of the text".to_owned(),
            Some(found) => format!("{found:?}"),
        };
        self.error(RejectionReason::NotJson, format!("{found} where {wanted} must stand"))
    }

    /// Skips white space.
    #[inline]
    pub(super) fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `expected` if it comes next.
    #[inline]
    pub(super) fn consume(&mut self, expected: &[u8]) -> bool {
        let there = self.rest().starts_with(expected);
        if there {
            self.at += expected.len();
        }
        there
    }

    /// Takes a byte that must come next, after white space.
    #[inline]
    pub(super) fn expect_byte(&mut self, byte: u8, name: &str) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.peek() != Some(byte) {
            return Err(self.unexpected(name));
        }
        self.at += 1;
        Ok(())
    }

    /// After a member: true if a comma follows, false if `close` does.
    #[inline]
    pub(super) fn has_more(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_whitespace();
        let more = match self.peek() {
            Some(b',') => true,
            Some(byte) if byte == close => false,
            _ => return Err(self.unexpected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        };
        self.at += 1;
        Ok(more)
    }

    /// Nothing but white space may follow.
    pub(super) fn expect_end(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        match self.text.len() - self.at {
            0 => Ok(()),
            bytes => Err(self.error(RejectionReason::TrailingBytes, format!("{bytes} bytes follow the JSON value"))),
        }
    }

    /// A string. Its escapes are well-formed; which characters they mean is judged where it is read.
    #[inline]
    pub(super) fn read_string(&mut self) -> Result<JsonString<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a string"));
        }
        let from = self.at + 1;
        self.at = from;
        let mut escaped = false;
        loop {
            self.at += plain_prefix_len(self.rest());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(JsonString::new(&self.text[from..self.at - 1], escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.skip_escape()?;
                }
                Some(control) => {
                    return Err(
                        self.error(RejectionReason::NotJson, format!("control character {control:#04x} in a string"))
                    );
                }
                None => return Err(self.error(RejectionReason::NotJson, "the text ends inside a string")),
            }
        }
    }

    fn skip_escape(&mut self) -> Result<(), JsonError> {
        let length = match self.rest() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => 6,
            _ => return Err(self.error(RejectionReason::NotJson, "an escape that JSON does not have")),
        };
        self.at += length;
        Ok(())
    }

    /// A number, as written.
    #[inline]
    pub(super) fn read_number(&mut self) -> Result<&'a str, JsonError> {
        let from = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.skip_digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.skip_digits()?;
        }
        Ok(&self.text[from..self.at])
    }

    #[inline]
    fn skip_digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == from { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    /// `true`, `false` or `null`, as written.
    pub(super) fn read_literal(&mut self) -> Result<&'static str, JsonError> {
        for word in ["null", "true", "false"] {
            if self.consume(word.as_bytes()) {
                return Ok(word);
            }
        }
        Err(self.unexpected("a JSON value"))
    }

    /// Passes one value that stands `depth` levels deep, and gives it as written. Iterative: no input can exhaust the stack.
    pub(super) fn skip_value(&mut self, depth: usize) -> Result<&'a str, JsonError> {
        let from = self.at;
        // One bit for each open level, the innermost lowest: set for an object.
        let (mut objects, mut open) = (0_u64, 0);
        loop {
            let opened = self.skip_value_start(depth + open)?;
            if let Some(is_object) = opened {
                objects = (objects << 1) | u64::from(is_object);
                open += 1;
                if is_object {
                    self.skip_key()?;
                }
                continue;
            }
            // A value ended: close what it closes.
            while open > 0 {
                let is_object = objects & 1 == 1;
                if self.has_more(if is_object { b'}' } else { b']' })? {
                    if is_object {
                        self.skip_key()?;
                    }
                    break;
                }
                objects >>= 1;
                open -= 1;
            }
            if open == 0 {
                return Ok(&self.text[from..self.at]);
            }
        }
    }

    /// Passes a scalar, an empty array or an empty object (`None`), or only the bracket that opens a full one.
    fn skip_value_start(&mut self, depth: usize) -> Result<Option<bool>, JsonError> {
        self.skip_whitespace();
        match self.peek() {
            Some(b'"') => self.read_string().map(|_| None),
            Some(b'-' | b'0'..=b'9') => self.read_number().map(|_| None),
            Some(open @ (b'{' | b'[')) => {
                self.check_depth(depth)?;
                self.at += 1;
                self.skip_whitespace();
                let is_object = open == b'{';
                if self.consume(if is_object { b"}" } else { b"]" }) { Ok(None) } else { Ok(Some(is_object)) }
            }
            _ => self.read_literal().map(|_| None),
        }
    }

    /// Whether one more level may open where `depth` are open.
    pub(super) fn check_depth(&self, depth: usize) -> Result<(), JsonError> {
        if depth < self.depth_max {
            return Ok(());
        }
        Err(self.error(RejectionReason::TooDeep, format!("nested more than {} levels deep", self.depth_max)))
    }

    /// Passes a key and its colon.
    fn skip_key(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        self.read_string()?;
        self.expect_byte(b':', "`:`")
    }
}

/// How many bytes from the front are plain text: up to a quote, a backslash or a control character.
#[inline]
fn plain_prefix_len(bytes: &[u8]) -> usize {
    let (chunks, rest) = bytes.as_chunks::<CHUNK_BYTES>();
    let mut before = 0;
    for chunk in chunks {
        // Without an exit, and in bytes, the compiler compares all of a chunk at once.
        if chunk.iter().fold(0, |any, &byte| any | u8::from(is_special(byte))) != 0 {
            return before + plain_prefix_len_by_word(chunk);
        }
        before += CHUNK_BYTES;
    }
    before + plain_prefix_len_by_word(rest)
}

const CHUNK_BYTES: usize = 32;

#[inline]
fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// The same, eight bytes at a time within a word.
#[inline]
fn plain_prefix_len_by_word(bytes: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    const QUOTES: u64 = EACH * b'"' as u64;
    const BACKSLASHES: u64 = EACH * b'\\' as u64;
    // The highest bit of each byte that is zero; exact up to the lowest such byte, which is all that is asked.
    let zero = |word: u64| word.wrapping_sub(EACH) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut before = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(EACH * 0x20) & !word & HIGH;
        let special = zero(word ^ QUOTES) | zero(word ^ BACKSLASHES) | control;
        if special != 0 {
            return before + special.trailing_zeros() as usize / 8;
        }
        before += 8;
    }
    before + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}
