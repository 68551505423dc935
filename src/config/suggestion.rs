//! "Did you mean": the nearest known word, and the table that a misplaced key belongs to.

use strsim::damerau_levenshtein;

use super::schema::{TABLES, TOP};
use super::value_type::{ConfigKey, ValueType};
use crate::sources::SOURCES;

/// The known word that `written` is most likely meant to be, if one is near.
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
    // `rate` for `rate_per_sec`, but not `a` for anything.
    let mut longer = known.filter(|other| word.len() >= 3 && other.starts_with(&format!("{word}_")));
    match (longer.next(), longer.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// What an unknown key is probably meant to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeySuggestion {
    /// Another key of the same table.
    ConfigKey(&'static str),
    /// The same key, or a similar one, in other tables: what to say.
    Elsewhere(String),
    /// Nothing known is like it.
    Nothing,
}

/// What the unknown `written` in a table with these keys is probably meant to be. `table` is how errors name the table.
pub(super) fn suggest(written: &str, keys: &[ConfigKey], table: &str) -> KeySuggestion {
    let names: Vec<&'static str> = keys.iter().map(|key| key.name).collect();
    let own = nearest(written, names.iter().copied());
    let homes = homes(written, table);
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
    match homes(near, table).first() {
        Some(home) => KeySuggestion::Elsewhere(format!("did you mean `{near}`? It belongs {home}")),
        None => KeySuggestion::Nothing,
    }
}

/// Where a key of this name belongs, except in `table`.
fn homes(name: &str, table: &str) -> Vec<String> {
    if TABLES.iter().any(|(other, _)| *other == name) {
        return vec![format!("into a table of its own: [{name}]")];
    }
    if name == "source" {
        return vec!["into a table of its own: [[source]]".to_owned()];
    }
    let all = all_tables();
    let has = |keys: &[ConfigKey]| keys.iter().any(|key| key.name == name);
    all.into_iter().filter(|(label, keys)| label != table && has(keys)).map(|(label, _)| home(&label)).collect()
}

fn home(label: &str) -> String {
    if label.is_empty() { "at the top of the file, before the first [table]".to_owned() } else { format!("to {label}") }
}

/// Every table that a key can be in, with the name that errors give it.
fn all_tables() -> Vec<(String, &'static [ConfigKey])> {
    let mut all = vec![(String::new(), TOP)];
    all.extend(SOURCES.iter().map(|kind| (source_label(kind.name), kind.keys)));
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

/// How errors name a source of this kind.
pub(super) fn source_label(kind: &str) -> String {
    format!("[[source]] kind = \"{kind}\"")
}

/// Words as a list for people.
pub(super) fn join(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
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
        assert_eq!(suggest("tables", TOP, "[engine]"), elsewhere("it belongs into a table of its own: [tables]"));
        let far = suggest("comit_rows_max", TOP, "[engine]");
        assert_eq!(far, elsewhere("did you mean `commit_rows_max`? It belongs to [tables]"));
        assert_eq!(suggest("pipelin", TOP, ""), KeySuggestion::ConfigKey("pipeline"));
        assert_eq!(suggest("surprise", TOP, ""), KeySuggestion::Nothing);
    }
}
