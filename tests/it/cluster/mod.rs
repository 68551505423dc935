//! Several processes that run one pipeline: the same answers and tables as one, and nothing lost or repeated when any of
//! them is killed, frozen, stopped or replaced.

mod losses;
mod processes;
mod results;
mod serving;
mod sources;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pinflow_testkit::{RunningProcess, create_temp_dir, emit, pinflow};

/// Exit codes of `docs/reference/exit-codes.md`.
const PEER_LOST: i32 = 70;
const FENCED: i32 = 75;

/// Addresses of this machine that are free now.
fn free_addresses(count: usize) -> Vec<String> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

/// The lines that a test adds to the tables of the configuration.
#[derive(Debug, Clone, Copy, Default)]
struct ConfigLines<'a> {
    source: &'a str,
    tables: &'a str,
    /// Further tables.
    more: &'a str,
}

/// A folder with a recording and a configuration that all processes share.
struct ClusterSite {
    place: tempfile::TempDir,
    config: PathBuf,
}

impl ClusterSite {
    /// A recording of so many draws.
    fn new(draws: u32, ConfigLines { source, tables, more }: ConfigLines<'_>) -> ClusterSite {
        let place = create_temp_dir();
        emit(&place.path().join("posts"), draws / 6 + 1, draws, 11, &["--malformed", "0.01"]);
        let config = place.path().join("posts.toml");
        let text = format!(
            "[[source]]\nkind = \"recording\"\npath = \"posts\"\n{source}\n[tables]\nurl = \"data\"\n{tables}\n{more}\n"
        );
        fs::write(&config, text).unwrap();
        ClusterSite { place, config }
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn recording(&self) -> PathBuf {
        self.path().join("posts")
    }

    fn tables(&self) -> PathBuf {
        self.path().join("data")
    }

    /// A cluster of so many processes, with ports of its own.
    fn cluster(&self, processes: usize) -> TestCluster {
        TestCluster::new(&self.config, self.path(), processes)
    }
}

/// The processes of a cluster, as commands.
struct TestCluster {
    config: PathBuf,
    /// Where their logs and their stdout go.
    folder: PathBuf,
    addresses: Vec<String>,
}

impl TestCluster {
    /// A cluster of so many processes that run this configuration, with ports of its own.
    fn new(config: &Path, folder: &Path, processes: usize) -> TestCluster {
        TestCluster { config: config.to_owned(), folder: folder.to_owned(), addresses: free_addresses(processes) }
    }

    /// The command of a process. Its stderr goes to a file, and its stdout to another one.
    fn command(&self, process: usize, flags: &[&str]) -> Command {
        let mut command = pinflow(["run"]);
        command.arg(&self.config).args(["--process", &process.to_string(), "--cluster", &self.addresses.join(",")]);
        command.args(flags).env("RUST_LOG", "warn,pinflow=info,pinflow_engine::driver=debug");
        command.stderr(File::create(self.log_path(process)).unwrap());
        command.stdout(File::create(self.stdout_path(process)).unwrap());
        command
    }

    fn log_path(&self, process: usize) -> PathBuf {
        self.folder.join(format!("log-{process}"))
    }

    fn stdout_path(&self, process: usize) -> PathBuf {
        self.folder.join(format!("stdout-{process}"))
    }

    fn log(&self, process: usize) -> String {
        fs::read_to_string(self.log_path(process)).unwrap()
    }

    fn stdout(&self, process: usize) -> Vec<u8> {
        fs::read(self.stdout_path(process)).unwrap()
    }

    /// Starts all processes, the last one first.
    fn start(&self, flags: &[&str]) -> Vec<RunningProcess> {
        self.start_with(flags, |_, _| {})
    }

    /// Starts all processes. `change` may change the command of each.
    fn start_with(&self, flags: &[&str], change: impl Fn(usize, &mut Command)) -> Vec<RunningProcess> {
        let start = |process| {
            let mut command = self.command(process, flags);
            change(process, &mut command);
            RunningProcess::start(command.stdin(Stdio::null()))
        };
        let mut running: Vec<_> = (0..self.addresses.len()).rev().map(start).collect();
        running.reverse();
        running
    }

    /// Waits until all processes have ended, and returns their exit codes. `None`: killed by a signal.
    fn wait(&self, mut running: Vec<RunningProcess>) -> Vec<Option<i32>> {
        running.iter_mut().map(|process| process.wait().code()).collect()
    }

    /// Runs all processes to the end of the sources.
    fn run_to_end(&self, flags: &[&str]) {
        let running = self.start(flags);
        let codes = self.wait(running);
        let logs =
            || (0..codes.len()).map(|process| format!("--- {process}:\n{}", self.log(process))).collect::<String>();
        assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?}\n{}", logs());
    }
}
