//! `LIKE`: patterns with `%` for any characters and `_` for one character.
//!
//! The time is linear in the length of the text for patterns without `_`, and at most the product of both lengths
//! otherwise. There is no recursion.

use std::borrow::Cow;

/// The most pairs of characters that are compared.
const MAX_STEPS: usize = 1 << 28;

/// Whether a text and a pattern are short enough to be compared. Patterns without `_` and escape can have any length.
#[must_use]
pub fn is_comparable(text: &str, pattern: &str, escape: Option<char>) -> bool {
    text.len().saturating_mul(pattern.len()) <= MAX_STEPS || !pattern.contains('_') && escape.is_none()
}

/// Whether a text matches a pattern. An escape character at the end of a pattern stands for itself.
///
/// Case is ignored letter by letter, by Unicode's lower case.
#[must_use]
pub fn matches_like(text: &str, pattern: &str, escape: Option<char>, ignore_case: bool) -> bool {
    let (text, pattern) = if ignore_case {
        (lower_letters(text), lower_letters(pattern))
    } else {
        (Cow::Borrowed(text), Cow::Borrowed(pattern))
    };
    let escape = if ignore_case { escape.map(lower_letter) } else { escape };
    match escape {
        Some(escape) if pattern.contains(escape) => matches_escaped(&text, &pattern, escape),
        _ => matches_segments(&text, &pattern),
    }
}

fn lower_letter(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

/// Each letter in lower case, whatever stands beside it: `str::to_lowercase` looks at the end of a word, and a part of
/// a pattern has other ends than the text.
fn lower_letters(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
}

/// The pattern's parts between `%` are found one after the other, each as early as possible.
fn matches_segments(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('%') else {
        return matched_prefix(text, pattern) == Some(text.len());
    };
    let Some(start) = matched_prefix(text, first) else { return false };
    let mut text = &text[start..];
    let (middle, last) = rest.rsplit_once('%').unwrap_or(("", rest));
    for segment in middle.split('%') {
        match find_segment(text, segment) {
            Some(end) => text = &text[end..],
            None => return false,
        }
    }
    matches_suffix(text, last)
}

/// The length of the prefix of the text that a segment matches.
fn matched_prefix(text: &str, segment: &str) -> Option<usize> {
    if !segment.contains('_') {
        return text.starts_with(segment).then_some(segment.len());
    }
    let mut rest = text.chars();
    for expected in segment.chars() {
        let found = rest.next()?;
        if expected != '_' && expected != found {
            return None;
        }
    }
    Some(text.len() - rest.as_str().len())
}

/// The end of the first place in the text where a segment matches.
fn find_segment(text: &str, segment: &str) -> Option<usize> {
    if !segment.contains('_') {
        return text.find(segment).map(|start| start + segment.len());
    }
    let mut starts = text.char_indices().map(|(start, _)| start);
    starts.find_map(|start| matched_prefix(&text[start..], segment).map(|length| start + length))
}

fn matches_suffix(text: &str, segment: &str) -> bool {
    if !segment.contains('_') {
        return text.ends_with(segment);
    }
    let mut rest = text.chars().rev();
    segment.chars().rev().all(|expected| rest.next().is_some_and(|found| expected == '_' || expected == found))
}

/// A character of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PatternItem {
    Char(char),
    AnyChar,
    AnyChars,
}

fn parse_escaped(pattern: &str, escape: char) -> Vec<PatternItem> {
    let mut items = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(letter) = chars.next() {
        items.push(match letter {
            letter if letter == escape => PatternItem::Char(chars.next().unwrap_or(letter)),
            '%' => PatternItem::AnyChars,
            '_' => PatternItem::AnyChar,
            letter => PatternItem::Char(letter),
        });
    }
    items
}

/// On a mismatch, only the last `%` takes one more character: earlier ones need not be tried again.
fn matches_escaped(text: &str, pattern: &str, escape: char) -> bool {
    let items = parse_escaped(pattern, escape);
    let (mut rest, mut next) = (text.chars(), 0);
    let mut last_any = None;
    loop {
        match items.get(next) {
            Some(PatternItem::AnyChars) => {
                next += 1;
                last_any = Some((rest.clone(), next));
                continue;
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
            Some(item) => match rest.next() {
                None => return false,
                Some(found) if *item == PatternItem::AnyChar || *item == PatternItem::Char(found) => {
                    next += 1;
                    continue;
                }
                Some(_) => {}
            },
        }
        let Some((from, after)) = &mut last_any else { return false };
        if from.next().is_none() {
            return false;
        }
        (rest, next) = (from.clone(), *after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        let plain = matches_like(text, pattern, None, false);
        assert_eq!(plain, matches_escaped(text, pattern, '\u{1}'), "{text} LIKE {pattern}, by both algorithms");
        plain
    }

    #[test]
    fn wildcards_match_any_characters_and_one_character() {
        assert!(like("", "") && like("", "%") && like("", "%%") && !like("", "_") && !like("a", ""));
        assert!(
            like("abc", "abc") && like("abc", "a%") && like("abc", "%c") && like("abc", "%b%") && like("abc", "___")
        );
        assert!(like("aXbXc", "a%X%c") && like("abcabc", "%abc") && like("äöü", "_ö_") && like("äöü", "%_ü"));
        assert!(
            !like("abc", "ab")
                && !like("abc", "bc")
                && !like("abc", "%b")
                && !like("abc", "____")
                && !like("ab", "a%ab")
        );
        assert!(like("aab", "%a_") && !like("aba", "%ab_%b") && like("xabcaby", "%ab_"));
    }

    #[test]
    fn escaped_wildcards_stand_for_themselves() {
        let like = |text, pattern| matches_like(text, pattern, Some('!'), false);
        assert!(like("10%", "10!%") && !like("100", "10!%") && like("a_b", "%!_%") && !like("ab", "%!_%"));
        assert!(like("a!", "a!!") && like("a!", "a!"));
    }

    #[test]
    fn case_is_ignored_letter_by_letter() {
        let ilike = |text, pattern| matches_like(text, pattern, None, true);
        assert!(ilike("CHRISTMAS", "%christ%") && ilike("ÄRGER", "är%") && ilike("ΟΔΟΣ", "%οσ") && !ilike("a", "b"));
    }

    #[test]
    fn many_wildcards_over_a_long_text_take_no_exponential_time() {
        let text = "a".repeat(20_000);
        assert!(!like(&text, &format!("{}b", "a%".repeat(30))));
        assert!(!matches_like(&text, &"%a_".repeat(20).replace('a', "b"), None, false));
    }
}
