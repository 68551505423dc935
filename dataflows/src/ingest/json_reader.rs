//! A strict reader of JSON text (RFC 8259). Unlike a general parser it reports the byte offsets of values and errors,
//! and keeps numbers as written.

use std::borrow::Cow;

use crate::record::JsonString;
use crate::rejection::RejectionReason;

/// Where and why a text is not valid. Boxed because errors are rare: without them a result fits in registers.
pub(super) type JsonError = Box<JsonErrorDetail>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonErrorDetail {
    pub(super) reason: RejectionReason,
    /// The offset from the start of the text, bytes.
    pub(super) at: usize,
    pub(super) what: Cow<'static, str>,
}

/// The greatest configurable nesting depth: `skip_value` keeps one bit of a `u64` per level.
pub(super) const DEPTH_MAX: usize = 64;

/// Reads a text from front to back.
#[derive(Debug)]
pub(super) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    depth_max: usize,
}

impl<'a> JsonReader<'a> {
    /// `depth_max` is how deeply arrays and objects may nest, at most [`DEPTH_MAX`].
    pub(super) fn new(text: &'a str, depth_max: usize) -> JsonReader<'a> {
        JsonReader { text, at: 0, depth_max: depth_max.min(DEPTH_MAX) }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    fn remaining(&self) -> &'a [u8] {
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
    fn unexpected_input(&self, wanted: &str) -> JsonError {
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

    /// Consumes `expected` if it comes next, and returns whether it did.
    #[inline]
    pub(super) fn consume(&mut self, expected: &[u8]) -> bool {
        let there = self.remaining().starts_with(expected);
        if there {
            self.at += expected.len();
        }
        there
    }

    /// Skips white space and consumes a byte that must follow.
    #[inline]
    pub(super) fn expect_byte(&mut self, byte: u8, name: &str) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.peek() != Some(byte) {
            return Err(self.unexpected_input(name));
        }
        self.at += 1;
        Ok(())
    }

    /// After a member or element: consumes a comma (true) or the closing bracket `close` (false).
    #[inline]
    pub(super) fn has_more(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_whitespace();
        let more = match self.peek() {
            Some(b',') => true,
            Some(byte) if byte == close => false,
            _ => return Err(self.unexpected_input(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        };
        self.at += 1;
        Ok(more)
    }

    /// Checks that only white space follows.
    pub(super) fn expect_end(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        match self.text.len() - self.at {
            0 => Ok(()),
            bytes => Err(self.error(RejectionReason::TrailingBytes, format!("{bytes} bytes follow the JSON value"))),
        }
    }

    /// Reads a string. Its escapes are checked to be well-formed but not decoded.
    #[inline]
    pub(super) fn read_string(&mut self) -> Result<JsonString<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected_input("a string"));
        }
        let from = self.at + 1;
        self.at = from;
        let mut escaped = false;
        loop {
            self.at += plain_prefix_len(self.remaining());
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
        let length = match self.remaining() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => 6,
            _ => return Err(self.error(RejectionReason::NotJson, "an escape that JSON does not have")),
        };
        self.at += length;
        Ok(())
    }

    /// Reads a number and returns it as written.
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
        if self.at == from { Err(self.unexpected_input("a digit")) } else { Ok(()) }
    }

    /// Reads `true`, `false` or `null`.
    pub(super) fn read_literal(&mut self) -> Result<&'static str, JsonError> {
        for word in ["null", "true", "false"] {
            if self.consume(word.as_bytes()) {
                return Ok(word);
            }
        }
        Err(self.unexpected_input("a JSON value"))
    }

    /// Skips one value inside `depth` open levels and returns it as written.
    ///
    /// It is iterative, so no input can exhaust the stack.
    pub(super) fn skip_value(&mut self, depth: usize) -> Result<&'a str, JsonError> {
        let from = self.at;
        // One bit per open level, the innermost lowest: 1 for an object, 0 for an array.
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
            // A value has ended: close all levels that end with it.
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

    /// Skips a scalar or an empty array or object (`None`). Of a non-empty one it skips only the opening bracket and
    /// returns whether it is an object.
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

    /// Checks that another level may open inside `depth` open ones.
    pub(super) fn check_depth(&self, depth: usize) -> Result<(), JsonError> {
        if depth < self.depth_max {
            return Ok(());
        }
        Err(self.error(RejectionReason::TooDeep, format!("nested more than {} levels deep", self.depth_max)))
    }

    /// Skips a key and its colon.
    fn skip_key(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        self.read_string()?;
        self.expect_byte(b':', "`:`")
    }
}

/// The number of bytes up to the first quote, backslash or control character.
#[inline]
fn plain_prefix_len(bytes: &[u8]) -> usize {
    let (chunks, rest) = bytes.as_chunks::<CHUNK_BYTES>();
    let mut before = 0;
    for chunk in chunks {
        // No early exit and byte-sized values: so the compiler compares a whole chunk at once.
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

/// The same result as [`plain_prefix_len`], eight bytes at a time.
#[inline]
fn plain_prefix_len_by_word(bytes: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    const QUOTES: u64 = EACH * b'"' as u64;
    const BACKSLASHES: u64 = EACH * b'\\' as u64;
    // Sets the highest bit of each zero byte. It is exact up to the lowest zero byte, which is all that is needed.
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
