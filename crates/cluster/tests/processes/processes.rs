//! Starts, kills and reads the processes of a cluster.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::node::NODE_VARIABLE;

/// The time that anything may take that happens at all.
pub(crate) const PATIENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A process of a cluster. It is killed when it is dropped.
pub(crate) struct NodeProcess {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_into(stream: impl std::io::Read + Send + 'static, text: &Arc<Mutex<String>>) -> std::thread::JoinHandle<()> {
    let text = Arc::clone(text);
    std::thread::spawn(move || {
        use std::io::BufRead;
        for line in std::io::BufReader::new(stream).lines().map_while(Result::ok) {
            let mut text = text.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    })
}

impl NodeProcess {
    /// Starts a process with these settings, in a network namespace or without.
    pub(crate) fn start(spec: &str, namespace: Option<&str>) -> NodeProcess {
        let program = std::env::current_exe().unwrap();
        let mut command = match namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        };
        let mut child = command
            .env(NODE_VARIABLE, spec)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers =
            vec![read_into(child.stdout.take().unwrap(), &stdout), read_into(child.stderr.take().unwrap(), &stderr)];
        NodeProcess { child, stdout, stderr, readers }
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until stdout has a line that begins like this, and returns it.
    pub(crate) fn wait_for_line(&self, start: &str) -> String {
        let find = || self.stdout().lines().find(|line| line.starts_with(start)).map(str::to_owned);
        wait_for(find, || format!("no line {start:?}; stdout {:?}; stderr:\n{}", self.stdout(), self.stderr()))
    }

    /// Waits until stderr has this text.
    pub(crate) fn wait_for_log(&self, text: &str) {
        let find = || self.stderr().contains(text).then_some(());
        wait_for(find, || format!("no text {text:?} in stderr:\n{}", self.stderr()));
    }

    /// Sends a signal by its name.
    pub(crate) fn send_signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -s {name}");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until the process has ended and all that it wrote is read.
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < PATIENT_TIMEOUT, "the process does not end; stderr:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        status
    }

    /// Waits for the end and checks that the process ended as a process does that has lost a peer: exit code 70, one
    /// line that names the peer, no panic, and nothing but data on stdout. Returns the line.
    pub(crate) fn check_lost_peer(&mut self) -> String {
        let status = self.wait_for_exit();
        let (stdout, stderr) = (self.stdout(), self.stderr());
        assert_eq!((status.code(), status.signal()), (Some(70), None), "{stderr}");
        let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("lost: ")).collect();
        assert_eq!(lines.len(), 1, "{stderr}");
        assert!(lines[0].contains("process "), "{stderr}");
        for word in ["panicked", "abort", "timely communication error"] {
            assert!(!stderr.contains(word), "{stderr}");
        }
        let is_data = |line: &str| ["formed ", "passing", "counted "].iter().any(|start| line.starts_with(start));
        assert!(stdout.lines().all(is_data), "{stdout}");
        lines[0].to_owned()
    }
}

fn wait_for<T>(mut find: impl FnMut() -> Option<T>, explain: impl Fn() -> String) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(started.elapsed() < PATIENT_TIMEOUT, "{}", explain());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The addresses of a cluster on this machine, and the settings of all its processes.
pub(crate) struct ClusterSpec {
    pub(crate) addresses: Vec<String>,
    pub(crate) common: String,
}

impl ClusterSpec {
    /// Free ports of this machine. All are held until all are known.
    pub(crate) fn on_loopback(processes: usize, common: &str) -> ClusterSpec {
        let held: Vec<TcpListener> = (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = held.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
        ClusterSpec { addresses, common: common.to_owned() }
    }

    pub(crate) fn spec(&self, index: usize, more: &str) -> String {
        // The first of two lines with the same key counts.
        format!("{more}\nindex={index}\nprocesses={}\n{}", self.addresses.join(","), self.common)
    }

    pub(crate) fn start(&self, index: usize) -> NodeProcess {
        NodeProcess::start(&self.spec(index, ""), None)
    }

    pub(crate) fn start_all(&self) -> Vec<NodeProcess> {
        (0..self.addresses.len()).map(|index| self.start(index)).collect()
    }
}

/// Waits until all are formed, checks that they agree, and returns the line they have in common.
pub(crate) fn check_formed(nodes: &[NodeProcess]) -> String {
    let formed_line = |node: &NodeProcess| {
        let line = node.wait_for_line("formed ");
        line.split(" refused").next().unwrap_or_default().to_owned()
    };
    let lines: Vec<String> = nodes.iter().map(formed_line).collect();
    assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
    nodes.iter().for_each(|node| drop(node.wait_for_line("passing")));
    lines[0].clone()
}
