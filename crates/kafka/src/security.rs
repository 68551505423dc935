//! Encryption and authentication of a Kafka connection: `security`, `tls` and `sasl` of its configuration.

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use serde::Deserialize;

use super::connection_error::KafkaConnectionError;
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::secret::{SecretError, SecretFrom, check_private};

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

impl KafkaTls {
    pub(super) fn validate(&self, base: &Path) -> Vec<KeyProblem> {
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

    pub(super) fn apply(&self, base: &Path, settings: &mut ClientConfig) -> Result<(), KafkaConnectionError> {
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
    pub(super) fn validate(&self, base: &Path) -> Vec<KeyProblem> {
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

    pub(super) fn apply(&self, base: &Path, settings: &mut ClientConfig) -> Result<(), KafkaConnectionError> {
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
