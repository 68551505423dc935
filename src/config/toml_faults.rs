//! Reads TOML into configuration structs, and finds every fault of it, not only the first.
//!
//! Each section is deserialised on its own. At a fault the offending entry is noted with its line and taken
//! out, and the section is tried again, so that one pass over a file names all that is wrong with it.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1, where one can be named.
    pub line: Option<usize>,
    /// What is wrong, and the mend.
    pub what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// A document being read, and what was found wrong with it so far.
pub(super) struct Document<'a> {
    text: &'a str,
    root: DeTable<'a>,
    /// What is wrong.
    pub(super) faults: Vec<Fault>,
}

impl<'a> Document<'a> {
    /// Parses the text.
    ///
    /// # Errors
    /// The syntax error, with its line: then nothing more can be said.
    pub(super) fn parse(text: &'a str) -> Result<Document<'a>, Fault> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Document { text, root: root.into_inner(), faults: Vec::new() }),
            Err(error) => {
                let line = error.span().map(|span| line_of(text, span.start));
                Err(Fault { line, what: error.message().to_owned() })
            }
        }
    }

    /// Notes a fault at a place in the text.
    pub(super) fn fault(&mut self, at: Option<usize>, what: impl Into<String>) {
        let line = at.map(|at| line_of(self.text, at));
        self.faults.push(Fault { line, what: what.into() });
    }

    /// Takes a section out and reads it; its default if it is absent or cannot be read.
    pub(super) fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        let Some((_, value)) = self.root.remove_entry(name) else { return T::default() };
        self.read(name, value).unwrap_or_default()
    }

    /// Takes a section out and reads it, if it is there.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let (_, value) = self.root.remove_entry(name)?;
        self.read(name, value)
    }

    /// Takes out a list of tables, with the place where each starts.
    pub(super) fn tables(&mut self, name: &str) -> Vec<(usize, Spanned<DeValue<'a>>)> {
        let Some((_, value)) = self.root.remove_entry(name) else { return Vec::new() };
        let start = value.span().start;
        match value.into_inner() {
            DeValue::Array(array) => array.into_iter().map(|item| (item.span().start, item)).collect(),
            _ => {
                self.fault(Some(start), format!("`{name}` must be written as [[{name}]]"));
                Vec::new()
            }
        }
    }

    /// What is left belongs to nothing that is known.
    pub(super) fn refuse_rest(&mut self, known: &str) {
        let rest: Vec<_> = self.root.iter().map(|(key, _)| (key.span().start, key.get_ref().to_string())).collect();
        for (at, key) in rest {
            self.fault(Some(at), format!("unknown key `{key}`; known are {known}"));
        }
    }

    /// Reads one value, noting every fault; what can be read is given back, for it may have faults of meaning too.
    pub(super) fn read<T: DeserializeOwned>(&mut self, name: &str, value: Spanned<DeValue<'a>>) -> Option<T> {
        let mut value = value;
        loop {
            let error = match T::deserialize(toml::de::ValueDeserializer::from(value.clone())) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let at = error.span().map(|span| span.start);
            self.fault(at, format!("[{name}] {}", error.message().trim_end()));
            let removed = at.is_some_and(|at| remove_at(&mut value, at));
            if !removed {
                return None;
            }
        }
    }
}

/// Takes a text out of a table, whatever it is worth.
pub(super) fn take_text(value: &mut Spanned<DeValue<'_>>, key: &str) -> Option<String> {
    let DeValue::Table(table) = value.get_mut() else { return None };
    match table.remove(key)?.into_inner() {
        DeValue::String(text) => Some(text.into_owned()),
        _ => None,
    }
}

/// Takes the entry at a place out of a table, however deep; tells whether there was one.
fn remove_at(value: &mut Spanned<DeValue<'_>>, at: usize) -> bool {
    let DeValue::Table(table) = value.get_mut() else { return false };
    let found = table.iter().find(|(key, value)| key.span().start == at || value.span().contains(&at));
    let Some((key, held)) = found else { return false };
    let deeper = matches!(held.get_ref(), DeValue::Table(_)) && held.span().start != at && key.span().start != at;
    let key = key.get_ref().to_string();
    if deeper && table.get_mut(key.as_str()).is_some_and(|held| remove_at(held, at)) {
        return true;
    }
    table.remove(key.as_str()).is_some()
}

fn line_of(text: &str, at: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', &text.as_bytes()[..at.min(text.len())]).count()
}
