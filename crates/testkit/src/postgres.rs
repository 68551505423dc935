//! PostgreSQL servers, each with its own process, folder and port.
//!
//! They end with the process that started them, even after kill -9: a shell holds a pipe to us and kills the server once
//! the pipe closes.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use crate::certificates::TestCertificates;
use crate::paths::workspace_root;
use crate::process::server_command;

/// Longer than any start takes, even on a slow machine.
const SERVER_START_TIMEOUT: Duration = Duration::from_secs(120);
/// Start attempts, because another process can take a free port before the server does.
const MAX_START_ATTEMPTS: usize = 3;

/// The password of every role. It must not appear in any output of pinflow.
pub const POSTGRES_PASSWORD: &str = "c%na/r:y@é";
/// The password in a URL.
pub const POSTGRES_PASSWORD_IN_URL: &str = "c%25na%2Fr%3Ay%40%C3%A9";

/// A server. Ended when dropped.
pub struct PostgresServer {
    port: u16,
    folder: tempfile::TempDir,
    has_tls: bool,
    /// `None` while it is killed.
    shell: Option<Child>,
}

/// The rows of one statement, each value as the server's text.
pub type TextRows = Vec<Vec<Option<String>>>;

impl PostgresServer {
    /// The server without TLS that tests share.
    pub fn shared() -> &'static PostgresServer {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| PostgresServer::start(None))
    }

    /// Starts a server with this certificate.
    pub fn start_with_certificate(certificates: &TestCertificates, name: &str) -> PostgresServer {
        PostgresServer::start(Some(&(certificates.certificate(name), certificates.key(name))))
    }

    /// Starts a server.
    pub fn start(certificate: Option<&(PathBuf, PathBuf)>) -> PostgresServer {
        PostgresServer::start_in(PostgresServer::create_folder(), certificate)
    }

    /// Starts a server whose data are on this file system, in a folder of [`PostgresServer::create_folder`]. It needs
    /// 70 MB.
    pub fn start_on(disk: &Path) -> PostgresServer {
        PostgresServer::start_in(open_to_others(tempfile::tempdir_in(disk).unwrap()), None)
    }

    /// Creates a temporary folder that the server's user may enter. Those below Cargo's folder may be closed to it.
    pub fn create_folder() -> tempfile::TempDir {
        open_to_others(tempfile::tempdir().unwrap())
    }

    fn start_in(folder: tempfile::TempDir, certificate: Option<&(PathBuf, PathBuf)>) -> PostgresServer {
        let empty = workspace_root().join("target/postgres/data");
        assert!(empty.is_dir(), "no cluster to start: tests/postgres/setup.sh makes it");
        let data = folder.path().join("data");
        assert!(Command::new("cp").arg("-a").arg(empty).arg(&data).status().unwrap().success());
        if let Some((certificate, key)) = certificate {
            std::fs::copy(certificate, data.join("server.crt")).unwrap();
            std::fs::copy(key, data.join("server.key")).unwrap();
            std::fs::set_permissions(data.join("server.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
            let owner = std::fs::metadata(&data).unwrap().uid();
            for name in ["server.crt", "server.key"] {
                std::os::unix::fs::chown(data.join(name), Some(owner), None).unwrap();
            }
        }
        let mut server = PostgresServer { port: 0, folder, has_tls: certificate.is_some(), shell: None };
        for attempt in 1.. {
            server.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if server.spawn() {
                break;
            }
            let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap();
            assert!(attempt < MAX_START_ATTEMPTS, "PostgreSQL did not start:\n{log}");
        }
        server
    }

    /// Kills the server with kill -9. Its children end by themselves.
    pub fn kill(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            // Close the pipe, so that the shell kills the server.
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// Restarts the server with the same data and port.
    pub fn restart(&mut self) {
        self.kill();
        let start = Instant::now();
        // Children of the killed one may still hold its memory.
        while !self.spawn() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(start.elapsed() < SERVER_START_TIMEOUT, "it starts again:\n{log}");
        }
    }

    /// Stops the server's main process and its sessions, which then do not answer, or lets them go on.
    pub fn pause(&self, is_paused: bool) {
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap();
        let main: i32 = pid.lines().next().unwrap().trim().parse().unwrap();
        let signal = if is_paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
        for pid in children.split_whitespace().map(|pid| pid.parse().unwrap()).chain([main]) {
            // A session may have just ended.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn spawn(&mut self) -> bool {
        let folder = self.folder.path();
        let mut command = server_command();
        // What makes it another user than root, if it must.
        let run = std::fs::read_to_string(workspace_root().join("target/postgres/run")).unwrap();
        command.args(run.split_whitespace());
        command.arg(server_program("postgres")).arg("-D").arg(folder.join("data"));
        let port = format!("port={}", self.port);
        let tls = if self.has_tls { "ssl=on" } else { "ssl=off" };
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=16MB",
            "max_connections=60",
            "fsync=off",
            "autovacuum=off",
            &port,
            tls,
        ] {
            command.args(["-c", setting]);
        }
        command.current_dir("/");
        let log = std::fs::File::create(folder.join("log")).unwrap();
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        self.shell = Some(command.spawn().unwrap());
        let start = Instant::now();
        while start.elapsed() < SERVER_START_TIMEOUT {
            if self.try_sql("postgres", "SELECT 1").is_ok() {
                return true;
            }
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            if log.contains("database system is shut down")
                || log.contains("FATAL:  pre-existing")
                || log.contains("could not create")
            {
                self.kill();
                return false;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        false
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates a database for a test, and a role `pinflow` with its own schema, as the guide describes it.
    pub fn database(&self) -> PostgresDatabase<'_> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("answers_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let role = format!(
            "DO $$ BEGIN CREATE ROLE pinflow LOGIN PASSWORD '{POSTGRES_PASSWORD}'; EXCEPTION WHEN duplicate_object OR \
             unique_violation THEN NULL; END $$"
        );
        self.try_sql("postgres", &role).unwrap();
        self.try_sql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        self.try_sql(&name, "CREATE SCHEMA pinflow AUTHORIZATION pinflow").unwrap();
        PostgresDatabase { server: self, name }
    }

    /// A database that was created before.
    pub fn database_named(&self, name: &str) -> PostgresDatabase<'_> {
        PostgresDatabase { server: self, name: name.to_owned() }
    }

    fn try_sql(&self, database: &str, sql: &str) -> Result<Vec<TextRows>, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").password(POSTGRES_PASSWORD).dbname(database);
        config.connect_timeout(Duration::from_secs(5));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await?;
            let connection = tokio::spawn(connection);
            let mut results: Vec<TextRows> = Vec::new();
            for message in client.simple_query(sql).await? {
                match message {
                    SimpleQueryMessage::RowDescription(_) => results.push(Vec::new()),
                    SimpleQueryMessage::Row(row) => {
                        let values = (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect();
                        results.last_mut().unwrap().push(values);
                    }
                    _ => {}
                }
            }
            drop(client);
            let _ = connection.await;
            Ok(results)
        })
    }
}

/// A program of the server's version.
#[must_use]
pub fn server_program(name: &str) -> PathBuf {
    let bin = std::fs::read_to_string(workspace_root().join("target/postgres/bin")).unwrap();
    Path::new(bin.trim()).join(name)
}

/// Lets other users enter a folder.
fn open_to_others(folder: tempfile::TempDir) -> tempfile::TempDir {
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A database of a server.
pub struct PostgresDatabase<'s> {
    server: &'s PostgresServer,
    /// Its name.
    pub name: String,
}

impl PostgresDatabase<'_> {
    /// Its URL for the role `pinflow`, without the password.
    pub fn url(&self) -> String {
        format!("postgres://pinflow@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// Executes statements as the superuser, in one transaction if there are several. Returns the rows of each query.
    ///
    /// # Errors
    /// The error of the server, or of the connection.
    pub fn try_sql(&self, sql: &str) -> Result<Vec<TextRows>, tokio_postgres::Error> {
        self.server.try_sql(&self.name, sql)
    }

    /// As [`PostgresDatabase::try_sql`]. Panics on an error.
    pub fn sql(&self, sql: &str) -> Vec<TextRows> {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// The only value of a query.
    pub fn value(&self, sql: &str) -> Option<String> {
        self.sql(sql).first()?.first()?.first()?.clone()
    }
}
