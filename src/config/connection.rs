//! How to connect to Kafka, taken from a configuration for commands that need nothing else of it.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::ConfigError;
use super::toml_faults::{Document, Fault, take_text};
use crate::kafka::Connection;

/// The keys of a kafka source that say how to connect.
const KEYS: [&str; 5] = ["brokers", "security", "tls", "sasl", "properties"];

/// How the kafka source of a configuration connects, and what its relative paths are relative to.
///
/// # Errors
/// [`ConfigError`], if there is not exactly one such source, or something is wrong with how it connects: every fault
/// at once. What else stands in the file is not looked at.
pub fn kafka_connection(path: &Path) -> Result<(Connection, PathBuf), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let faulty = |faults| ConfigError::Faulty { path: path.to_owned(), faults };
    match read(&text, &base) {
        Ok(connection) => Ok((connection, base)),
        Err(faults) => Err(faulty(faults)),
    }
}

fn read(text: &str, base: &Path) -> Result<Connection, Vec<Fault>> {
    let mut document = Document::parse(text).map_err(|fault| vec![fault])?;
    let mut sources = document.tables("source");
    sources.retain_mut(|(_, table)| take_text(table, "kind").as_deref() == Some("kafka"));
    let count = sources.len();
    let (Some((_, mut table)), 1) = (sources.pop(), count) else {
        document.fault(None, format!("it has {count} sources with kind = \"kafka\"; how to connect is taken from one"));
        return Err(document.faults);
    };
    keep_keys(&mut table);
    let connection = document.read::<Connection>("source", table);
    for what in connection.iter().flat_map(|connection| connection.faults(base)) {
        document.fault(None, what);
    }
    match connection {
        Some(connection) if document.faults.is_empty() => Ok(connection),
        _ => Err(document.faults),
    }
}

/// Takes out of a source what does not say how to connect.
fn keep_keys(table: &mut Spanned<DeValue<'_>>) {
    if let DeValue::Table(table) = table.get_mut() {
        let names: Vec<String> = table.keys().map(|key| key.get_ref().to_string()).collect();
        for name in names.iter().filter(|name| !KEYS.contains(&name.as_str())) {
            table.remove(name.as_str());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_of_the_kafka_source_is_taken() {
        let text = "pipeline = 'x'\n[[source]]\nkind = 'recording'\npath = 'x'\n\
                    [[source]]\nkind = 'kafka'\ntopics = { pin = 'a' }\nbrokers = 'localhost:1'\n";
        assert_eq!(read(text, Path::new("")).unwrap(), Connection::plaintext("localhost:1"));
    }

    #[test]
    fn every_fault_of_it_is_named_with_its_line() {
        let text = "[[source]]\nkind = 'kafka'\nbrokers = 'localhost:x'\nsecurity = 'none'\n\
                    sasl = { mechanism = 'PLAIN', username = 'me', password = 'canary' }\n";
        let faults = read(text, Path::new("")).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [Some(4), Some(5), None, None]);
        assert!(!format!("{faults:?}").contains("canary"));
    }

    #[test]
    fn none_and_several_are_faults() {
        for text in ["", "[[source]]\nkind='kafka'\nbrokers='a'\n[[source]]\nkind='kafka'\nbrokers='b'"] {
            let faults = read(text, Path::new("")).unwrap_err();
            assert!(faults.len() == 1 && faults[0].what.contains("kind = \"kafka\""), "{faults:?}");
        }
    }
}
