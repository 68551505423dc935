//! Kinesis servers, each with its own process and port: kinesis-local, which implements shards completely, and
//! MiniStack, which is fast.
//!
//! They end with the process that started them, even after kill -9: a shell holds a pipe to us and kills the server once
//! the pipe closes.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::paths::{create_temp_dir, workspace_root};
use crate::process::server_command;

/// Longer than any start takes, even on a slow machine.
const SERVER_START_TIMEOUT: Duration = Duration::from_secs(60);
/// Start attempts, because another process can take a free port before the server does.
const MAX_START_ATTEMPTS: usize = 3;

/// A server. Ended when dropped.
pub struct KinesisServer {
    port: u16,
    /// The TLS port, if there is one.
    tls_port: u16,
    shell: Child,
    _folder: tempfile::TempDir,
}

impl KinesisServer {
    /// The kinesis-local that tests share.
    pub fn shared() -> &'static KinesisServer {
        static SHARED: OnceLock<KinesisServer> = OnceLock::new();
        SHARED.get_or_init(KinesisServer::start_kinesis_local)
    }

    /// Starts a kinesis-local.
    pub fn start_kinesis_local() -> KinesisServer {
        KinesisServer::kinesis_local(None)
    }

    /// Starts a kinesis-local with a certificate and its key, as PEM texts.
    pub fn start_with_certificate(certificate: &str, key: &str) -> KinesisServer {
        let folder = create_temp_dir();
        let path = folder.path().join("server.json");
        let both = serde_json::json!({ "server": { "key": key, "cert": certificate } });
        std::fs::write(&path, both.to_string()).unwrap();
        // The server has read the file once it responds.
        KinesisServer::kinesis_local(Some(&path))
    }

    fn kinesis_local(certificate: Option<&Path>) -> KinesisServer {
        KinesisServer::start("kinesis-local", |command, ports| {
            let home = home().join("npm/node_modules/kinesis-local");
            let bind = workspace_root().join("tests/kinesis/bind_loopback.js");
            command.current_dir(home).arg("node").arg("-r").arg(bind).args(["--max-old-space-size=1024", "main.js"]);
            command.env("KINESIS_MOCK_PLAIN_PORT", ports[0].to_string());
            command.env("KINESIS_MOCK_TLS_PORT", ports[1].to_string()).env("LOG_LEVEL", "ERROR");
            for call in ["CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT"] {
                command.env(format!("{call}_DURATION"), "20ms");
            }
            command.env("SHARD_LIMIT", "1000");
            certificate.map(|path| command.env("KINESIS_MOCK_CERT_PATH", path));
        })
    }

    /// Starts a MiniStack.
    pub fn start_ministack() -> KinesisServer {
        KinesisServer::start("ministack", |command, ports| {
            let root = workspace_root();
            command.arg(root.join("target/ministack/python/bin/python3")).arg(root.join("tests/ministack/kinesis.py"));
            command.env("GATEWAY_PORT", ports[0].to_string());
            command.env("BIND_HOST", "127.0.0.1").env("SERVICES", "kinesis").env("LOG_LEVEL", "WARNING");
        })
    }

    fn start(name: &str, configure: impl Fn(&mut Command, [u16; 2])) -> KinesisServer {
        for attempt in 1.. {
            // Bind both ports at the same time, so that they differ.
            let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let ports = held.each_ref().map(|held| held.local_addr().unwrap().port());
            drop(held);
            let folder = create_temp_dir();
            let log = folder.path().join("log");
            let mut command = server_command();
            configure(&mut command, ports);
            let out = File::create(&log).unwrap();
            command.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out);
            let (port, tls_port) = (ports[0], ports[1]);
            let server = KinesisServer { port, tls_port, shell: command.spawn().unwrap(), _folder: folder };
            if server.answers() {
                return server;
            }
            let said = std::fs::read_to_string(&log).unwrap();
            assert!(attempt < MAX_START_ATTEMPTS, "{name} did not start (tests/kinesis/setup.sh gets it):\n{said}");
        }
        unreachable!("the last attempt panics")
    }

    fn answers(&self) -> bool {
        let start = Instant::now();
        while start.elapsed() < SERVER_START_TIMEOUT {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// The port without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL with TLS.
    pub fn tls_endpoint(&self) -> String {
        format!("https://localhost:{}", self.tls_port)
    }

    /// Its URL without TLS.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for KinesisServer {
    fn drop(&mut self) {
        // Close the pipe, so that the shell kills the server.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn home() -> PathBuf {
    workspace_root().join("target/kinesis")
}
