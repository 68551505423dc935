//! librdkafka's own properties, passed through except those that pinflow's guarantees depend on.
//!
//! Names, meanings and defaults are those of librdkafka's `CONFIGURATION.md`.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use serde::Deserialize;

use pinflow_core::key_problem::KeyProblem;

/// Properties of librdkafka, as written in a configuration.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct LibrdkafkaProperties(BTreeMap<String, PropertyValue>);

/// The TOML types that a property's value can have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a property's value is a text, a number, true or false")]
enum PropertyValue {
    Flag(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
}

impl std::fmt::Display for PropertyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PropertyValue::Flag(flag) => flag.fmt(f),
            PropertyValue::Whole(whole) => whole.fmt(f),
            PropertyValue::Fraction(fraction) => fraction.fmt(f),
            PropertyValue::Text(text) => f.write_str(text),
        }
    }
}

/// Reserved properties and the reason for each. A name can be a prefix that ends in a dot or a star.
const RESERVED_PROPERTIES: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], "write brokers = \"…\" instead"),
    (&["security.protocol"], "write security = \"tls\" or \"plaintext\" instead"),
    (
        &["enable.ssl.certificate.verification", "ssl.endpoint.identification.algorithm", "ssl.certificate.verify_cb"],
        "certificates are verified; tls = { danger_accept_invalid_certs = true } is the only way around it",
    ),
    (
        &["ssl.ca.*", "ssl.certificate.*", "ssl.key.*", "ssl.keystore.*", "ssl_*"],
        "write tls = { ca = \"…\", certificate = \"…\", key = \"…\" } instead",
    ),
    (
        &["sasl.*", "enable.sasl.*"],
        "write sasl = { mechanism = \"…\", … } instead; secrets come from env:NAME or file:PATH",
    ),
    (&["plugin.*", "interceptors", "ssl.engine.*", "ssl.providers"], "it would load foreign code into pinflow"),
    (
        &["auto.offset.reset"],
        "a position that the broker no longer holds must end the run; elsewhere records would be skipped silently",
    ),
    (
        &["enable.auto.commit", "auto.commit.*", "enable.auto.offset.store", "offset.store.*"],
        "positions are kept in the tables, in the commit of their rows",
    ),
    (&["isolation.level"], "records of aborted transactions would be written"),
    (&["check.crcs"], "records that were corrupted in transit would be written"),
    (&["enable.partition.eof"], "pinflow depends on this setting to detect the end of a partition"),
    (
        &["group.*", "partition.assignment.strategy"],
        "partitions are assigned by pinflow, from the positions in its tables",
    ),
    (&["topic.blacklist"], "a hidden topic looks like a deleted one"),
    (&["allow.auto.create.topics"], "a misspelt topic would be created; use `pinflow topics create`"),
    (
        &[
            "enable.idempotence",
            "enable.gapless.guarantee",
            "acks",
            "request.required.acks",
            "retries",
            "message.send.max.retries",
            "max.in.flight",
            "max.in.flight.requests.per.connection",
            "queuing.strategy",
            "transactional.id",
            "delivery.report.only.error",
        ],
        "acknowledged messages must be stored once and in order",
    ),
    (
        &["enabled_events", "log.queue", "log_level", "opaque", "default_topic_conf", "*_cb", "msg_order_cmp"],
        "pinflow handles the client's logs and events; RUST_LOG=librdkafka=debug shows its log",
    ),
    (&["test.mock.*"], "it would replace the cluster with a mock"),
];

impl LibrdkafkaProperties {
    /// Returns every problem: reserved properties with the reason, and properties that librdkafka rejects.
    #[must_use]
    pub fn validate(&self) -> Vec<KeyProblem> {
        let problem = |(name, value): (&String, &PropertyValue)| match reserved_reason(name) {
            Some(why) => Some(KeyProblem::new(name, format!("cannot be set: {why}"))),
            None => librdkafka_error(name, &value.to_string())
                .map(|what| KeyProblem::new(name, format!("librdkafka rejects it: {what}"))),
        };
        self.0.iter().filter_map(problem).collect()
    }

    /// Adds the properties to a client's settings.
    pub(crate) fn apply(&self, settings: &mut ClientConfig) {
        for (name, value) in &self.0 {
            settings.set(name, value.to_string());
        }
    }
}

/// Why a property is reserved; `None` if it is not.
fn reserved_reason(name: &str) -> Option<&'static str> {
    let matches = |pattern: &&str| match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(start), _) => name.starts_with(start),
        (_, Some(end)) => name.ends_with(end),
        _ => name == *pattern,
    };
    RESERVED_PROPERTIES.iter().find(|(patterns, _)| patterns.iter().any(&matches)).map(|(_, why)| *why)
}

/// Why librdkafka rejects a property; `None` if it accepts it.
fn librdkafka_error(name: &str, value: &str) -> Option<String> {
    let mut alone = ClientConfig::new();
    alone.set(name, value);
    match alone.create_native_config() {
        Err(KafkaError::ClientConfig(_, what, ..)) => Some(what),
        Err(error) => Some(error.to_string()),
        Ok(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        KeyProblem::texts(&toml::from_str::<LibrdkafkaProperties>(text).unwrap().validate())
    }

    #[test]
    fn known_property_of_any_type_is_passed_through() {
        let text =
            "'socket.keepalive.enable' = true\n'socket.timeout.ms' = 1000\n'client.rack' = 'a'\ndebug = 'broker'";
        assert_eq!(problems(text), Vec::<String>::new());
        let mut settings = ClientConfig::new();
        toml::from_str::<LibrdkafkaProperties>(text).unwrap().apply(&mut settings);
        assert_eq!(settings.get("socket.keepalive.enable"), Some("true"));
        assert_eq!(settings.get("socket.timeout.ms"), Some("1000"));
    }

    #[test]
    fn reserved_property_is_rejected_with_reason() {
        for name in [
            "auto.offset.reset",
            "enable.auto.commit",
            "isolation.level",
            "check.crcs",
            "group.id",
            "group.instance.id",
            "enable.idempotence",
            "acks",
            "max.in.flight",
            "sasl.password",
            "sasl.oauthbearer.config",
            "ssl.key.password",
            "ssl.key.pem",
            "enable.ssl.certificate.verification",
            "ssl.endpoint.identification.algorithm",
            "security.protocol",
            "bootstrap.servers",
            "plugin.library.paths",
            "dr_msg_cb",
        ] {
            let found = problems(&format!("'{name}' = 'canary'"));
            assert_eq!(found.len(), 1, "{name}");
            assert!(found[0].contains(name) && found[0].contains("cannot be set"), "{found:?}");
            assert!(!found[0].contains("canary"), "{found:?}");
        }
    }

    #[test]
    fn unknown_and_invalid_properties_are_all_reported() {
        let found = problems("'no.such.thing' = 1\n'socket.timeout.ms' = 'soon'\nacks = 0");
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
