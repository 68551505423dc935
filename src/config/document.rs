//! Checks a TOML file as a whole, key by key, and reads its tables into structs.
//!
//! Every problem is recorded with its line and column. The wrong part is removed or replaced by a valid value, so that
//! the rest can still be read and checked: one pass finds all problems of a file.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::{ConfigProblem, KeyPlaces};
use super::schema::{LISTS, QUESTION, TABLES, TOP};
use super::suggestion::{
    KeySuggestion, QUESTION_LABEL, join, nearest, source_label, suggest, unknown_key, unknown_word,
};
use super::value_repair::{clamped_number, insert_example, remove_at};
use super::value_type::{ConfigKey, ValueType, type_error};
use crate::sources::{SOURCES, identify_kind, source_kind};
use pinflow_connect::source::source_kind::SourceKind;
use pinflow_core::key_problem::KeyProblem;
use pinflow_http::parse_listen_address;

/// A document being read, and the problems found so far.
pub(super) struct ConfigDocument<'a> {
    text: &'a str,
    root: DeTable<'a>,
    places: KeyPlaces,
    problems: Vec<ConfigProblem>,
    /// Numbers that their type cannot hold. Code that uses the number knows its valid range, and reports it first.
    too_wide: Vec<KeyProblem>,
    /// Problems from here on are not reported: after a syntax error the text may be misread.
    is_broken_from: Option<usize>,
}

/// A `[[source]]` of a document.
pub(super) struct SourceTable<'a> {
    /// Its index in the list.
    pub(super) index: usize,
    pub(super) kind: &'static SourceKind,
    pub(super) value: Spanned<DeValue<'a>>,
}

impl<'a> ConfigDocument<'a> {
    /// Parses a text and records its syntax errors. The text before the first one is still checked.
    pub(super) fn parse(text: &'a str) -> ConfigDocument<'a> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let places = KeyPlaces::new(text);
        let mut document = ConfigDocument {
            text,
            root: root.into_inner(),
            places,
            problems: Vec::new(),
            too_wide: Vec::new(),
            is_broken_from: None,
        };
        let mut broken_lines = Vec::new();
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.get(..offset).unwrap_or_default().matches('\n').count();
            // One mistake often causes several errors in its line. The first one is the most useful.
            if !broken_lines.contains(&line) {
                broken_lines.push(line);
                let what = format!("this is not TOML: {}", error.message().trim_end().replace('\n', ", "));
                document.problems.push(document.places.problem_at(offset, "", &what));
            }
            document.is_broken_from = Some(document.is_broken_from.map_or(offset, |first| first.min(offset)));
        }
        document
    }

    /// Checks every key of every table that is not a list.
    pub(super) fn check_tables(&mut self) {
        let names: Vec<String> = self.root.keys().map(|key| key.get_ref().to_string()).collect();
        let is_known = |name: &str| {
            LISTS.contains(&name)
                || TOP.iter().any(|key| key.name == name)
                || TABLES.iter().any(|(table, _)| *table == name)
        };
        for name in names.iter().filter(|name| !is_known(name)) {
            self.refuse_top_level(name);
        }
        let mut top = DeTable::new();
        for key in TOP {
            if let Some((name, value)) = self.root.remove_entry(key.name) {
                top.insert(name, value);
            }
        }
        self.check_entries("", "", TOP, &mut top, 0);
        for (name, keys) in TABLES {
            self.check_top_level(name, keys);
        }
        for (name, value) in top {
            self.root.insert(name, value);
        }
    }

    /// Checks a top-level table, if it exists.
    pub(super) fn check_top_level(&mut self, name: &'static str, keys: &'static [ConfigKey]) {
        let Some((written, mut value)) = self.root.remove_entry(name) else { return };
        let key = ConfigKey::optional(name, ValueType::Table(keys), "a table");
        self.places.add(name.to_owned(), written.span().start, value.span());
        if let DeValue::Table(table) = value.get_mut() {
            let start = self.places.header_start(written.span().start);
            self.check_entries(name, &format!("[{name}]"), keys, table, start);
            self.root.insert(written, value);
        } else {
            let is_list = matches!(value.get_ref(), DeValue::Array(_));
            let what = if is_list && name == "questions" {
                "[[questions]] is a list of tables; write [[question]] for a question of your own, or [questions] for the \
                 options of all questions"
                    .to_owned()
            } else if is_list {
                format!("[[{name}]] is a list of tables; write [{name}] with single brackets, and only once")
            } else {
                format!("expected a table; write [{name}] and its keys below it")
            };
            self.report(self.places.header_start(written.span().start), key.name, &what);
        }
    }

    fn refuse_top_level(&mut self, name: &str) {
        let Some((written, value)) = self.root.remove_entry(name) else { return };
        let tables: Vec<&'static str> = TABLES.iter().map(|(table, _)| *table).chain(LISTS.iter().copied()).collect();
        let start = self.places.header_start(written.span().start);
        let is_table = matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
        if is_table && let Some(near) = nearest(name, tables.iter().copied()) {
            let brackets = if LISTS.contains(&near) { format!("[[{near}]]") } else { format!("[{near}]") };
            self.report_unknown(start, &format!("[{name}]: unknown table; did you mean {brackets}?"));
            self.root.entry(Spanned::new(written.span(), near.into())).or_insert(value);
            return;
        }
        if is_table && matches!(suggest(name, TOP, ""), KeySuggestion::Nothing) {
            let lists = LISTS.iter().map(|list| format!("[[{list}]]"));
            let known = TABLES.iter().map(|(table, _)| format!("[{table}]")).chain(lists);
            let known: Vec<String> = known.collect();
            self.report_unknown(start, &format!("[{name}]: unknown table; known are {}", known.join(", ")));
            return;
        }
        let (what, meant) = unknown_key(name, TOP, "");
        self.report_unknown(written.span().start, &format!("{name}: {what}"));
        if let Some(meant) = meant {
            self.root.entry(Spanned::new(written.span(), meant.into())).or_insert(value);
        }
    }

    /// Removes the sources from the document, determines their kinds, and checks their keys.
    pub(super) fn check_sources(&mut self) -> Vec<SourceTable<'a>> {
        let mut tables = self.take_sources();
        for table in &mut tables {
            self.check_source(table, table.kind.keys);
        }
        tables
    }

    /// Checks the keys of a source.
    pub(super) fn check_source(&mut self, source: &mut SourceTable<'a>, keys: &'static [ConfigKey]) {
        let (path, label) = (format!("source.{}", source.index), source_label(source.kind.name));
        let start = source.value.span().start;
        if let DeValue::Table(table) = source.value.get_mut() {
            self.check_entries(&path, &label, keys, table, start);
        }
    }

    /// Removes the sources from the document. A source whose kind is unknown and cannot be guessed is skipped.
    pub(super) fn take_sources(&mut self) -> Vec<SourceTable<'a>> {
        let items = self.take_list("source");
        let count = items.len();
        let taken = items.into_iter().filter_map(|(index, item)| self.take_source(index, item));
        let taken: Vec<_> = taken.collect();
        if taken.len() < count {
            self.places.mark_reported("source");
        }
        taken
    }

    /// Removes the questions from the document and checks their keys. Each has its index in the list.
    pub(super) fn check_questions(&mut self) -> Vec<(usize, Spanned<DeValue<'a>>)> {
        let mut items = self.take_list("question");
        for (index, item) in &mut items {
            let start = item.span().start;
            if let DeValue::Table(table) = item.get_mut() {
                self.check_entries(&format!("question.{index}"), QUESTION_LABEL, QUESTION, table, start);
            }
        }
        items
    }

    /// Removes a list of tables from the document. Each table has its index in the list. What is not a table is
    /// reported and skipped.
    fn take_list(&mut self, name: &'static str) -> Vec<(usize, Spanned<DeValue<'a>>)> {
        let Some((written, value)) = self.root.remove_entry(name) else { return Vec::new() };
        let start = self.places.header_start(written.span().start);
        self.places.add(name.to_owned(), written.span().start, value.span());
        let span = value.span();
        let items: Vec<Spanned<DeValue<'a>>> = match value.into_inner() {
            DeValue::Array(list) => list.into_iter().collect(),
            table @ DeValue::Table(_) => {
                let what = format!("[{name}]: {name}s are a list; write [[{name}]] with double brackets");
                self.report_unknown(start, &what);
                vec![Spanned::new(span, table)]
            }
            _ => {
                self.report_unknown(start, &format!("{name}: {}", expected_table(name)));
                self.places.mark_reported(name);
                Vec::new()
            }
        };
        let mut tables = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let (path, span) = (format!("{name}.{index}"), item.span());
            self.places.add(path.clone(), span.start, span.clone());
            if matches!(item.get_ref(), DeValue::Table(_)) {
                tables.push((index, item));
            } else {
                self.report(span.start, &path, &expected_table(name));
                self.places.mark_reported(name);
            }
        }
        tables
    }

    fn take_source(&mut self, index: usize, mut item: Spanned<DeValue<'a>>) -> Option<SourceTable<'a>> {
        let (path, span) = (format!("source.{index}"), item.span());
        let DeValue::Table(table) = item.get_mut() else { return None };
        let known = || SOURCES.iter().map(|kind| kind.name);
        let all = join(&known().map(|name| format!("\"{name}\"")).collect::<Vec<_>>());
        let guessed = identify_kind(|key| table.contains_key(key));
        let kind = match table.remove("kind") {
            None => {
                self.report(span.start, &path, &format!("the key `kind` is missing; add kind = {all}"));
                // Other problems of this source are still reported.
                self.places.unmark_reported(&path);
                guessed
            }
            Some(value) => match value.get_ref() {
                DeValue::String(text) => source_kind(text).or_else(|| {
                    let near = nearest(text, known());
                    let values = near.map_or("possible values".to_owned(), |near| {
                        format!("did you mean \"{near}\"? Possible values")
                    });
                    let what = format!("unknown value {text:?}; {values}: {all}");
                    self.report(value.span().start, &format!("{path}.kind"), &what);
                    near.and_then(source_kind).or(guessed)
                }),
                _ => {
                    let what = format!("expected text in quotes; write kind = {all}");
                    self.report(value.span().start, &format!("{path}.kind"), &what);
                    guessed
                }
            },
        };
        kind.map(|kind| SourceTable { index, kind, value: item })
    }

    /// Checks the entries of a table: unknown keys, missing ones, and each value. `start` is the offset of the table.
    fn check_entries(
        &mut self,
        path: &str,
        label: &str,
        keys: &'static [ConfigKey],
        table: &mut DeTable<'a>,
        start: usize,
    ) {
        let entries = table.iter().map(|(key, value)| (key.get_ref().to_string(), key.span().start, value.span()));
        let entries: Vec<_> = entries.collect();
        for (name, at, value) in entries {
            self.places.add(join_path(path, &name), at, value);
            if !keys.iter().any(|key| key.name == name) {
                self.refuse_key((path, label), keys, table, &name);
            }
        }
        for key in keys {
            let path = join_path(path, key.name);
            let is_right = table.get_mut(key.name).map(|value| self.check_value(&path, key, value));
            match is_right {
                Some(true) => {}
                Some(false) => {
                    table.remove(key.name);
                    insert_example(table, key);
                }
                None if key.is_required => {
                    let is_whole = self.is_broken_from.is_none();
                    let what = format!("the key `{}` is missing; add {} = {}", key.name, key.name, key.example);
                    let table_path = path.rsplit_once('.').map_or("", |(table, _)| table);
                    if is_whole {
                        self.report(start, table_path, &what);
                    }
                    self.unmark(table_path, &path);
                    insert_example(table, key);
                }
                None => {}
            }
        }
    }

    /// Reports an unknown key. If it resembles a known one, its value is checked as the value of that key.
    fn refuse_key(
        &mut self,
        (path, label): (&str, &str),
        keys: &'static [ConfigKey],
        table: &mut DeTable<'a>,
        name: &str,
    ) {
        let Some((written, value)) = table.remove_entry(name) else { return };
        let (what, meant) = unknown_key(name, keys, label);
        self.report(written.span().start, &join_path(path, name), &what);
        if let Some(meant) = meant
            && !table.contains_key(meant)
        {
            self.places.add(join_path(path, meant), written.span().start, value.span());
            table.insert(Spanned::new(written.span(), meant.into()), value);
        }
    }

    /// Checks a value, and replaces wrong parts inside it. Returns `false` if the whole value must be removed.
    fn check_value(&mut self, path: &str, key: &ConfigKey, value: &mut Spanned<DeValue<'a>>) -> bool {
        let span = value.span();
        if !key.value.accepts(value.get_ref()) {
            self.report_type(path, key, value);
            return false;
        }
        match (key.value.for_value(value.get_ref()), value.get_mut()) {
            (ValueType::Table(keys), DeValue::Table(table)) => {
                let start = self.places.header_start_of(path).unwrap_or(span.start);
                self.check_entries(path, path_label(path), keys, table, start);
                true
            }
            (ValueType::Choice(words), DeValue::String(text)) => {
                let is_known = words.contains(&text.as_ref());
                if !is_known {
                    self.report(span.start, path, &unknown_word(text, words, key));
                }
                is_known
            }
            (ValueType::ListenAddress, DeValue::String(text)) => self.check_address(path, span.start, text),
            (ValueType::ListenAddress, DeValue::Integer(port)) => self.check_address(path, span.start, port.as_str()),
            (ValueType::Moment(words), DeValue::String(text)) => {
                let near = nearest(text, words.iter().copied()).filter(|near| near != text);
                if near.is_some() {
                    self.report(span.start, path, &unknown_word(text, words, key));
                }
                near.is_none()
            }
            (ValueType::Whole { min, max }, DeValue::Integer(number)) => {
                let number = i128::from_str_radix(number.as_str(), number.radix()).ok();
                if number.is_some_and(|number| (i128::from(min)..=i128::from(max)).contains(&number)) {
                    return true;
                }
                let is_small = number.is_some_and(|number| number < i128::from(min));
                let range = if is_small { format!("at least {min}") } else { format!("at most {max}") };
                self.too_wide.push(KeyProblem::range(path, range));
                *value = Spanned::new(span, clamped_number(is_small, min, max));
                true
            }
            (ValueType::PropertyMap, DeValue::Table(table)) => {
                self.check_map(path, key, table, |value| {
                    !matches!(value, DeValue::Table(_) | DeValue::Array(_) | DeValue::Datetime(_))
                });
                true
            }
            (ValueType::SecretMap, DeValue::Table(table)) => {
                self.check_map(path, key, table, |value| matches!(value, DeValue::String(_)));
                true
            }
            _ => true,
        }
    }

    fn check_address(&mut self, path: &str, offset: usize, text: &str) -> bool {
        let wrong = parse_listen_address(text).err();
        if let Some(what) = &wrong {
            self.report(offset, path, what);
        }
        wrong.is_none()
    }

    /// Checks the values of a table that may have any keys.
    fn check_map(
        &mut self,
        path: &str,
        key: &ConfigKey,
        table: &mut DeTable<'a>,
        accepts: impl Fn(&DeValue<'_>) -> bool,
    ) {
        let entries = table.iter().map(|(name, value)| (name.get_ref().to_string(), name.span().start, value.span()));
        let entries: Vec<_> = entries.collect();
        for (name, at, span) in entries {
            self.places.add(join_path(path, &name), at, span.clone());
            if table.get(name.as_str()).is_some_and(|value| !accepts(value.get_ref())) {
                table.remove(name.as_str());
                let what = format!("this value has the wrong type; write {} = {}", key.name, key.example);
                self.report(span.start, &join_path(path, &name), &what);
            }
        }
    }

    fn report_type(&mut self, path: &str, key: &ConfigKey, value: &Spanned<DeValue<'a>>) {
        let mut at = value;
        if let (ValueType::TextList, DeValue::Array(items)) = (key.value, value.get_ref())
            && let Some(item) = items.iter().find(|item| !matches!(item.get_ref(), DeValue::String(_)))
        {
            at = item;
        }
        let item = ConfigKey { value: ValueType::Text, ..*key };
        let key = if std::ptr::eq(at, value) { key } else { &item };
        let written = self.text.get(at.span()).unwrap_or_default();
        let what = type_error(key, at.get_ref(), written);
        self.report(at.span().start, path, &what);
    }

    /// Removes a top-level table from the document and reads it, if it exists.
    pub(super) fn read_top_level<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let (_, value) = self.root.remove_entry(name)?;
        self.read(name, value)
    }

    /// Reads a value that was checked. Problems that only its type can find (of a time or an address) are reported here.
    pub(super) fn read<T: DeserializeOwned>(&mut self, path: &str, value: Spanned<DeValue<'a>>) -> Option<T> {
        self.read_with(path, value, |value| T::deserialize(value))
    }

    /// As [`ConfigDocument::read`], with a function that reads it.
    pub(super) fn read_with<T>(
        &mut self,
        path: &str,
        mut value: Spanned<DeValue<'a>>,
        read: impl Fn(ValueDeserializer<'_>) -> Result<T, toml::de::Error>,
    ) -> Option<T> {
        loop {
            let error = match read(ValueDeserializer::from(value.clone())) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let offset = error.span().map(|span| span.start);
            let found = offset.and_then(|offset| self.places.path_at(offset)).unwrap_or(path).to_owned();
            let start = offset.unwrap_or_else(|| value.span().start);
            self.report(start, &found, error.message().trim_end());
            if !offset.is_some_and(|offset| remove_at(&mut value, offset)) {
                return None;
            }
        }
    }

    /// Records a problem of a key.
    pub(super) fn report(&mut self, offset: usize, path: &str, what: &str) {
        self.places.mark_reported(path);
        if self.is_broken_from.is_none_or(|broken| offset < broken) {
            self.problems.push(self.places.problem_at(offset, path, what));
        }
    }

    fn report_unknown(&mut self, offset: usize, what: &str) {
        self.report(offset, "", what);
        self.places.unmark_reported("");
    }

    /// Marks a missing key as reported, but not its table, which may have other problems.
    fn unmark(&mut self, table: &str, key: &str) {
        self.places.unmark_reported(table);
        self.places.mark_reported(key);
    }

    /// Returns the problems found so far, the places of all keys, and the numbers that their type cannot hold.
    pub(super) fn finish(self) -> (Vec<ConfigProblem>, KeyPlaces, Vec<KeyProblem>) {
        let mut places = self.places;
        places.is_broken_from = self.is_broken_from;
        (self.problems, places, self.too_wide)
    }
}

/// The problem of a value where a table of a list is expected.
fn expected_table(list: &str) -> String {
    format!("expected a table; write [[{list}]] and its keys below it")
}

fn join_path(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// The name of a nested table in suggestions.
fn path_label(path: &str) -> &str {
    match path {
        "answers.delta" => "[answers.delta]",
        "answers.postgres" => "[answers.postgres]",
        "answers.mysql" => "[answers.mysql]",
        path => path,
    }
}
