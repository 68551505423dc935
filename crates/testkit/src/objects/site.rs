//! A recording, a bucket, and a configuration that reads the recording into tables in the bucket.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinflow_dataflows::graph::GraphOptions;
use serde_json::Value;

use super::store::{self, TestBucket};
use crate::batch::assert_answers_equal_batch;
use crate::ledger::{TABLES, assert_each_line_once};
use crate::{ProcessOutput, create_temp_dir, emit, last_snapshot, pinflow, succeed};

/// The prefix of the tables in the bucket.
pub const TABLES_PREFIX: &str = "lake/posts";

/// A recording, a separate bucket, and a configuration that reads the recording into the bucket.
pub struct ObjectsSite {
    /// A folder for recording and configuration.
    pub place: tempfile::TempDir,
    /// The bucket, accessed without a proxy.
    pub bucket: TestBucket,
    endpoint: String,
}

/// Sets test credentials, and removes the machine's AWS settings.
pub fn with_credentials(mut command: Command) -> Command {
    command.env("AWS_ACCESS_KEY_ID", store::ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", "secret");
    without_aws_environment(command)
}

/// Removes the machine's AWS settings.
pub fn without_aws_environment(mut command: Command) -> Command {
    let nothing = "/dev/null";
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_CONFIG_FILE", nothing);
    command.env("AWS_SHARED_CREDENTIALS_FILE", nothing);
    command
}

impl ObjectsSite {
    /// A recording of this many draws (three lines each), with tables behind this endpoint.
    pub fn new(draws: u32, endpoint: &str) -> ObjectsSite {
        let place = create_temp_dir();
        emit(&place.path().join("recording"), draws.div_ceil(5), draws, 23, &["--malformed", "0.02"]);
        let site = ObjectsSite { place, bucket: TestBucket::new(), endpoint: endpoint.to_owned() };
        site.configure(100, "");
        site
    }

    /// Writes the configuration with `rows` per commit, and additional lines, the first of which belong to `[[source]]`.
    pub fn configure(&self, rows: u32, more: &str) {
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"recording\"\n{more}\n\
             [tables]\nurl = \"{}\"\ncommit_rows_max = {rows}\ncommit_age_secs_max = 0.05\n[engine]\nepoch_ms = 3\n{}",
            self.url(),
            self.objects()
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// The `[objects]` table.
    pub fn objects(&self) -> String {
        format!("[objects]\nendpoint = \"{}\"\nregion = \"{}\"\ntimeout_secs = 2\n", self.endpoint, store::REGION)
    }

    /// The URL of the tables.
    pub fn url(&self) -> String {
        format!("s3://{}/{TABLES_PREFIX}", self.bucket.name)
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.place.path().join("run.toml")
    }

    /// The recording.
    pub fn recording(&self) -> PathBuf {
        self.place.path().join("recording")
    }

    /// A run of the configuration.
    pub fn run(&self) -> Command {
        let mut command = with_credentials(pinflow(["run", "--output", "snapshots"]));
        command.arg(self.config());
        command
    }

    /// `pinflow table` with the connection of the run.
    pub fn table<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = with_credentials(pinflow(["table", &self.url(), "--connection"]));
        command.arg(self.config()).args(arguments);
        command
    }

    /// The tables, copied to a folder.
    pub fn copy_tables(&self) -> PathBuf {
        let folder = self.place.path().join("copied");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        self.bucket.download(TABLES_PREFIX, &folder);
        folder
    }

    /// The answers of a run without tables.
    pub fn expected(&self) -> ProcessOutput {
        last_snapshot(&succeed(pinflow(["run"]).arg(self.recording())).stdout)
    }

    /// Runs to the end, and asserts that tables and answers are right.
    pub fn finish(&self) {
        let answered = last_snapshot(&succeed(&mut self.run()).stdout);
        assert_eq!(answered.answers, self.expected().answers);
        self.assert_each_line_once_in_tables();
        assert_answers_equal_batch(&self.place.path().join("copied"), GraphOptions::default(), &answered);
        succeed(&mut self.table(["--verify"]));
    }

    /// Asserts that each line is in the tables once, and that no commit was stored twice.
    pub fn assert_each_line_once_in_tables(&self) {
        let copied = self.copy_tables();
        assert_each_line_once(&self.recording(), &copied);
        TABLES.iter().for_each(|table| assert_no_commit_twice(&copied.join(table)));
    }
}

/// Asserts that no commit number is in two versions, no file is added twice, and versions have no gap.
fn assert_no_commit_twice(table: &Path) {
    let (mut numbers, mut files) = (BTreeSet::new(), BTreeSet::new());
    for version in 0.. {
        let Ok(text) = std::fs::read_to_string(table.join(format!("_delta_log/{version:020}.json"))) else {
            let left = std::fs::read_dir(table.join("_delta_log")).unwrap().count();
            let commits = std::fs::read_dir(table.join("_delta_log")).unwrap().filter(|entry| {
                entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "json")
            });
            assert_eq!(commits.count(), version, "{} has {left} files in its log", table.display());
            return;
        };
        for line in text.lines() {
            let action: Value = serde_json::from_str(line).unwrap();
            if action["txn"]["appId"].as_str().is_some_and(|id| id.ends_with("#commit")) {
                assert!(numbers.insert(action["txn"]["version"].as_u64()), "{} {line} is there twice", table.display());
            }
            if let Some(path) = action["add"]["path"].as_str() {
                assert!(files.insert(path.to_owned()), "{} {path} is added twice", table.display());
            }
        }
    }
}
