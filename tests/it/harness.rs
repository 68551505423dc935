//! Runs the real program and reads its output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The program under test.
pub(crate) const PINFLOW: &str = env!("CARGO_BIN_EXE_pinflow");

/// Nothing that a test waits for takes this long on the slowest machine; it only keeps a fault from hanging the run.
const WAIT_TIMEOUT: Duration = Duration::from_secs(300);

/// A folder of its own for each test, removed after it.
pub(crate) fn create_temp_dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch folder")
}

/// The program, with arguments.
pub(crate) fn pinflow<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(PINFLOW);
    command.args(arguments).env_remove("RUST_LOG").env_remove("FAILPOINTS");
    command
}

/// Runs to the end and demands success.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("pinflow starts");
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Makes a recording of `count` draws from `inds` posts; `more` are further flags of `pinflow emit`.
pub(crate) fn emit(folder: &Path, inds: u32, count: u32, seed: u32, more: &[&str]) {
    let (inds, count, seed) = (inds.to_string(), count.to_string(), seed.to_string());
    let arguments = ["emit", "--inds", &inds, "--count", &count, "--seed", &seed, "--order", "emulator"];
    succeed(pinflow(arguments).args(more).arg("--to").arg(folder));
}

/// A running program; killed when dropped.
pub(crate) struct RunningProcess {
    child: Child,
}

impl RunningProcess {
    pub(crate) fn start(command: &mut Command) -> RunningProcess {
        RunningProcess { child: command.stdin(Stdio::null()).spawn().expect("pinflow starts") }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        kill(pid, signal).expect("the process is there to be signalled");
    }

    /// The same, unless it has ended and was waited for.
    pub(crate) fn try_signal(&self, signal: Signal) {
        // Until it is waited for its id is nobody else's.
        let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal);
    }

    pub(crate) fn stderr(&mut self) -> std::process::ChildStderr {
        self.child.stderr.take().expect("stderr is piped and not taken")
    }

    pub(crate) fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("stdout is piped and not taken")
    }

    /// Resident bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// Resident bytes; none if it has just ended.
    pub(crate) fn try_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Whether it has ended by now.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be waited for")
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
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

/// Debian's libfaketime, which tells a program another time; `None` where these tests are left out.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn find_faketime() -> Option<PathBuf> {
    if std::env::var("PINFLOW_SKIP_FAKETIME").is_ok_and(|skip| skip == "1") {
        eprintln!("PINFLOW_SKIP_FAKETIME is set: a wrong clock is not tested");
        return None;
    }
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let found = folders.map(|folder| Path::new(folder).join("faketime/libfaketime.so.1"));
    let found = found.into_iter().find(|path| path.exists());
    Some(found.expect("no libfaketime: apt-get install faketime, or set PINFLOW_SKIP_FAKETIME=1"))
}

/// Whether no small file system may be mounted here.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn skip_without_tmpfs() -> bool {
    let skips = std::env::var_os("PINFLOW_SKIP_TMPFS").is_some();
    if skips {
        eprintln!("PINFLOW_SKIP_TMPFS is set: no small file system is mounted, a full disk is not tested");
    }
    skips
}

/// A file system of a few megabytes; unmounted when dropped.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: &Path, size: &str) -> SmallDisk {
        std::fs::create_dir_all(at).expect("a place to mount at");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "a tmpfs cannot be mounted (root only); PINFLOW_SKIP_TMPFS=1 leaves this test out"
        );
        SmallDisk(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < WAIT_TIMEOUT, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A snapshot: the rows of every answer, and the line that ends it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProcessOutput {
    pub(crate) answers: BTreeMap<String, Vec<Value>>,
    pub(crate) cut: Value,
}

/// The last snapshot of what a run wrote to stdout.
pub(crate) fn last_snapshot(stdout: &[u8]) -> ProcessOutput {
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

/// The shared real posts, where this checkout stands beside them.
pub(crate) fn find_real_posts() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/real");
    folder.is_dir().then_some(folder)
}
