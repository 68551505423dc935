//! JSON strings as written, unescaped only where needed.

use std::borrow::Cow;

/// The part of a well-formed JSON string between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonString<'a> {
    written: &'a str,
    escaped: bool,
}

/// An escape of half a surrogate pair, which no UTF-8 text can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a lone surrogate at byte {at} of the string, which no UTF-8 text holds")]
pub struct LoneSurrogate {
    /// The offset from the start of the string as written, bytes.
    pub at: usize,
}

impl<'a> JsonString<'a> {
    /// `escaped` says whether `written` contains a backslash.
    #[must_use]
    pub fn new(written: &'a str, escaped: bool) -> JsonString<'a> {
        JsonString { written, escaped }
    }

    /// A string without escapes.
    #[must_use]
    pub fn without_escapes(text: &'a str) -> JsonString<'a> {
        JsonString::new(text, false)
    }

    /// The text of the string. Borrowed if nothing is escaped.
    ///
    /// # Errors
    /// If an escape is half a surrogate pair.
    #[inline]
    pub fn unescape(self) -> Result<Cow<'a, str>, LoneSurrogate> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.written));
        }
        let mut text = String::with_capacity(self.written.len());
        self.unescape_into(&mut text)?;
        Ok(Cow::Owned(text))
    }

    /// Appends the text of the string to `text`.
    ///
    /// # Errors
    /// If an escape is half a surrogate pair. The part before it has been appended.
    pub fn unescape_into(self, text: &mut String) -> Result<(), LoneSurrogate> {
        let mut rest = self.written;
        while let Some(at) = rest.find('\\') {
            text.push_str(&rest[..at]);
            let escape = &rest[at..];
            let at = self.written.len() - escape.len();
            let (character, length) = unescape_char(escape.as_bytes()).ok_or(LoneSurrogate { at })?;
            text.push(character);
            rest = &escape[length..];
        }
        text.push_str(rest);
        Ok(())
    }

    /// Whether both have the same text, however it is escaped.
    #[must_use]
    pub fn has_same_content(self, other: JsonString<'_>) -> bool {
        self.unescape() == other.unescape()
    }
}

/// The character of a well-formed escape, and the length of the escape. `None` for half a surrogate pair.
fn unescape_char(escape: &[u8]) -> Option<(char, usize)> {
    let plain = match escape.get(1)? {
        b'u' => {
            let first = code_unit(escape)?;
            if let Some(character) = char::from_u32(first) {
                return Some((character, 6));
            }
            let second = code_unit(escape.get(6..)?)?;
            let pair = (0xD800..0xDC00).contains(&first) && (0xDC00..0xE000).contains(&second);
            let code = 0x1_0000 + ((first & 0x3FF) << 10 | second & 0x3FF);
            return if pair { Some((char::from_u32(code)?, 12)) } else { None };
        }
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        &other => char::from(other),
    };
    Some((plain, 2))
}

/// The value of the four digits of `\uXXXX`.
fn code_unit(escape: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = escape.get(..6)? else { return None };
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// The strings of a well-formed JSON array, in order. Ends with `Err` at the first element that is not a string.
pub fn array_strings(array: &str) -> impl Iterator<Item = Result<JsonString<'_>, NotAString>> {
    let mut rest = array.strip_prefix('[').unwrap_or_default();
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
        let Some(string) = rest.strip_prefix('"') else {
            let over = rest.is_empty() || rest == "]";
            rest = "";
            return if over { None } else { Some(Err(NotAString)) };
        };
        let (text, after) = split_string(string);
        rest = after;
        Some(Ok(text))
    })
}

/// An element of the array is not a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAString;

/// The string up to its closing quote, and the rest after the quote.
fn split_string(string: &str) -> (JsonString<'_>, &str) {
    let (mut escaped, mut from) = (false, 0);
    while let Some(found) = string.get(from..).and_then(|rest| rest.find(['"', '\\'])) {
        let at = from + found;
        if string[at..].starts_with('"') {
            return (JsonString::new(&string[..at], escaped), &string[at + 1..]);
        }
        // The byte after a backslash is ASCII in a well-formed string.
        (escaped, from) = (true, at + 2);
    }
    (JsonString::new(string, escaped), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_as_json() {
        for (written, says) in [
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"a\u0000b", "a\0b"),
            (r"\u00e9\u00E9", "éé"),
            (r"x\uD83C\uDF84y", "x🎄y"),
            (r"\u2026\u00a0", "…\u{a0}"),
            (r"\uFFFF\uFFFE", "\u{ffff}\u{fffe}"),
        ] {
            assert_eq!(JsonString::new(written, true).unescape().as_deref(), Ok(says), "{written}");
        }
        assert!(matches!(JsonString::without_escapes("é").unescape(), Ok(Cow::Borrowed("é"))));
    }

    #[test]
    fn lone_surrogate_is_an_error_with_its_offset() {
        for (written, at) in [
            (r"\ud800", 0),
            (r"ab\ud800cd", 2),
            (r"\ud800\u0041", 0),
            (r"\udc00\ud800", 0),
            (r"\ud800\ud800", 0),
            (r"\ud800\n1234", 0),
            (r"\ud83c\udf84\udf84", 12),
        ] {
            assert_eq!(JsonString::new(written, true).unescape(), Err(LoneSurrogate { at }), "{written}");
        }
    }

    #[test]
    fn array_strings_are_read_until_another_element() {
        let read = |array| array_strings(array).map(|text| text.map(JsonString::unescape)).collect::<Vec<_>>();
        let said = |texts: &[&'static str]| texts.iter().map(|&text| Ok(Ok(Cow::Borrowed(text)))).collect::<Vec<_>>();
        assert_eq!(read("[]"), []);
        assert_eq!(read("[ ]"), []);
        assert_eq!(read(r#"["a"]"#), said(&["a"]));
        assert_eq!(read("[ \"a\" ,\n\"\", \"b,]\" ]"), said(&["a", "", "b,]"]));
        assert_eq!(read(r#"["\"a\\", "🎄"]"#), said(&["\"a\\", "🎄"]));
        assert_eq!(read(r#"["a", 1, "b"]"#), [said(&["a"])[0].clone(), Err(NotAString)]);
        assert_eq!(read("[null]"), [Err(NotAString)]);
        assert_eq!(read("[[]]"), [Err(NotAString)]);
    }
}
