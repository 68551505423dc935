//! Configuration files that are not TOML: the error shows the same settings as TOML.

use std::io::Read;
use std::path::Path;

use serde_json::Value;
use toml::de::DeTable;

use super::schema::TABLES;

/// Largest file that is converted, in bytes. No configuration is larger.
const BYTES_MAX: u64 = 1 << 20;
/// Keys whose values are secrets in other programs' files. They are not shown.
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "key_password"];
/// An example configuration, shown if the file cannot be converted.
const EXAMPLE: &str = "[[source]]\nkind = \"recording\"\npath = \"recordings\"\n\n[tables]\nurl = \"data\"\n";

/// A settings file in a format other than TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherFormat {
    /// The format, such as YAML.
    pub format: &'static str,
    /// What to write instead.
    pub remedy: String,
}

/// Detects settings in a file that is not named as TOML. `None` for recordings and unreadable files.
pub(super) fn detect(path: &Path) -> Option<OtherFormat> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if ["jsonl", "ndjson", "gz", "zst", "csv", "parquet"].contains(&extension.as_str()) {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    match extension.as_str() {
        "yaml" | "yml" => Some(convert_to_toml("YAML", serde_saphyr::from_str(&text).ok(), path)),
        "json" => {
            let value: Value = serde_json::from_str(&text).ok()?;
            let is_settings = value.as_object().is_some_and(|object| object.keys().any(|key| is_table(key)));
            is_settings.then(|| convert_to_toml("JSON", Some(value), path))
        }
        _ => {
            let is_settings =
                DeTable::parse(&text).is_ok_and(|table| table.get_ref().keys().any(|key| is_table(key.get_ref())));
            let remedy = format!("rename it to {}", path.with_extension("toml").display());
            is_settings.then_some(OtherFormat { format: "TOML, but is not named so", remedy })
        }
    }
}

fn is_table(key: &str) -> bool {
    key == "source" || TABLES.iter().any(|(table, _)| *table == key)
}

fn convert_to_toml(format: &'static str, value: Option<Value>, path: &Path) -> OtherFormat {
    let name = path.with_extension("toml");
    let toml = value.and_then(plain).filter(Value::is_object).and_then(|value| toml::to_string(&value).ok());
    let remedy = match toml.filter(|text| !text.trim().is_empty()) {
        Some(text) => format!("a configuration is a TOML file. The same as {}:\n\n{}", name.display(), text.trim_end()),
        None => format!("a configuration is a TOML file. For example, {}:\n\n{}", name.display(), EXAMPLE.trim_end()),
    };
    OtherFormat { format, remedy }
}

/// Converts a value for TOML: without nulls, with sources as a list, and without secrets.
fn plain(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) => Some(items.into_iter().filter_map(plain).collect()),
        Value::Object(entries) => {
            let entries = entries.into_iter().filter_map(|(key, value)| {
                let value = plain(value)?;
                let value = match value {
                    Value::String(text) if is_inline_secret(&key, &text) => Value::String("env:NAME".to_owned()),
                    source @ Value::Object(_) if key == "source" => Value::Array(vec![source]),
                    other => other,
                };
                Some((key, value))
            });
            Some(Value::Object(entries.collect()))
        }
        other => Some(other),
    }
}

fn is_inline_secret(key: &str, text: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_reference = text.starts_with("env:") || text.starts_with("file:");
    !is_reference && SECRET_WORDS.iter().any(|word| key.contains(word))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn detect_format(name: &str, text: &str) -> Option<OtherFormat> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        detect(&path)
    }

    #[test]
    fn yaml_and_json_are_shown_as_toml() {
        let yaml = "pipeline: posts\nsource:\n  kind: kafka\n  brokers: localhost:9092\n  sasl: {password: hunter2, mechanism: PLAIN}\nengine:\n";
        let found = detect_format("conf.yaml", yaml).unwrap();
        assert_eq!(found.format, "YAML");
        for line in ["pipeline = \"posts\"", "[[source]]", "brokers = \"localhost:9092\"", "password = \"env:NAME\""] {
            assert!(found.remedy.contains(line), "no {line} in {}", found.remedy);
        }
        assert!(!found.remedy.contains("hunter2"), "{}", found.remedy);
        let json = "{\"source\": [{\"kind\": \"recording\", \"path\": \"r\"}], \"tables\": {\"url\": \"data\"}}";
        let found = detect_format("x.json", json).unwrap();
        let wanted = "[[source]]\nkind = \"recording\"\npath = \"r\"\n\n[tables]\nurl = \"data\"";
        assert!(found.format == "JSON" && found.remedy.ends_with(wanted), "{}", found.remedy);
    }

    #[test]
    fn unreadable_yaml_is_answered_with_an_example() {
        let found = detect_format("conf.yml", "a: [1,\n  b: }").unwrap();
        assert!(found.remedy.ends_with(EXAMPLE.trim_end()), "{}", found.remedy);
    }

    #[test]
    fn toml_with_another_name_is_to_be_renamed_and_recordings_are_left_alone() {
        let found = detect_format("pinflow.conf", "[tables]\nurl = 'data'\n").unwrap();
        assert!(found.remedy.contains("rename it to") && found.remedy.contains("pinflow.toml"), "{}", found.remedy);
        for (name, text) in [
            ("pin.json", "{\"index\": 1, \"unique_id\": \"x\"}\n{\"index\": 2}\n"),
            ("pin.json", "[{\"index\": 1}]"),
            ("pin.jsonl", "{\"source\": 1}"),
            ("posts.txt", "{\"index\": 1}\n"),
            ("empty.txt", ""),
        ] {
            assert_eq!(detect_format(name, text), None, "{name} {text}");
        }
    }
}
