//! Reads only the connection to Kafka, Kinesis or an object store from a configuration.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::DeValue;

use super::ConfigError;
use super::document::ConfigDocument;
use super::file::read_text;
use super::problem::ConfigProblem;
use super::schema::{KAFKA_CONNECTION, KINESIS_CONNECTION, OBJECTS};
use super::value_type::ConfigKey;
use pinflow_core::key_problem::KeyProblem;
use pinflow_kafka as kafka;
use pinflow_kinesis as kinesis;
use pinflow_storage as storage;

/// The connection of the Kafka source of a configuration, and the folder that its relative paths are relative to.
///
/// # Errors
/// [`ConfigError`] with all problems, if there is not exactly one such source, or its connection is invalid.
/// The rest of the file is not checked.
pub fn kafka_connection(path: &Path) -> Result<(kafka::KafkaConnection, PathBuf), ConfigError> {
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let problems = |connection: &kafka::KafkaConnection| connection.validate(&base);
    let connection = read_file(path, |text| source_connection(text, "kafka", KAFKA_CONNECTION, problems))?;
    Ok((connection, base))
}

/// The connection of the Kinesis source of a configuration.
///
/// # Errors
/// As [`kafka_connection`].
pub fn kinesis_connection(path: &Path) -> Result<kinesis::KinesisConnection, ConfigError> {
    read_file(path, |text| source_connection(text, "kinesis", KINESIS_CONNECTION, kinesis::KinesisConnection::validate))
}

/// The connection to object stores: `[objects]` of a configuration, if there is one.
///
/// # Errors
/// [`ConfigError`] with all problems of that table. The rest of the file is not checked.
pub fn storage_connection(path: &Path) -> Result<storage::StorageConnection, ConfigError> {
    read_file(path, objects)
}

fn read_file<C>(path: &Path, read: impl Fn(&str) -> Result<C, Vec<ConfigProblem>>) -> Result<C, ConfigError> {
    let text = read_text(path)?;
    read(&text).map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
}

fn objects(text: &str) -> Result<storage::StorageConnection, Vec<ConfigProblem>> {
    let mut document = ConfigDocument::parse(text);
    document.check_top_level("objects", OBJECTS);
    let connection: storage::StorageConnection = document.read_top_level("objects").unwrap_or_default();
    let problems: Vec<_> = connection.validate().into_iter().map(|problem| problem.within("objects")).collect();
    finish(document, Some(connection), &problems)
}

fn source_connection<C: DeserializeOwned>(
    text: &str,
    kind: &str,
    keys: &'static [ConfigKey],
    problems: impl Fn(&C) -> Vec<KeyProblem>,
) -> Result<C, Vec<ConfigProblem>> {
    let mut document = ConfigDocument::parse(text);
    let mut sources = document.take_sources();
    sources.retain(|source| source.kind.name == kind);
    let count = sources.len();
    let (Some(mut source), 1) = (sources.pop(), count) else {
        let what =
            format!("there are {count} sources with kind = \"{kind}\"; the connection is taken from exactly one");
        return finish(document, None, &[KeyProblem::new("source", what)]);
    };
    keep_keys(&mut source.value, keys);
    document.check_source(&mut source, keys);
    let path = format!("source.{}", source.index);
    let connection = document.read::<C>(&path, source.value);
    let found: Vec<_> = connection.iter().flat_map(problems).map(|problem| problem.within(&path)).collect();
    finish(document, connection, &found)
}

/// Returns the connection if it has no problems.
fn finish<C>(
    document: ConfigDocument<'_>,
    connection: Option<C>,
    found: &[KeyProblem],
) -> Result<C, Vec<ConfigProblem>> {
    let (mut problems, places, too_wide) = document.finish();
    problems.extend(found.iter().chain(&too_wide).filter_map(|problem| places.locate(problem)));
    problems.sort();
    match connection {
        Some(connection) if problems.is_empty() => Ok(connection),
        _ => Err(problems),
    }
}

/// Removes the keys of a source that are not about its connection.
fn keep_keys(table: &mut Spanned<DeValue<'_>>, keys: &[ConfigKey]) {
    if let DeValue::Table(table) = table.get_mut() {
        let names: Vec<String> = table.keys().map(|key| key.get_ref().to_string()).collect();
        for name in names.iter().filter(|name| !keys.iter().any(|key| key.name == name.as_str())) {
            table.remove(name.as_str());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kafka(text: &str) -> Result<kafka::KafkaConnection, Vec<ConfigProblem>> {
        let problems = |connection: &kafka::KafkaConnection| connection.validate(Path::new(""));
        source_connection(text, "kafka", KAFKA_CONNECTION, problems)
    }

    #[test]
    fn the_connection_of_the_kinesis_source_is_taken() {
        let text = "[[source]]\nkind = 'kinesis'\nregion = 'eu-west-1'\nstreams = { pin = 'a' }\npoll_ms = 5\n";
        let read = |text| source_connection(text, "kinesis", KINESIS_CONNECTION, kinesis::KinesisConnection::validate);
        let region = Some("eu-west-1".to_owned());
        assert_eq!(read(text).unwrap(), kinesis::KinesisConnection { region, ..kinesis::KinesisConnection::default() });
        assert_eq!(read(&text.replace("eu-west-1", "Ireland!")).unwrap_err().len(), 1);
    }

    #[test]
    fn how_buckets_are_reached_is_taken() {
        let text = "pipeline = 'x'\n[objects]\nregion = 'eu-west-1'\naddressing = 'host'\n";
        let wanted = storage::StorageConnection {
            region: Some("eu-west-1".to_owned()),
            addressing: Some(storage::BucketAddressing::Host),
            ..storage::StorageConnection::default()
        };
        assert_eq!(objects(text).unwrap(), wanted);
        assert_eq!(objects("pipeline = 'x'").unwrap(), storage::StorageConnection::default());
        let problems = objects("[objects]\nbucket = 'x'\n").unwrap_err();
        assert!(problems.len() == 1 && problems[0].place == Some((2, 1)), "{problems:?}");
    }

    #[test]
    fn the_connection_of_the_kafka_source_is_taken() {
        let text = "pipeline = 'x'\n[[source]]\nkind = 'recording'\npath = 'x'\n\
                    [[source]]\nkind = 'kafka'\ntopics = { pin = 'a' }\nbrokers = 'localhost:1'\n";
        assert_eq!(kafka(text).unwrap(), kafka::KafkaConnection::plaintext("localhost:1"));
    }

    #[test]
    fn every_fault_of_it_is_named_with_its_line() {
        let text = "[[source]]\nkind = 'kafka'\nbrokers = 'localhost:x'\nsecurity = 'none'\n\
                    sasl = { mechanism = 'PLAIN', username = 'me', password = 'canary' }\n";
        let problems = kafka(text).unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.place).collect();
        assert_eq!(places, [Some((3, 11)), Some((4, 12)), Some((5, 59))]);
        assert!(!format!("{problems:?}").contains("canary"));
    }

    #[test]
    fn none_and_several_are_faults() {
        for text in ["", "[[source]]\nkind='kafka'\nbrokers='a'\n[[source]]\nkind='kafka'\nbrokers='b'"] {
            let problems = kafka(text).unwrap_err();
            assert!(problems.len() == 1 && problems[0].what.contains("kind = \"kafka\""), "{problems:?}");
        }
    }
}
