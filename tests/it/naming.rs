//! The rules of names in `CONTRIBUTING.md`, counted: a type name of one word is the exception, and no name is used twice.
//!
//! The limits may only fall.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// At most this many of a hundred type names may be a single word.
const MAX_ONE_WORD_PERCENT: usize = 3;

/// At most this many of a hundred function names may be a single word, such as `new`, `push` or `parse`.
const MAX_ONE_WORD_FUNCTION_PERCENT: usize = 30;

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The name of the type that a line defines. Associated types are indented `type`s, and define nothing new.
fn defined_type(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = code.strip_prefix("pub ").unwrap_or(code);
    let code = match code.strip_prefix("pub(") {
        Some(rest) => rest.split_once(") ")?.1,
        None => code,
    };
    let (keyword, rest) = code.split_once(' ')?;
    let is_type = match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => !line.starts_with(' '),
        _ => false,
    };
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (is_type && rest.starts_with(char::is_uppercase)).then(|| &rest[..end])
}

fn is_one_word(name: &str) -> bool {
    name.chars().skip(1).all(|c| c.is_lowercase() || c.is_numeric())
}

/// All Rust files of the workspace, with their paths below its root.
fn workspace_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "crates", "dataflows", "tests", "benches", "examples"] {
        rust_files(&root.join(folder), &mut files);
    }
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).expect("a source file");
        (file.strip_prefix(root).expect("listed below it").display().to_string(), text)
    };
    files.into_iter().map(read).collect()
}

/// Where each type name of the workspace is defined.
fn type_definitions() -> BTreeMap<String, Vec<String>> {
    let mut definitions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in workspace_files() {
        for (number, line) in text.lines().enumerate() {
            if let Some(name) = defined_type(line) {
                definitions.entry(name.to_owned()).or_default().push(format!("{file}:{}", number + 1));
            }
        }
    }
    assert!(definitions.len() > 500, "only {} types were found", definitions.len());
    definitions
}

/// The name of the function that a line defines.
fn defined_function(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub(") {
        Some(rest) => rest.split_once(") ")?.1,
        None => code.strip_prefix("pub ").unwrap_or(code),
    };
    let code = ["const ", "async "].into_iter().fold(code, |code, word| code.strip_prefix(word).unwrap_or(code));
    let rest = code.strip_prefix("fn ")?;
    Some(&rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_')?])
}

#[test]
fn type_names_are_unique_in_the_workspace() {
    let shared: Vec<String> = type_definitions()
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    assert!(shared.is_empty(), "type names that are used twice:\n{}", shared.join("\n"));
}

#[test]
fn type_names_of_one_word_are_the_exception() {
    let definitions = type_definitions();
    let all: usize = definitions.values().map(Vec::len).sum();
    let one_word: usize =
        definitions.iter().filter(|(name, _)| is_one_word(name)).map(|(_, places)| places.len()).sum();
    assert!(
        one_word * 100 <= MAX_ONE_WORD_PERCENT * all,
        "{one_word} of {all} type names are one word, more than {MAX_ONE_WORD_PERCENT} %"
    );
}

#[test]
fn function_names_of_one_word_only_get_fewer() {
    let files = workspace_files();
    let names: Vec<&str> = files.iter().flat_map(|(_, text)| text.lines().filter_map(defined_function)).collect();
    assert!(names.len() > 3_000, "only {} functions were found", names.len());
    let one_word = names.iter().filter(|name| !name.contains('_')).count();
    assert!(
        one_word * 100 <= MAX_ONE_WORD_FUNCTION_PERCENT * names.len(),
        "{one_word} of {} function names are one word, more than {MAX_ONE_WORD_FUNCTION_PERCENT} %",
        names.len()
    );
}

#[test]
fn definitions_are_distinguished_from_other_lines() {
    assert_eq!(defined_function("    pub(crate) async fn commit_window(&mut self) {"), Some("commit_window"));
    assert_eq!(defined_function("    // fn comment() {"), None);
    assert_eq!(defined_type("pub(crate) struct OpenEpoch<'a> {"), Some("OpenEpoch"));
    assert_eq!(defined_type("type Rules = &'static [u8];"), Some("Rules"));
    assert_eq!(defined_type("    type Item = u8;"), None);
    assert_eq!(defined_type("    enum Wire {"), Some("Wire"));
    assert_eq!(defined_type("// struct Comment"), None);
}
