//! Names of questions.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

/// The most characters of a name.
const NAME_LENGTH_MAX: usize = 63;

/// The name of a question and its answer: `[A-Za-z_][A-Za-z0-9_]{0,62}`.
///
/// So it needs no escaping in a URL, a file name, a table name or SQL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionName(Arc<str>);

/// A text is no name of a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be the name of an answer; use a letter or _, then letters, digits or _, at most 63 in all")]
pub struct InvalidName(String);

impl QuestionName {
    /// The name with this text.
    ///
    /// # Errors
    /// [`InvalidName`]
    pub fn parse(text: &str) -> Result<QuestionName, InvalidName> {
        let is_first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let is_valid = text.as_bytes().first().is_some_and(is_first)
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && text.len() <= NAME_LENGTH_MAX;
        if is_valid { Ok(QuestionName(text.into())) } else { Err(InvalidName(text.to_owned())) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QuestionName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<QuestionName, InvalidName> {
        QuestionName::parse(text)
    }
}

impl Deref for QuestionName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for QuestionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for QuestionName {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for QuestionName {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for QuestionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_a_letter_or_underscore_then_letters_digits_or_underscores() {
        for name in ["a", "_", "Top10", "popular_category_by_year", &"x".repeat(63)] {
            assert_eq!(QuestionName::parse(name).expect(name), name);
        }
        for name in ["", "1a", "a-b", "a b", "é", "a/b", "a.b", &"x".repeat(64)] {
            assert!(QuestionName::parse(name).is_err(), "{name}");
        }
    }
}
