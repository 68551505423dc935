//! `[gateway]`: the configuration of the gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use pinflow_core::key_problem::KeyProblem;
use pinflow_core::secret::SecretFrom;
use pinflow_http::{ListenSettings, ServerTls, deserialize_listen_address};
use pinflow_kafka as kafka;
use pinflow_kinesis as kinesis;
use pinflow_storage::LocationSpec;

/// `[gateway]`: accepts records over HTTP.
///
/// ```toml
/// [gateway]
/// listen = "127.0.0.1:8082"
/// kafka = { brokers = "localhost:9092" }
/// kinesis = { region = "eu-west-1" }
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Address and port. `127.0.0.1:7461`, `localhost:7461`, `:7461` and `7461` all listen on this machine only. Port 0
    /// takes a free port and logs it.
    #[serde(deserialize_with = "deserialize_listen_address")]
    pub listen: SocketAddr,
    /// The Kafka cluster behind `/topics`.
    #[serde(default)]
    pub kafka: Option<kafka::KafkaConnection>,
    /// The Kinesis region behind `/streams`.
    #[serde(default)]
    pub kinesis: Option<kinesis::KinesisConnection>,
    /// Folder to append records to, for the routes that have no Kafka or Kinesis. It can be read as a recording.
    #[serde(default)]
    pub recording: Option<PathBuf>,
    /// Topics and streams that clients may use. Without it, all.
    #[serde(default)]
    pub allow: Option<Vec<String>>,
    /// Whether clients may create and delete streams.
    #[serde(default)]
    pub manage_streams: bool,
    /// Bearer tokens. Without any, every client that reaches the port has full access.
    #[serde(default)]
    pub tokens: GatewayTokens,
    /// Certificate for TLS.
    #[serde(default)]
    pub tls: Option<ServerTls>,
    /// Accepted host names besides `localhost` and IP addresses.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Largest request body, bytes.
    #[serde(default = "GatewayConfig::body_bytes_max")]
    pub body_bytes_max: usize,
    /// Most records of a request to a topic. (For streams it is 500, as for Kinesis.)
    #[serde(default = "GatewayConfig::records_max")]
    pub records_max: usize,
    /// Most bytes of requests and replies in memory. Further requests get 503.
    #[serde(default = "GatewayConfig::bytes_under_way_max")]
    pub bytes_under_way_max: usize,
    /// Most requests per second of one client (token or address), with bursts of twice as many. Without it, no limit.
    #[serde(default)]
    pub requests_per_sec_max: Option<u32>,
    /// Most requests with an unknown token from one address (IPv6: /64 network) in a minute. Further requests get 429
    /// until the minute is over, whatever their token. 0 means no limit.
    #[serde(default = "GatewayConfig::failed_tokens_per_min_max")]
    pub failed_tokens_per_min_max: u32,
    /// Longest wait for the acknowledgement of a record, seconds. Then the client gets an error and may retry.
    #[serde(default = "GatewayConfig::answer_secs_max")]
    pub answer_secs_max: u64,
    /// Most connections at the same time. Further ones get 503.
    #[serde(default = "GatewayConfig::connections_max")]
    pub connections_max: usize,
    /// Most connections at the same time from one address. Loopback is exempt.
    #[serde(default = "GatewayConfig::connections_per_address_max")]
    pub connections_per_address_max: usize,
    /// Accept an address beyond this machine without tokens and TLS.
    #[serde(default)]
    pub danger_listen_in_the_open: bool,
}

/// Bearer tokens by what they permit. Clients of Amazon API Gateway may send the token as `x-api-key`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayTokens {
    /// Send records, list and describe topics and streams.
    pub write: Option<SecretFrom>,
    /// Metrics only.
    pub metrics: Option<SecretFrom>,
    /// Everything, including creating and deleting streams.
    pub admin: Option<SecretFrom>,
}

impl GatewayConfig {
    fn body_bytes_max() -> usize {
        4 << 20
    }
    fn records_max() -> usize {
        2_000
    }
    fn failed_tokens_per_min_max() -> u32 {
        30
    }
    fn bytes_under_way_max() -> usize {
        64 << 20
    }
    fn answer_secs_max() -> u64 {
        30
    }
    fn connections_max() -> usize {
        1_024
    }
    fn connections_per_address_max() -> usize {
        256
    }

    /// The folder of `recording`. A relative path is resolved against `base`.
    ///
    /// # Errors
    /// If it is not a local folder, with the form to write.
    pub(super) fn recording_folder(&self, base: &Path) -> Result<Option<PathBuf>, String> {
        let Some(path) = &self.recording else { return Ok(None) };
        let Some(text) = path.to_str() else { return Ok(Some(base.join(path))) };
        LocationSpec::parse_folder(text, base, "[gateway] recording").map(Some)
    }

    /// The problems of this section, each with a hint. Relative paths are resolved against `base`.
    #[must_use]
    pub fn validate(&self, base: &Path) -> Vec<KeyProblem> {
        let listening = ListenSettings {
            listen: self.listen,
            tls: self.tls.as_ref(),
            tokens: self.tokens.is_any_set(),
            danger_listen_in_the_open: self.danger_listen_in_the_open,
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
        };
        let mut problems = listening.validate(base);
        match (&self.kafka, &self.kinesis, &self.recording) {
            (None, None, None) => problems.push(KeyProblem::table(
                "has nowhere to put records: add kafka = { brokers = \"…\" }, kinesis = { … } or recording = \"FOLDER\"",
            )),
            (Some(_), Some(_), Some(_)) => problems.push(KeyProblem::new(
                "recording",
                "would get nothing: topics go to kafka and streams to kinesis; remove one of the three",
            )),
            _ => {}
        }
        if let Err(what) = self.recording_folder(base) {
            problems.push(KeyProblem::new("recording", what));
        }
        if self.tokens.is_any_set() && self.tokens.write.is_none() && self.tokens.admin.is_none() {
            problems.push(KeyProblem::new("tokens", "no token allows sending records; add write or admin"));
        }
        let mut within = |name: &str, value: u64, from: u64, to: u64| {
            if !(from..=to).contains(&value) {
                problems.push(KeyProblem::range(name, format!("{from} to {to}")));
            }
        };
        within("body_bytes_max", self.body_bytes_max as u64, 1 << 10, 256 << 20);
        within("bytes_under_way_max", self.bytes_under_way_max as u64, self.body_bytes_max as u64, 4 << 30);
        within("records_max", self.records_max as u64, 1, 100_000);
        within("answer_secs_max", self.answer_secs_max, 1, 300);
        if let Some(requests) = self.requests_per_sec_max {
            within("requests_per_sec_max", requests.into(), 1, 1_000_000);
        }
        let kafka = self.kafka.iter().flat_map(|kafka| kafka.validate(base));
        problems.extend(kafka.map(|problem| problem.within("kafka")));
        let kinesis = self.kinesis.iter().flat_map(kinesis::KinesisConnection::validate);
        problems.extend(kinesis.map(|problem| problem.within("kinesis")));
        problems
    }

    /// Whether `allow` has this topic or stream.
    pub(crate) fn allows_name(&self, name: &str) -> bool {
        self.allow.as_ref().is_none_or(|names| names.iter().any(|one| one == name))
    }
}

impl GatewayTokens {
    /// Whether at least one token is configured.
    #[must_use]
    pub fn is_any_set(&self) -> bool {
        self.write.is_some() || self.metrics.is_some() || self.admin.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        KeyProblem::texts(&toml::from_str::<GatewayConfig>(text).unwrap().validate(Path::new("/nowhere")))
    }

    #[test]
    fn contradictory_or_unsafe_settings_are_reported() {
        assert!(problems("listen = '127.0.0.1:0'\nrecording = 'posts'").is_empty());
        assert!(problems("listen = '127.0.0.1:0'")[0].contains("nowhere to put records"));
        let all =
            "listen = '127.0.0.1:0'\nrecording = 'r'\nkinesis = { region = 'eu-west-1' }\nkafka = { brokers = 'a:1' }";
        assert!(problems(all)[0].contains("would get nothing"));
        let open = "listen = '0.0.0.0:8082'\nrecording = 'r'";
        assert!(problems(open)[0].contains("can be reached from other machines"));
        assert!(problems(&format!("{open}\ndanger_listen_in_the_open = true")).is_empty());
        let limits = "listen = '127.0.0.1:0'\nrecording = 'r'\nbody_bytes_max = 1\nanswer_secs_max = 0\nrequests_per_sec_max = 0";
        assert_eq!(problems(limits).len(), 3);
        assert_eq!(problems("listen = '127.0.0.1:0'\nkafka = { brokers = ':' }").len(), 1);
        assert_eq!(problems("listen = '127.0.0.1:0'\nrecording = 'r'\ntokens = { metrics = 'env:T' }").len(), 1);
        assert!(toml::from_str::<GatewayConfig>("listen = '127.0.0.1:0'\nrecording = 'r'\nallows = []").is_err());
    }
}
