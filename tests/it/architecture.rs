//! Who may depend on whom: the layering that `ARCHITECTURE.md` describes.
//!
//! Between crates the compiler enforces it, as long as the manifests are right; inside `dataflows` and `src` the modules
//! are checked here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A module or crate, and what it may depend on.
type Rules = &'static [(&'static str, &'static [&'static str])];

/// Modules of `dataflows/src`.
const DATAFLOWS_MODULES: Rules = &[
    ("epoch", &[]),
    ("hash", &[]),
    ("slab", &[]),
    ("symbol", &["hash"]),
    ("record", &["symbol"]),
    ("rejection", &[]),
    ("clean", &["record", "rejection", "symbol"]),
    ("ingest", &["clean", "record", "rejection", "symbol"]),
    ("wire", &["hash", "record", "symbol"]),
    ("version", &["hash", "record", "symbol", "wire"]),
    ("keys", &["hash", "record", "slab", "version"]),
    ("joins", &["epoch", "keys", "record", "slab", "symbol", "version", "wire"]),
    ("answer", &[]),
    ("general", &["answer", "epoch", "hash", "joins", "keys", "record", "version"]),
    ("input", &["general", "joins", "record", "symbol", "version"]),
    ("aggregates", &["answer", "epoch", "hash", "symbol", "wire"]),
    ("options", &["aggregates"]),
    ("compact", &["aggregates", "joins", "symbol"]),
    ("questions", &["aggregates", "answer", "compact", "general", "options", "record"]),
    (
        "graph",
        &[
            "aggregates",
            "answer",
            "general",
            "input",
            "joins",
            "keys",
            "options",
            "questions",
            "record",
            "symbol",
            "version",
            "wire",
        ],
    ),
    ("introspection", &["aggregates", "graph", "joins", "record", "symbol"]),
];

/// Crates of `crates/`, without their prefix `pinflow-`; `dataflows` may be used by all but `sql`, which it uses itself.
const CRATES: Rules = &[
    ("sql", &[]),
    ("core", &[]),
    ("cluster", &["core"]),
    ("terminal", &[]),
    ("aws", &["core"]),
    ("storage", &["aws", "core"]),
    ("connect", &["core", "storage"]),
    ("archive", &["connect", "core", "storage"]),
    ("files", &["archive", "connect", "core", "storage"]),
    ("kafka", &["aws", "connect", "core"]),
    ("kinesis", &["aws", "connect", "core"]),
    ("delta", &["connect", "core", "sql", "storage"]),
    ("engine", &["cluster", "connect", "core"]),
    ("http", &["core"]),
    ("serving", &["connect", "core", "engine", "http", "terminal"]),
    ("gateway", &["core", "http", "kafka", "kinesis", "storage"]),
    ("mysql", &["core"]),
    ("databases", &["connect", "core", "mysql"]),
    ("emit", &["connect", "core", "delta", "files", "http", "kafka", "kinesis", "mysql", "storage", "terminal"]),
    ("testkit", &["core", "delta"]),
];

/// Modules of `src`, the program, and which of one another they may name. Crates are not restricted here.
const PROGRAM_MODULES: Rules = &[
    ("sources", &[]),
    ("config", &["sources", "telemetry"]),
    ("telemetry", &[]),
    ("publish", &[]),
    ("live_questions", &["config", "question"]),
    ("cluster", &["config"]),
    ("run", &["cluster", "config", "live_questions", "publish", "telemetry"]),
    ("demo", &["config", "run"]),
    ("init", &["config"]),
    ("completions", &[]),
    ("man_pages", &[]),
    ("check", &["config", "live_questions"]),
    ("pipeline", &["config", "run"]),
    ("query", &[]),
    ("table_location", &["config"]),
    ("question", &["config", "query", "table_location"]),
    ("table", &["table_location"]),
    ("rejected", &["config", "question", "table_location"]),
    ("verify", &["config", "query", "question", "table_location"]),
    ("topics", &["config"]),
    ("streams", &["config"]),
    (
        "error",
        &[
            "check",
            "cluster",
            "config",
            "demo",
            "init",
            "man_pages",
            "query",
            "question",
            "rejected",
            "run",
            "streams",
            "table",
            "table_location",
            "telemetry",
            "topics",
            "verify",
        ],
    ),
    (
        "cli",
        &[
            "check",
            "cluster",
            "completions",
            "config",
            "demo",
            "error",
            "init",
            "man_pages",
            "query",
            "question",
            "rejected",
            "run",
            "streams",
            "table",
            "telemetry",
            "topics",
            "verify",
        ],
    ),
    ("main", &[]),
];

/// Crates that do I/O, wait, or tell the time: the pure computation depends on none of them.
const IO_CRATES: [&str; 10] =
    ["tokio", "deltalake", "arrow", "parquet", "object_store", "reqwest", "rdkafka", "aws", "hyper", "mio"];

/// Large or low-level dependencies, and the only crates of ours that may name them. `testkit`, which no crate has in its
/// build, talks to the same servers and reads the same tables, and is not held to this.
const LARGE_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("deltalake", &["delta"]),
    ("timely", &["cluster", "dataflows", "engine"]),
    ("differential-dataflow", &["dataflows"]),
    ("rdkafka", &["emit", "kafka"]),
    ("aws-config", &["aws", "kafka", "kinesis"]),
    ("aws-sdk-kinesis", &["kinesis"]),
    ("mysql_async", &["mysql"]),
    ("tokio-postgres", &["databases"]),
    ("object_store", &["archive", "delta", "files", "storage"]),
    ("axum", &["gateway", "http", "serving"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = file_name(&path);
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

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The code of a file, without comments and without its inline unit tests.
fn code_without_tests(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file");
    let body = text.split("#[cfg(test)]\nmod tests").next().expect("split gives at least one part");
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The top-level modules that a file names as `crate::module`, alone or in braces.
fn named_modules(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut modules = BTreeSet::new();
    for (_, after) in code.match_indices("crate::").map(|(at, found)| (at, &code[at + found.len()..])) {
        match after.strip_prefix('{') {
            None => drop(modules.insert(word(after))),
            Some(list) => {
                let list = &list[..list.find("};").expect("a list in braces ends")];
                modules.extend(list.split(',').map(|item| word(item.trim())).filter(|item| !item.is_empty()));
            }
        }
    }
    modules
}

fn module_violations(source: &Path, rules: Rules) -> Vec<String> {
    let mut files = Vec::new();
    rust_files(source, &mut files);
    let mut found = Vec::new();
    for file in files {
        let inside = file.strip_prefix(source).expect("listed below it");
        let module = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = rules.iter().find(|(name, _)| *name == module) else {
            found.push(format!("{} is in no module of the rules", inside.display()));
            continue;
        };
        let foreign = named_modules(&code_without_tests(&file)).into_iter().filter(|named| {
            named != module && !allowed.contains(&named.as_str()) && rules.iter().any(|(name, _)| name == named)
        });
        found.extend(foreign.map(|named| format!("{} names {named}", inside.display())));
    }
    found
}

/// The normal dependencies that a manifest lists.
fn manifest_dependencies(manifest: &Path) -> Vec<String> {
    dependencies_of_kind(manifest, "dependencies")
}

/// The names in one of a manifest's tables of dependencies.
fn dependencies_of_kind(manifest: &Path, kind: &str) -> Vec<String> {
    let text = std::fs::read_to_string(manifest).expect("a manifest");
    let manifest: toml::Table = text.parse().expect("a manifest is TOML");
    manifest.get(kind).and_then(toml::Value::as_table).map_or_else(Vec::new, |list| list.keys().cloned().collect())
}

/// The crates of the workspace but for the program, by their names without the prefix.
fn crate_folders() -> Vec<(String, PathBuf)> {
    let folders = std::fs::read_dir(root().join("crates")).expect("a folder of crates");
    let mut crates: Vec<(String, PathBuf)> =
        folders.map(|entry| entry.expect("an entry").path()).map(|path| (file_name(&path), path)).collect();
    crates.push(("dataflows".to_owned(), root().join("dataflows")));
    crates
}

#[test]
fn modules_name_only_what_they_may() {
    let mut found = module_violations(&root().join("dataflows/src"), DATAFLOWS_MODULES);
    found.extend(module_violations(&root().join("src"), PROGRAM_MODULES));
    assert!(found.is_empty(), "against the rules:\n{}", found.join("\n"));
}

#[test]
fn crates_depend_only_on_what_they_may() {
    for (name, folder) in crate_folders() {
        if name == "dataflows" {
            continue;
        }
        let (_, allowed) =
            CRATES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is in no rule"));
        for dependency in manifest_dependencies(&folder.join("Cargo.toml")) {
            if let Some(ours) = dependency.strip_prefix("pinflow-") {
                assert!(ours == "dataflows" || allowed.contains(&ours), "crates/{name} depends on {dependency}");
            }
        }
    }
}

#[test]
fn architecture_page_lists_the_crates_and_modules_of_the_rules() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a page");
    for (name, allowed) in CRATES {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` | "))).unwrap_or_default();
        let listed = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let expected = if allowed.is_empty() { "–".to_owned() } else { allowed.join(", ") };
        assert_eq!(listed, expected, "the row of the crate {name} in ARCHITECTURE.md");
    }
    for (name, _) in DATAFLOWS_MODULES.iter().chain(PROGRAM_MODULES).filter(|(name, _)| *name != "main") {
        let is_row = |line: &str| line.starts_with('|') && line.contains(&format!("`{name}`"));
        assert!(page.lines().any(is_row), "ARCHITECTURE.md has no row with the module {name}");
    }
}

#[test]
fn rules_have_no_cycle() {
    for rules in [DATAFLOWS_MODULES, CRATES, PROGRAM_MODULES] {
        // Sorted so that each names only what precedes it: a cycle cannot be sorted.
        let mut sorted = BTreeSet::new();
        while sorted.len() < rules.len() {
            let next = rules
                .iter()
                .find(|(name, allowed)| !sorted.contains(name) && allowed.iter().all(|named| sorted.contains(named)));
            sorted.insert(next.expect("a cycle in the rules").0);
        }
    }
}

#[test]
fn dataflows_crate_is_pure() {
    for dependency in manifest_dependencies(&root().join("dataflows/Cargo.toml")) {
        assert!(!IO_CRATES.iter().any(|name| dependency.starts_with(name)), "dataflows/Cargo.toml names {dependency}");
    }
    let mut files = Vec::new();
    rust_files(&root().join("dataflows/src"), &mut files);
    for file in files {
        let code = code_without_tests(&file);
        for io in ["std::fs", "std::net", "std::process", "std::thread", "Instant::now", "SystemTime", "Timestamp::now"]
        {
            assert!(!code.contains(io), "{} names {io}", file.display());
        }
    }
}

#[test]
fn large_dependencies_stay_in_their_crates() {
    let program = ("program".to_owned(), root().to_path_buf());
    for (name, folder) in crate_folders().into_iter().chain([program]).filter(|(name, _)| name != "testkit") {
        let dependencies = manifest_dependencies(&folder.join("Cargo.toml"));
        for (large, users) in LARGE_DEPENDENCIES {
            let named = dependencies.iter().any(|dependency| dependency == large);
            assert!(!named || users.contains(&name.as_str()), "{name} depends on {large}, which only {users:?} may");
        }
    }
}

#[test]
fn only_tests_of_the_program_depend_on_the_testkit() {
    let is_testkit = |dependency: &String| dependency == "pinflow-testkit";
    for (name, folder) in crate_folders() {
        // Not as a development dependency, either: Cargo would compile the crates below `testkit` twice.
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let listed = dependencies_of_kind(&folder.join("Cargo.toml"), kind);
            assert!(!listed.iter().any(is_testkit), "{name} names pinflow-testkit in {kind}");
        }
    }
    assert!(!manifest_dependencies(&root().join("Cargo.toml")).iter().any(is_testkit), "the program names it");
}
