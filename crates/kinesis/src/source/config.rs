//! Configuration of a Kinesis source, and its validation.

use jiff::Timestamp;
use serde::Deserialize;

use super::partition_key_routing::PartitionKeys;
use crate::KinesisConnection;
use pinflow_connect::source::topic_map::{NameKind, TopicMap};
use pinflow_core::key_problem::KeyProblem;

/// Names of streams.
pub(super) const KIND: NameKind = NameKind { word: "stream", name_bytes_max: 128, allows_routed: true };

/// Streams of one region: how they are reached, and what is read there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KinesisConfig {
    /// As in [`KinesisConnection`]; its keys stand beside ours.
    #[serde(default)]
    pub region: Option<String>,
    /// As in [`KinesisConnection`].
    #[serde(default)]
    pub profile: Option<String>,
    /// As in [`KinesisConnection`].
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Which streams, and what each holds.
    pub streams: TopicMap,
    /// The partition keys of the `routed` stream.
    #[serde(default)]
    pub partition_keys: Option<PartitionKeys>,
    /// Where a stream begins that the tables know nothing of.
    #[serde(default)]
    pub start: KinesisStart,
    /// Time between two calls for the records of a shard that has no more, milliseconds. While a shard is behind it is
    /// called more often, up to `calls_per_sec_max`.
    #[serde(default = "KinesisConfig::poll_ms")]
    pub poll_ms: u64,
    /// The most calls for the records of a shard in a second. Kinesis allows five, for all readers of a shard together.
    #[serde(default = "KinesisConfig::calls_per_sec_max")]
    pub calls_per_sec_max: u64,
    /// Whether records are pushed to a consumer (enhanced fan-out) instead of polled.
    #[serde(default)]
    pub fan_out: FanOutSetting,
    /// Time between two looks at the streams: new shards, streams that were created anew. Seconds.
    #[serde(default = "KinesisConfig::watch_secs")]
    pub watch_secs: f64,
}

/// Whether records are pushed. It costs extra, and shares nobody's limits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "fan_out is true, false or { consumer = \"NAME\" }")]
pub enum FanOutSetting {
    /// To the consumer `pinflow-‹pipeline›`, or not at all.
    Switch(bool),
    /// To this one.
    To(FanOutConsumer),
}

/// A consumer of streams: registered with each, or used if it is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOutConsumer {
    /// Its name.
    pub consumer: String,
}

impl Default for FanOutSetting {
    fn default() -> FanOutSetting {
        FanOutSetting::Switch(false)
    }
}

/// Where a stream begins that the tables know nothing of. What begins later (the shards that take the place of others)
/// begins at its oldest record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum KinesisStart {
    /// At the oldest records that it holds.
    #[default]
    TrimHorizon,
    /// With what is put from the first start on, by the service's clock.
    Latest,
    /// At the first records that arrived at this moment or later.
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

    /// How the streams are reached.
    #[must_use]
    pub fn connection(&self) -> KinesisConnection {
        KinesisConnection {
            region: self.region.clone(),
            profile: self.profile.clone(),
            endpoint: self.endpoint.clone(),
        }
    }

    /// The name of the consumer to which records are pushed; `None` if they are polled.
    #[must_use]
    pub fn consumer_name(&self, pipeline: &str) -> Option<String> {
        match &self.fan_out {
            FanOutSetting::Switch(false) => None,
            FanOutSetting::Switch(true) => Some(format!("pinflow-{pipeline}")),
            FanOutSetting::To(FanOutConsumer { consumer }) => Some(consumer.clone()),
        }
    }

    /// What is wrong, each with its mend.
    pub(super) fn problems(&self) -> Vec<KeyProblem> {
        let mut faults = self.connection().validate();
        faults.extend(self.streams.validate(KIND).into_iter().map(|problem| problem.within("streams")));
        match (&self.streams.routed, &self.partition_keys) {
            (Some(_), Some(keys)) => {
                faults.extend(keys.validate().into_iter().map(|problem| problem.within("partition_keys")));
            }
            (Some(_), None) => faults.push(KeyProblem::new(
                "streams.routed",
                "a routed stream needs partition_keys; add partition_keys = { pin = \"…\", geo = \"…\", user = \"…\" }",
            )),
            (None, Some(_)) => faults.push(KeyProblem::new(
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
                faults.push(KeyProblem::new("fan_out.consumer", what));
            }
        }
        if !(200..=60_000).contains(&self.poll_ms) {
            faults.push(KeyProblem::range("poll_ms", "200 to 60000"));
        }
        if !(1..=5).contains(&self.calls_per_sec_max) {
            faults.push(KeyProblem::range("calls_per_sec_max", "1 to 5, the limit of Kinesis"));
        }
        if !(0.05..=600.0).contains(&self.watch_secs) {
            faults.push(KeyProblem::range("watch_secs", "0.05 to 600"));
        }
        faults
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
    fn a_start_is_a_word_or_a_moment() {
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
    fn a_consumer_has_the_pipelines_name_or_its_own() {
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
    fn what_cannot_be_meant_is_named() {
        assert!(config("").is_err());
        assert!(config("streams = { pins = 'a' }").is_err());
        assert!(config("streams = { pin = 'a' }\nregions = 'b'").is_err());
        let faults = |text: &str| config(text).unwrap().problems();
        assert_eq!(faults("streams = {}").len(), 1);
        assert_eq!(faults("streams = { pin = 'a', geo = 'a' }").len(), 1);
        assert_eq!(faults("streams = { pin = 'a b', geo = '' }\nwatch_secs = 0").len(), 3);
        assert_eq!(faults("streams = { pin = 'a' }\npoll_ms = 1\ncalls_per_sec_max = 6").len(), 2);
        assert_eq!(faults("streams = { pin = 'a' }\nfan_out = { consumer = 'a b' }").len(), 1);
        assert_eq!(faults("streams = { routed = 'a' }").len(), 1);
        assert_eq!(faults("streams = { auto = 'a' }\npartition_keys = { pin = 'p' }").len(), 1);
        assert_eq!(faults("streams = { routed = 'a' }\npartition_keys = { pin = 'p', geo = 'p' }").len(), 1);
        assert!(faults("streams = { routed = 'a' }\npartition_keys = { pin = 'p', geo = 'g' }").is_empty());
        assert!(faults("streams = { pin = 'x-pin', geo = 'x-geo', user = 'x-user' }").is_empty());
    }
}
