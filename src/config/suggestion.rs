//! "Did you mean": the nearest known word, and the table that a misplaced key belongs to.

use strsim::damerau_levenshtein;

use super::schema::{LISTS, QUESTION, TABLES, TOP};
use super::value_type::{ConfigKey, ValueType, shorten};
use crate::sources::SOURCES;

/// The known word that is most similar to `written`, if any is similar enough.
pub(super) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let word = plain(written);
    // A third of the letters may differ, and one in short words.
    let distance_max = (word.chars().count() / 3).clamp(1, 4);
    let scored = known.clone().map(|other| (damerau_levenshtein(&word, &plain(other)), other));
    let near = scored.filter(|(distance, _)| *distance <= distance_max).min_by_key(|(distance, _)| *distance);
    if let Some((_, other)) = near {
        return Some(other);
    }
    // Also accept an unambiguous prefix: `rate` for `rate_per_sec`, but no prefix of one or two letters.
    let mut longer = known.filter(|other| word.len() >= 3 && other.starts_with(&format!("{word}_")));
    match (longer.next(), longer.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// A suggestion for an unknown key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeySuggestion {
    /// Another key of the same table.
    ConfigKey(&'static str),
    /// The same or a similar key of other tables, as the text of the suggestion.
    Elsewhere(String),
    /// No known key is similar.
    Nothing,
}

/// Suggests a key for the unknown key `written` in a table with these keys. `table` is the table's name in errors.
pub(super) fn suggest(written: &str, keys: &[ConfigKey], table: &str) -> KeySuggestion {
    let names: Vec<&'static str> = keys.iter().map(|key| key.name).collect();
    let own = nearest(written, names.iter().copied());
    let homes = tables_with_key(written, table);
    match own {
        Some(own) if homes.is_empty() || damerau_levenshtein(own, written) <= 1 => KeySuggestion::ConfigKey(own),
        _ if !homes.is_empty() => KeySuggestion::Elsewhere(format!("it belongs {}", join(&homes))),
        _ => nearest_elsewhere(written, table),
    }
}

fn nearest_elsewhere(written: &str, table: &str) -> KeySuggestion {
    let all = all_tables();
    let names: Vec<&str> = all.iter().flat_map(|(_, keys)| keys.iter().map(|key| key.name)).collect();
    let Some(near) = nearest(written, names.into_iter()) else { return KeySuggestion::Nothing };
    match tables_with_key(near, table).first() {
        Some(home) => KeySuggestion::Elsewhere(format!("did you mean `{near}`? It belongs {home}")),
        None => KeySuggestion::Nothing,
    }
}

/// The tables other than `table` that have a key of this name, as texts.
fn tables_with_key(name: &str, table: &str) -> Vec<String> {
    if TABLES.iter().any(|(other, _)| *other == name) {
        return vec![format!("in a separate table: [{name}]")];
    }
    if LISTS.contains(&name) {
        return vec![format!("in a separate table: [[{name}]]")];
    }
    let all = all_tables();
    let has = |keys: &[ConfigKey]| keys.iter().any(|key| key.name == name);
    all.into_iter().filter(|(label, keys)| label != table && has(keys)).map(|(label, _)| place_text(&label)).collect()
}

fn place_text(label: &str) -> String {
    if label.is_empty() { "at the top of the file, before the first [table]".to_owned() } else { format!("to {label}") }
}

/// All tables, each with its name in errors.
fn all_tables() -> Vec<(String, &'static [ConfigKey])> {
    let mut all = vec![(String::new(), TOP)];
    all.extend(SOURCES.iter().map(|kind| (source_label(kind.name), kind.keys)));
    all.push((QUESTION_LABEL.to_owned(), QUESTION));
    for (name, keys) in TABLES {
        let inner = keys.iter().filter_map(|key| match key.value {
            ValueType::Table(keys) if *name == "answers" => Some((format!("[{name}.{}]", key.name), keys)),
            _ => None,
        });
        all.push((format!("[{name}]"), *keys));
        all.extend(inner);
    }
    all
}

/// The name of a question's table in errors.
pub(super) const QUESTION_LABEL: &str = "[[question]]";

/// The name of a source of this kind in errors.
pub(super) fn source_label(kind: &str) -> String {
    format!("[[source]] kind = \"{kind}\"")
}

/// Joins words with commas and `or`.
pub(super) fn join(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The error for an unknown key, and the similar key of the same table, if there is one.
pub(super) fn unknown_key(name: &str, keys: &[ConfigKey], label: &str) -> (String, Option<&'static str>) {
    match suggest(name, keys, label) {
        KeySuggestion::ConfigKey(meant) => (format!("unknown key; did you mean `{meant}`?"), Some(meant)),
        KeySuggestion::Elsewhere(what) => (format!("unknown key; {what}"), None),
        KeySuggestion::Nothing if label.is_empty() => {
            let tables: Vec<&str> = LISTS.iter().copied().chain(TABLES.iter().map(|(table, _)| *table)).collect();
            let what = format!("unknown key; known are pipeline and the tables {}", tables.join(", "));
            (what, None)
        }
        KeySuggestion::Nothing => {
            let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
            (format!("unknown key; known are {}", names.join(", ")), None)
        }
    }
}

/// The error for a value that is not one of the possible words.
pub(super) fn unknown_word(text: &str, words: &[&str], key: &ConfigKey) -> String {
    let near = nearest(text, words.iter().copied());
    let values = near.map_or("possible values".to_owned(), |near| format!("did you mean \"{near}\"? Possible values"));
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let possible = match key.value {
        ValueType::OneOf(_, expected) => expected.to_owned(),
        ValueType::Moment(_) => format!("{} or a time such as \"2026-01-01T00:00:00Z\"", quoted.join(", ")),
        _ => join(&quoted),
    };
    format!("unknown value {}; {values}: {possible}", shorten(&format!("{text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_word_is_suggested_and_far_ones_are_not() {
        let known = ["commit_rows_max", "commit_age_secs_max", "compact", "url", "rate_per_sec"];
        for (written, near) in [
            ("comit_rows_max", Some("commit_rows_max")),
            ("commit-rows-max", Some("commit_rows_max")),
            ("URL", Some("url")),
            ("ulr", Some("url")),
            ("rate", Some("rate_per_sec")),
            ("commit", None),
            ("surprise", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known.iter().copied()), near, "{written}");
        }
    }

    #[test]
    fn key_of_another_table_is_sent_there() {
        let elsewhere = |text: &str| KeySuggestion::Elsewhere(text.to_owned());
        assert_eq!(suggest("commit_rows_max", TOP, ""), elsewhere("it belongs to [tables]"));
        assert_eq!(suggest("tables", TOP, "[engine]"), elsewhere("it belongs in a separate table: [tables]"));
        let far = suggest("comit_rows_max", TOP, "[engine]");
        assert_eq!(far, elsewhere("did you mean `commit_rows_max`? It belongs to [tables]"));
        assert_eq!(suggest("pipelin", TOP, ""), KeySuggestion::ConfigKey("pipeline"));
        assert_eq!(suggest("surprise", TOP, ""), KeySuggestion::Nothing);
    }
}
