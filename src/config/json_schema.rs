//! The JSON Schema of the configuration, for editors and other programs.
//!
//! The file is made from the keys of `schema` and the meanings, defaults and ranges of the reference page by a test, which
//! compares it with them. So a description that editors show is the one of the reference.

use serde_json::Value;

/// The JSON Schema, as `pinflow schema` prints it.
pub const CONFIG_JSON_SCHEMA: &str = include_str!("../../docs/reference/pinflow.schema.json");

/// What the reference says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyDescription {
    pub(super) meaning: String,
    /// The default as TOML. `None` if the key has none, or it depends on others.
    pub(super) default: Option<String>,
}

/// Looks keys up in the JSON Schema.
#[derive(Debug)]
pub(super) struct KeyDescriptions(Value);

impl KeyDescriptions {
    /// The descriptions of all keys.
    #[must_use]
    pub(super) fn load() -> KeyDescriptions {
        // Cannot fail: a test compares the text with a JSON value.
        KeyDescriptions(serde_json::from_str(CONFIG_JSON_SCHEMA).unwrap_or_default())
    }

    /// The description of a key. `table` is the path of a table, such as `tables` or `answers.delta`, or `source.KIND`.
    #[must_use]
    pub(super) fn find(&self, table: &str, key: &str) -> Option<KeyDescription> {
        let found = &self.table(table)?["properties"][key];
        let meaning = found["description"].as_str()?.to_owned();
        Some(KeyDescription { meaning, default: found.get("default").map(Value::to_string) })
    }

    fn table(&self, path: &str) -> Option<&Value> {
        if let Some(kind) = path.strip_prefix("source.") {
            let kinds = self.0["properties"]["source"]["items"]["oneOf"].as_array()?;
            return kinds.iter().find(|one| one["properties"]["kind"]["const"] == kind);
        }
        let mut table = &self.0;
        for name in path.split('.') {
            table = &table["properties"][name];
        }
        Some(if path == "question" { &table["items"] } else { table })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_tables_lists_and_sources() {
        let descriptions = KeyDescriptions::load();
        let default = |table: &str, key: &str| descriptions.find(table, key).map(|found| found.default);
        assert_eq!(default("engine", "epoch_ms"), Some(Some("10".to_owned())));
        assert_eq!(default("answers.delta", "current"), Some(Some("true".to_owned())));
        assert_eq!(default("source.kafka", "start"), Some(Some("\"earliest\"".to_owned())));
        assert_eq!(default("source.recording", "name"), Some(None));
        assert_eq!(default("question", "sql"), Some(None));
        assert_eq!(default("engine", "epoch"), None);
        assert_eq!(default("source.pulsar", "start"), None);
    }
}
