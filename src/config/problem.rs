//! Problems of a configuration, and their places: line and column of a file, or a flag.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::schema::LISTS;
use super::value_type::shorten;
use pinflow_core::key_problem::KeyProblem;

/// A problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    /// Line and column in the file, both from 1, the column in characters. `None` if a flag set the value.
    pub place: Option<(usize, usize)>,
    /// The table and key, or the flag, with the problem and what to do.
    pub what: String,
}

/// The places of the keys of a file. A path names a key from the top, as in `tables.url` or `source.0.topics.pin`.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyPlaces {
    text: String,
    keys: BTreeMap<String, KeyPlace>,
    /// Keys whose errors are already reported. Errors of the values that replaced theirs are ignored.
    reported: BTreeSet<String>,
    /// The offset of the first syntax error. The text after it may be misread.
    pub(super) is_broken_from: Option<usize>,
}

#[derive(Debug, Clone)]
struct KeyPlace {
    key: usize,
    value: Range<usize>,
}

impl KeyPlaces {
    pub(super) fn new(text: &str) -> KeyPlaces {
        KeyPlaces { text: text.to_owned(), ..KeyPlaces::default() }
    }

    pub(super) fn add(&mut self, path: String, key: usize, value: Range<usize>) {
        self.keys.insert(path, KeyPlace { key, value });
    }

    /// Marks the errors of a key as reported.
    pub(super) fn mark_reported(&mut self, path: &str) {
        self.reported.insert(path.to_owned());
    }

    pub(super) fn unmark_reported(&mut self, path: &str) {
        self.reported.remove(path);
    }

    /// The offset of the header of the table at a path. `None` if the table has no header but is written in braces.
    pub(super) fn header_start_of(&self, path: &str) -> Option<usize> {
        let place = self.keys.get(path)?;
        let start = self.header_start(place.key);
        (start != place.key).then_some(start)
    }

    /// A problem at an offset in the text.
    pub(super) fn problem_at(&self, offset: usize, path: &str, what: &str) -> ConfigProblem {
        ConfigProblem { place: Some(self.line_and_column(offset)), what: with_label(path, what) }
    }

    /// The path of the innermost key whose value contains an offset.
    pub(super) fn path_at(&self, offset: usize) -> Option<&str> {
        let covering = self.keys.iter().filter(|(_, place)| place.value.contains(&offset) || place.key == offset);
        covering.min_by_key(|(path, place)| (place.value.len(), usize::MAX - path.len())).map(|(path, _)| path.as_str())
    }

    /// Locates a problem that a crate found in a value. `None` if the key's errors are already reported.
    pub(super) fn locate(&self, problem: &KeyProblem) -> Option<ConfigProblem> {
        // An entry of a list that cannot be read does not affect the others.
        let holders = ancestors(&problem.key).filter(|path| !LISTS.contains(path) || problem.key == *path);
        let is_reported = holders.into_iter().any(|path| self.reported.contains(path));
        let is_followup = problem.key.contains('.') && {
            let inside = format!("{}.", problem.key);
            !is_section(&problem.key) && self.reported.iter().any(|path| path.starts_with(&inside))
        };
        if is_reported || is_followup || self.is_doubtful(&problem.key) {
            return None;
        }
        let mut what = problem.what.clone();
        if problem.shows_value
            && let Some(place) = self.keys.get(&problem.key)
            && let Some(written) = self.text.get(place.value.clone())
        {
            what = format!("{what}, found {}", shorten(written));
        }
        if let Some(other) = &problem.conflicts_with
            && let Some(place) = self.keys.get(other)
        {
            let (line, _) = self.line_and_column(place.key);
            let (_, key) = table_and_key(other);
            what = format!("{what} (`{key}` is at line {line})");
        }
        let nearest = ancestors(&problem.key).find_map(|path| Some((path, self.keys.get(path)?)));
        let offset = nearest.map_or(0, |(path, place)| self.start_of(path, place));
        Some(self.problem_at(offset, &problem.key, &what))
    }

    /// Whether a key comes after a syntax error, so that its value or its absence may be misread.
    fn is_doubtful(&self, path: &str) -> bool {
        let is_certain = |broken: usize| self.keys.get(path).is_some_and(|place| place.value.end <= broken);
        self.is_broken_from.is_some_and(|broken| !is_certain(broken))
    }

    /// The offset that errors of a key point to: the header of a table, or else the value.
    fn start_of(&self, path: &str, place: &KeyPlace) -> usize {
        let is_inline = matches!(self.text.as_bytes().get(place.value.start), Some(b'{'));
        if is_section(path) && !is_inline { self.header_start(place.key) } else { place.value.start }
    }

    /// The start of the `[table]` header whose name is at `offset`. For a key without brackets, `offset` itself.
    pub(super) fn header_start(&self, offset: usize) -> usize {
        let line_start = self.text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let line = self.text.get(line_start..).unwrap_or_default();
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if line[indent..].starts_with('[') { line_start + indent } else { offset }
    }

    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
        (line, column)
    }
}

/// A path and the paths of its parents, innermost first.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('.').map(|(outer, _)| outer))
}

/// Whether a path names a table that has its own header.
fn is_section(path: &str) -> bool {
    !path.is_empty() && table_and_key(path).1.is_empty()
}

/// The table of a path as errors name it, and the key within it.
fn table_and_key(path: &str) -> (String, &str) {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match first {
        "pipeline" => (String::new(), path),
        list if LISTS.contains(&list) => (format!("[[{list}]]"), rest.split_once('.').map_or("", |(_, key)| key)),
        "answers" => match rest.split_once('.').unwrap_or((rest, "")) {
            (table @ ("delta" | "postgres" | "mysql"), key) => (format!("[answers.{table}]"), key),
            _ => ("[answers]".to_owned(), rest),
        },
        _ => (format!("[{first}]"), rest),
    }
}

/// The text of a problem, preceded by its table and key.
fn with_label(path: &str, what: &str) -> String {
    match table_and_key(path) {
        _ if path.is_empty() => what.to_owned(),
        (table, "") => format!("{table}: {what}"),
        (table, key) if table.is_empty() => format!("{key}: {what}"),
        (table, key) => {
            let label = format!("{table} {key}");
            // Errors of locations already name the setting, because locations are also read from flags and arguments.
            let what = what.strip_prefix(&label).map_or(what, str::trim_start);
            format!("{label}: {what}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_named_as_they_are_written() {
        for (path, text) in [
            ("", "x"),
            ("pipeline", "pipeline: x"),
            ("tables", "[tables]: x"),
            ("tables.url", "[tables] url: x"),
            ("source.1", "[[source]]: x"),
            ("source.1.topics.pin", "[[source]] topics.pin: x"),
            ("question.0", "[[question]]: x"),
            ("question.0.file", "[[question]] file: x"),
            ("answers.delta", "[answers.delta]: x"),
            ("answers.delta.url", "[answers.delta] url: x"),
            ("answers.postgres.url", "[answers.postgres] url: x"),
            ("answers.url", "[answers] url: x"),
            ("gateway.kafka.tls.key", "[gateway] kafka.tls.key: x"),
        ] {
            assert_eq!(with_label(path, "x"), text);
        }
    }

    #[test]
    fn columns_count_characters() {
        let places = KeyPlaces::new("é = 1\nü = 'ä' # x\n");
        assert_eq!(places.line_and_column(0), (1, 1));
        assert_eq!(places.line_and_column("é = 1\nü = ".len()), (2, 5));
        assert_eq!(places.line_and_column(1), (1, 1), "within a character");
        assert_eq!(places.line_and_column(999), (3, 1));
    }
}
