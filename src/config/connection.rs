//! How to connect to Kafka, Kinesis or an object store, taken from a configuration for commands that need nothing else of it.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::DeValue;

use super::ConfigError;
use super::toml_faults::{Document, Fault, take_text};
use crate::{kafka, kinesis, objects};

/// The keys of a kafka source that say how to connect.
const KAFKA: [&str; 5] = ["brokers", "security", "tls", "sasl", "properties"];
/// The same of a kinesis source.
const KINESIS: [&str; 3] = ["region", "profile", "endpoint"];

/// How the kafka source of a configuration connects, and what its relative paths are relative to.
///
/// # Errors
/// [`ConfigError`], if there is not exactly one such source, or something is wrong with how it connects: every fault
/// at once. What else stands in the file is not looked at.
pub fn kafka_connection(path: &Path) -> Result<(kafka::Connection, PathBuf), ConfigError> {
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let connection = of_file(path, "kafka", &KAFKA, |connection: &kafka::Connection| connection.faults(&base))?;
    Ok((connection, base))
}

/// How the kinesis source of a configuration connects.
///
/// # Errors
/// As [`kafka_connection`].
pub fn kinesis_connection(path: &Path) -> Result<kinesis::Connection, ConfigError> {
    of_file(path, "kinesis", &KINESIS, kinesis::Connection::faults)
}

/// How a configuration reaches buckets: its `[objects]`, if it has any.
///
/// # Errors
/// [`ConfigError`], if something is wrong with that: every fault at once. What else stands in the file is not looked at.
pub fn objects_connection(path: &Path) -> Result<objects::Connection, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
    objects(&text).map_err(|faults| ConfigError::Faulty { path: path.to_owned(), faults })
}

fn objects(text: &str) -> Result<objects::Connection, Vec<Fault>> {
    let mut document = Document::parse(text).map_err(|fault| vec![fault])?;
    let connection: objects::Connection = document.section("objects");
    for what in connection.faults() {
        document.fault(None, what);
    }
    if document.faults.is_empty() { Ok(connection) } else { Err(document.faults) }
}

fn of_file<C: DeserializeOwned>(
    path: &Path,
    kind: &str,
    keys: &[&str],
    faults: impl Fn(&C) -> Vec<String>,
) -> Result<C, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
    read(&text, kind, keys, faults).map_err(|faults| ConfigError::Faulty { path: path.to_owned(), faults })
}

fn read<C: DeserializeOwned>(
    text: &str,
    kind: &str,
    keys: &[&str],
    faults: impl Fn(&C) -> Vec<String>,
) -> Result<C, Vec<Fault>> {
    let mut document = Document::parse(text).map_err(|fault| vec![fault])?;
    let mut sources = document.tables("source");
    sources.retain_mut(|(_, table)| take_text(table, "kind").as_deref() == Some(kind));
    let count = sources.len();
    let (Some((_, mut table)), 1) = (sources.pop(), count) else {
        let what = format!("it has {count} sources with kind = \"{kind}\"; how to connect is taken from one");
        document.fault(None, what);
        return Err(document.faults);
    };
    keep_keys(&mut table, keys);
    let connection = document.read::<C>("source", table);
    for what in connection.iter().flat_map(faults) {
        document.fault(None, what);
    }
    match connection {
        Some(connection) if document.faults.is_empty() => Ok(connection),
        _ => Err(document.faults),
    }
}

/// Takes out of a source what does not say how to connect.
fn keep_keys(table: &mut Spanned<DeValue<'_>>, keys: &[&str]) {
    if let DeValue::Table(table) = table.get_mut() {
        let names: Vec<String> = table.keys().map(|key| key.get_ref().to_string()).collect();
        for name in names.iter().filter(|name| !keys.contains(&name.as_str())) {
            table.remove(name.as_str());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kafka(text: &str) -> Result<kafka::Connection, Vec<Fault>> {
        read(text, "kafka", &KAFKA, |connection: &kafka::Connection| connection.faults(Path::new("")))
    }

    #[test]
    fn the_connection_of_the_kinesis_source_is_taken() {
        let text = "[[source]]\nkind = 'kinesis'\nregion = 'eu-west-1'\nstreams = { pin = 'a' }\npoll_ms = 5\n";
        let read = |text| read(text, "kinesis", &KINESIS, kinesis::Connection::faults);
        let region = Some("eu-west-1".to_owned());
        assert_eq!(read(text).unwrap(), kinesis::Connection { region, ..kinesis::Connection::default() });
        assert_eq!(read(&text.replace("eu-west-1", "Ireland!")).unwrap_err().len(), 1);
    }

    #[test]
    fn how_buckets_are_reached_is_taken() {
        let text = "pipeline = 'x'\n[objects]\nregion = 'eu-west-1'\naddressing = 'host'\n";
        let wanted = objects::Connection {
            region: Some("eu-west-1".to_owned()),
            addressing: Some(objects::Addressing::Host),
            ..objects::Connection::default()
        };
        assert_eq!(objects(text).unwrap(), wanted);
        assert_eq!(objects("pipeline = 'x'").unwrap(), objects::Connection::default());
        let faults = objects("[objects]\nbucket = 'x'\n").unwrap_err();
        assert!(faults.len() == 1 && faults[0].line == Some(2), "{faults:?}");
    }

    #[test]
    fn the_connection_of_the_kafka_source_is_taken() {
        let text = "pipeline = 'x'\n[[source]]\nkind = 'recording'\npath = 'x'\n\
                    [[source]]\nkind = 'kafka'\ntopics = { pin = 'a' }\nbrokers = 'localhost:1'\n";
        assert_eq!(kafka(text).unwrap(), kafka::Connection::plaintext("localhost:1"));
    }

    #[test]
    fn every_fault_of_it_is_named_with_its_line() {
        let text = "[[source]]\nkind = 'kafka'\nbrokers = 'localhost:x'\nsecurity = 'none'\n\
                    sasl = { mechanism = 'PLAIN', username = 'me', password = 'canary' }\n";
        let faults = kafka(text).unwrap_err();
        let mut lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [None, None, Some(4), Some(5)]);
        assert!(!format!("{faults:?}").contains("canary"));
    }

    #[test]
    fn none_and_several_are_faults() {
        for text in ["", "[[source]]\nkind='kafka'\nbrokers='a'\n[[source]]\nkind='kafka'\nbrokers='b'"] {
            let faults = kafka(text).unwrap_err();
            assert!(faults.len() == 1 && faults[0].what.contains("kind = \"kafka\""), "{faults:?}");
        }
    }
}
