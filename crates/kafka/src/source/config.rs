//! Configuration of a Kafka source, and its validation.

use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use crate::{BrokerList, KafkaConnection, KafkaSasl, KafkaTls, LibrdkafkaProperties, TransportSecurity};
use pinflow_connect::source::topic_map::{NameKind, TopicMap};
use pinflow_core::key_problem::KeyProblem;

/// Rules for topic names.
pub(super) const KIND: NameKind = NameKind { word: "topic", name_bytes_max: 249, allows_routed: false };

/// Topics of one cluster: how to connect, and which topics to read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// As in [`KafkaConnection`], whose keys are in the same table.
    pub brokers: BrokerList,
    /// As in [`KafkaConnection`].
    #[serde(default)]
    pub security: Option<TransportSecurity>,
    /// As in [`KafkaConnection`].
    #[serde(default)]
    pub tls: Option<KafkaTls>,
    /// As in [`KafkaConnection`].
    #[serde(default)]
    pub sasl: Option<KafkaSasl>,
    /// As in [`KafkaConnection`].
    #[serde(default)]
    pub properties: LibrdkafkaProperties,
    /// The topics, by the posts that each contains.
    pub topics: TopicMap,
    /// Where a topic starts for which the tables have no position.
    #[serde(default)]
    pub start: KafkaStart,
    /// Interval between checks of the topics for new partitions, expired records and re-creation, in seconds.
    #[serde(default = "KafkaConfig::watch_secs")]
    pub watch_secs: f64,
    /// The consumer group that durable offsets are committed to, for tools that show lag. The default is
    /// `pinflow-‹pipeline›`. The offsets are never read back.
    #[serde(default)]
    pub group: Option<String>,
}

/// Where a topic starts for which the tables have no position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum KafkaStart {
    /// At the oldest available record.
    #[default]
    Earliest,
    /// After the newest record.
    Latest,
    /// At the first record with this timestamp or a later one.
    At(Timestamp),
}

impl TryFrom<String> for KafkaStart {
    type Error = String;
    fn try_from(text: String) -> Result<KafkaStart, String> {
        match text.as_str() {
            "earliest" => Ok(KafkaStart::Earliest),
            "latest" => Ok(KafkaStart::Latest),
            moment => moment.parse().map(KafkaStart::At).map_err(|_| {
                format!(
                    "{text:?} is not a start; write \"earliest\", \"latest\" or a time such as \"2026-01-01T00:00:00Z\""
                )
            }),
        }
    }
}

impl KafkaConfig {
    fn watch_secs() -> f64 {
        10.0
    }

    /// The connection part of the configuration.
    #[must_use]
    pub fn connection(&self) -> KafkaConnection {
        KafkaConnection {
            brokers: self.brokers.clone(),
            security: self.security,
            tls: self.tls.clone(),
            sasl: self.sasl.clone(),
            properties: self.properties.clone(),
        }
    }

    /// The consumer group that durable offsets are committed to.
    #[must_use]
    pub fn consumer_group(&self, pipeline: &str) -> String {
        self.group.clone().unwrap_or_else(|| format!("pinflow-{pipeline}"))
    }

    /// Returns every problem with a hint. `base` resolves relative paths.
    pub(super) fn problems(&self, base: &Path) -> Vec<KeyProblem> {
        let mut problems = self.connection().validate(base);
        problems.extend(self.topics.validate(KIND).into_iter().map(|problem| problem.within("topics")));
        if !(0.05..=30.0).contains(&self.watch_secs) {
            problems.push(KeyProblem::range("watch_secs", "0.05 to 30"));
        }
        problems
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<KafkaConfig, toml::de::Error> {
        toml::from_str(&format!("brokers = 'localhost'\n{text}"))
    }

    #[test]
    fn start_is_parsed_from_word_or_time() {
        let start = |text: &str| config(&format!("topics = {{ auto = 'posts' }}\nstart = '{text}'")).map(|r| r.start);
        assert_eq!(start("earliest").unwrap(), KafkaStart::Earliest);
        assert_eq!(start("latest").unwrap(), KafkaStart::Latest);
        assert_eq!(start("2026-01-01T00:00:00Z").unwrap(), KafkaStart::At("2026-01-01T00:00:00Z".parse().unwrap()));
        assert!(start("yesterday").is_err());
        assert_eq!(config("topics = { auto = 'posts' }").unwrap().start, KafkaStart::Earliest);
    }

    #[test]
    fn invalid_configuration_is_rejected() {
        assert!(config("").is_err());
        assert!(config("topics = { pins = 'a' }").is_err());
        assert!(config("topics = { pin = 'a' }\nbroker = 'b'").is_err());
        let problems = |text: &str| config(text).unwrap().problems(Path::new(""));
        assert_eq!(problems("topics = {}").len(), 1);
        assert_eq!(problems("topics = { pin = 'a', geo = 'a' }").len(), 1);
        assert_eq!(problems("topics = { routed = 'a' }").len(), 1);
        assert_eq!(problems("topics = { pin = 'a b', geo = '..' }\nwatch_secs = 0").len(), 3);
        assert_eq!(problems("topics = { pin = 'a' }\nsecurity = 'plaintext'\ntls = {}").len(), 1);
        assert!(problems("topics = { pin = 'x.pin', geo = 'x.geo', user = 'x.user' }").is_empty());
    }
}
