//! Followed files that are renamed or replaced during a run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use pinflow_testkit::{RunningProcess, create_temp_dir, pinflow, succeed, wait_until};

/// A folder `posts` with one file of three rows, and a configuration that follows it and writes tables.
struct FollowedFolder {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl FollowedFolder {
    fn new(path: &str) -> FollowedFolder {
        let folder = create_temp_dir();
        fs::create_dir(folder.path().join("posts")).expect("made");
        let place = FollowedFolder { config: folder.path().join("run.toml"), folder };
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"{path}\"\nfollow = true\nallow_removed = true\n\
             [tables]\nurl = \"tables\"\ncommit_age_secs_max = 0.1\n"
        );
        fs::write(&place.config, text).expect("written");
        fs::write(place.file(), rows(1..=3)).expect("written");
        place
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("posts/user.jsonl")
    }

    fn moved_path(&self) -> PathBuf {
        self.folder.path().join("away")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn start(&self) -> RunningProcess {
        let log = fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut command = pinflow(["run"]);
        RunningProcess::start(command.arg(&self.config).args(["--output", "none"]).stdout(Stdio::null()).stderr(log))
    }

    /// Waits until this many rows are committed.
    fn wait_until_committed(&self, rows: u64) {
        wait_until("the rows are committed", || committed_rows(&self.folder.path().join("tables")) == Some(rows));
    }

    fn verify(&self) {
        succeed(pinflow(["table"]).arg(self.folder.path().join("tables")).arg("--verify"));
    }
}

fn rows(inds: std::ops::RangeInclusive<u32>) -> String {
    inds.map(|ind| {
        format!(
            "{{\"ind\":{ind},\"first_name\":\"A\",\"last_name\":\"B\",\"age\":30,\"date_joined\":\"2016-10-24T11:23:51\"}}\n"
        )
    })
    .collect()
}

/// The committed rows of the table `user`, if it exists.
fn committed_rows(tables: &Path) -> Option<u64> {
    let output = pinflow(["table", "--format", "json"]).arg(tables.join("user")).output().expect("it starts");
    let report: Value = serde_json::from_slice(&output.stdout).ok()?;
    report["tables"][0]["rows"].as_u64()
}

#[test]
fn renamed_file_that_returns_is_read_once_and_followed_further() {
    for path in ["posts", "posts/user.jsonl"] {
        let place = FollowedFolder::new(path);
        let mut running = place.start();
        place.wait_until_committed(3);
        fs::rename(place.file(), place.moved_path()).expect("moved away");
        wait_until("it says that the file is gone", || place.log().contains("the file is gone"));
        fs::rename(place.moved_path(), place.file()).expect("moved back");
        wait_until("it says that the file is back", || place.log().contains("the file is back"));
        let mut file = fs::OpenOptions::new().append(true).open(place.file()).expect("it is there");
        file.write_all(rows(4..=5).as_bytes()).expect("appended");
        place.wait_until_committed(5);
        running.signal(Signal::SIGTERM);
        assert_eq!(running.wait().code(), Some(0), "{}", place.log());
        place.verify();
        assert_eq!(committed_rows(&place.folder.path().join("tables")), Some(5));
    }
}

#[test]
fn file_replaced_by_other_content_ends_the_run_and_names_the_file() {
    let place = FollowedFolder::new("posts");
    let mut running = place.start();
    place.wait_until_committed(3);
    fs::rename(place.file(), place.moved_path()).expect("moved away");
    wait_until("it says that the file is gone", || place.log().contains("the file is gone"));
    fs::write(place.moved_path(), rows(7..=9)).expect("written");
    fs::rename(place.moved_path(), place.file()).expect("another file takes the name");
    assert_eq!(running.wait().code(), Some(1));
    let log = place.log();
    assert!(log.contains("recording/user.jsonl") && log.contains("does not begin as the one that was read"), "{log}");
    assert!(log.contains("configure rotation to create files with new names"), "it says what to do: {log}");
    place.verify();
    assert_eq!(committed_rows(&place.folder.path().join("tables")), Some(3));
}
