//! The example DAG in a real Airflow, installed by `tests/airflow/setup.sh`.
//!
//! `PINFLOW_SKIP_AIRFLOW=1` skips the test. Otherwise a missing Airflow is a failure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinflow::dataflows::graph::GraphOptions;
use pinflow::dataflows::questions::QuestionSet;
use serde_json::Value;

use pinflow_testkit::ledger::assert_each_line_once;
use pinflow_testkit::{create_temp_dir, emit, last_snapshot, pinflow, program, succeed};

#[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
fn airflow() -> Option<PathBuf> {
    if std::env::var_os("PINFLOW_SKIP_AIRFLOW").is_some_and(|skip| skip == "1") {
        eprintln!("PINFLOW_SKIP_AIRFLOW=1: no Airflow is started, the example DAG is not run");
        return None;
    }
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/airflow-venv");
    let airflow = venv.join("bin/airflow");
    assert!(airflow.exists(), "no {}: run tests/airflow/setup.sh, or set PINFLOW_SKIP_AIRFLOW=1", airflow.display());
    Some(airflow)
}

/// Splits a line of CSV as Python's `csv` writes it.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cells.last_mut().unwrap().push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            letter => cells.last_mut().unwrap().push(letter),
        }
    }
    cells
}

#[test]
fn dag_ingests_cleans_and_writes_every_answer() {
    let Some(airflow) = airflow() else { return };
    let place = create_temp_dir();
    let at = |name: &str| place.path().join(name);
    let recording = at("recording");
    emit(&recording, 300, 900, 23, &["--malformed", "0.02"]);
    let config = at("flow.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\nfollow = true\n[tables]\nurl = \"tables\"\n";
    std::fs::write(&config, text).unwrap();
    let dags = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/airflow");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&airflow);
        command.args(arguments).env("AIRFLOW_HOME", at("airflow")).env("AIRFLOW__CORE__DAGS_FOLDER", &dags);
        command.env("AIRFLOW__CORE__LOAD_EXAMPLES", "False").env("AIRFLOW__USAGE_DATA_COLLECTION__ENABLED", "False");
        // Do not write compiled Python into the example's folder.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PINFLOW", program()).env("PINFLOW_CONFIG", &config);
        succeed(command.env("PINFLOW_TABLES", at("tables")).env("PINFLOW_RESULTS", at("results")))
    };
    run(&["db", "migrate"]);
    // The second run finds nothing new, and gives the same results.
    for day in ["2026-01-01", "2026-01-02"] {
        let output = run(&["dags", "test", "pinflow_posts", day]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("state=success") || said.contains("success"), "{said}");
        let snapshot = last_snapshot(&succeed(pinflow(["run", "--output", "snapshots"]).arg(&recording)).stdout);
        for name in QuestionSet::built_in(GraphOptions::default()).names() {
            let text = std::fs::read_to_string(at("results").join(format!("{name}.csv")));
            let text = text.unwrap_or_else(|error| panic!("{name}: {error}; {said}"));
            let mut lines = text.lines();
            let header = cells(lines.next().unwrap());
            let found: Vec<BTreeMap<String, String>> =
                lines.map(|line| header.iter().cloned().zip(cells(line)).collect()).collect();
            let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let wanted: Vec<BTreeMap<String, String>> = snapshot.answers[name.as_str()]
                .iter()
                .map(|row| row.as_object().unwrap().iter().map(|(name, value)| (name.clone(), plain(value))).collect())
                .collect();
            assert_eq!(found, wanted, "{name}");
        }
    }
    assert_each_line_once(&recording, &at("tables"));
}
