//! Configurations to start from: the examples of the project, with paths for another place.
//!
//! `pinflow init` prints them. The examples are tested, so what it prints works.

use super::json_schema::KeyDescriptions;
use super::schema::{QUESTION, TABLES};
use super::value_type::ConfigKey;
use crate::sources::source_kind;

/// A configuration to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ConfigTemplate {
    /// A folder of recorded posts, and Delta tables in a folder
    Recording,
    /// Three topics of a Kafka cluster
    Kafka,
    /// Amazon MSK with access control by IAM
    Msk,
    /// Three streams of Amazon Kinesis
    Kinesis,
    /// A gateway that takes records over HTTP and writes files, and a run that reads them
    Gateway,
}

impl ConfigTemplate {
    /// The path of the example below the project's folder, and its text.
    fn example(self) -> (&'static str, &'static str) {
        match self {
            ConfigTemplate::Recording => ("examples/quickstart.toml", include_str!("../../examples/quickstart.toml")),
            ConfigTemplate::Kafka => ("examples/kafka.toml", include_str!("../../examples/kafka.toml")),
            ConfigTemplate::Msk => ("examples/msk.toml", include_str!("../../examples/msk.toml")),
            ConfigTemplate::Kinesis => ("examples/kinesis.toml", include_str!("../../examples/kinesis.toml")),
            ConfigTemplate::Gateway => ("examples/gateway.toml", include_str!("../../examples/gateway.toml")),
        }
    }

    /// The text of the configuration. `name` is how the file is called in its comments. With `all_keys` every other key
    /// is appended to its table as a comment, with its default and meaning.
    #[must_use]
    pub fn text(self, name: &str, all_keys: bool) -> String {
        let (path, text) = self.example();
        // The examples keep their data in the folder `data` of the project, which is beside their own.
        let text = text.replace(path, name).replace("\"../data/", "\"data/");
        if all_keys { with_all_keys(&text) } else { text }
    }
}

/// Adds every key that a configuration does not have as a comment.
fn with_all_keys(text: &str) -> String {
    let descriptions = KeyDescriptions::load();
    let mut sections = split_sections(text);
    for section in &mut sections {
        let (table, keys) = section.table_and_keys();
        let missing: Vec<_> = keys.iter().filter(|key| !section.mentions(key.name)).collect();
        let lines: String = missing.iter().map(|key| key_comment(&descriptions, &table, key)).collect();
        section.append(&lines);
    }
    let mut whole: String = sections.iter().map(|section| section.text.as_str()).collect();
    let absent =
        TABLES.iter().filter(|(table, _)| !sections.iter().any(|section| section.header == format!("[{table}]")));
    for (header, table, keys) in
        absent.flat_map(|(table, keys)| nested_tables(table, keys)).chain(absent_questions(&sections))
    {
        let lines: String = keys.iter().map(|key| key_comment(&descriptions, &table, key)).collect();
        whole += &format!("\n# {header}\n{lines}");
    }
    whole
}

/// A table with its header and keys. `[answers]` only has tables below it, which are written with headers of their own.
fn nested_tables(table: &str, keys: &'static [ConfigKey]) -> Vec<(String, String, &'static [ConfigKey])> {
    if table != "answers" {
        return vec![(format!("[{table}]"), table.to_owned(), keys)];
    }
    let below = keys.iter().filter_map(|key| Some((key.name, key.value.table_keys()?)));
    below.map(|(name, keys)| (format!("[{table}.{name}]"), format!("{table}.{name}"), keys)).collect()
}

fn absent_questions(sections: &[ConfigSection]) -> Option<(String, String, &'static [ConfigKey])> {
    let is_there = sections.iter().any(|section| section.header == "[[question]]");
    (!is_there).then(|| ("[[question]]".to_owned(), "question".to_owned(), QUESTION))
}

/// The lines of a key: its meaning, and the key with its default, or an example if it has none.
fn key_comment(descriptions: &KeyDescriptions, table: &str, key: &ConfigKey) -> String {
    let found = descriptions.find(table, key.name);
    let meaning = found.as_ref().map(|found| found.meaning.as_str()).unwrap_or_default();
    let value = found.as_ref().and_then(|found| found.default.as_deref()).unwrap_or(key.example);
    format!("# {meaning}:\n# {} = {value}\n", key.name)
}

/// A table of a configuration as text, from its header to the next one.
struct ConfigSection {
    /// Empty for the lines before the first table.
    header: String,
    text: String,
}

/// Splits a text before each header of a table.
fn split_sections(text: &str) -> Vec<ConfigSection> {
    let mut sections = vec![ConfigSection { header: String::new(), text: String::new() }];
    for line in text.split_inclusive('\n') {
        if line.starts_with('[') {
            let header = line.split('#').next().unwrap_or_default().trim().to_owned();
            sections.push(ConfigSection { header, text: String::new() });
        }
        if let Some(section) = sections.last_mut() {
            section.text += line;
        }
    }
    sections
}

impl ConfigSection {
    /// The path of the table, as in `source.kafka`, and its keys.
    fn table_and_keys(&self) -> (String, &'static [ConfigKey]) {
        let name = self.header.trim_matches(['[', ']']);
        if name == "source" {
            let kind = self.text.lines().find_map(|line| line.strip_prefix("kind = \"")?.split('"').next());
            let keys = kind.and_then(source_kind).map_or(&[][..], |kind| kind.keys);
            return (format!("source.{}", kind.unwrap_or_default()), keys);
        }
        let keys = TABLES.iter().find(|(table, _)| *table == name).map_or(&[][..], |(_, keys)| keys);
        (name.to_owned(), keys)
    }

    /// Whether a key is set, or is there as a comment.
    fn mentions(&self, key: &str) -> bool {
        let mut plain = self.text.lines().map(|line| line.trim_start_matches(['#', ' ']));
        plain.any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')))
    }

    /// Adds lines before the empty ones at the end.
    fn append(&mut self, lines: &str) {
        let end = self.text.trim_end().len();
        let rest = self.text.split_off(end);
        if !lines.is_empty() {
            self.text += "\n";
            self.text += lines.trim_end();
        }
        self.text += if rest.is_empty() { "\n" } else { &rest };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::path::Path;

    use clap::ValueEnum;

    use super::*;
    use crate::config::{ConfigFile, ConfigUse};

    #[test]
    fn templates_are_right_and_name_no_path_of_the_project() {
        for template in ConfigTemplate::value_variants() {
            let text = template.text("mine.toml", false);
            assert!(text.contains("mine.toml") && !text.contains(".toml examples"), "{text}");
            assert!(!text.contains("\"../") && !text.contains(template.example().0), "{text}");
            let file = ConfigFile::parse(&text, Path::new("mine.toml"));
            assert!(file.finish(ConfigUse::Check).is_ok(), "{text}");
        }
    }

    /// The text with the key comments that `short` does not have as keys, and the headers before them as headers.
    fn uncomment(text: &str, short: &str) -> String {
        let is_key = |line: &str| {
            let name = line.split(" = ").next().unwrap_or_default();
            line.contains(" = ") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let is_new = |line: &str| !short.lines().any(|one| one == line);
        let plain = |line: &str| match line.strip_prefix("# ").filter(|_| is_new(line)) {
            Some(rest) if is_key(rest) || rest.starts_with('[') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        text.lines().map(plain).collect()
    }

    #[test]
    fn all_keys_are_comments_that_are_right_once_they_are_uncommented() {
        for template in ConfigTemplate::value_variants() {
            let (short, whole) = (template.text("a.toml", false), template.text("a.toml", true));
            let parse = |text: &str| ConfigFile::parse(text, Path::new("a.toml"));
            assert_eq!(format!("{:?}", parse(&short).config), format!("{:?}", parse(&whole).config));
            let text = uncomment(&whole, &short);
            let kafka_or_files = text.replace("kafka = {", "# kafka = {").replace("kinesis = {", "# kinesis = {");
            let problems = match parse(&kafka_or_files).finish(ConfigUse::Check) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            };
            // Values that only fit together in one way are wrong together, but every key is known and has its type.
            for wrong in ["unknown key", "unknown table", "expected ", "not TOML", "is missing; add"] {
                assert!(!problems.contains(wrong), "{problems}\n{text}");
            }
            for (table, keys) in TABLES.iter().filter(|(table, _)| *table != "answers") {
                let section = text.split(&format!("\n[{table}]")).nth(1).unwrap_or_else(|| panic!("no [{table}]"));
                let section = section.split("\n[").next().unwrap();
                for key in *keys {
                    assert!(section.contains(&format!("\n{} = ", key.name)), "[{table}] {}: {text}", key.name);
                }
            }
        }
    }
}
