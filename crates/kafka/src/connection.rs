//! The configuration of a Kafka connection, its validation, and the client settings made from it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use serde::Deserialize;

use super::broker_list::{BrokerList, is_loopback};
use super::client_context::{ClientPurpose, KafkaContext};
use super::connection_error::KafkaConnectionError;
use super::iam::{self, IamTokenSigner};
use super::properties::LibrdkafkaProperties;
use super::security::{KafkaSasl, KafkaTls, SaslMechanism, TransportSecurity};
use pinflow_core::key_problem::KeyProblem;

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
            return Err(KafkaConnectionError::Invalid(KeyProblem::texts(&problems)));
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

/// librdkafka logs at `Info` why connections fail. [`KafkaContext`] needs that regardless of the log filter.
fn librdkafka_log_level() -> RDKafkaLogLevel {
    let loud = tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG);
    if loud { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
