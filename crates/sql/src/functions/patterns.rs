//! Functions of regular expressions. The engine takes time linear in the length of the text.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Captures, Regex, RegexBuilder};

use crate::datum::Datum;
use crate::functions::{CallArguments, FunctionResult, MAX_TEXT_BYTES, NoResult, lists};

/// The size of a compiled expression, bytes: enough for a few thousand characters with Unicode classes.
const MAX_REGEX_BYTES: usize = 1 << 20;
/// How many compiled expressions a thread keeps. A question has a few constant ones.
const MAX_CACHED_REGEXES: usize = 64;
/// With how many flags a thread keeps an expression.
const MAX_CACHED_FLAGS: usize = 4;

/// The compiled expressions of one pattern, by their flags. `None` is one that is wrong.
type CompiledPattern = Vec<(String, Option<Regex>)>;

thread_local! {
    /// The patterns that this thread has compiled.
    static COMPILED: RefCell<HashMap<String, CompiledPattern>> = RefCell::default();
}

/// Compiles an expression with the flags of DuckDB and Postgres: `i` ignores case, `s` lets `.` match a line end, `m`
/// lets `^` and `$` match at lines, `g` (all places) and `c` are the caller's.
fn compile(pattern: &str, flags: &str) -> Result<Regex, String> {
    check_flags(flags)?;
    let pattern = if flags.contains('l') { regex::escape(pattern) } else { pattern.to_owned() };
    RegexBuilder::new(&pattern)
        .case_insensitive(flags.contains('i'))
        .dot_matches_new_line(flags.contains('s'))
        .multi_line(flags.contains('m'))
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(2 * MAX_REGEX_BYTES)
        .build()
        .map_err(|error| explain(&pattern, &error))
}

fn explain(pattern: &str, error: &regex::Error) -> String {
    let pattern: String = pattern.chars().take(60).collect();
    match error {
        regex::Error::CompiledTooBig(_) => format!("the regular expression '{pattern}' is too large"),
        error => {
            // The last line of a syntax error says what is wrong; those before it draw the place.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("'{pattern}' is no regular expression: {reason}")
        }
    }
}

/// Whether all flags are known.
pub(crate) fn check_flags(flags: &str) -> Result<(), String> {
    match flags.chars().find(|flag| !"cgilms".contains(*flag)) {
        Some(flag) => Err(format!("a regular expression has no flag `{flag}`; there are c, g, i, l, m and s")),
        None => Ok(()),
    }
}

/// Whether a constant expression can be used.
pub(crate) fn check_regex(pattern: &str) -> Result<(), String> {
    compile(pattern, "").map(drop)
}

/// Calls `use_regex` with the compiled expression.
fn with_regex(pattern: &str, flags: &str, use_regex: impl FnOnce(&Regex) -> FunctionResult) -> FunctionResult {
    COMPILED.with_borrow_mut(|compiled| {
        if !is_compiled(compiled, pattern, flags) {
            if compiled.len() >= MAX_CACHED_REGEXES {
                compiled.clear();
            }
            let by_flags = compiled.entry(pattern.to_owned()).or_default();
            by_flags.truncate(MAX_CACHED_FLAGS - 1);
            by_flags.push((flags.to_owned(), compile(pattern, flags).ok()));
        }
        let by_flags = compiled.get(pattern).and_then(|all| all.iter().find(|(known, _)| known == flags));
        match by_flags {
            Some((_, Some(regex))) => use_regex(regex),
            _ => Err(NoResult),
        }
    })
}

fn is_compiled(compiled: &HashMap<String, CompiledPattern>, pattern: &str, flags: &str) -> bool {
    compiled.get(pattern).is_some_and(|by_flags| by_flags.iter().any(|(known, _)| known == flags))
}

fn flags_at(arguments: CallArguments<'_>, index: usize) -> Result<&str, NoResult> {
    if index < arguments.len() { arguments.text(index) } else { Ok("") }
}

pub(super) fn matches_anywhere(arguments: CallArguments<'_>) -> FunctionResult {
    let text = arguments.text(0)?;
    with_regex(arguments.text(1)?, flags_at(arguments, 2)?, |regex| Ok(Datum::Bool(regex.is_match(text))))
}

pub(super) fn matches_whole(arguments: CallArguments<'_>) -> FunctionResult {
    let pattern = format!(r"\A(?:{})\z", arguments.text(1)?);
    let text = arguments.text(0)?;
    with_regex(&pattern, flags_at(arguments, 2)?, |regex| Ok(Datum::Bool(regex.is_match(text))))
}

pub(super) fn extract_first(arguments: CallArguments<'_>) -> FunctionResult {
    let text = arguments.text(0)?;
    let group = usize::try_from(arguments.long_or(2, 0)?).map_err(|_| NoResult)?;
    with_regex(arguments.text(1)?, "", |regex| {
        if group >= regex.captures_len() {
            return Err(NoResult);
        }
        let found = regex.captures(text).and_then(|captures| captures.get(group));
        Ok(Datum::text(found.map_or("", |found| found.as_str())))
    })
}

pub(super) fn extract_all(arguments: CallArguments<'_>) -> FunctionResult {
    let text = arguments.text(0)?;
    let group = usize::try_from(arguments.long_or(2, 0)?).map_err(|_| NoResult)?;
    with_regex(arguments.text(1)?, "", |regex| {
        if group >= regex.captures_len() {
            return Err(NoResult);
        }
        let found = |captures: Captures<'_>| Datum::text(captures.get(group).map_or("", |found| found.as_str()));
        lists::make(regex.captures_iter(text).map(found))
    })
}

pub(super) fn count_matches(arguments: CallArguments<'_>) -> FunctionResult {
    let text = arguments.text(0)?;
    with_regex(arguments.text(1)?, "", |regex| {
        i64::try_from(regex.find_iter(text).count()).map(Datum::Long).map_err(|_| NoResult)
    })
}

pub(super) fn split_by_regex(arguments: CallArguments<'_>) -> FunctionResult {
    let text = arguments.text(0)?;
    with_regex(arguments.text(1)?, "", |regex| lists::make(regex.split(text).map(Datum::text)))
}

/// Replaces the first place, or with the flag `g` all places.
pub(super) fn replace_matches(arguments: CallArguments<'_>) -> FunctionResult {
    let flags = flags_at(arguments, 3)?;
    replace_limited(arguments, flags, if flags.contains('g') { usize::MAX } else { 1 })
}

pub(super) fn replace_all_matches(arguments: CallArguments<'_>) -> FunctionResult {
    replace_limited(arguments, "", usize::MAX)
}

fn replace_limited(arguments: CallArguments<'_>, flags: &str, limit: usize) -> FunctionResult {
    let (text, replacement) = (arguments.text(0)?, arguments.text(2)?);
    with_regex(arguments.text(1)?, flags, |regex| {
        let mut result = String::new();
        let mut end = 0;
        for captures in regex.captures_iter(text).take(limit) {
            let Some(found) = captures.get(0) else { continue };
            result.push_str(&text[end..found.start()]);
            push_replacement(&mut result, replacement, &captures)?;
            end = found.end();
        }
        result.push_str(&text[end..]);
        Ok(Datum::text(&result))
    })
}

/// Groups are `\1` (DuckDB, Postgres) or `$1` (Spark); a backslash before another character takes its meaning away.
fn push_replacement(result: &mut String, replacement: &str, captures: &Captures<'_>) -> Result<(), NoResult> {
    let mut letters = replacement.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek().copied()) {
            ('\\' | '$', Some(digit)) if digit.is_ascii_digit() => {
                letters.next();
                let group = digit.to_digit(10).map_or(0, |digit| digit as usize);
                result.push_str(captures.get(group).map_or("", |found| found.as_str()));
            }
            ('\\', Some(next)) => {
                letters.next();
                result.push(next);
            }
            (letter, _) => result.push(letter),
        }
        if result.len() > MAX_TEXT_BYTES {
            return Err(NoResult);
        }
    }
    Ok(())
}
