//! The reference page and the JSON Schema of the configuration say what the program does: keys, types, defaults, ranges.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::json_schema::CONFIG_JSON_SCHEMA;
use super::super::schema::{QUESTION, TABLES, TOP};
use super::super::value_type::{ConfigKey, ValueType};
use super::super::{ConfigFile, ConfigUse};
use crate::sources::SOURCES;

const PAGE: &str = include_str!("../../docs/reference/configuration.md");
const SCHEMA_PATH: &str = "docs/reference/pinflow.schema.json";

/// Set this variable to write the schema instead of comparing it.
const UPDATE_VARIABLE: &str = "PINFLOW_UPDATE_DOCS";

/// A table of the configuration.
struct ReferencedTable {
    /// Its path, such as `tables`, `answers.delta` or `source.kafka`. Empty for the keys before the first table.
    path: String,
    /// How it begins in a file.
    header: String,
    keys: &'static [ConfigKey],
}

fn referenced_tables() -> Vec<ReferencedTable> {
    let table = |path: String, header: String, keys| ReferencedTable { path, header, keys };
    let mut tables = vec![table(String::new(), String::new(), TOP)];
    for kind in SOURCES {
        let header = format!("[[source]]\nkind = \"{}\"\n", kind.name);
        tables.push(table(format!("source.{}", kind.name), header, kind.keys));
    }
    tables.push(table("question".to_owned(), "[[question]]\n".to_owned(), QUESTION));
    for (name, keys) in TABLES {
        if *name == "answers" {
            // Only has tables below it.
            for key in *keys {
                let below = key.value.table_keys().expect("a table");
                let path = format!("answers.{}", key.name);
                tables.push(table(path.clone(), format!("[{path}]\n"), below));
            }
        } else {
            tables.push(table((*name).to_owned(), format!("[{name}]\n"), keys));
        }
    }
    tables
}

/// A row of the reference: what it says about a key.
#[derive(Debug, Clone)]
struct ReferenceRow {
    table: String,
    key: String,
    kind: String,
    default: String,
    meaning: String,
}

/// The table that a heading of the page is about.
fn headed_table(heading: &str) -> Option<String> {
    let text = heading.trim_start_matches('#').trim();
    if text == "Top level" {
        return Some(String::new());
    }
    if let Some(kind) = text.strip_prefix("kind = ") {
        return Some(format!("source.{}", kind.trim_matches('"')));
    }
    let (name, _) = text.strip_prefix('`')?.split_once('`')?;
    Some(name.trim_matches(['[', ']']).to_owned())
}

/// The rows of the page, one for each key. A row that refers to another table has what that one says.
fn reference_rows() -> Vec<ReferenceRow> {
    let mut rows: Vec<ReferenceRow> = Vec::new();
    let mut table = None;
    for line in PAGE.lines() {
        if line.starts_with('#') {
            table = headed_table(line);
        }
        let Some(table) = table.as_ref().filter(|_| line.starts_with("| `")) else { continue };
        let row = line.trim().trim_start_matches('|').strip_suffix('|').expect("a row ends in a bar");
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [keys, kind, default, meaning] = cells[..] else { panic!("a row has four cells: {line}") };
        for key in keys.split(", ").map(|key| key.trim_matches('`').to_owned()) {
            let (kind, default, meaning) = (kind.to_owned(), default.to_owned(), meaning.to_owned());
            rows.push(ReferenceRow { table: table.clone(), key, kind, default, meaning });
        }
    }
    let all = rows.clone();
    for row in &mut rows {
        let Some(other) = row.kind.strip_prefix("as `[").and_then(|rest| rest.strip_suffix("]`")) else { continue };
        let found = all.iter().find(|one| one.table == other && one.key == row.key).expect("a row of the other table");
        (row.kind, row.default, row.meaning) = (found.kind.clone(), found.default.clone(), found.meaning.clone());
    }
    rows
}

/// Every key of the program with its row.
fn documented_keys() -> Vec<(ReferencedTable, &'static ConfigKey, ReferenceRow)> {
    let rows = reference_rows();
    let mut found = Vec::new();
    for ReferencedTable { path, header, keys } in referenced_tables() {
        for key in keys {
            let row = rows.iter().find(|row| row.table == path && row.key == key.name);
            let row =
                row.unwrap_or_else(|| panic!("docs/reference/configuration.md has no row for [{path}] {}", key.name));
            let table = ReferencedTable { path: path.clone(), header: header.clone(), keys };
            found.push((table, key, row.clone()));
        }
    }
    found
}

impl ReferenceRow {
    /// The default as TOML. `None` if there is none, or it depends on others.
    fn default_value(&self) -> Option<&str> {
        let text = self.default.strip_prefix('`')?.strip_suffix('`')?;
        to_json(text).map(|_| text)
    }

    /// The smallest and largest number, and whether 0 is allowed besides. `None` if the type is the only limit.
    fn range(&self) -> Option<NumberRange> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let is_zero_allowed = self.kind.ends_with(" or 0");
        let kind = self.kind.trim_end_matches(" or 0");
        if let Some((_, min)) = kind.split_once('≥') {
            return Some(NumberRange { min: number(min)?, max: f64::INFINITY, is_zero_allowed });
        }
        let (min, max) = kind.rsplit(", ").next()?.split_once('–')?;
        Some(NumberRange { min: number(min)?, max: number(max)?, is_zero_allowed })
    }

    /// The meaning without links, as a sentence of its own.
    fn description(&self) -> String {
        let mut text = String::new();
        let mut rest = self.meaning.as_str();
        while let Some((before, linked)) = rest.split_once('[') {
            text += before;
            match linked.split_once("](") {
                Some((name, target)) if !name.contains('[') => {
                    text += name;
                    rest = target.split_once(')').map_or("", |(_, after)| after);
                }
                _ => {
                    text.push('[');
                    rest = linked;
                }
            }
        }
        text + rest
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct NumberRange {
    min: f64,
    max: f64,
    is_zero_allowed: bool,
}

fn to_json(toml: &str) -> Option<Value> {
    let table: toml::Table = format!("x = {toml}").parse().ok()?;
    serde_json::to_value(&table["x"]).ok()
}

/// Whether a type cell says what a type is.
fn describes(cell: &str, value: ValueType) -> bool {
    let words = |words: &[&str]| words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ");
    match value {
        ValueType::Text => ["text", "path", "URL"].iter().any(|begin| cell.starts_with(begin)),
        ValueType::Flag => cell == "true or false",
        ValueType::Whole { .. } => cell.starts_with("whole number"),
        ValueType::Number => cell.starts_with("number"),
        ValueType::Choice(choices) => cell == words(choices),
        ValueType::Moment(choices) => cell == format!("{}, time", words(choices)),
        ValueType::ListenAddress => cell == "address",
        ValueType::Secret => cell == "`env:NAME` or `file:PATH`",
        ValueType::TextList => cell == "list",
        ValueType::Table(_) | ValueType::PropertyMap | ValueType::SecretMap => cell == "table",
        ValueType::OneOf(types, _) => types.iter().all(|one| match one {
            ValueType::Choice(choices) => cell.contains(&words(choices)),
            ValueType::Table(_) => cell.contains("`{ "),
            ValueType::TextList => cell.contains("list"),
            ValueType::Text => cell.contains("text"),
            ValueType::Flag => cell.contains("true or false"),
            _ => cell.contains("whole number"),
        }),
    }
}

#[test]
fn reference_has_exactly_the_keys_of_the_program() {
    let known: BTreeSet<(String, String)> =
        documented_keys().into_iter().map(|(table, key, _)| (table.path, key.name.to_owned())).collect();
    let rows: BTreeSet<(String, String)> = reference_rows().into_iter().map(|row| (row.table, row.key)).collect();
    let unknown: Vec<_> = rows.difference(&known).filter(|(table, _)| table != "source").collect();
    assert!(unknown.is_empty(), "rows for keys that do not exist: {unknown:?}");
}

#[test]
fn documented_types_are_those_of_the_program() {
    for (table, key, row) in documented_keys() {
        assert!(describes(&row.kind, key.value), "[{}] {}: {:?} is not {}", table.path, key.name, key.value, row.kind);
        assert_eq!(key.is_required, row.default == "required", "[{}] {}", table.path, key.name);
        if let Some(below) = key.value.table_keys() {
            let text = format!("{} {}", row.kind, row.meaning);
            let is_named = |name: &str| text.contains(&format!("`{name}`")) || text.contains(&format!("{name} = "));
            let is_elsewhere = text.contains("Keys as in") || text.contains("{ pin");
            let missing: Vec<_> = below.iter().map(|key| key.name).filter(|name| !is_named(name)).collect();
            assert!(is_elsewhere || missing.is_empty(), "[{}] {} does not name {missing:?}", table.path, key.name);
        }
    }
}

/// A configuration with the required keys of a table but for this one, and these lines.
fn with_lines(table: &ReferencedTable, without: &ConfigKey, lines: &str) -> String {
    let required = table.keys.iter().filter(|key| key.is_required && key.name != without.name);
    let required: String = required.map(|key| format!("{} = {}\n", key.name, key.example)).collect();
    format!("{}{required}{lines}\n", table.header)
}

fn parsed(text: &str) -> String {
    let file = ConfigFile::parse(text, Path::new("posts.toml"));
    assert_eq!(file.problems, [], "{text}");
    format!("{:?}", file.config)
}

#[test]
fn documented_defaults_are_those_of_the_program() {
    let mut compared = 0;
    for (table, key, row) in documented_keys() {
        let Some(default) = row.default_value() else { continue };
        let plain = parsed(&with_lines(&table, key, ""));
        let given = parsed(&with_lines(&table, key, &format!("{} = {default}", key.name)));
        assert_eq!(plain, given, "[{}] {}: the default is not {default}", table.path, key.name);
        if to_json(key.example) != to_json(default) {
            let example = parsed(&with_lines(&table, key, &format!("{} = {}", key.name, key.example)));
            assert_ne!(plain, example, "[{}] {}: {} is as the default", table.path, key.name, key.example);
        }
        compared += 1;
    }
    assert!(compared > 50, "only {compared} defaults were compared");
}

/// Whether a number is refused as the value of a key.
fn is_refused(table: &ReferencedTable, key: &ConfigKey, number: &str) -> bool {
    let source =
        if table.path.starts_with("source.") { "" } else { "[[source]]\nkind = \"recording\"\npath = \"r\"\n" };
    let text = with_lines(table, key, &format!("{} = {number}", key.name)) + source;
    let named = [format!("{}: must be", key.name), format!("{}: expected", key.name)];
    match ConfigFile::parse(&text, Path::new("posts.toml")).finish(ConfigUse::Check) {
        Ok(_) => false,
        Err(error) => error.to_string().lines().any(|line| named.iter().any(|named| line.contains(named))),
    }
}

#[test]
fn documented_ranges_are_those_of_the_program() {
    let mut compared = 0;
    for (table, key, row) in documented_keys() {
        let check = |number: String, refused: bool| {
            let says = if refused { "outside of" } else { "in" };
            assert_eq!(
                is_refused(&table, key, &number),
                refused,
                "[{}] {}: {number} is {says} the range of the reference: {}",
                table.path,
                key.name,
                row.kind
            );
        };
        match (key.value, row.range()) {
            (ValueType::Whole { max, .. }, Some(range)) => {
                let (least, most) = (range.min as u64, range.max.min(max as f64) as u64);
                check(least.to_string(), false);
                if least > 0 {
                    check((least - 1).to_string(), !(range.is_zero_allowed && least == 1));
                }
                if range.is_zero_allowed {
                    check("0".to_owned(), false);
                }
                if range.max.is_finite() {
                    check(most.to_string(), false);
                    check((most + 1).to_string(), true);
                }
            }
            // The range depends on another key.
            (ValueType::Whole { .. }, None) if row.kind.contains(", from `") => continue,
            (ValueType::Whole { min, max }, None) => {
                check(min.to_string(), false);
                check(max.to_string(), false);
            }
            (ValueType::Number, Some(range)) => {
                check(range.min.to_string(), false);
                check((range.min / 2.0).to_string(), true);
                check(range.max.to_string(), false);
                check((range.max * 2.0).to_string(), true);
            }
            _ => continue,
        }
        compared += 1;
    }
    assert!(compared > 30, "only {compared} ranges were compared");
}

/// The JSON Schema of a value. `range` narrows a number.
fn value_schema(value: ValueType, range: Option<NumberRange>) -> Value {
    match value {
        ValueType::Text => json!({ "type": "string" }),
        ValueType::Flag => json!({ "type": "boolean" }),
        ValueType::Whole { min, max } => {
            let (least, most) = range.map_or((min, max), |range| (range.min as u64, range.max.min(max as f64) as u64));
            let limits = json!({ "minimum": least, "maximum": most });
            match range.is_some_and(|range| range.is_zero_allowed) {
                true => json!({ "type": "integer", "anyOf": [{ "const": 0 }, limits] }),
                false => json!({ "type": "integer", "minimum": least, "maximum": most }),
            }
        }
        ValueType::Number => match range {
            Some(range) => json!({ "type": "number", "minimum": range.min, "maximum": range.max }),
            None => json!({ "type": "number" }),
        },
        ValueType::Choice(words) => json!({ "enum": words }),
        ValueType::Moment(words) => {
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": "^[0-9]{4}-" }] })
        }
        ValueType::ListenAddress => json!({ "type": ["string", "integer"] }),
        ValueType::Secret => json!({ "type": "string", "pattern": "^(env|file):" }),
        ValueType::TextList => json!({ "type": "array", "items": { "type": "string" } }),
        ValueType::Table(keys) => {
            table_schema(keys.iter().map(|key| (key.name, key.is_required, value_schema(key.value, None))))
        }
        ValueType::PropertyMap => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
        ValueType::SecretMap => {
            json!({ "type": "object", "additionalProperties": value_schema(ValueType::Secret, None) })
        }
        ValueType::OneOf(types, _) => {
            json!({ "anyOf": types.iter().map(|one| value_schema(*one, None)).collect::<Vec<_>>() })
        }
    }
}

/// The JSON Schema of a table with these keys: name, whether it is required, and schema.
fn table_schema<'a>(keys: impl IntoIterator<Item = (&'a str, bool, Value)>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, is_required, schema) in keys {
        properties.insert(name.to_owned(), schema);
        if is_required {
            required.push(name);
        }
    }
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The JSON Schema of a key with what the reference says about it.
fn key_schema(key: &ConfigKey, row: &ReferenceRow) -> Value {
    let mut schema = value_schema(key.value, row.range());
    schema["description"] = json!(row.description());
    if let Some(default) = row.default_value().and_then(to_json) {
        schema["default"] = default;
    }
    schema["examples"] = json!([to_json(key.example).expect("an example is TOML")]);
    schema
}

/// The JSON Schema of the configuration.
fn config_schema() -> Value {
    let keys = documented_keys();
    let of_table = |path: &str| {
        let own = keys.iter().filter(|(table, ..)| table.path == path);
        own.map(|(_, key, row)| (key.name, key.is_required, key_schema(key, row))).collect::<Vec<_>>()
    };
    let mut top = of_table("");
    let kinds: Vec<Value> = SOURCES
        .iter()
        .map(|kind| {
            let name = ("kind", true, json!({ "const": kind.name }));
            table_schema(std::iter::once(name).chain(of_table(&format!("source.{}", kind.name))))
        })
        .collect();
    top.push(("source", false, json!({ "type": "array", "items": { "oneOf": kinds } })));
    top.push(("question", false, json!({ "type": "array", "items": table_schema(of_table("question")) })));
    for (name, keys) in TABLES {
        let below: Vec<_> = if *name == "answers" {
            keys.iter().map(|key| (key.name, false, table_schema(of_table(&format!("answers.{}", key.name))))).collect()
        } else {
            of_table(name)
        };
        top.push((name, false, table_schema(below)));
    }
    let mut schema = table_schema(top);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Configuration of pinflow");
    schema
}

#[test]
fn json_schema_is_made_from_the_program_and_the_reference() {
    let schema = config_schema();
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA_PATH), text).expect("written");
        return;
    }
    let written: Value = serde_json::from_str(CONFIG_JSON_SCHEMA).expect("JSON");
    assert!(written == schema, "{SCHEMA_PATH} is not what the program takes. Run this test with {UPDATE_VARIABLE}=1");
}
