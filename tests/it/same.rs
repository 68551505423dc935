//! Identical input gives identical answers: for any number of workers, epoch length and block cut, from any compression.

use std::path::Path;

use crate::harness::{Snapshot, emit, last_snapshot, pinflow, scratch, succeed};

fn run(place: &Path, source: &str, engine: &str, flags: &[&str]) -> Snapshot {
    let config = place.join("run.toml");
    let text = format!("[[source]]\nkind = \"recording\"\n{source}\n[engine]\n{engine}\n");
    std::fs::write(&config, text).expect("written");
    last_snapshot(&succeed(pinflow(["run"]).arg(&config).args(flags)).stdout)
}

#[test]
fn workers_and_cuts_change_nothing() {
    let place = scratch();
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
fn compression_changes_nothing() {
    let place = scratch();
    let mut answered = Vec::new();
    for compression in ["none", "gzip", "zstd"] {
        emit(&place.path().join(compression), 800, 2_000, 12, &["--compress", compression]);
        answered.push(run(place.path(), &format!("path = \"{compression}\""), "", &[]).answers);
    }
    assert_eq!(answered[0], answered[1]);
    assert_eq!(answered[0], answered[2]);
}
