//! Warnings and errors about incomplete or unusual recordings.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use pinflow_testkit::{RunningProcess, create_temp_dir, last_snapshot, pinflow, program, succeed, wait_until};

fn user(ind: u32) -> String {
    format!(
        "{{\"ind\":{ind},\"first_name\":\"A\",\"last_name\":\"B\",\"age\":30,\"date_joined\":\"2016-10-24T11:23:51\"}}"
    )
}

/// The warnings of a run over this path.
fn warnings(path: &Path) -> Vec<Value> {
    let run = succeed(pinflow(["run"]).arg(path).args(["--output", "none"]));
    let log = String::from_utf8(run.stderr).expect("text");
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["level"] == "WARN").collect()
}

/// The output and exit code of `check` for this path.
fn check(path: &Path) -> (String, Option<i32>) {
    let check = pinflow(["check"]).arg(path).output().expect("it starts");
    (String::from_utf8_lossy(&check.stdout).into_owned(), check.status.code())
}

fn rows_read(path: &Path) -> Value {
    let run = succeed(pinflow(["run"]).arg(path).args(["--output", "snapshots"]));
    last_snapshot(&run.stdout).cut["sources"].clone()
}

#[test]
fn files_named_after_the_original_tables_are_all_read() {
    let place = create_temp_dir();
    for file in ["pinterest_data.jsonl", "geolocation_data.jsonl", "user_data.jsonl"] {
        fs::write(place.path().join(file), "{\"ind\":1}\n").expect("written");
    }
    assert_eq!(rows_read(place.path()).as_array().map(Vec::len), Some(3));
    assert!(warnings(place.path()).is_empty());
    let (said, code) = check(place.path());
    assert!(said.contains("nothing is wrong") && code == Some(0), "{said}");
}

#[test]
fn skipped_data_is_a_warning_of_run_and_an_error_of_check() {
    let place = create_temp_dir();
    let (files, archive) = (place.path().join("files"), place.path().join("archive"));
    let write = |path: std::path::PathBuf| {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, user(1) + "\n").expect("written");
    };
    write(files.join("user.jsonl"));
    write(files.join("pinterest.jsonl"));
    write(archive.join("topics/ab.user/partition=0/ab.user+0+0000000000.json"));
    write(archive.join("topics/ab.user/year=2024/month=01/day=01/hour=00/ab.user+0+0000000000.json"));
    write(archive.join("topics/ab.pin/partition=0/ab.pin+0+0000000000.avro"));
    for (folder, left_out) in [(files, &["pinterest.jsonl"][..]), (archive, &["year=2024", "0000000000.avro"][..])] {
        let warnings = warnings(&folder);
        let names = warnings[0]["names"].as_str().expect("the names of the files");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let (said, code) = check(&folder);
        for name in left_out {
            assert!(names.contains(name), "{names}");
            assert!(said.lines().any(|line| line.starts_with("fault") && line.contains(name)), "{said}");
        }
        assert!(code == Some(1) && !said.contains("nothing is wrong"), "{said}");
    }
}

#[test]
fn source_with_only_rejected_messages_gives_one_warning() {
    let place = create_temp_dir();
    let csv = (0..150).map(|ind| format!("{ind},A,B,30\n")).collect::<String>();
    fs::write(place.path().join("pin.jsonl"), csv).expect("written");
    fs::write(place.path().join("geo.jsonl"), "{\"country\":\"Chad\"}\n").expect("written");
    fs::write(place.path().join("user.jsonl"), format!("no JSON\n{}\n", user(1))).expect("written");
    let mut warned: Vec<(String, String)> = warnings(place.path())
        .iter()
        .map(|event| (event["source"].as_str().unwrap_or_default(), event["reason"].as_str().unwrap_or_default()))
        .map(|(source, reason)| (source.to_owned(), reason.to_owned()))
        .collect();
    warned.sort();
    let expected = [("recording/geo.jsonl", "no_key"), ("recording/pin.jsonl", "trailing_bytes")];
    assert_eq!(warned, expected.map(|(source, reason)| (source.to_owned(), reason.to_owned())));
}

#[test]
fn json_array_is_read_as_its_elements() {
    let place = create_temp_dir();
    let rows: Vec<Value> = (1..=3).map(|ind| serde_json::from_str(&user(ind)).expect("JSON")).collect();
    for text in [serde_json::to_string(&rows), serde_json::to_string_pretty(&rows)] {
        fs::write(place.path().join("user.json"), text.expect("JSON")).expect("written");
        let sources = rows_read(place.path());
        assert!(sources[0]["written"] == 3 && sources[0]["position"] == "4", "{sources}");
    }
}

#[test]
fn too_many_followed_files_fail_with_the_limit_and_a_hint() {
    let place = create_temp_dir();
    let folder = place.path().join("posts");
    fs::create_dir(&folder).expect("made");
    for file in 0..150 {
        fs::write(folder.join(format!("user-{file}.jsonl")), user(file) + "\n").expect("written");
    }
    let config = place.path().join("run.toml");
    fs::write(&config, "[[source]]\nkind = \"recording\"\npath = \"posts\"\nfollow = true\n").expect("written");
    let limited = |limits: &str, command: &str| {
        let (program, config) = (program().display(), config.display());
        let script = format!("ulimit {limits} && exec {program} {command} {config}");
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).env_remove("RUST_LOG").stdin(Stdio::null());
        shell
    };
    let run = limited("-n 100", "run --output none").output().expect("it starts");
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("100 files open") && said.contains("LimitNOFILE="), "{said}");
    let checked = limited("-n 200", "check").output().expect("it starts");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(said.contains("150 files are followed") && said.contains("LimitNOFILE="), "{said}");
    // The soft limit is raised.
    let log = fs::File::create(place.path().join("log")).expect("a log");
    let mut running =
        RunningProcess::start(limited("-Sn 100", "run --output snapshots").stdout(log).stderr(Stdio::null()));
    wait_until("all files are read", || {
        assert!(running.try_wait().is_none(), "it goes on");
        let log = fs::read_to_string(place.path().join("log")).unwrap_or_default();
        log.lines().next_back().is_some_and(|line| line.matches("\"read\":1").count() == 150)
    });
}
