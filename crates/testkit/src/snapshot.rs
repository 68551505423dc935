//! The answers of a run on stdout.

use std::collections::BTreeMap;

use serde_json::Value;

/// A snapshot: the rows of every answer, and the line that ends it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessOutput {
    /// The rows of each answer, by its name.
    pub answers: BTreeMap<String, Vec<Value>>,
    /// The line that ends the snapshot: epochs and positions.
    pub cut: Value,
}

/// The last snapshot in the stdout of a run.
pub fn last_snapshot(stdout: &[u8]) -> ProcessOutput {
    let lines: Vec<Value> = stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("stdout holds JSON Lines"))
        .collect();
    let cut = lines.last().expect("a snapshot").clone();
    assert!(cut.get("answer").is_none() && cut.get("sources").is_some(), "a snapshot ends with its cut: {cut}");
    let of_cut = lines.iter().filter(|line| line["epoch"] == cut["epoch"] && line.get("answer").is_some());
    let answers = of_cut
        .map(|line| {
            assert_eq!(line["as_of"], cut["as_of"], "all answers of a snapshot are as of one moment");
            let name = line["answer"].as_str().expect("a name").to_owned();
            (name, line["rows"].as_array().expect("rows").clone())
        })
        .collect();
    ProcessOutput { answers, cut }
}
