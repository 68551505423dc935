//! The configuration of a Kafka connection, its validation, and the client settings made from it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use serde::Deserialize;

use super::client_context::{ClientPurpose, KafkaContext};
use super::iam::{self, IamTokenSigner};
use super::properties::LibrdkafkaProperties;
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::secret::{SecretError, SecretFrom, check_private};
use pinflow_core::user_error::{ExitStatus, UserError};

/// How to reach a Kafka cluster.
///
/// ```toml
/// brokers = "b-1.example.com:9096,b-2.example.com:9096"
/// tls = { ca = "ca.pem" }
/// sasl = { mechanism = "SCRAM-SHA-512", username = "posts", password = "env:KAFKA_PASSWORD" }
/// properties = { "client.rack" = "euw1-az1" }
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConnection {
    /// The brokers to contact first. One that responds is enough, because it lists the others.
    pub brokers: BrokerList,
    /// Whether the connection is encrypted. By default it is if `tls` or `sasl` is given.
    #[serde(default)]
    pub security: Option<TransportSecurity>,
    /// Trusted certificate authorities and the client certificate.
    #[serde(default)]
    pub tls: Option<KafkaTls>,
    /// The client's credentials. Requires TLS.
    #[serde(default)]
    pub sasl: Option<KafkaSasl>,
    /// Additional librdkafka properties.
    #[serde(default)]
    pub properties: LibrdkafkaProperties,
}

/// Brokers as `host:port`: a list, or a text with commas. The default port is 9092.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct BrokerList(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "brokers are written as \"host:port\", \"host:port,host:port\" or a list of these")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportSecurity {
    /// Unencrypted TCP.
    Plaintext,
    /// TLS. The broker's certificate and host name are verified.
    Tls,
}

/// Certificates: PEM files. Relative paths are relative to the configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTls {
    /// The trusted certificate authorities; the system's by default.
    pub ca: Option<PathBuf>,
    /// The client certificate with its chain, for brokers that require one.
    pub certificate: Option<PathBuf>,
    /// The private key of the client certificate, in a file that only its owner can read.
    pub key: Option<PathBuf>,
    /// The password of the private key, if it is encrypted.
    pub key_password: Option<SecretFrom>,
    /// Accepts any certificate of any host, so a man in the middle can read and change everything. For tests.
    pub danger_accept_invalid_certs: bool,
}

/// The client's credentials.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSasl {
    /// The SASL mechanism.
    pub mechanism: SaslMechanism,
    /// The user name, as a text or as `env:NAME` or `file:PATH`. Required by all mechanisms except `MSK_IAM`.
    #[serde(default)]
    pub username: Option<String>,
    /// Where the password is read from. Required by all mechanisms except `MSK_IAM`.
    #[serde(default)]
    pub password: Option<SecretFrom>,
    /// The AWS region of the cluster, for `MSK_IAM`. By default it is taken from the brokers' names, or `AWS_REGION`.
    #[serde(default)]
    pub region: Option<String>,
    /// The profile in the AWS configuration files, for `MSK_IAM`. By default that of the credential chain.
    #[serde(default)]
    pub profile: Option<String>,
}

/// How the client authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SaslMechanism {
    /// `PLAIN`: sends the password itself, protected by TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// `SCRAM-SHA-256`: a salted challenge (RFC 5802, RFC 7677).
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// `SCRAM-SHA-512`: the SCRAM variant that Amazon MSK offers.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// `MSK_IAM`: Amazon MSK's access control by IAM, with short-lived tokens from the AWS credential chain.
    #[serde(rename = "MSK_IAM")]
    MskIam,
}

/// Why a client cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum KafkaConnectionError {
    /// The configuration is invalid.
    #[error("{}", .0.join("\n"))]
    Faulty(Vec<String>),
    /// A secret cannot be read.
    #[error("find the secret for {what}")]
    Secret {
        /// The setting that the secret is for.
        what: &'static str,
        /// Why it cannot be read.
        #[source]
        cause: SecretError,
    },
    /// librdkafka rejects the settings. Its message contains no configured value.
    #[error("create a Kafka client for {brokers}: {what}")]
    Refused {
        /// The brokers that the client was to connect to.
        brokers: String,
        /// librdkafka's message.
        what: String,
    },
}

impl UserError for KafkaConnectionError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            KafkaConnectionError::Faulty(_) | KafkaConnectionError::Secret { .. } => ExitStatus::BadUsage,
            KafkaConnectionError::Refused { .. } => ExitStatus::Failed,
        }
    }
}

impl From<OneOrMany> for BrokerList {
    fn from(written: OneOrMany) -> BrokerList {
        match written {
            OneOrMany::One(text) => BrokerList::new(&text),
            OneOrMany::Many(list) => BrokerList::new(&list.join(",")),
        }
    }
}

impl BrokerList {
    /// Parses brokers from a text with commas.
    #[must_use]
    pub fn new(text: &str) -> BrokerList {
        BrokerList(text.split(',').map(|broker| broker.trim().to_owned()).collect())
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let wrong = |broker: &&String| host_and_port(broker).is_none();
        let fault = |broker: &String| {
            KeyProblem::new("brokers", format!("{broker:?} is not HOST:PORT; write one like localhost:9092"))
        };
        self.0.iter().filter(wrong).map(fault).collect()
    }

    fn hosts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|broker| host_and_port(broker)).map(|(host, _)| host)
    }
}

impl std::fmt::Display for BrokerList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

fn host_and_port(broker: &str) -> Option<(&str, u16)> {
    let (host, port) = match broker.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, "9092"),
        Some((host, rest)) => (host, rest.strip_prefix(':')?),
        None => broker.split_once(':').unwrap_or((broker, "9092")),
    };
    let plain = |letter: char| letter.is_alphanumeric() || ['-', '_', '.', ':', '%'].contains(&letter);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty() && host.chars().all(plain)).then_some((host, port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl SaslMechanism {
    /// The name of the mechanism in Kafka.
    fn librdkafka_name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            SaslMechanism::MskIam => "OAUTHBEARER",
        }
    }
}

impl KafkaConnection {
    /// An unencrypted connection with defaults, as used for a local broker.
    #[must_use]
    pub fn plaintext(brokers: &str) -> KafkaConnection {
        let brokers = BrokerList::new(brokers);
        KafkaConnection { brokers, security: None, tls: None, sasl: None, properties: LibrdkafkaProperties::default() }
    }

    /// The configured encryption, or its default.
    #[must_use]
    pub fn effective_security(&self) -> TransportSecurity {
        let by_default = if self.tls.is_some() || self.sasl.is_some() {
            TransportSecurity::Tls
        } else {
            TransportSecurity::Plaintext
        };
        self.security.unwrap_or(by_default)
    }

    /// Returns every problem with a hint. Checks that secrets and files can be read. `base` resolves relative paths.
    #[must_use]
    pub fn validate(&self, base: &Path) -> Vec<KeyProblem> {
        let mut problems = self.brokers.validate();
        if self.effective_security() == TransportSecurity::Plaintext {
            if self.tls.is_some() {
                let what = "\"plaintext\" contradicts `tls`; leave one of them out";
                problems.push(KeyProblem::new("security", what).conflicts_with("tls"));
            }
            if self.sasl.is_some() {
                let what = "\"plaintext\" would send the credentials of `sasl` unencrypted; write security = \"tls\"";
                problems.push(KeyProblem::new("security", what).conflicts_with("sasl"));
            }
        }
        problems.extend(self.tls.iter().flat_map(|tls| tls.validate(base)).map(|problem| problem.within("tls")));
        problems.extend(self.sasl.iter().flat_map(|sasl| sasl.validate(base)).map(|problem| problem.within("sasl")));
        if self.is_iam() && self.resolve_region().is_none() {
            let what =
                "the region of the cluster is unknown; add region = \"eu-west-1\" next to mechanism = \"MSK_IAM\"";
            problems.push(KeyProblem::new("sasl", what));
        }
        problems.extend(self.properties.validate().into_iter().map(|problem| problem.within("properties")));
        problems
    }

    /// Returns warnings about settings that work but are unsafe.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let abroad = self.brokers.hosts().find(|host| !is_loopback(host));
        if let (TransportSecurity::Plaintext, Some(host)) = (self.effective_security(), abroad) {
            warnings.push(format!(
                "the connection to {host} is not encrypted: others on the network can read and change records; \
                 security = \"tls\" encrypts it"
            ));
        }
        if self.tls.as_ref().is_some_and(|tls| tls.danger_accept_invalid_certs) {
            warnings.push(format!(
                "danger_accept_invalid_certs: the certificates of {} are not verified, so another host can impersonate it; remove it to verify them",
                self.brokers
            ));
        }
        warnings
    }

    /// The settings of a client, and the context that handles its callbacks. Warnings are logged once per process.
    ///
    /// Settings that the delivery guarantees depend on are set here; passed-through properties cannot change them.
    ///
    /// # Errors
    /// Every problem of the configuration, or a secret that cannot be read.
    pub fn client_config(
        &self,
        base: &Path,
        purpose: ClientPurpose,
    ) -> Result<(ClientConfig, KafkaContext), KafkaConnectionError> {
        let problems = self.validate(base);
        if !problems.is_empty() {
            return Err(KafkaConnectionError::Faulty(KeyProblem::texts(&problems)));
        }
        self.log_warnings_once();
        let mut settings = ClientConfig::new();
        settings.set_log_level(librdkafka_log_level());
        settings.set("client.id", "pinflow").set("allow.auto.create.topics", "false");
        self.properties.apply(&mut settings);
        settings.set("bootstrap.servers", self.brokers.to_string());
        match purpose {
            ClientPurpose::Consumer => {
                settings
                    .set("auto.offset.reset", "error")
                    .set("enable.auto.commit", "false")
                    .set("enable.auto.offset.store", "false")
                    .set("isolation.level", "read_committed")
                    .set("check.crcs", "true");
            }
            ClientPurpose::Producer => {
                settings.set("enable.idempotence", "true").set("acks", "all");
            }
            ClientPurpose::Admin => {}
        }
        self.apply_security(base, &mut settings)?;
        let iam = match (self.is_iam(), self.resolve_region()) {
            (true, Some(region)) => {
                Some(IamTokenSigner { region, profile: self.sasl.as_ref().and_then(|sasl| sasl.profile.clone()) })
            }
            _ => None,
        };
        Ok((settings, KafkaContext::new(iam)))
    }

    /// Creates a client for metadata, watermarks and single records. It joins no group. With token authentication it
    /// has requested its first token.
    ///
    /// # Errors
    /// As [`KafkaConnection::client_config`], and if librdkafka rejects the settings.
    pub fn create_observer(&self, base: &Path) -> Result<BaseConsumer<KafkaContext>, KafkaConnectionError> {
        let (settings, client) = self.client_config(base, ClientPurpose::Consumer)?;
        let observer: BaseConsumer<KafkaContext> =
            settings.create_with_context(client).map_err(|error| self.creation_error(&error))?;
        // librdkafka requests the first token here, and connects only once it has one.
        let _ = observer.poll(Duration::ZERO);
        Ok(observer)
    }

    /// The error for settings that librdkafka rejects.
    #[must_use]
    pub fn creation_error(&self, error: &KafkaError) -> KafkaConnectionError {
        let what = match error {
            // The other fields are the property and its value, which may be a secret.
            KafkaError::ClientConfig(_, what, name, _) => format!("{name}: {what}"),
            error => error.to_string(),
        };
        KafkaConnectionError::Refused { brokers: self.brokers.to_string(), what }
    }

    pub(crate) fn is_iam(&self) -> bool {
        self.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == SaslMechanism::MskIam)
    }

    fn resolve_region(&self) -> Option<String> {
        let written = self.sasl.as_ref().and_then(|sasl| sasl.region.clone());
        let named = || self.brokers.hosts().find_map(iam::region_from_host).map(str::to_owned);
        let ambient = || ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
        written.or_else(named).or_else(ambient)
    }

    fn apply_security(&self, base: &Path, settings: &mut ClientConfig) -> Result<(), KafkaConnectionError> {
        let protocol = match (self.effective_security(), &self.sasl) {
            (TransportSecurity::Plaintext, _) => "plaintext",
            (TransportSecurity::Tls, None) => "ssl",
            (TransportSecurity::Tls, Some(_)) => "sasl_ssl",
        };
        settings.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            tls.apply(base, settings)?;
        }
        match &self.sasl {
            Some(sasl) => sasl.apply(base, settings),
            None => Ok(()),
        }
    }

    fn log_warnings_once(&self) {
        static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        let mut warned = WARNED.lock();
        for warning in self.warnings() {
            if warned.insert(warning.clone()) {
                tracing::warn!(reason = warning, "the connection to Kafka is not safe");
            }
        }
    }
}

impl KafkaTls {
    fn validate(&self, base: &Path) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        let named = [("ca", &self.ca), ("certificate", &self.certificate), ("key", &self.key)];
        for (name, path) in named.into_iter().filter_map(|(name, path)| path.as_ref().map(|path| (name, path))) {
            let path = base.join(path);
            if let Err(error) = std::fs::File::open(&path) {
                problems.push(KeyProblem::new(name, format!("cannot read {}: {error}", path.display())));
            } else if name == "key"
                && let Err(error) = check_private(&path)
            {
                problems.push(KeyProblem::new("key", error.to_string()));
            }
        }
        if self.certificate.is_some() != self.key.is_some() {
            let given = if self.key.is_some() { "key" } else { "certificate" };
            problems.push(KeyProblem::new(given, "`certificate` and `key` belong together; give both or neither"));
        }
        if let Some(password) = &self.key_password {
            if self.key.is_none() {
                problems.push(KeyProblem::new(
                    "key_password",
                    "there is no `key` that it could open; add key = \"FILE\", or remove it",
                ));
            }
            problems.extend(password.read(base).err().map(|error| KeyProblem::new("key_password", error.to_string())));
        }
        problems
    }

    fn apply(&self, base: &Path, settings: &mut ClientConfig) -> Result<(), KafkaConnectionError> {
        let named = [
            ("ssl.ca.location", &self.ca),
            ("ssl.certificate.location", &self.certificate),
            ("ssl.key.location", &self.key),
        ];
        for (name, path) in named {
            if let Some(path) = path {
                settings.set(name, base.join(path).to_string_lossy());
            }
        }
        if let Some(from) = &self.key_password {
            let secret = from.read(base);
            let secret = secret.map_err(|cause| KafkaConnectionError::Secret { what: "tls key_password", cause })?;
            settings.set("ssl.key.password", secret.expose());
        }
        if self.danger_accept_invalid_certs {
            settings.set("enable.ssl.certificate.verification", "false");
            settings.set("ssl.endpoint.identification.algorithm", "none");
        }
        Ok(())
    }
}

impl KafkaSasl {
    fn validate(&self, base: &Path) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        if self.mechanism == SaslMechanism::MskIam {
            if self.username.is_some() || self.password.is_some() {
                let what = "MSK_IAM takes its credentials from the AWS credential chain; remove username and password";
                problems.push(KeyProblem::new("mechanism", what));
            }
            return problems;
        }
        let name = self.mechanism.librdkafka_name();
        if self.region.is_some() || self.profile.is_some() {
            let given = if self.region.is_some() { "region" } else { "profile" };
            let what = format!("only MSK_IAM uses region and profile, not {name}; remove them");
            problems.push(KeyProblem::new(given, what).conflicts_with("mechanism"));
        }
        match &self.username {
            None => problems.push(KeyProblem::table(format!("{name} needs a username; add username = \"…\""))),
            Some(text) => {
                problems.extend(
                    resolve_username(text, base).err().map(|error| KeyProblem::new("username", error.to_string())),
                );
            }
        }
        match &self.password {
            None => problems.push(KeyProblem::table(format!(
                "{name} needs a password; add password = \"env:NAME\" or \"file:PATH\""
            ))),
            Some(from) => {
                problems.extend(from.read(base).err().map(|error| KeyProblem::new("password", error.to_string())));
            }
        }
        problems
    }

    fn apply(&self, base: &Path, settings: &mut ClientConfig) -> Result<(), KafkaConnectionError> {
        settings.set("sasl.mechanism", self.mechanism.librdkafka_name());
        if let Some(text) = &self.username {
            let name = resolve_username(text, base);
            let name = name.map_err(|cause| KafkaConnectionError::Secret { what: "sasl username", cause })?;
            settings.set("sasl.username", name);
        }
        if let Some(from) = &self.password {
            let secret = from.read(base);
            let secret = secret.map_err(|cause| KafkaConnectionError::Secret { what: "sasl password", cause })?;
            settings.set("sasl.password", secret.expose());
        }
        Ok(())
    }
}

/// Resolves a user name that may be a reference. It is not a secret, but is often stored next to one.
fn resolve_username(text: &str, base: &Path) -> Result<String, SecretError> {
    if text.starts_with("env:") || text.starts_with("file:") {
        let from = SecretFrom::try_from(text.to_owned()).map_err(|_| SecretError::Empty(text.to_owned()))?;
        return Ok(from.read(base)?.expose().to_owned());
    }
    if text.is_empty() { Err(SecretError::Empty("username".to_owned())) } else { Ok(text.to_owned()) }
}

/// librdkafka logs at `Info` why connections fail. [`KafkaContext`] needs that regardless of the log filter.
fn librdkafka_log_level() -> RDKafkaLogLevel {
    let loud = tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG);
    if loud { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
