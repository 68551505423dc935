//! The documentation: links resolve, and every public name is in the reference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pinflow::dataflows::graph::GraphOptions;
use pinflow::dataflows::questions::QuestionSet;
use pinflow::dataflows::rejection::RejectionReason;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown page of the project.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().join("docs"), root().join("examples"), root().join("page")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            match entry.extension() {
                _ if entry.is_dir() && !entry.ends_with("node_modules") => folders.push(entry),
                Some(extension) if extension == "md" => pages.push(entry),
                _ => {}
            }
        }
    }
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
    pages.extend(top.map(|name| root().join(name)));
    pages
}

/// A page without its code blocks, where brackets mean something else.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).expect("a page");
    let mut in_code = false;
    let is_prose = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    };
    text.lines().filter(is_prose).map(|line| format!("{line}\n")).collect()
}

/// The targets of a page's links and pictures.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// The anchor that a heading gets in a repository browser.
fn anchor(heading: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_';
    heading.to_lowercase().chars().filter(|c| kept(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let headings = prose(page);
    headings
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn links_between_pages_resolve() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = prose(&page);
        for target in links(&text).filter(|target| !target.contains("://") && !target.starts_with("mailto:")) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let linked = if path.is_empty() { page.clone() } else { page.parent().expect("a folder").join(path) };
            let found = linked.exists() && (heading.is_empty() || anchors(&linked).contains(heading));
            if !found {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).expect("a table of contents");
    let listed: BTreeSet<PathBuf> = links(&summary).map(|target| root().join("docs").join(target)).collect();
    let docs = root().join("docs");
    let missing: Vec<_> = pages()
        .into_iter()
        .filter(|page| page.starts_with(&docs) && !page.ends_with("SUMMARY.md") && !listed.contains(page))
        .collect();
    assert!(missing.is_empty(), "pages that nothing lists: {missing:?}");
}

#[test]
fn readme_and_architecture_stay_short() {
    let bytes = |name: &str| fs::metadata(root().join(name)).expect("a page").len();
    assert!(bytes("README.md") <= 8_192, "README.md has {} bytes", bytes("README.md"));
    assert!(bytes("ARCHITECTURE.md") <= 10_240, "ARCHITECTURE.md has {} bytes", bytes("ARCHITECTURE.md"));
}

fn reference(name: &str) -> String {
    fs::read_to_string(root().join("docs/reference").join(name)).expect("a page of the reference")
}

/// The names that a page of the reference does not mention.
fn undocumented<'a>(names: impl IntoIterator<Item = &'a str>, page: &str) -> Vec<&'a str> {
    let text = reference(page);
    names
        .into_iter()
        .filter(|name| !text.contains(&format!("`{name}`")) && !text.contains(&format!("`{name}{{")))
        .collect()
}

#[test]
fn every_answer_and_rejection_reason_is_documented() {
    let questions = QuestionSet::built_in(GraphOptions::default());
    assert_eq!(undocumented(questions.names().map(pinflow::QuestionName::as_str), "semantics.md"), [""; 0]);
    assert_eq!(undocumented(RejectionReason::ALL.iter().map(|reason| reason.name()), "semantics.md"), [""; 0]);
}

/// All string literals of the program's sources that start with `begins` and consist of such characters.
fn names_in_sources(begins: &str, is_name: fn(char) -> bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![root().join("src"), root().join("crates")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                for rest in text.split(&format!("\"{begins}")).skip(1) {
                    let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
                    if rest[name.len()..].starts_with('"') {
                        names.insert(format!("{begins}{name}"));
                    }
                }
            }
        }
    }
    names
}

#[test]
fn every_metric_is_documented() {
    let mut metrics = names_in_sources("pinflow_", |c| c.is_ascii_lowercase() || c == '_');
    // Not a metric but a field of the message for an accepted loss.
    metrics.remove("pinflow_lost");
    // Nor these: tables of a database.
    for table in ["pinflow_cut", "pinflow_tables", "pinflow_writer"] {
        assert!(metrics.remove(table), "{table} is in the sources");
    }
    assert!(metrics.len() > 20, "the sources name metrics");
    assert_eq!(undocumented(metrics.iter().map(String::as_str), "metrics.md"), [""; 0]);
}

/// The source paths in a text, such as `crates/engine/src/driver`.
fn named_source_paths(text: &str) -> BTreeSet<String> {
    let begins = ["src/", "crates/", "dataflows/", "tests/", "scripts/", "examples/", "benches/"];
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let mut paths = BTreeSet::new();
    for word in text.split(|c: char| !is_part(c)).map(|word| word.trim_end_matches(['.', '/'])) {
        if begins.iter().any(|begin| word.starts_with(begin)) {
            paths.insert(word.to_owned());
        }
    }
    paths
}

#[test]
fn every_source_path_that_a_page_names_exists() {
    let mut missing = Vec::new();
    let mut named = 0;
    for page in pages().iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        for path in named_source_paths(&fs::read_to_string(page).expect("a page")) {
            named += 1;
            // A page may name files relative to its folder, and diagrams name modules without `.rs`.
            let folders = [root(), page.parent().expect("a folder")];
            let exists = |folder: &Path| folder.join(&path).exists() || folder.join(format!("{path}.rs")).exists();
            if !folders.into_iter().any(exists) {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(named > 20, "only {named} paths were found");
    assert!(missing.is_empty(), "pages name paths that do not exist:\n{}", missing.join("\n"));
}
