//! Identical input gives identical answers for any number of workers, epoch length, block size and compression.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::Value;

use pinflow_testkit::ledger::read;
use pinflow_testkit::{ProcessOutput, create_temp_dir, emit, last_snapshot, pinflow, succeed};

fn run(place: &Path, source: &str, engine: &str, flags: &[&str]) -> ProcessOutput {
    let config = place.join("run.toml");
    let text = format!("[[source]]\nkind = \"recording\"\n{source}\n[engine]\n{engine}\n");
    std::fs::write(&config, text).expect("written");
    last_snapshot(&succeed(pinflow(["run"]).arg(&config).args(flags)).stdout)
}

#[test]
fn answers_do_not_depend_on_workers_or_epoch_boundaries() {
    let place = create_temp_dir();
    emit(&place.path().join("plain"), 1_500, 6_000, 11, &["--malformed", "0.02", "--wrap", "mixed"]);
    let options: [&[&str]; 4] = [
        &[],
        &["--duplicates", "keep", "--ties", "all"],
        &["--top", "3", "--median", "lower"],
        &["--top", "all", "--duplicates", "keep"],
    ];
    for flags in options {
        let once = run(place.path(), "path = \"plain\"", "workers = 1", flags);
        for engine in [
            "workers = 1\nepoch_ms = 1\nepoch_bytes_max = 1024",
            "workers = 2\nepoch_ms = 1\nepoch_bytes_max = 20000\nepochs_in_flight_max = 5",
            "workers = 2\nepoch_ms = 500",
        ] {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let engine = if cores == 1 { engine.replace("workers = 2", "workers = 1") } else { engine.to_owned() };
            assert_eq!(
                once.answers,
                run(place.path(), "path = \"plain\"", &engine, flags).answers,
                "{engine} {flags:?}"
            );
        }
    }
}

#[test]
fn answers_do_not_depend_on_compression() {
    let place = create_temp_dir();
    let mut answered = Vec::new();
    for compression in ["none", "gzip", "zstd"] {
        emit(&place.path().join(compression), 800, 2_000, 12, &["--compress", compression]);
        answered.push(run(place.path(), &format!("path = \"{compression}\""), "", &[]).answers);
    }
    assert_eq!(answered[0], answered[1]);
    assert_eq!(answered[0], answered[2]);
}

#[test]
fn every_malformed_message_is_rejected_with_its_reason() {
    let place = create_temp_dir();
    let (recording, manifest) = (place.path().join("recording"), place.path().join("manifest.json"));
    let manifest_flag = manifest.to_str().expect("a path in UTF-8");
    emit(&recording, 1_500, 8_000, 21, &["--malformed", "0.05", "--manifest", manifest_flag]);
    let tables = place.path().join("tables");
    succeed(pinflow(["run"]).arg(&recording).arg("--tables").arg(&tables));
    let rows = read(&tables.join("rejected"));
    let at = |name: &str| rows.columns.iter().position(|column| column == name).expect("a column");
    let (source, reason) = (at("_source"), at("reason"));
    let mut found = BTreeMap::new();
    for row in &rows.rows {
        let (Value::Text(source), Value::Text(reason)) = (&row[source], &row[reason]) else { panic!("{row:?}") };
        *found.entry((source.clone(), reason.clone())).or_insert(0) += 1;
    }
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&manifest).expect("a manifest")).expect("JSON");
    let mut made = BTreeMap::new();
    for (stream, of) in manifest["streams"].as_object().expect("streams") {
        for (reason, count) in of["rejected"].as_object().expect("reasons") {
            made.insert((format!("recording/{stream}.jsonl"), reason.clone()), count.as_u64().expect("a count"));
        }
    }
    made.retain(|_, count| *count > 0);
    assert!(made.len() > 20, "the generator made many kinds");
    assert_eq!(found, made);
}
