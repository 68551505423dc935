//! Which module of this crate may name which other one: there is no cycle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules in layers: each may name what is before it.
const MODULES: &[(&str, &[&str])] = &[
    ("datum", &[]),
    ("diagnostics", &[]),
    ("dialect", &[]),
    ("like", &[]),
    ("places", &[]),
    ("catalog", &["datum"]),
    ("functions", &["datum"]),
    ("hash", &["datum"]),
    ("parse", &["diagnostics", "dialect"]),
    ("expr", &["datum", "functions"]),
    ("calls", &["datum", "expr", "functions"]),
    ("eval", &["datum", "expr", "functions", "like"]),
    ("plan", &["datum", "expr"]),
    ("check", &["datum", "expr", "plan"]),
    ("rewrite", &["datum", "eval", "expr", "plan"]),
    ("explain", &["catalog", "datum", "expr", "plan"]),
    ("nullability", &["catalog", "datum", "expr", "plan", "rewrite"]),
    ("prune", &["datum", "expr", "plan", "rewrite"]),
    ("optimize", &["datum", "expr", "plan", "rewrite"]),
    ("derive", &["catalog", "datum", "eval", "expr", "plan", "rewrite"]),
    ("key_columns", &["catalog", "expr", "plan"]),
    ("naive", &["datum", "eval", "expr", "functions", "plan"]),
    ("incremental", &["datum", "eval", "expr", "functions", "hash", "plan", "rewrite"]),
    ("split", &["catalog", "datum", "derive", "expr", "incremental", "key_columns", "plan", "prune"]),
    (
        "bind",
        &[
            "calls",
            "catalog",
            "check",
            "datum",
            "diagnostics",
            "eval",
            "expr",
            "functions",
            "nullability",
            "optimize",
            "parse",
            "places",
            "plan",
            "prune",
            "rewrite",
        ],
    ),
];

fn source_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        // Unit tests name what they need.
        if path.file_name().is_some_and(|name| name == "tests" || name == "tests.rs" || name == "test_sql.rs") {
            continue;
        }
        if path.is_dir() {
            source_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The modules that code names as `crate::module`. Comments and inline unit tests do not count.
fn named_modules(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let named = code.match_indices("crate::").map(|(at, found)| &code[at + found.len()..]);
    named.map(|after| after.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()).collect()
}

#[test]
fn modules_name_only_modules_of_layers_below() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut found) = (Vec::new(), Vec::new());
    source_files(&source, &mut files);
    for file in files {
        let inside = file.strip_prefix(&source).expect("listed below it");
        let module = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == module) else {
            found.push(format!("{} is in no module of the layers", inside.display()));
            continue;
        };
        let named = named_modules(&std::fs::read_to_string(&file).expect("a source file"));
        let foreign = named.iter().filter(|name| *name != module && !allowed.contains(&name.as_str()));
        found.extend(foreign.map(|name| format!("{} names `{name}`", inside.display())));
    }
    assert!(found.is_empty(), "against the layers:\n{}", found.join("\n"));
}

#[test]
fn each_module_may_name_only_those_listed_before_it() {
    for (index, (module, allowed)) in MODULES.iter().enumerate() {
        let before: BTreeSet<&str> = MODULES[..index].iter().map(|(name, _)| *name).collect();
        let later: Vec<_> = allowed.iter().filter(|name| !before.contains(*name)).collect();
        assert!(later.is_empty(), "{module} may name {later:?}, which come later");
    }
}
