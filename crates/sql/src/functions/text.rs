//! Functions of texts. Positions and lengths are in characters (Unicode scalar values), from 1.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use crate::datum::Datum;
use crate::functions::{CallArguments, FunctionResult, MAX_TEXT_BYTES, NoResult, cast, lists};

fn text(value: impl AsRef<str>) -> FunctionResult {
    Ok(Datum::Text(CompactString::new(value)))
}

fn count(value: usize) -> FunctionResult {
    i64::try_from(value).map(Datum::Long).map_err(|_| NoResult)
}

/// Refuses a result of this length before it is made.
fn check_length(bytes: Option<usize>) -> Result<usize, NoResult> {
    bytes.filter(|bytes| *bytes <= MAX_TEXT_BYTES).ok_or(NoResult)
}

/// The byte at which the character of this index begins, or the end of the text.
fn byte_of(value: &str, index: usize) -> usize {
    if value.is_ascii() {
        return index.min(value.len());
    }
    value.char_indices().nth(index).map_or(value.len(), |(byte, _)| byte)
}

fn char_count(value: &str) -> usize {
    if value.is_ascii() { value.len() } else { value.chars().count() }
}

/// A count that is negative counts as 0.
fn clamp_count(value: i64) -> usize {
    usize::try_from(value.max(0)).unwrap_or(usize::MAX)
}

pub(super) fn lower(arguments: CallArguments<'_>) -> FunctionResult {
    text(arguments.text(0)?.to_lowercase())
}

pub(super) fn upper(arguments: CallArguments<'_>) -> FunctionResult {
    text(arguments.text(0)?.to_uppercase())
}

pub(super) fn initcap(arguments: CallArguments<'_>) -> FunctionResult {
    let mut result = String::new();
    let mut within_word = false;
    for letter in arguments.text(0)?.chars() {
        if within_word {
            result.extend(letter.to_lowercase());
        } else {
            result.extend(letter.to_uppercase());
        }
        within_word = letter.is_alphanumeric();
    }
    text(result)
}

pub(super) fn length(arguments: CallArguments<'_>) -> FunctionResult {
    count(char_count(arguments.text(0)?))
}

pub(super) fn octet_length(arguments: CallArguments<'_>) -> FunctionResult {
    count(arguments.text(0)?.len())
}

pub(super) fn bit_length(arguments: CallArguments<'_>) -> FunctionResult {
    count(arguments.text(0)?.len() * 8)
}

/// The characters that are trimmed: spaces, or those of the second argument.
fn trimmed_chars(arguments: CallArguments<'_>) -> Result<BTreeSet<char>, NoResult> {
    Ok(if arguments.len() > 1 { arguments.text(1)?.chars().collect() } else { BTreeSet::from([' ']) })
}

pub(super) fn trim(arguments: CallArguments<'_>) -> FunctionResult {
    let chars = trimmed_chars(arguments)?;
    text(arguments.text(0)?.trim_matches(|letter| chars.contains(&letter)))
}

pub(super) fn trim_start(arguments: CallArguments<'_>) -> FunctionResult {
    let chars = trimmed_chars(arguments)?;
    text(arguments.text(0)?.trim_start_matches(|letter| chars.contains(&letter)))
}

pub(super) fn trim_end(arguments: CallArguments<'_>) -> FunctionResult {
    let chars = trimmed_chars(arguments)?;
    text(arguments.text(0)?.trim_end_matches(|letter| chars.contains(&letter)))
}

/// The part from a position, over a number of characters. As in SQLite: a position below 0 counts from the end, a
/// negative length takes the characters before the position.
pub(super) fn substring(arguments: CallArguments<'_>) -> FunctionResult {
    let value = arguments.text(0)?;
    let (start, length) = (i128::from(arguments.long(1)?), arguments.long_or(2, i64::MAX)?);
    let from = if start < 0 { start + char_count(value) as i128 } else { start - 1 };
    let other = from + i128::from(length);
    let index = |position: i128| usize::try_from(position.max(0)).unwrap_or(usize::MAX);
    let (first, last) = (index(from.min(other)), index(from.max(other)));
    text(&value[byte_of(value, first)..byte_of(value, last.max(first))])
}

/// How many characters `left` and `right` take: all but so many if negative.
fn taken_chars(value: &str, wanted: i64) -> usize {
    if wanted >= 0 {
        return clamp_count(wanted);
    }
    char_count(value).saturating_sub(usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX))
}

pub(super) fn left(arguments: CallArguments<'_>) -> FunctionResult {
    let value = arguments.text(0)?;
    text(&value[..byte_of(value, taken_chars(value, arguments.long(1)?))])
}

pub(super) fn right(arguments: CallArguments<'_>) -> FunctionResult {
    let value = arguments.text(0)?;
    let taken = taken_chars(value, arguments.long(1)?);
    text(&value[byte_of(value, char_count(value).saturating_sub(taken))..])
}

pub(super) fn concat(arguments: CallArguments<'_>) -> FunctionResult {
    concat_all(arguments.all(), "")
}

fn concat_all<'a>(values: impl Iterator<Item = &'a Datum>, separator: &str) -> FunctionResult {
    let mut result = CompactString::default();
    let mut is_first = true;
    for value in values {
        let Datum::Text(value) = value else { continue };
        if !is_first {
            result.push_str(separator);
        }
        is_first = false;
        check_length(result.len().checked_add(value.len()))?;
        result.push_str(value);
    }
    Ok(Datum::Text(result))
}

pub(super) fn concat_ws(arguments: CallArguments<'_>) -> FunctionResult {
    if arguments.get(0)?.is_null() {
        return Ok(Datum::Null);
    }
    concat_all(arguments.all().skip(1), arguments.text(0)?)
}

/// The elements of a list as one text; with a third argument in place of nulls.
pub(super) fn join_list(arguments: CallArguments<'_>) -> FunctionResult {
    let separator = arguments.text(1)?;
    let replacement = if arguments.len() > 2 { Some(arguments.get(2)?) } else { None };
    let mut values = Vec::new();
    for value in arguments.list(0)? {
        match (value, replacement) {
            (Datum::Null, None) => {}
            (Datum::Null, Some(replacement)) => values.push(replacement.clone()),
            (value, _) => values.push(Datum::Text(cast::text_of(value)?)),
        }
    }
    concat_all(values.iter(), separator)
}

pub(super) fn replace(arguments: CallArguments<'_>) -> FunctionResult {
    let (value, from, to) = (arguments.text(0)?, arguments.text(1)?, arguments.text(2)?);
    if from.is_empty() {
        return text(value);
    }
    if to.len() > from.len() {
        let growth = value.matches(from).count().checked_mul(to.len() - from.len());
        check_length(growth.and_then(|growth| growth.checked_add(value.len())))?;
    }
    text(value.replace(from, to))
}

pub(super) fn reverse(arguments: CallArguments<'_>) -> FunctionResult {
    text(arguments.text(0)?.chars().rev().collect::<String>())
}

pub(super) fn repeat(arguments: CallArguments<'_>) -> FunctionResult {
    let (value, times) = (arguments.text(0)?, clamp_count(arguments.long(1)?));
    check_length(value.len().checked_mul(times))?;
    text(value.repeat(if value.is_empty() { 0 } else { times }))
}

pub(super) fn space(arguments: CallArguments<'_>) -> FunctionResult {
    text(" ".repeat(check_length(Some(clamp_count(arguments.long(0)?)))?))
}

/// The text cut to a length, and the characters that are missing for it.
fn padded_parts<'a>(arguments: CallArguments<'a>) -> Result<(&'a str, String), NoResult> {
    let (value, length) = (arguments.text(0)?, clamp_count(arguments.long(1)?));
    let fill = if arguments.len() > 2 { arguments.text(2)? } else { " " };
    check_length(Some(length))?;
    let present = char_count(value);
    if length <= present {
        return Ok((&value[..byte_of(value, length)], String::new()));
    }
    if fill.is_empty() {
        // DuckDB refuses; Postgres and Spark leave the text as it is.
        return Ok((value, String::new()));
    }
    Ok((value, fill.chars().cycle().take(length - present).collect()))
}

pub(super) fn pad_left(arguments: CallArguments<'_>) -> FunctionResult {
    let (value, padding) = padded_parts(arguments)?;
    text(padding + value)
}

pub(super) fn pad_right(arguments: CallArguments<'_>) -> FunctionResult {
    let (value, padding) = padded_parts(arguments)?;
    text(value.to_owned() + &padding)
}

pub(super) fn starts_with(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::Bool(arguments.text(0)?.starts_with(arguments.text(1)?)))
}

pub(super) fn ends_with(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::Bool(arguments.text(0)?.ends_with(arguments.text(1)?)))
}

pub(super) fn contains(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::Bool(arguments.text(0)?.contains(arguments.text(1)?)))
}

/// The position of the first place of `part` from a character on, or 0.
fn position_from(value: &str, part: &str, from: usize) -> FunctionResult {
    let start = byte_of(value, from);
    if from > 0 && from > char_count(value) {
        return count(0);
    }
    match value[start..].find(part) {
        Some(found) => count(char_count(&value[..start + found]) + 1),
        None => count(0),
    }
}

pub(super) fn instr(arguments: CallArguments<'_>) -> FunctionResult {
    position_from(arguments.text(0)?, arguments.text(1)?, 0)
}

/// The part comes first, then the text, then where to begin.
pub(super) fn locate(arguments: CallArguments<'_>) -> FunctionResult {
    match arguments.long_or(2, 1)? {
        ..=0 => count(0),
        from => position_from(arguments.text(1)?, arguments.text(0)?, clamp_count(from - 1)),
    }
}

pub(super) fn split(arguments: CallArguments<'_>) -> FunctionResult {
    let (value, separator) = (arguments.text(0)?, arguments.text(1)?);
    if separator.is_empty() {
        return lists::make(value.chars().map(|letter| Datum::text(letter.encode_utf8(&mut [0; 4]))));
    }
    lists::make(value.split(separator).map(Datum::text))
}

/// A part by its number from 1, or from the end by a negative one; an empty text if there are fewer.
pub(super) fn split_part(arguments: CallArguments<'_>) -> FunctionResult {
    let (value, separator, number) = (arguments.text(0)?, arguments.text(1)?, arguments.long(2)?);
    let index = usize::try_from(number.unsigned_abs()).map_err(|_| NoResult)?.checked_sub(1).ok_or(NoResult)?;
    let part = match (separator.is_empty(), number > 0) {
        (true, _) => (index == 0).then_some(value),
        (false, true) => value.split(separator).nth(index),
        (false, false) => {
            // `rsplit` finds other places of overlapping separators.
            let parts: Vec<&str> = value.split(separator).collect();
            parts.len().checked_sub(index + 1).and_then(|index| parts.get(index).copied())
        }
    };
    text(part.unwrap_or_default())
}

/// Spark's: what is before the n-th separator, or, for a negative n, after the n-th one from the end.
pub(super) fn substring_index(arguments: CallArguments<'_>) -> FunctionResult {
    let (value, separator, number) = (arguments.text(0)?, arguments.text(1)?, arguments.long(2)?);
    let Some(skipped) = usize::try_from(number.unsigned_abs()).ok().and_then(|count| count.checked_sub(1)) else {
        return text("");
    };
    if separator.is_empty() {
        return text("");
    }
    let part = if number > 0 {
        value.match_indices(separator).nth(skipped).map(|(start, _)| &value[..start])
    } else {
        value.rmatch_indices(separator).nth(skipped).map(|(start, found)| &value[start + found.len()..])
    };
    text(part.unwrap_or(value))
}

pub(super) fn code_of_first(arguments: CallArguments<'_>) -> FunctionResult {
    Ok(Datum::Long(arguments.text(0)?.chars().next().map_or(0, |letter| i64::from(u32::from(letter)))))
}

pub(super) fn char_of_code(arguments: CallArguments<'_>) -> FunctionResult {
    let code = u32::try_from(arguments.long(0)?).map_err(|_| NoResult)?;
    text(char::from_u32(code).ok_or(NoResult)?.encode_utf8(&mut [0; 4]))
}

/// Characters of the second argument become those of the third at the same position, or are left out.
pub(super) fn translate(arguments: CallArguments<'_>) -> FunctionResult {
    let (from, to): (Vec<char>, Vec<char>) =
        (arguments.text(1)?.chars().collect(), arguments.text(2)?.chars().collect());
    let mut replacements = BTreeMap::new();
    for (index, letter) in from.into_iter().enumerate() {
        replacements.entry(letter).or_insert(to.get(index).copied());
    }
    let replaced = |letter: char| replacements.get(&letter).copied().unwrap_or(Some(letter));
    text(arguments.text(0)?.chars().filter_map(replaced).collect::<String>())
}
