//! A run that serves its answers over HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::http_client::HttpClient;
use crate::{RunningProcess, pinflow, wait_until};

/// A pinflow process that serves.
pub struct ServingRun {
    /// The process.
    pub running: RunningProcess,
    /// A client of its address.
    pub http: HttpClient,
    log: PathBuf,
}

impl ServingRun {
    /// Runs a configuration or a recording with these flags.
    pub fn start(place: &Path, source: &Path, flags: &[&str]) -> ServingRun {
        ServingRun::start_with(place, source, flags, &[])
    }

    /// As [`ServingRun::start`], with additional environment variables.
    pub fn start_with(place: &Path, source: &Path, flags: &[&str], env: &[(&str, &str)]) -> ServingRun {
        let log = place.join("log");
        let mut command = pinflow(["run", "--output", "none"]);
        if !flags.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(flags).arg(source).envs(env.iter().copied());
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let running = RunningProcess::start(&mut command);
        let mut address = None;
        wait_until("it says where it serves", || {
            address = std::fs::read_to_string(&log).unwrap().lines().find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                line["address"].as_str()?.parse::<SocketAddr>().ok()
            });
            address.is_some()
        });
        ServingRun { running, http: HttpClient::new(address.unwrap()), log }
    }

    /// Waits until `/readyz` succeeds.
    pub fn wait_until_ready(&self) {
        wait_until("it is ready", || self.http.get("/readyz").status == 200);
    }

    /// Waits until this many rows were read.
    pub fn wait_until_read(&self, rows: u64) {
        self.wait_until_ready();
        wait_until("all is read", || {
            let status = self.http.json("/status");
            status["sources"].as_array().unwrap().iter().map(|of| of["read"].as_u64().unwrap()).sum::<u64>() >= rows
        });
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Sends SIGTERM and waits for exit code 0.
    pub fn stop(mut self) {
        self.running.signal(Signal::SIGTERM);
        let status = self.running.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

/// A configuration that follows a recording, with additional lines.
pub fn configure_followed_recording(place: &Path, recording: &Path, more: &str) -> PathBuf {
    let path = place.join("serve.toml");
    let source = recording.display();
    std::fs::write(&path, format!("[[source]]\nkind = \"recording\"\npath = \"{source}\"\nfollow = true\n{more}\n"))
        .unwrap();
    path
}
