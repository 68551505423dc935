//! Starts the real program, and ends it.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::paths::program;
use crate::wait::WAIT_TIMEOUT;

/// The password that [`run`] puts into the environment, as `PINFLOW_TEST_PASSWORD`.
pub const TEST_PASSWORD: &str = "canary-of-the-broker";

/// A command of the program with arguments.
pub fn pinflow<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_remove("RUST_LOG").env_remove("FAILPOINTS");
    command
}

/// Runs a command to its end, and asserts success.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("pinflow starts");
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Generates a recording of `count` draws from `inds` posts. `more` are additional flags of `pinflow emit`.
pub fn emit(folder: &Path, inds: u32, count: u32, seed: u32, more: &[&str]) {
    let (inds, count, seed) = (inds.to_string(), count.to_string(), seed.to_string());
    let arguments = ["emit", "--inds", &inds, "--count", &count, "--seed", &seed, "--order", "emulator"];
    succeed(pinflow(arguments).args(more).arg("--to").arg(folder));
}

/// A running program. Killed when dropped.
pub struct RunningProcess {
    child: Child,
}

impl RunningProcess {
    /// Starts a command, without stdin.
    pub fn start(command: &mut Command) -> RunningProcess {
        RunningProcess { child: command.stdin(Stdio::null()).spawn().expect("pinflow starts") }
    }

    /// Sends a signal to the process, which must be running.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        kill(pid, signal).expect("the process is there to be signalled");
    }

    /// Sends a signal, unless the process has ended and was waited for.
    pub fn try_signal(&self, signal: Signal) {
        // Its process id is not reused before it is waited for.
        let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal);
    }

    /// Its stderr, which must be piped. Can be taken once.
    pub fn stderr(&mut self) -> std::process::ChildStderr {
        self.child.stderr.take().expect("stderr is piped and not taken")
    }

    /// Its stdout, which must be piped. Can be taken once.
    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("stdout is piped and not taken")
    }

    /// Resident bytes.
    pub fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// Resident bytes. 0 if it has just ended.
    pub fn try_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// The exit status, if it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be waited for")
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.try_wait() {
                return status;
            }
            assert!(start.elapsed() < WAIT_TIMEOUT, "pinflow did not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit code and outputs of a command.
#[derive(Debug)]
pub struct EndedRun {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// Stdout as bytes.
    pub bytes: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// Runs pinflow to its end, with success or failure.
pub fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> EndedRun {
    run_with(arguments, &[])
}

/// As [`run`], with additional environment variables.
pub fn run_with<'a>(arguments: impl IntoIterator<Item = &'a str>, environment: &[(&str, &str)]) -> EndedRun {
    let mut command = pinflow(arguments);
    command.env("PINFLOW_TEST_PASSWORD", TEST_PASSWORD).envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    EndedRun {
        code: output.status.code().expect("it ended by itself"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        bytes: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A shell that runs the added arguments as a server.
///
/// Its stdin must be a pipe. The shell kills the server once the pipe closes: when the child is dropped, or when
/// this process ends, even after kill -9.
pub(crate) fn server_command() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "\"$@\" & server=$!; cat >/dev/null; kill -9 $server; wait 2>/dev/null", "sh"]);
    command
}
