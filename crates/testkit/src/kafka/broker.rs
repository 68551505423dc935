//! A real Apache Kafka broker (KRaft, broker and controller in one process), with its own folder and ports.
//!
//! It ends with the process that started it, even after kill -9: a watcher holds a pipe to us and kills the broker
//! once the pipe closes.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::certificates::TestCertificates;
use crate::paths::{create_temp_dir, workspace_root};
use crate::process::TEST_PASSWORD;

/// Longer than any operation of a broker takes, even on a slow machine.
const SERVER_START_TIMEOUT: Duration = Duration::from_secs(120);
/// Start attempts, because another process can take a free port before the broker does.
const MAX_START_ATTEMPTS: usize = 3;
/// The password of all users.
pub const PASSWORD: &str = TEST_PASSWORD;
/// A user with all permissions.
pub const USER: &str = "posts";
/// A user without permissions.
pub const DENIED_USER: &str = "nobody";

/// A listener of a broker, with its certificate and authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerListener {
    /// No encryption and no authentication.
    Plaintext,
    /// A valid certificate.
    Tls,
    /// A valid certificate. The client needs one too.
    Mutual,
    /// A valid certificate. The client authenticates by SCRAM or PLAIN.
    Sasl,
    /// A certificate for another host.
    WrongHost,
    /// An expired certificate.
    Expired,
    /// A self-signed certificate.
    SelfSigned,
}

impl BrokerListener {
    const ALL: [BrokerListener; 7] = [
        BrokerListener::Plaintext,
        BrokerListener::Tls,
        BrokerListener::Mutual,
        BrokerListener::Sasl,
        BrokerListener::WrongHost,
        BrokerListener::Expired,
        BrokerListener::SelfSigned,
    ];

    fn name(self) -> &'static str {
        match self {
            BrokerListener::Plaintext => "PLAINTEXT",
            BrokerListener::Tls => "TLS",
            BrokerListener::Mutual => "MUTUAL",
            BrokerListener::Sasl => "SASL",
            BrokerListener::WrongHost => "WRONGHOST",
            BrokerListener::Expired => "EXPIRED",
            BrokerListener::SelfSigned => "SELFSIGNED",
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            BrokerListener::Plaintext => "PLAINTEXT",
            BrokerListener::Sasl => "SASL_SSL",
            _ => "SSL",
        }
    }

    fn certificate(self) -> &'static str {
        match self {
            BrokerListener::WrongHost => "wrong_host",
            BrokerListener::Expired => "expired",
            BrokerListener::SelfSigned => "self_signed",
            _ => "good",
        }
    }
}

/// A broker. Dropping it kills it and removes its folder.
pub struct KafkaBroker {
    // Dropped first: a watcher that outlives its broker could kill another process with the same id.
    running: Option<BrokerProcess>,
    listeners: Vec<(BrokerListener, u16)>,
    controller: u16,
    certificates: Option<TestCertificates>,
    folder: tempfile::TempDir,
}

impl KafkaBroker {
    /// The broker that tests share if they do not disturb it. It has all listeners, and access control
    /// (anonymous clients and [`USER`] have all of them, [`DENIED_USER`] none).
    pub fn shared() -> &'static KafkaBroker {
        static SHARED: OnceLock<KafkaBroker> = OnceLock::new();
        SHARED.get_or_init(|| KafkaBroker::start(&BrokerListener::ALL, ""))
    }

    /// An unencrypted broker for a single test. `settings` are additional lines of `server.properties`.
    pub fn start_dedicated(settings: &str) -> KafkaBroker {
        KafkaBroker::start(&[BrokerListener::Plaintext], settings)
    }

    fn start(listeners: &[BrokerListener], settings: &str) -> KafkaBroker {
        for attempt in 1.. {
            let mut broker = KafkaBroker::new(listeners);
            broker.configure(settings);
            broker.format();
            match broker.run() {
                Ok(()) => return broker,
                Err(log) => assert!(attempt < MAX_START_ATTEMPTS, "the broker did not start:\n{log}"),
            }
        }
        unreachable!("the last attempt panics")
    }

    fn new(listeners: &[BrokerListener]) -> KafkaBroker {
        let folder = create_temp_dir();
        // Bind all ports at the same time, so that they differ.
        let held: Vec<_> = (0..=listeners.len()).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut ports = held.iter().map(|held| held.local_addr().unwrap().port());
        let controller = ports.next().unwrap();
        let listeners: Vec<_> = listeners.iter().copied().zip(ports).collect();
        let secure = listeners.len() > 1;
        let certificates = secure.then(|| TestCertificates::make(&folder.path().join("certificates")));
        KafkaBroker { running: None, listeners, controller, certificates, folder }
    }

    fn configure(&self, settings: &str) {
        let list =
            |of: &dyn Fn(&(BrokerListener, u16)) -> String| self.listeners.iter().map(of).collect::<Vec<_>>().join(",");
        let bound = list(&|(listener, port)| format!("{}://127.0.0.1:{port}", listener.name()));
        // Clients verify the advertised name.
        let told = list(&|(listener, port)| format!("{}://localhost:{port}", listener.name()));
        let protocols = list(&|(listener, _)| format!("{}:{}", listener.name(), listener.protocol()));
        let mut text = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
             listeners={bound},CONTROLLER://127.0.0.1:{controller}\nadvertised.listeners={told}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}\ninter.broker.listener.name=PLAINTEXT\n\
             log.dirs={logs}\n\
             num.partitions=4\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\nshare.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n\
             auto.create.topics.enable=false\nnum.network.threads=2\nnum.io.threads=2\n\
             log.cleaner.dedupe.buffer.size=8388608\nlog.retention.check.interval.ms=1000\n\
             broker.session.timeout.ms=6000\nbroker.heartbeat.interval.ms=1000\n",
            controller = self.controller,
            logs = self.path("log").display(),
        );
        if let Some(certificates) = &self.certificates {
            self.secure(certificates, &mut text);
        }
        text.push_str(settings);
        std::fs::write(self.path("server.properties"), text).unwrap();
    }

    fn secure(&self, certificates: &TestCertificates, text: &mut String) {
        let module = "org.apache.kafka.common.security";
        write!(
            text,
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:{USER};User:CN={USER}\n\
             ssl.truststore.type=PEM\nssl.truststore.location={ca}\nssl.keystore.type=PEM\n\
             listener.name.mutual.ssl.client.auth=required\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.sasl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required \
             user_{USER}=\"{PASSWORD}\" user_{DENIED_USER}=\"{PASSWORD}\";\n\
             listener.name.sasl.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
             listener.name.sasl.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n",
            ca = certificates.authority().display()
        )
        .unwrap();
        for (listener, _) in self.listeners.iter().filter(|(listener, _)| *listener != BrokerListener::Plaintext) {
            let (name, store) = (listener.name().to_lowercase(), certificates.store(listener.certificate()));
            writeln!(text, "listener.name.{name}.ssl.keystore.type=PEM").unwrap();
            writeln!(text, "listener.name.{name}.ssl.keystore.location={}", store.display()).unwrap();
        }
    }

    fn format(&self) {
        let mut command = java("kafka.tools.StorageTool");
        // Each broker is a separate cluster, with 16 random bytes as its id.
        let cluster = cluster_id();
        command.args(["format", "-t", &cluster, "-c"]).arg(self.path("server.properties"));
        if self.certificates.is_some() {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                command.arg("--add-scram").arg(format!("{mechanism}=[name={USER},password={PASSWORD}]"));
                command.arg("--add-scram").arg(format!("{mechanism}=[name={DENIED_USER},password={PASSWORD}]"));
            }
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts the process. Returns its log if it ends before it listens.
    fn run(&mut self) -> Result<(), String> {
        let log = self.path("out.log");
        let out = File::create(&log).unwrap();
        let mut command = java("kafka.Kafka");
        command.arg(self.path("server.properties")).stdout(out.try_clone().unwrap()).stderr(out);
        let mut running = BrokerProcess::new(&mut command, self.folder.path());
        let start = Instant::now();
        while !self.listeners.iter().all(|(_, port)| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            if running.broker.try_wait().unwrap().is_some() {
                return Err(std::fs::read_to_string(&log).unwrap());
            }
            assert!(start.elapsed() < SERVER_START_TIMEOUT, "the broker does not listen; see {}", log.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.running = Some(running);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The `HOST:PORT` of a listener.
    pub fn address(&self, listener: BrokerListener) -> String {
        let port = self.listeners.iter().find(|(known, _)| *known == listener).map(|(_, port)| port);
        format!("localhost:{}", port.expect("the broker has this listener"))
    }

    /// The `HOST:PORT` of the unencrypted listener.
    pub fn plaintext(&self) -> String {
        self.address(BrokerListener::Plaintext)
    }

    /// The certificates of its secure listeners.
    pub fn certificates(&self) -> &TestCertificates {
        self.certificates.as_ref().expect("the broker has secure listeners")
    }

    /// Kills the broker with kill -9.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) {
        let mut running = self.running.take().expect("the broker runs");
        running.signal(Signal::SIGTERM);
        let start = Instant::now();
        while running.broker.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < SERVER_START_TIMEOUT, "the broker did not end after SIGTERM");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Restarts the broker with the same data and ports.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "the broker runs already");
        self.run().unwrap_or_else(|log| panic!("the broker did not start again:\n{log}"));
    }

    /// Suspends the broker like a machine that hangs, or resumes it.
    pub fn freeze(&self, freeze: bool) {
        self.running.as_ref().expect("the broker runs").signal(if freeze { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    /// An admin client for the test itself.
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", self.plaintext()).create().unwrap()
    }

    /// Creates a topic, and waits until it is usable.
    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new()
            .operation_timeout(Some(SERVER_START_TIMEOUT))
            .request_timeout(Some(SERVER_START_TIMEOUT));
        let admin = self.admin();
        let made = block_on(admin.create_topics([&topic], &options)).unwrap();
        assert_eq!(made, [Ok(name.to_owned())]);
        // The controller answers before the broker itself knows the topic.
        let start = Instant::now();
        while !has_leaders(&admin, name, partitions) {
            assert!(start.elapsed() < SERVER_START_TIMEOUT, "the partitions of {name} have no leaders");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a class of Kafka's tools against the unencrypted listener. Returns its output.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let mut command = java(class);
        let output = command.args(["--bootstrap-server", &self.plaintext()]).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command:?}:\n{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }
}

/// Whether a broker says that all partitions of a topic have a leader.
fn has_leaders(admin: &AdminClient<DefaultClientContext>, topic: &str, partitions: i32) -> bool {
    let metadata = admin.inner().fetch_metadata(Some(topic), SERVER_START_TIMEOUT).unwrap();
    metadata.topics().iter().any(|found| {
        let led = found.partitions().iter().filter(|partition| partition.leader() >= 0).count();
        found.error().is_none() && led == partitions as usize
    })
}

/// The broker's process, and a watcher that kills it if this process dies.
struct BrokerProcess {
    broker: Child,
    watcher: Child,
}

impl BrokerProcess {
    fn new(command: &mut Command, folder: &Path) -> BrokerProcess {
        let broker = command.stdin(Stdio::null()).spawn().unwrap();
        // `read` returns once our end of the pipe is closed, also if this process is killed with kill -9.
        let script = "read -r _; kill -9 \"$0\"; sleep 1; rm -rf \"$1\"";
        let watcher = Command::new("sh")
            .args(["-c", script, &broker.id().to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // The watcher must survive a Ctrl-C that ends the tests.
            .process_group(0)
            .spawn()
            .unwrap();
        BrokerProcess { broker, watcher }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.broker.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        for child in [&mut self.watcher, &mut self.broker] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a result of an admin client.
pub fn block_on<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
}

/// Runs a class of the broker's jars.
fn java(class: &str) -> Command {
    let root = workspace_root();
    let jars = root.join("target/kafka/lib");
    assert!(jars.is_dir(), "no {}: run tests/kafka/setup.sh, or set PINFLOW_SKIP_KAFKA=1", jars.display());
    let mut command = Command::new("java");
    command
        .args(["-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Dlog4j2.configurationFile={}", root.join("tests/kafka/log4j2.xml").display()))
        .arg("-cp")
        .arg(jars.join("*"))
        .arg(class);
    command
}

/// A cluster id: 16 random bytes in URL-safe base64. It does not begin with `-`, which would be parsed as a flag.
fn cluster_id() -> String {
    use base64::Engine;
    let random = || base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes());
    std::iter::repeat_with(random).find(|id| !id.starts_with('-')).expect("an endless sequence")
}
