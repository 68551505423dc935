//! What can be said about a gateway: `[gateway]`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::http::{ListenSettings, ServerTls, deserialize_listen_address};
use crate::kafka;
use crate::key_problem::KeyProblem;
use crate::kinesis;
use crate::secret::SecretFrom;
use crate::storage::LocationSpec;

/// `[gateway]`: a front door over HTTP.
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
    /// Address and port: `127.0.0.1:7461`, `localhost:7461`, `:7461` or `7461`, which all mean this machine only. Port 0
    /// takes a free one, and logs which.
    #[serde(deserialize_with = "deserialize_listen_address")]
    pub listen: SocketAddr,
    /// Topics under `/topics` are those of this cluster.
    #[serde(default)]
    pub kafka: Option<kafka::KafkaConnection>,
    /// Streams under `/streams` are those of this region.
    #[serde(default)]
    pub kinesis: Option<kinesis::KinesisConnection>,
    /// Records go into files of this folder, for whatever is neither Kafka's nor Kinesis': it can be read as a recording.
    #[serde(default)]
    pub recording: Option<PathBuf>,
    /// Topics and streams that may be named; without it all that are there.
    #[serde(default)]
    pub allow: Option<Vec<String>>,
    /// Whether streams may be made and deleted.
    #[serde(default)]
    pub manage_streams: bool,
    /// Who may send; without tokens everybody who reaches the port.
    #[serde(default)]
    pub tokens: GatewayTokens,
    /// Encrypts, with this certificate.
    #[serde(default)]
    pub tls: Option<ServerTls>,
    /// Names under which it is asked, beside `localhost` and addresses.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The largest body of a request, bytes.
    #[serde(default = "GatewayConfig::body_bytes_max")]
    pub body_bytes_max: usize,
    /// Records of one request to a topic. (A request to a stream has 500 at the most, as Kinesis has it.)
    #[serde(default = "GatewayConfig::records_max")]
    pub records_max: usize,
    /// Bytes that requests and their replies may hold at the same time; further requests get 503.
    #[serde(default = "GatewayConfig::bytes_under_way_max")]
    pub bytes_under_way_max: usize,
    /// Requests a second from one client (a token, or else an address), twice as many at once; no limit without it.
    #[serde(default)]
    pub requests_per_sec_max: Option<u32>,
    /// Requests with an unknown token from one address (of IPv6, a /64 network) in a minute; then 429 until it is over,
    /// without a look at the token. 0: no limit.
    #[serde(default = "GatewayConfig::failed_tokens_per_min_max")]
    pub failed_tokens_per_min_max: u32,
    /// How long a record may take until it is acknowledged before its sender is told that it is not, seconds.
    #[serde(default = "GatewayConfig::answer_secs_max")]
    pub answer_secs_max: u64,
    /// Connections at the same time; further ones are turned away with 503.
    #[serde(default = "GatewayConfig::connections_max")]
    pub connections_max: usize,
    /// Connections from one address that is not this machine's.
    #[serde(default = "GatewayConfig::connections_per_address_max")]
    pub connections_per_address_max: usize,
    /// Listen beyond this machine without tokens and encryption.
    #[serde(default)]
    pub danger_listen_in_the_open: bool,
}

/// Bearer tokens, by what they allow. A client may send its token as `x-api-key`, too, as it would to Amazon's gateway.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayTokens {
    /// Sending records, listing and describing.
    pub write: Option<SecretFrom>,
    /// Metrics only.
    pub metrics: Option<SecretFrom>,
    /// Everything, making and deleting streams too.
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

    /// The folder that records go to, if there is one. `base` is what a relative path is relative to.
    ///
    /// # Errors
    /// If it is no folder of this machine, with the form that works.
    pub(super) fn recording_folder(&self, base: &Path) -> Result<Option<PathBuf>, String> {
        let Some(path) = &self.recording else { return Ok(None) };
        let Some(text) = path.to_str() else { return Ok(Some(base.join(path))) };
        LocationSpec::parse_folder(text, base, "[gateway] recording").map(Some)
    }

    /// What is wrong though every key can be read. `base` is what relative paths are relative to.
    #[must_use]
    pub fn faults(&self, base: &Path) -> Vec<KeyProblem> {
        let listening = ListenSettings {
            listen: self.listen,
            tls: self.tls.as_ref(),
            tokens: self.tokens.is_any_set(),
            danger_listen_in_the_open: self.danger_listen_in_the_open,
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
        };
        let mut faults = listening.faults(base);
        match (&self.kafka, &self.kinesis, &self.recording) {
            (None, None, None) => faults.push(KeyProblem::table(
                "has nowhere to put records: add kafka = { brokers = \"…\" }, kinesis = { … } or recording = \"FOLDER\"",
            )),
            (Some(_), Some(_), Some(_)) => faults.push(KeyProblem::new(
                "recording",
                "would get nothing: topics go to kafka and streams to kinesis; remove one of the three",
            )),
            _ => {}
        }
        if let Err(what) = self.recording_folder(base) {
            faults.push(KeyProblem::new("recording", what));
        }
        if self.tokens.is_any_set() && self.tokens.write.is_none() && self.tokens.admin.is_none() {
            faults.push(KeyProblem::new("tokens", "no token allows sending records; add write or admin"));
        }
        let mut within = |name: &str, value: u64, from: u64, to: u64| {
            if !(from..=to).contains(&value) {
                faults.push(KeyProblem::range(name, format!("{from} to {to}")));
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
        faults.extend(kafka.map(|problem| problem.within("kafka")));
        let kinesis = self.kinesis.iter().flat_map(kinesis::KinesisConnection::validate);
        faults.extend(kinesis.map(|problem| problem.within("kinesis")));
        faults
    }

    /// Whether a topic or a stream may be named.
    pub(crate) fn allows_name(&self, name: &str) -> bool {
        self.allow.as_ref().is_none_or(|names| names.iter().any(|one| one == name))
    }
}

impl GatewayTokens {
    /// Whether one is asked for.
    #[must_use]
    pub fn is_any_set(&self) -> bool {
        self.write.is_some() || self.metrics.is_some() || self.admin.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        KeyProblem::texts(&toml::from_str::<GatewayConfig>(text).unwrap().faults(Path::new("/nowhere")))
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        assert!(faults("listen = '127.0.0.1:0'\nrecording = 'posts'").is_empty());
        assert!(faults("listen = '127.0.0.1:0'")[0].contains("nowhere to put records"));
        let all =
            "listen = '127.0.0.1:0'\nrecording = 'r'\nkinesis = { region = 'eu-west-1' }\nkafka = { brokers = 'a:1' }";
        assert!(faults(all)[0].contains("would get nothing"));
        let open = "listen = '0.0.0.0:8082'\nrecording = 'r'";
        assert!(faults(open)[0].contains("can be reached from other machines"));
        assert!(faults(&format!("{open}\ndanger_listen_in_the_open = true")).is_empty());
        let limits = "listen = '127.0.0.1:0'\nrecording = 'r'\nbody_bytes_max = 1\nanswer_secs_max = 0\nrequests_per_sec_max = 0";
        assert_eq!(faults(limits).len(), 3);
        assert_eq!(faults("listen = '127.0.0.1:0'\nkafka = { brokers = ':' }").len(), 1);
        assert_eq!(faults("listen = '127.0.0.1:0'\nrecording = 'r'\ntokens = { metrics = 'env:T' }").len(), 1);
        assert!(toml::from_str::<GatewayConfig>("listen = '127.0.0.1:0'\nrecording = 'r'\nallows = []").is_err());
    }
}
