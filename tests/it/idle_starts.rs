//! A run until caught up without new rows commits nothing. A long-running one commits only its fence.

use std::collections::BTreeMap;
use std::path::Path;

use pinflow_testkit::{create_temp_dir, emit, pinflow, succeed};

/// Starts that find nothing new.
const IDLE_STARTS: usize = 3;

/// Commits in the log of each table.
pub(crate) fn count_commits(tables: &Path) -> BTreeMap<&'static str, usize> {
    let commits = |table: &str| {
        let log = std::fs::read_dir(tables.join(table).join("_delta_log")).unwrap();
        log.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|of| of == "json")).count()
    };
    ["pin", "geo", "user", "rejected"].map(|table| (table, commits(table))).into()
}

/// Runs several times without new rows, and asserts that no start leaves a commit.
pub(crate) fn assert_no_commits(tables: &Path, run: impl Fn() -> std::process::Command) {
    let before = count_commits(tables);
    for _ in 0..IDLE_STARTS {
        succeed(&mut run());
        assert_eq!(count_commits(tables), before);
    }
}

#[test]
fn unchanged_recording_is_read_without_a_commit() {
    let place = create_temp_dir();
    emit(&place.path().join("recording"), 300, 500, 5, &["--malformed", "0.05"]);
    for follow in [true, false] {
        let config = place.path().join(format!("follow-{follow}.toml"));
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = {follow}\n[tables]\nurl = \"tables-{follow}\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let run = || {
            let mut command = pinflow(["run", "--until-caught-up", "--output", "none"]);
            command.arg(&config);
            command
        };
        succeed(&mut run());
        assert_no_commits(&place.path().join(format!("tables-{follow}")), run);
    }
}

#[test]
fn run_that_ends_with_its_sources_commits_only_its_fence() {
    let place = create_temp_dir();
    emit(&place.path().join("recording"), 300, 500, 5, &[]);
    let tables = place.path().join("tables");
    let run = || {
        let mut command = pinflow(["run", "--output", "none"]);
        command.arg(place.path().join("recording")).arg("--tables").arg(&tables);
        command
    };
    succeed(&mut run());
    let before = count_commits(&tables);
    succeed(&mut run());
    let fenced = before.into_iter().map(|(table, commits)| (table, commits + 1)).collect();
    assert_eq!(count_commits(&tables), fenced);
}
