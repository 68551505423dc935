//! Posts sent through streams, and the run that reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinflow_core::position::Position;
use pinflow_dataflows::graph::GraphOptions;
use pinflow_delta::inspect;

use super::client::{ACCOUNT_ID, KinesisProbe, block_on};
use crate::batch::assert_answers_equal_batch;
use crate::kafka::site::{LiveSite, lines};
use crate::ledger::places;
use crate::{ProcessOutput, create_temp_dir, emit, pinflow, succeed, wait_until};

/// The streams of posts. Kinesis streams are named after them.
pub const STREAMS: [&str; 3] = ["pin", "geo", "user"];

/// Three streams with a unique prefix, and a folder for the run that reads them.
pub struct KinesisSite {
    /// A folder for configuration, log and tables.
    pub place: tempfile::TempDir,
    /// The prefix of its streams.
    pub prefix: String,
    /// A client of the server itself.
    pub probe: KinesisProbe,
    /// The endpoint for the program, which may be a proxy.
    endpoint: String,
}

impl KinesisSite {
    /// Creates the streams at the server `real`. The program connects to `endpoint`, which may be a proxy.
    pub fn new(real: &str, endpoint: &str, shards: i32) -> KinesisSite {
        let site = KinesisSite::without_streams(real, endpoint);
        STREAMS.iter().for_each(|stream| site.probe.create(&site.stream(stream), shards));
        site
    }

    /// Names streams without creating them.
    pub fn without_streams(real: &str, endpoint: &str) -> KinesisSite {
        let prefix = format!("streaming-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        KinesisSite { place: create_temp_dir(), prefix, probe: KinesisProbe::new(real), endpoint: endpoint.to_owned() }
    }

    /// The name of the Kinesis stream of a stream of posts.
    pub fn stream(&self, stream: &str) -> String {
        format!("{}-{stream}", self.prefix)
    }

    /// The folder of the tables.
    pub fn tables(&self) -> PathBuf {
        self.place.path().join("tables")
    }

    /// Writes a configuration that reads the three streams. `source` are additional lines of it.
    pub fn configure(&self, source: &str) -> PathBuf {
        let streams: Vec<String> = STREAMS.map(|stream| format!("{stream} = \"{}\"", self.stream(stream))).to_vec();
        self.configure_streams(&streams.join(", "), source)
    }

    /// As [`KinesisSite::configure`], with these streams.
    pub fn configure_streams(&self, streams: &str, source: &str) -> PathBuf {
        let path = self.place.path().join("run.toml");
        let text = format!(
            "[[source]]\nkind = \"kinesis\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\nstreams = {{ {streams} }}\n\
             poll_ms = 210\nwatch_secs = 0.5\n{source}\n\
             [tables]\nurl = \"tables\"\ncommit_rows_max = 2000\ncommit_age_secs_max = 0.1\n\
             [engine]\nepoch_ms = 3\n[output]\nevery_ms = 20\n",
            self.endpoint
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program on a configuration, with credentials.
    pub fn command(&self, config: &Path) -> std::process::Command {
        let mut command = with_credentials(pinflow(["run"]));
        command.arg(config);
        command
    }

    /// Starts the program on a configuration.
    pub fn run(&self, config: &Path, more: &[&str]) -> LiveSite {
        LiveSite::start_command(self.command(config).args(more), &self.place.path().join("log"))
    }

    /// Puts every line of a recording into its stream, with the line number as partition key.
    pub fn send(&self, recording: &Path) {
        for stream in STREAMS {
            let records: Vec<_> =
                (0..).zip(lines(recording, stream)).map(|(at, line): (u32, _)| (at.to_string(), line)).collect();
            self.probe.put(&self.stream(stream), &records);
        }
    }

    /// Generates a recording to send.
    pub fn recording(&self, inds: u32, seed: u32, more: &[&str]) -> PathBuf {
        let folder = self.place.path().join(format!("recording-{seed}"));
        emit(&folder, inds, inds, seed, more);
        folder
    }

    /// The expected `_source` and `_position` of every stored record.
    pub fn list_stored_records(&self) -> Vec<(String, Position)> {
        let mut held = Vec::new();
        for stream in STREAMS {
            for (shard, records) in self.probe.list_stored_records(&self.stream(stream)) {
                let source = format!("kinesis/{}/{shard}", self.stream(stream));
                held.extend(records.iter().map(|record| (source.clone(), record.number.parse().unwrap())));
            }
        }
        held
    }

    /// The durable position of each shard, from the table of its stream.
    pub fn durable(&self) -> BTreeMap<String, Position> {
        let Ok(tables) = block_on(inspect(&self.tables(), 0)) else { return BTreeMap::new() };
        let cleaned = tables.iter().filter(|table| table.table != "rejected");
        let positions = cleaned.flat_map(|table| table.positions.iter());
        positions.map(|position| (position.source.clone(), position.next)).collect()
    }

    /// Waits until every stored record is durable.
    pub fn wait_until_durable(&self) {
        let held = self.list_stored_records();
        let log = self.place.path().join("log");
        wait_until(&format!("{} records are durable; {}", held.len(), log.display()), || {
            let durable = self.durable();
            let behind =
                |(source, position): &(String, Position)| durable.get(source).is_none_or(|next| next <= position);
            !held.iter().any(behind)
        });
    }

    /// Reads to the end, stops, and asserts that tables and answers are right.
    pub fn finish(&self, config: &Path) -> ProcessOutput {
        let live = self.run(config, &[]);
        self.wait_until_durable();
        let snapshot = live.stop();
        self.assert_answers_and_rows(&snapshot);
        snapshot
    }

    /// Asserts that the tables have each record once, and that the answers equal the batch answers.
    pub fn assert_answers_and_rows(&self, snapshot: &ProcessOutput) {
        assert_each_once(&self.list_stored_records(), &self.tables());
        assert_answers_equal_batch(&self.tables(), GraphOptions::default(), snapshot);
        succeed(pinflow(["table"]).arg(self.tables()).arg("--verify"));
    }
}

/// Asserts that the tables have each of these records exactly once, as one row, and nothing else.
pub fn assert_each_once(held: &[(String, Position)], tables: &Path) {
    let found = places(tables);
    for (source, position) in held {
        let key = (source.clone(), format!("{position:056}"), 0);
        let times = found.get(&key).copied().unwrap_or_default();
        assert_eq!(times, 1, "{source} at {position} is {times} times in the tables");
    }
    assert_eq!(found.len(), held.len(), "rows that no record explains");
}

/// Adds credentials to the environment.
pub fn with_credentials(mut command: std::process::Command) -> std::process::Command {
    command
        .env("AWS_ACCESS_KEY_ID", ACCOUNT_ID)
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}
