//! Configuration of a Kinesis source, and its validation.

use jiff::Timestamp;
use serde::Deserialize;

use super::partition_key_routing::PartitionKeys;
use crate::KinesisConnection;
use pinflow_connect::source::topic_map::{NameKind, TopicMap};
use pinflow_core::key_problem::KeyProblem;

/// Rules for stream names.
pub(super) const KIND: NameKind = NameKind { word: "stream", name_bytes_max: 128, allows_routed: true };

/// Streams of one region: how to connect, and which streams to read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KinesisConfig {
    /// As in [`KinesisConnection`], whose keys are in the same table.
    #[serde(default)]
    pub region: Option<String>,
    /// As in [`KinesisConnection`].
    #[serde(default)]
    pub profile: Option<String>,
    /// As in [`KinesisConnection`].
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The streams, by the posts that each contains.
    pub streams: TopicMap,
    /// The partition keys of the `routed` stream.
    #[serde(default)]
    pub partition_keys: Option<PartitionKeys>,
    /// Where a stream starts for which the tables have no position.
    #[serde(default)]
    pub start: KinesisStart,
    /// Interval between polls of a shard that is caught up, in milliseconds. A shard that is behind is polled more
    /// often, up to `calls_per_sec_max`.
    #[serde(default = "KinesisConfig::poll_ms")]
    pub poll_ms: u64,
    /// Maximum number of polls of a shard per second. Kinesis allows five for all readers of a shard together.
    #[serde(default = "KinesisConfig::calls_per_sec_max")]
    pub calls_per_sec_max: u64,
    /// Whether shards are subscribed to (enhanced fan-out) instead of polled.
    #[serde(default)]
    pub fan_out: FanOutSetting,
    /// Interval between checks of the streams for new shards and re-creation, in seconds.
    #[serde(default = "KinesisConfig::watch_secs")]
    pub watch_secs: f64,
}

/// Whether to use enhanced fan-out. It costs extra, and has its own limits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "fan_out is true, false or { consumer = \"NAME\" }")]
pub enum FanOutSetting {
    /// `true`: with the consumer `pinflow-‹pipeline›`. `false`: not at all.
    Switch(bool),
    /// With this consumer.
    To(FanOutConsumer),
}

/// An enhanced fan-out consumer. It is registered with each stream unless it exists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOutConsumer {
    /// The name of the consumer.
    pub consumer: String,
}

impl Default for FanOutSetting {
    fn default() -> FanOutSetting {
        FanOutSetting::Switch(false)
    }
}

/// Where a stream starts for which the tables have no position. Shards that result from a later split or merge start at
/// their oldest record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum KinesisStart {
    /// At the oldest available record.
    #[default]
    TrimHorizon,
    /// At the time of the first start, by the service's clock.
    Latest,
    /// At the first record that arrived at this time or later.
    At(Timestamp),
}

impl TryFrom<String> for KinesisStart {
    type Error = String;
    fn try_from(text: String) -> Result<KinesisStart, String> {
        let moment = text.strip_prefix("at_timestamp:").unwrap_or(&text);
        match text.as_str() {
            "trim_horizon" => Ok(KinesisStart::TrimHorizon),
            "latest" => Ok(KinesisStart::Latest),
            _ => moment.parse().map(KinesisStart::At).map_err(|_| {
                format!(
                    "{text:?} is not a start; write \"trim_horizon\", \"latest\" or a time such as \"2026-01-01T00:00:00Z\""
                )
            }),
        }
    }
}

impl KinesisConfig {
    fn poll_ms() -> u64 {
        1_000
    }
    fn calls_per_sec_max() -> u64 {
        5
    }
    fn watch_secs() -> f64 {
        10.0
    }

    /// The connection part of the configuration.
    #[must_use]
    pub fn connection(&self) -> KinesisConnection {
        KinesisConnection {
            region: self.region.clone(),
            profile: self.profile.clone(),
            endpoint: self.endpoint.clone(),
        }
    }

    /// The name of the enhanced fan-out consumer; `None` if shards are polled.
    #[must_use]
    pub fn consumer_name(&self, pipeline: &str) -> Option<String> {
        match &self.fan_out {
            FanOutSetting::Switch(false) => None,
            FanOutSetting::Switch(true) => Some(format!("pinflow-{pipeline}")),
            FanOutSetting::To(FanOutConsumer { consumer }) => Some(consumer.clone()),
        }
    }

    /// Returns every problem with a hint.
    pub(super) fn problems(&self) -> Vec<KeyProblem> {
        let mut problems = self.connection().validate();
        problems.extend(self.streams.validate(KIND).into_iter().map(|problem| problem.within("streams")));
        match (&self.streams.routed, &self.partition_keys) {
            (Some(_), Some(keys)) => {
                problems.extend(keys.validate().into_iter().map(|problem| problem.within("partition_keys")));
            }
            (Some(_), None) => problems.push(KeyProblem::new(
                "streams.routed",
                "a routed stream needs partition_keys; add partition_keys = { pin = \"…\", geo = \"…\", user = \"…\" }",
            )),
            (None, Some(_)) => problems.push(KeyProblem::new(
                "partition_keys",
                "no stream is routed by them; write streams = { routed = \"…\" }, or remove them",
            )),
            (None, None) => {}
        }
        if let FanOutSetting::To(FanOutConsumer { consumer }) = &self.fan_out {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&letter);
            if !(1..=128).contains(&consumer.len()) || !consumer.chars().all(plain) {
                let what =
                    format!("{consumer:?} is not a consumer name; use 1 to 128 letters, digits, `-`, `_` and `.`");
                problems.push(KeyProblem::new("fan_out.consumer", what));
            }
        }
        if !(200..=60_000).contains(&self.poll_ms) {
            problems.push(KeyProblem::range("poll_ms", "200 to 60000"));
        }
        if !(1..=5).contains(&self.calls_per_sec_max) {
            problems.push(KeyProblem::range("calls_per_sec_max", "1 to 5, the limit of Kinesis"));
        }
        if !(0.05..=600.0).contains(&self.watch_secs) {
            problems.push(KeyProblem::range("watch_secs", "0.05 to 600"));
        }
        problems
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<KinesisConfig, toml::de::Error> {
        toml::from_str(&format!("region = 'eu-west-1'\n{text}"))
    }

    #[test]
    fn start_is_parsed_from_word_or_time() {
        let start = |text: &str| config(&format!("streams = {{ auto = 'posts' }}\nstart = '{text}'")).map(|r| r.start);
        assert_eq!(start("trim_horizon").unwrap(), KinesisStart::TrimHorizon);
        assert_eq!(start("latest").unwrap(), KinesisStart::Latest);
        let moment = KinesisStart::At("2026-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(start("2026-01-01T00:00:00Z").unwrap(), moment);
        assert_eq!(start("at_timestamp:2026-01-01T00:00:00Z").unwrap(), moment);
        assert!(start("yesterday").is_err());
        assert_eq!(config("streams = { auto = 'posts' }").unwrap().start, KinesisStart::TrimHorizon);
    }

    #[test]
    fn consumer_name_defaults_to_pipeline() {
        let consumer = |text: &str| {
            let config = config(&format!("streams = {{ auto = 'posts' }}\n{text}"));
            config.map(|config| config.consumer_name("mine"))
        };
        assert_eq!(consumer("").unwrap(), None);
        assert_eq!(consumer("fan_out = false").unwrap(), None);
        assert_eq!(consumer("fan_out = true").unwrap().as_deref(), Some("pinflow-mine"));
        assert_eq!(consumer("fan_out = { consumer = 'x' }").unwrap().as_deref(), Some("x"));
        for wrong in ["fan_out = 'x'", "fan_out = { name = 'x' }", "fan_out = { consumer = 'x', more = 1 }"] {
            assert!(consumer(wrong).unwrap_err().to_string().contains("{ consumer = \"NAME\" }"), "{wrong}");
        }
    }

    #[test]
    fn invalid_configuration_is_rejected() {
        assert!(config("").is_err());
        assert!(config("streams = { pins = 'a' }").is_err());
        assert!(config("streams = { pin = 'a' }\nregions = 'b'").is_err());
        let problems = |text: &str| config(text).unwrap().problems();
        assert_eq!(problems("streams = {}").len(), 1);
        assert_eq!(problems("streams = { pin = 'a', geo = 'a' }").len(), 1);
        assert_eq!(problems("streams = { pin = 'a b', geo = '' }\nwatch_secs = 0").len(), 3);
        assert_eq!(problems("streams = { pin = 'a' }\npoll_ms = 1\ncalls_per_sec_max = 6").len(), 2);
        assert_eq!(problems("streams = { pin = 'a' }\nfan_out = { consumer = 'a b' }").len(), 1);
        assert_eq!(problems("streams = { routed = 'a' }").len(), 1);
        assert_eq!(problems("streams = { auto = 'a' }\npartition_keys = { pin = 'p' }").len(), 1);
        assert_eq!(problems("streams = { routed = 'a' }\npartition_keys = { pin = 'p', geo = 'p' }").len(), 1);
        assert!(problems("streams = { routed = 'a' }\npartition_keys = { pin = 'p', geo = 'g' }").is_empty());
        assert!(problems("streams = { pin = 'x-pin', geo = 'x-geo', user = 'x-user' }").is_empty());
    }
}
