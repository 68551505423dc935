//! A MiniStack that all tests share. Each test has its own bucket.
//!
//! It ends with the process that started it, even after kill -9: a shell holds a pipe to us and kills the server once the
//! pipe closes.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::paths::{create_temp_dir, workspace_root};
use crate::process::server_command;

/// Longer than any start takes, even on a slow machine.
const SERVER_START_TIMEOUT: Duration = Duration::from_secs(60);
/// Start attempts, because another process can take a free port before the server does.
const MAX_START_ATTEMPTS: usize = 3;

/// The access key. The server accepts any.
pub const ACCESS_KEY: &str = "testing";
/// The region of the buckets.
pub const REGION: &str = "us-east-1";

/// The server, which ends with this process.
struct ObjectStoreServer {
    port: u16,
    _shell: Child,
    _folder: tempfile::TempDir,
}

fn shared() -> &'static ObjectStoreServer {
    static SHARED: OnceLock<ObjectStoreServer> = OnceLock::new();
    SHARED.get_or_init(start)
}

fn start() -> ObjectStoreServer {
    let program = workspace_root().join("target/ministack/python/bin/ministack");
    for attempt in 1.. {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        drop(held);
        let folder = create_temp_dir();
        let log = folder.path().join("log");
        let out = File::create(&log).unwrap();
        let mut command = server_command();
        command.arg(&program).env("GATEWAY_PORT", port.to_string()).env("BIND_HOST", "127.0.0.1");
        command.env("SERVICES", "s3").env("LOG_LEVEL", "WARNING").env("S3_PERSIST", "0");
        command.env("S3_DATA_DIR", folder.path().join("s3"));
        command.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out);
        let server = ObjectStoreServer { port, _shell: command.spawn().unwrap(), _folder: folder };
        let begun = Instant::now();
        while begun.elapsed() < SERVER_START_TIMEOUT {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(attempt < MAX_START_ATTEMPTS, "MiniStack did not start (tests/ministack/setup.sh gets it):\n{said}");
    }
    unreachable!("the last attempt panics")
}

/// A bucket, accessed directly and not through a proxy.
pub struct TestBucket {
    /// Its name.
    pub name: String,
    store: AmazonS3,
    runtime: tokio::runtime::Runtime,
}

impl TestBucket {
    /// Creates a bucket.
    #[allow(clippy::new_without_default, reason = "a default has no side effects")]
    pub fn new() -> TestBucket {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("posts-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let made = runtime.block_on(reqwest::Client::new().put(format!("{}/{name}", endpoint())).send()).unwrap();
        assert!(made.status().is_success(), "{made:?}");
        let store = AmazonS3Builder::new()
            .with_bucket_name(&name)
            .with_endpoint(endpoint())
            .with_allow_http(true)
            .with_region(REGION)
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key("secret")
            .build()
            .unwrap();
        TestBucket { name, store, runtime }
    }

    /// The keys under a prefix, in order.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.store.list(Some(&Location::from(prefix)));
        let listed: Vec<_> = self.runtime.block_on(listed.try_collect()).unwrap();
        let mut keys: Vec<String> = listed.into_iter().map(|object| object.location.to_string()).collect();
        keys.sort();
        keys
    }

    /// Reads an object.
    pub fn get(&self, key: &str) -> Vec<u8> {
        let got = self.runtime.block_on(async { self.store.get(&Location::from(key)).await?.bytes().await });
        got.unwrap().to_vec()
    }

    /// Stores an object.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.runtime.block_on(self.store.put(&Location::from(key), bytes.to_vec().into())).unwrap();
    }

    /// Copies the objects under a prefix into a folder.
    pub fn download(&self, prefix: &str, folder: &Path) {
        for key in self.keys(prefix) {
            let path = folder.join(key.strip_prefix(prefix).unwrap().trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, self.get(&key)).unwrap();
        }
    }
}

/// The server's port.
pub fn port() -> u16 {
    shared().port
}

/// The server's address.
pub fn endpoint() -> String {
    format!("http://127.0.0.1:{}", port())
}
