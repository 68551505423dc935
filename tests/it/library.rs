//! The library: a pipeline inside another program.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pinflow::{Pipeline, PipelineError, QuestionName, RunningPipeline, answer_names};
use tempfile::tempdir;

#[path = "../../examples/replay.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod replay;

const RECORDINGS: &str = "examples/recordings";

/// Every answer's rows as JSON, by the name of the answer.
fn answers(pipeline: &RunningPipeline) -> BTreeMap<String, Vec<String>> {
    let rows = |name: &str| pipeline.answer(name).expect("a known answer").iter().map(ToString::to_string).collect();
    answer_names().into_iter().map(|name| (name.clone(), rows(&name))).collect()
}

/// Reads all epochs, and asserts that after each one the changes add up to the answers.
fn read_to_end(pipeline: &mut RunningPipeline) -> BTreeMap<String, Vec<String>> {
    let mut counts: BTreeMap<QuestionName, BTreeMap<String, i64>> = BTreeMap::new();
    let mut last_epoch = None;
    while let Some(epoch) = pipeline.next_epoch().expect("a pipeline without faults") {
        assert!(Some(epoch.epoch) > last_epoch, "epoch {} after {last_epoch:?}", epoch.epoch);
        last_epoch = Some(epoch.epoch);
        assert!(!epoch.changes.is_empty());
        for change in epoch.changes {
            *counts.entry(change.answer).or_default().entry(change.row.to_string()).or_default() += change.diff;
        }
        for (name, rows) in answers(pipeline) {
            let count = counts.get(name.as_str()).map_or(0, |rows| rows.values().filter(|count| **count == 1).count());
            assert_eq!(count, rows.len(), "{name} at epoch {last_epoch:?}");
        }
    }
    let answers = answers(pipeline);
    for (name, rows) in &answers {
        let held = counts.remove(name.as_str()).unwrap_or_default();
        assert!(held.values().all(|count| [0, 1].contains(count)), "{name}: {held:?}");
        assert!(rows.iter().all(|row| held.get(row) == Some(&1)), "{name}");
    }
    answers
}

fn line_count(folder: &Path) -> u64 {
    // Read bytes, because the recording is not all UTF-8.
    let bytes = |stream: &str| fs::read(folder.join(format!("{stream}.jsonl"))).expect("a recorded file");
    let lines = |stream: &str| bytes(stream).split_inclusive(|byte| *byte == b'\n').count() as u64;
    ["pin", "geo", "user"].into_iter().map(lines).sum()
}

#[test]
fn changes_of_all_epochs_add_up_to_the_answers() {
    let mut pipeline = Pipeline::from_folder(RECORDINGS).start().expect("a thread");
    let answers = read_to_end(&mut pipeline);
    assert!(answers.values().all(|rows| !rows.is_empty()), "{answers:?}");
    let row = &pipeline.answer("popular_category_by_year").expect("a known answer")[0];
    assert!(row.get("category").is_some() && row.get("surprise").is_none(), "{row}");
    assert_eq!(pipeline.stop().expect("it has ended").rows, line_count(Path::new(RECORDINGS)));
}

#[test]
fn pipeline_with_tables_resumes_with_all_rows_in_its_first_epoch() {
    let folder = tempdir().expect("a folder");
    let config = folder.path().join("posts.toml");
    let path = fs::canonicalize(RECORDINGS).expect("the examples");
    let text = format!("[[source]]\nkind = \"recording\"\npath = {path:?}\n[tables]\nurl = \"data\"\n");
    fs::write(&config, text).expect("a writable folder");
    let run = || {
        let mut pipeline = Pipeline::from_config(&config).expect("a right configuration").start().expect("a thread");
        (read_to_end(&mut pipeline), pipeline.stop().expect("it has ended").rows)
    };
    let (first, rows) = run();
    assert_eq!(rows, line_count(&path));
    assert_eq!(run(), (first, 0), "nothing is read twice, and the answers are those of the tables");
}

#[test]
fn followed_folder_ends_when_stopped_or_dropped_and_later_when_caught_up() {
    let folder = tempdir().expect("a folder");
    let config = folder.path().join("posts.toml");
    let path = fs::canonicalize(RECORDINGS).expect("the examples");
    fs::write(&config, format!("[[source]]\nkind = \"recording\"\npath = {path:?}\nfollow = true\n")).expect("written");
    let pipeline = Pipeline::from_config(&config).expect("a right configuration");
    let mut running = pipeline.clone().start().expect("a thread");
    assert!(running.next_epoch().expect("no fault").is_some());
    assert!(running.stop().expect("an orderly stop").rows > 0);
    drop(pipeline.clone().start().expect("a thread"));
    let mut running = pipeline.until_caught_up().start().expect("a thread");
    read_to_end(&mut running);
    assert_eq!(running.stop().expect("it has ended").rows, line_count(&path));
}

#[test]
fn errors_say_what_to_do_and_come_once() {
    let mut missing = Pipeline::from_folder("no/such/folder").start().expect("a thread");
    let error = missing.next_epoch().expect_err("there is nothing to read").to_string();
    assert!(error.contains("no/such/folder"), "{error}");
    assert!(missing.next_epoch().expect("told before").is_none());
    let unknown = missing.answer("most_popular").expect_err("no such answer");
    assert!(matches!(unknown, PipelineError::UnknownAnswer { .. }));
    assert!(unknown.to_string().contains("popular_category_by_year"), "{unknown}");
    let folder = tempdir().expect("a folder");
    let config = folder.path().join("posts.toml");
    fs::write(&config, "pipeline = \"posts\"\n").expect("a writable folder");
    let wrong = Pipeline::from_config(&config).expect_err("it has no source");
    assert!(wrong.to_string().contains("[[source]]"), "{wrong}");
}

#[test]
fn example_replays_a_folder() {
    let mut out = Vec::new();
    replay::replay(Path::new(RECORDINGS), &mut out).expect("the example runs");
    let out = String::from_utf8(out).expect("text");
    assert!(answer_names().iter().all(|name| out.lines().any(|line| line == name)), "{out}");
    let read = format!("{} rows read, ", line_count(Path::new(RECORDINGS)));
    assert!(out.lines().last().is_some_and(|line| line.starts_with(&read)), "{out}");
}
