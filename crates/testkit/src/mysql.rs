//! MariaDB servers, each with its own process, folder and port.
//!
//! They end with the process that started them, even after kill -9: a shell holds a pipe to us and kills the server once
//! the pipe closes.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

use crate::certificates::TestCertificates;
use crate::paths::{create_temp_dir, workspace_root};
use crate::process::{run, server_command};

/// Longer than any start takes, even on a slow machine.
const SERVER_START_TIMEOUT: Duration = Duration::from_secs(120);
/// Start attempts, because another process can take a free port before the server does.
const MAX_START_ATTEMPTS: usize = 3;

/// A user with all permissions, also without TLS.
pub const USER: &str = "posts";
/// The password of every user. It must not appear in any output of pinflow.
pub const PASSWORD: &str = "c%na/r:y@é";
/// The password in a URL.
pub const PASSWORD_IN_URL: &str = "c%25na%2Fr%3Ay%40%C3%A9";

/// A server. Ended when dropped.
pub struct MysqlServer {
    port: u16,
    folder: tempfile::TempDir,
    certificate: Option<(PathBuf, PathBuf)>,
    /// `None` while it is killed.
    shell: Option<Child>,
}

impl MysqlServer {
    /// The server without TLS that tests share.
    pub fn shared() -> &'static MysqlServer {
        static SHARED: OnceLock<MysqlServer> = OnceLock::new();
        SHARED.get_or_init(|| MysqlServer::start(None))
    }

    /// Starts a server with this certificate.
    pub fn start_with_certificate(certificates: &TestCertificates, name: &str) -> MysqlServer {
        MysqlServer::start(Some((certificates.certificate(name), certificates.key(name))))
    }

    /// Starts a server.
    pub fn start(certificate: Option<(PathBuf, PathBuf)>) -> MysqlServer {
        MysqlServer::start_in(create_temp_dir(), certificate)
    }

    /// Starts a server whose data are on this file system. It needs 50 MB.
    pub fn start_on(disk: &Path) -> MysqlServer {
        MysqlServer::start_in(tempfile::tempdir_in(disk).unwrap(), None)
    }

    fn start_in(folder: tempfile::TempDir, certificate: Option<(PathBuf, PathBuf)>) -> MysqlServer {
        let empty = workspace_root().join("target/mysql/data");
        assert!(empty.is_dir(), "no database to start: tests/mysql/setup.sh makes it");
        let copied = Command::new("cp").arg("-r").arg(empty).arg(folder.path().join("data")).status().unwrap();
        assert!(copied.success());
        // One statement per line, as mariadbd requires.
        let users = format!(
            "CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n\
             CREATE USER IF NOT EXISTS 'encrypted'@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;\n\
             GRANT ALL ON *.* TO 'encrypted'@'%';\n\
             CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT SELECT ON *.* TO 'reader'@'%';\n\
             CREATE USER IF NOT EXISTS 'nobody'@'%' IDENTIFIED BY '{PASSWORD}';\n"
        );
        std::fs::write(folder.path().join("users.sql"), users).unwrap();
        let mut server = MysqlServer { port: 0, folder, certificate, shell: None };
        for attempt in 1.. {
            server.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if server.spawn() {
                break;
            }
            let said = std::fs::read_to_string(server.folder.path().join("log")).unwrap();
            assert!(
                attempt < MAX_START_ATTEMPTS,
                "mariadbd did not start (tests/mysql/setup.sh makes its data):\n{said}"
            );
        }
        server
    }

    /// Kills the server with kill -9.
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
        assert!(self.spawn(), "it starts again:\n{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
    }

    fn spawn(&mut self) -> bool {
        let folder = self.folder.path();
        let at = |name: &str| folder.join(name).display().to_string();
        let mut command = server_command();
        // Debian installs it here, which is not in every user's PATH.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        command.args(["mariadbd", "--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]);
        command.args([
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=2",
        ]);
        command.arg(format!("--port={}", self.port)).arg(format!("--datadir={}", at("data")));
        command.arg(format!("--socket={}", at("s"))).arg(format!("--pid-file={}", at("pid")));
        command.arg(format!("--init-file={}", at("users.sql")));
        if std::fs::metadata(folder).unwrap().uid() == 0 {
            command.arg("--user=root");
        }
        if let Some((certificate, key)) = &self.certificate {
            command.arg(format!("--ssl-cert={}", certificate.display())).arg(format!("--ssl-key={}", key.display()));
        }
        let log = std::fs::File::create(folder.join("log")).unwrap();
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        self.shell = Some(command.spawn().unwrap());
        let start = Instant::now();
        while start.elapsed() < SERVER_START_TIMEOUT {
            if self.try_sql("mysql", "DO 1").is_ok() {
                return true;
            }
            let has_ended = std::fs::read_to_string(folder.join("log")).is_ok_and(|said| said.contains("Aborting"));
            if has_ended {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates a database for a test.
    pub fn database(&self) -> TestDatabase<'_> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("posts_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.try_sql("mysql", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).unwrap();
        TestDatabase { server: self, name }
    }

    /// A database that was created before.
    pub fn database_named(&self, name: &str) -> TestDatabase<'_> {
        TestDatabase { server: self, name: name.to_owned() }
    }

    fn try_sql(&self, database: &str, sql: &str) -> mysql_async::Result<Vec<String>> {
        let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(self.port).prefer_socket(false);
        let options = options.user(Some(USER)).pass(Some(PASSWORD)).db_name(Some(database));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut conn = Conn::new(Opts::from(options)).await?;
            let mut found = Vec::new();
            let mut result = conn.query_iter(sql).await?;
            while result.columns().is_some() {
                found.extend(result.collect::<Option<String>>().await?.into_iter().flatten());
            }
            drop(result);
            conn.disconnect().await?;
            Ok(found)
        })
    }
}

impl Drop for MysqlServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A database of a server.
pub struct TestDatabase<'s> {
    server: &'s MysqlServer,
    /// Its name.
    pub name: String,
}

impl TestDatabase<'_> {
    /// Its URL for a user, with the password.
    pub fn url(&self) -> String {
        self.url_with(&format!("{USER}:{PASSWORD_IN_URL}"))
    }

    /// Its URL for `user:password`.
    pub fn url_with(&self, who: &str) -> String {
        format!("mysql://{who}@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// As [`TestDatabase::sql`].
    ///
    /// # Errors
    /// The error of the server, or of the connection.
    pub fn try_sql(&self, sql: &str) -> mysql_async::Result<Vec<String>> {
        self.server.try_sql(&self.name, sql)
    }

    /// Executes SQL. Returns the first column of the result.
    pub fn sql(&self, sql: &str) -> Vec<String> {
        self.server.try_sql(&self.name, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Fills the tables with generated posts.
    pub fn fill(&self, inds: u32) {
        let inds = inds.to_string();
        let ended = run(["emit", "--init-mysql", &self.url(), "--inds", &inds]);
        assert!(ended.code == 0, "{ended:?}");
    }

    /// The number of rows of a table.
    pub fn count(&self, table: &str) -> u64 {
        self.sql(&format!("SELECT COUNT(*) FROM {table}"))[0].parse().unwrap()
    }
}
