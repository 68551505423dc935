//! The import law of `ARCHITECTURE.md`: who may know whom.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A room, and the rooms of its crate that it may name.
type Law = &'static [(&'static str, &'static [&'static str])];

const DATAFLOWS: Law = &[
    ("hash", &[]),
    ("slab", &[]),
    ("symbol", &["hash"]),
    ("record", &["symbol"]),
    ("rejection", &[]),
    ("clean", &["record", "rejection", "symbol"]),
    ("ingest", &["clean", "record", "rejection", "symbol"]),
    ("version", &["hash", "record", "symbol"]),
    ("keys", &["hash", "record", "slab", "version"]),
    ("joins", &["keys", "record", "slab", "symbol", "version"]),
    ("input", &["joins", "record", "symbol", "version"]),
    ("answer", &[]),
    ("aggregates", &["answer", "hash", "symbol"]),
    ("options", &["aggregates"]),
    ("questions", &["aggregates", "answer", "joins", "symbol"]),
    ("graph", &["aggregates", "answer", "input", "joins", "keys", "options", "questions", "record", "symbol"]),
    ("introspection", &["aggregates", "graph", "joins", "record", "symbol"]),
];

const PINFLOW: Law = &[
    ("position", &[]),
    ("backoff", &[]),
    ("shutdown", &["terminal"]),
    ("secret", &[]),
    ("output", &[]),
    ("file_limit", &[]),
    ("finding", &[]),
    ("terminal", &[]),
    ("panics", &["terminal"]),
    ("error_text", &[]),
    ("key_problem", &[]),
    ("usage", &[]),
    ("aws", &["key_problem"]),
    ("storage", &["aws", "key_problem"]),
    ("kafka", &["error_text", "aws", "finding", "key_problem", "secret"]),
    ("kinesis", &["aws", "backoff", "finding", "key_problem"]),
    ("mysql", &["secret"]),
    ("archive", &["key_problem", "storage", "position"]),
    (
        "sources",
        &[
            "error_text",
            "archive",
            "backoff",
            "file_limit",
            "finding",
            "kafka",
            "key_problem",
            "kinesis",
            "storage",
            "position",
        ],
    ),
    ("sinks", &["key_problem", "storage", "position"]),
    ("engine", &["archive", "position", "sinks", "sources"]),
    ("http", &["key_problem", "secret"]),
    ("serving", &["engine", "http", "key_problem", "position", "secret", "sinks", "terminal"]),
    ("gateway", &["backoff", "finding", "http", "kafka", "key_problem", "kinesis", "storage", "secret"]),
    ("telemetry", &["engine", "key_problem", "secret", "terminal"]),
    ("publish", &["serving", "sinks"]),
    (
        "emit",
        &[
            "backoff",
            "kafka",
            "key_problem",
            "kinesis",
            "mysql",
            "storage",
            "position",
            "secret",
            "shutdown",
            "sinks",
            "sources",
            "terminal",
            "usage",
        ],
    ),
    ("query", &["error_text", "secret", "terminal", "usage"]),
    ("table", &["config", "storage", "sinks", "terminal", "usage"]),
    ("topics", &["error_text", "config", "kafka", "usage"]),
    ("streams", &["error_text", "config", "key_problem", "kinesis", "usage"]),
    (
        "config",
        &[
            "archive",
            "engine",
            "gateway",
            "http",
            "kafka",
            "key_problem",
            "kinesis",
            "storage",
            "serving",
            "sinks",
            "sources",
            "telemetry",
        ],
    ),
    ("check", &["error_text", "config", "finding", "gateway", "kafka", "kinesis", "storage", "sinks", "sources"]),
    ("run", &["archive", "config", "engine", "storage", "publish", "serving", "sinks", "sources", "telemetry"]),
    (
        "cli",
        &[
            "error_text",
            "check",
            "config",
            "emit",
            "engine",
            "file_limit",
            "gateway",
            "http",
            "kafka",
            "kinesis",
            "mysql",
            "storage",
            "output",
            "panics",
            "query",
            "run",
            "serving",
            "secret",
            "shutdown",
            "sinks",
            "streams",
            "table",
            "telemetry",
            "terminal",
            "topics",
            "usage",
        ],
    ),
    ("main", &[]),
];

/// Crates that do I/O, wait, or tell the time: the pure computation names none of them.
const WORLDLY: [&str; 10] =
    ["tokio", "deltalake", "arrow", "parquet", "object_store", "reqwest", "rdkafka", "aws", "hyper", "mio"];

/// Crates that only some rooms may name.
const LARGE: &[(&str, &[&str])] = &[
    ("deltalake", &["sinks/answers", "sinks/delta"]),
    ("arrow", &["sinks/answers", "sinks/delta"]),
    ("timely", &["engine"]),
    ("rdkafka", &["kafka", "sources/kafka", "emit/destinations/kafka"]),
    ("aws_config", &["aws", "kafka", "kinesis"]),
    ("aws_sdk_kinesis", &["kinesis"]),
    ("mysql_async", &["mysql"]),
    ("object_store", &["archive", "storage", "sinks/answers", "sinks/delta", "sources/recording"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = entry_name(&path);
        if name == "tests" || name.ends_with("_tests.rs") {
            // Unit tests that grew into files of their own.
            continue;
        }
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn entry_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What of a file is not comment, and stands before its unit tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file");
    let body = text.split("#[cfg(test)]\nmod tests").next().expect("split gives at least one part");
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms that a file names, as `crate::room`, alone or in braces.
fn named_rooms(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = BTreeSet::new();
    for (_, after) in code.match_indices("crate::").map(|(at, found)| (at, &code[at + found.len()..])) {
        match after.strip_prefix('{') {
            None => drop(rooms.insert(word(after))),
            Some(list) => {
                let list = &list[..list.find("};").expect("a list in braces ends")];
                rooms.extend(list.split(',').map(|item| word(item.trim())).filter(|item| !item.is_empty()));
            }
        }
    }
    rooms
}

fn violations(source: &Path, law: Law) -> Vec<String> {
    let mut files = Vec::new();
    rust_files(source, &mut files);
    let mut found = Vec::new();
    for file in files {
        let inside = file.strip_prefix(source).expect("listed below it");
        let room = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        let room = room.trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let Some((_, allowed)) = law.iter().find(|(name, _)| *name == room) else {
            found.push(format!("{} is in no room of the law", inside.display()));
            continue;
        };
        let foreign = named_rooms(&code(&file)).into_iter().filter(|named| {
            named != room && !allowed.contains(&named.as_str()) && law.iter().any(|(name, _)| name == named)
        });
        found.extend(foreign.map(|named| format!("{} names {named}", inside.display())));
    }
    found
}

#[test]
fn no_room_knows_more_than_it_may() {
    let mut found = violations(&root().join("dataflows/src"), DATAFLOWS);
    found.extend(violations(&root().join("src"), PINFLOW));
    assert!(found.is_empty(), "against the import law:\n{}", found.join("\n"));
}

#[test]
fn the_law_has_no_cycle() {
    for law in [DATAFLOWS, PINFLOW] {
        // Each room may name only rooms that stand before it once the list is sorted so: a cycle cannot be sorted.
        let mut settled = BTreeSet::new();
        while settled.len() < law.len() {
            let next = law
                .iter()
                .find(|(room, allowed)| !settled.contains(room) && allowed.iter().all(|named| settled.contains(named)));
            settled.insert(next.expect("a cycle in the import law").0);
        }
    }
}

#[test]
fn the_computation_is_pure() {
    let manifest = std::fs::read_to_string(root().join("dataflows/Cargo.toml")).expect("the manifest");
    let dependencies =
        manifest.split("[dependencies]").nth(1).expect("dependencies").split('[').next().expect("a part");
    for name in WORLDLY {
        assert!(!dependencies.lines().any(|line| line.starts_with(name)), "dataflows/Cargo.toml names {name}");
    }
    let mut files = Vec::new();
    rust_files(&root().join("dataflows/src"), &mut files);
    for file in files {
        let code = code(&file);
        for worldly in
            ["std::fs", "std::net", "std::process", "std::thread", "Instant::now", "SystemTime", "Timestamp::now"]
        {
            assert!(!code.contains(worldly), "{} names {worldly}", file.display());
        }
    }
}

#[test]
fn only_its_rooms_know_the_large_crates() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    for file in files {
        let inside = file.strip_prefix(root().join("src")).expect("listed below it").to_string_lossy().into_owned();
        let code = code(&file);
        let knows = |name: &str| code.contains(&format!("{name}::"));
        for (large, rooms) in LARGE {
            let allowed = rooms.iter().any(|room| inside.starts_with(room));
            assert!(!knows(large) || allowed, "{inside} names {large}, which only {rooms:?} may");
        }
    }
}
