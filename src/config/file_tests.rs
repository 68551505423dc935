//! Wrong configurations: the messages of each, all reported at once. No damage to a file goes unnoticed.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};

use super::super::schema::{KAFKA_CONNECTION, KINESIS_CONNECTION, OBJECTS, QUESTION, TABLES};
use super::super::value_type::{ConfigKey, ValueType};
use super::*;
use crate::sources::{SOURCES, source_kind};

/// Wrong configurations, each with its exact messages. A case ends at a line of `=`, its messages follow a line of `-`.
const WRONG: &str = include_str!("wrong_configurations.txt");
/// The source that is appended to a case without one.
const SOURCE: &str = "\n[[source]]\nkind = \"recording\"\npath = \"r\"\n";
/// Valid configurations.
const EXAMPLES: [&str; 6] = [
    include_str!("../../examples/gateway.toml"),
    include_str!("../../examples/kafka.toml"),
    include_str!("../../examples/kinesis.toml"),
    include_str!("../../examples/lake.toml"),
    include_str!("../../examples/msk.toml"),
    include_str!("../../examples/quickstart.toml"),
];

/// The messages of a text, a line each.
fn messages(text: &str) -> String {
    match ConfigFile::parse(text, Path::new("posts.toml")).finish(ConfigUse::Check) {
        Ok(_) => String::new(),
        Err(ConfigError::Invalid { path, problems }) => list(&path, &problems).trim_start().to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

#[test]
fn each_wrong_configuration_gets_its_exact_messages() {
    let mut count = 0;
    let mut wrong = String::new();
    for case in WRONG.split("\n====\n").filter(|case| !case.trim().is_empty()) {
        let (text, expected) = case.split_once("\n----\n").unwrap();
        let source = if text.contains("source") { "" } else { SOURCE };
        let found = messages(&format!("{text}\n{source}"));
        if found != expected.trim_end() {
            wrong += &format!("{text}\n----\n{found}\n====\n");
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "these are the messages now:\n{wrong}");
    assert!(count >= 60, "{count} cases");
}

#[test]
fn ten_mistakes_in_one_file_are_all_reported_in_the_order_of_the_file() {
    let text = "\
pipeline = \"Bad Name\"
surprise = 1
[engine]
epoch_ms = 0
workers = \"two\"
[tables]
commit_rows_max = 1e5
compresion = \"snappy\"
[questions]
ties = \"frist\"
[serve]
listen = \"localhost\"
[[source]]
kind = \"kafka\"
topics = { pins = \"a\" }
watch_secs = 99
";
    let found = messages(text);
    let lines: Vec<&str> = found.lines().filter_map(|line| line.split(':').nth(1)).collect();
    assert_eq!(lines, ["1", "2", "4", "5", "6", "7", "8", "10", "12", "13", "15", "16"], "{found}");
}

#[test]
fn problem_of_a_flag_names_the_flag_and_not_the_file() {
    let text = format!("[engine]\nworkers = 1\nepoch_ms = 0\n{SOURCE}");
    let mut file = ConfigFile::parse(&text, Path::new("posts.toml"));
    file.config.engine.workers = Some(0);
    file.set_by_flag("engine.workers", "--workers 0".to_owned());
    let error = file.finish(ConfigUse::Run).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[0], "posts.toml has 2 errors");
    assert!(lines[1].starts_with("--workers 0: must be "), "{error}");
    assert_eq!(lines[2], "posts.toml:3:12: [engine] epoch_ms: must be 1 to 10000, found 0");
}

#[test]
fn problem_of_a_question_names_its_flag_or_its_table_in_the_file() {
    // The first question cannot be read, so that the indices of the others differ from those in the file.
    let text = format!("[[question]]\nname = 1\n[[question]]\nname = \"two\"\nsql = \"SELECT\"\n{SOURCE}");
    let mut file = ConfigFile::parse(&text, Path::new("posts.toml"));
    file.config.own_questions.push(QuestionConfig::from_flag(Path::new("nowhere/three.sql")));
    let error = file.finish(ConfigUse::Run).unwrap_err().to_string();
    let of = |begins: &str| error.lines().any(|line| line.starts_with(begins));
    assert!(of("posts.toml:2:8: [[question]] name: expected text"), "{error}");
    assert!(of("posts.toml:5:7: [[question]] sql: two: 1 problem"), "{error}");
    assert!(of("--question nowhere/three.sql: cannot read "), "{error}");
}

#[test]
fn flag_in_place_of_a_wrong_value_repairs_it() {
    let mut file = ConfigFile::parse(&format!("[engine]\nworkers = 0\n{SOURCE}"), Path::new("posts.toml"));
    file.config.engine.workers = Some(1);
    file.set_by_flag("engine.workers", "--workers 1".to_owned());
    assert!(file.finish(ConfigUse::Run).is_ok());
}

#[test]
fn secret_that_stands_in_a_configuration_is_never_shown() {
    for text in [
        "[serve]\nlisten = 1\ntokens = { read = \"canary\" }",
        "[serve]\nlisten = 1\ntokens = \"canary\"",
        "[serve]\nlisten = 1\ntokens = { raed = \"canary\" }",
        "[telemetry]\notlp = \"http://a\"\nheaders = { x = \"canary\" }",
        "[telemetry]\notlp = \"https://me:canary@a\"",
        "[objects]\nendpoint = \"https://me:canary@a\"",
        "[[source]]\nkind = \"kafka\"\nbrokers = \"a:1\"\ntopics = { auto = \"a\" }\nsasl = { mechanism = \"PLAIN\", username = \"u\", password = \"canary\" }",
    ] {
        let found = messages(&format!("{text}\n{SOURCE}"));
        assert!(!found.is_empty() && !found.contains("canary"), "{text}: {found}");
    }
}

#[test]
fn every_example_file_is_right() {
    for text in EXAMPLES {
        let file = ConfigFile::parse(text, Path::new("examples/posts.toml"));
        assert_eq!(file.problems, [], "{text}");
    }
}

/// The keys of a struct, as serde knows them.
fn fields<T: DeserializeOwned>() -> BTreeSet<&'static str> {
    struct FieldProbe<'a>(&'a Cell<&'static [&'static str]>);

    impl<'de> Deserializer<'de> for FieldProbe<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            self.0.set(fields);
            Err(Error::custom("only its fields are wanted"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let found = Cell::new(&[][..]);
    assert!(T::deserialize(FieldProbe(&found)).is_err());
    found.get().iter().copied().collect()
}

fn inner(keys: &'static [ConfigKey], name: &str) -> &'static [ConfigKey] {
    let types = match keys.iter().find(|key| key.name == name).unwrap().value {
        ValueType::OneOf(types, _) => types.to_vec(),
        one => vec![one],
    };
    types.into_iter().find_map(|one| if let ValueType::Table(keys) = one { Some(keys) } else { None }).unwrap()
}

#[test]
fn schema_has_exactly_the_keys_of_the_structs() {
    let table = |name: &str| TABLES.iter().find(|(table, _)| *table == name).unwrap().1;
    let source = |name: &str| source_kind(name).unwrap().keys;
    let (kafka, kinesis, serve, gateway) = (source("kafka"), source("kinesis"), table("serve"), table("gateway"));
    for (keys, fields) in [
        (source("recording"), fields::<RecordingConfig>()),
        (kafka, fields::<pinflow_kafka::source::KafkaConfig>()),
        (kinesis, fields::<pinflow_kinesis::source::KinesisConfig>()),
        (KAFKA_CONNECTION, fields::<pinflow_kafka::KafkaConnection>()),
        (KINESIS_CONNECTION, fields::<pinflow_kinesis::KinesisConnection>()),
        (inner(kafka, "tls"), fields::<pinflow_kafka::KafkaTls>()),
        (inner(kafka, "sasl"), fields::<pinflow_kafka::KafkaSasl>()),
        (inner(kinesis, "streams"), fields::<pinflow_connect::source::TopicMap>()),
        (QUESTION, fields::<QuestionConfig>()),
        (table("questions"), fields::<QuestionOptions>()),
        (table("tables"), fields::<crate::config::TablesConfig>()),
        (table("archive"), fields::<pinflow_archive::ArchiveConfig>()),
        (OBJECTS, fields::<pinflow_storage::StorageConnection>()),
        (table("answers"), fields::<crate::config::AnswersConfig>()),
        (inner(table("answers"), "delta"), fields::<pinflow_delta::answers::AnswerTablesConfig>()),
        (inner(table("answers"), "postgres"), fields::<pinflow_databases::PostgresAnswersConfig>()),
        (inner(table("answers"), "mysql"), fields::<pinflow_databases::MySqlAnswersConfig>()),
        (table("engine"), fields::<crate::config::EngineConfig>()),
        (table("output"), fields::<crate::config::OutputConfig>()),
        (serve, fields::<pinflow_serving::HttpConfig>()),
        (inner(serve, "tls"), fields::<pinflow_http::ServerTls>()),
        (table("cluster"), fields::<crate::config::ClusterConfig>()),
        (inner(table("cluster"), "tls"), fields::<crate::config::ClusterTlsFiles>()),
        (gateway, fields::<pinflow_gateway::GatewayConfig>()),
        (table("telemetry"), fields::<crate::telemetry::TelemetryConfig>()),
    ] {
        assert_eq!(keys.iter().map(|key| key.name).collect::<BTreeSet<_>>(), fields);
    }
}

#[test]
fn example_of_every_key_can_be_read() {
    let try_key = |header: &str, keys: &'static [ConfigKey], key: &ConfigKey| {
        let others = keys.iter().filter(|other| other.is_required && other.name != key.name);
        let others: String = others.map(|other| format!("{} = {}\n", other.name, other.example)).collect();
        let text = format!("{header}\n{others}{} = {}\n", key.name, key.example);
        assert_eq!(ConfigFile::parse(&text, Path::new("posts.toml")).problems, [], "{text}");
    };
    for (kind, keys) in SOURCES.iter().map(|kind| (kind.name, kind.keys)) {
        keys.iter().for_each(|key| try_key(&format!("[[source]]\nkind = \"{kind}\""), keys, key));
    }
    for (table, keys) in TABLES {
        keys.iter().for_each(|key| try_key(&format!("[{table}]"), keys, key));
    }
    QUESTION.iter().for_each(|key| try_key("[[question]]", QUESTION, key));
}

/// A change to a text, at positions given as fractions of its length.
#[derive(Debug, Clone)]
enum ConfigDamage {
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, String),
    RemoveLine(prop::sample::Index),
    RepeatLine(prop::sample::Index),
    SwapLines(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = ConfigDamage> {
    use prop::sample::Index;
    let piece = prop_oneof![
        "[\\[\\]{}=\"',.:#\\-_0-9a-zé\n ]{1,4}",
        Just("[[source]]\n".to_owned()),
        Just("\n[tables]\n".to_owned()),
        Just("-1".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("'''".to_owned()),
        Just("\u{0}".to_owned()),
    ];
    prop_oneof![
        (any::<Index>(), 1..9_usize).prop_map(|(at, length)| ConfigDamage::Remove(at, length)),
        (any::<Index>(), piece).prop_map(|(at, text)| ConfigDamage::Insert(at, text)),
        any::<Index>().prop_map(ConfigDamage::RemoveLine),
        any::<Index>().prop_map(ConfigDamage::RepeatLine),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| ConfigDamage::SwapLines(one, other)),
    ]
}

fn apply(damage: &ConfigDamage, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let mut lines: Vec<&str> = text.lines().collect();
    if letters.is_empty() || lines.is_empty() {
        return text.to_owned();
    }
    match damage {
        ConfigDamage::Remove(at, length) => {
            let at = at.index(letters.len());
            letters.drain(at..(at + length).min(letters.len()));
            return letters.into_iter().collect();
        }
        ConfigDamage::Insert(at, piece) => {
            let at = at.index(letters.len());
            letters.splice(at..at, piece.chars());
            return letters.into_iter().collect();
        }
        ConfigDamage::RemoveLine(at) => drop(lines.remove(at.index(lines.len()))),
        ConfigDamage::RepeatLine(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
        }
        ConfigDamage::SwapLines(one, other) => {
            let count = lines.len();
            lines.swap(one.index(count), other.index(count));
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_file_is_read_or_gets_located_errors_and_never_panics(
        example in 0..EXAMPLES.len(),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        // Damage inside a comment has no effect, so remove the comments.
        let lines = EXAMPLES[example].lines().map(|line| line.split(" #").next().unwrap_or_default());
        let text = lines.filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let text = damages.iter().fold(text, |text, damage| apply(damage, &text));
        match ConfigFile::parse(&text, Path::new("examples/posts.toml")).finish(ConfigUse::Check) {
            Ok(_) => {}
            Err(ConfigError::Invalid { problems, .. }) => {
                prop_assert!(!problems.is_empty());
                let lines = text.matches('\n').count() + 1;
                for problem in &problems {
                    prop_assert!(problem.place.is_some_and(|(line, column)| line <= lines && column >= 1), "{problem:?}");
                    prop_assert!(!problem.what.is_empty());
                }
                prop_assert!(problems.is_sorted());
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
