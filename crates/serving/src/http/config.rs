//! `[serve]`: the configuration of the HTTP server.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

use pinflow_core::key_problem::KeyProblem;
use pinflow_core::secret::SecretFrom;
use pinflow_http::{ListenSettings, ServerTls, deserialize_listen_address};

/// `[serve]`: answers over HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port. `127.0.0.1:7461`, `localhost:7461`, `:7461` and `7461` all listen on this machine only. Port 0
    /// takes a free port and logs it.
    #[serde(deserialize_with = "deserialize_listen_address")]
    pub listen: SocketAddr,
    /// Bearer tokens. Without any, every client that reaches the port has full access.
    #[serde(default)]
    pub tokens: ServeTokens,
    /// Certificate for TLS.
    #[serde(default)]
    pub tls: Option<ServerTls>,
    /// Accepted host names besides `localhost` and IP addresses. Other names are rejected, so that a foreign page whose
    /// name resolves to this server cannot read the answers (DNS rebinding).
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Most connections at the same time. Further ones get 503.
    #[serde(default = "HttpConfig::connections_max")]
    pub connections_max: usize,
    /// Most connections at the same time from one address. Loopback is exempt.
    #[serde(default = "HttpConfig::connections_per_address_max")]
    pub connections_per_address_max: usize,
    /// Most requests with an unknown token from one address (IPv6: /64 network) in a minute. Further requests get 429
    /// until the minute is over, whatever their token. 0 means no limit.
    #[serde(default = "HttpConfig::failed_tokens_per_min_max")]
    pub failed_tokens_per_min_max: u32,
    /// Most bytes of replies in memory that clients have not read yet. Further requests get 503.
    #[serde(default = "HttpConfig::reply_bytes_max")]
    pub reply_bytes_max: usize,
    /// Whether questions can be added, replaced and dropped over HTTP, with the admin token.
    #[serde(default)]
    pub questions: bool,
    /// Accept an address beyond this machine without tokens and TLS.
    #[serde(default)]
    pub danger_listen_in_the_open: bool,
}

/// Bearer tokens by what they permit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeTokens {
    /// Answers, changes, status and graph.
    pub read: Option<SecretFrom>,
    /// Metrics only.
    pub metrics: Option<SecretFrom>,
    /// Everything, including rejected records with their payload, and changes of questions and results of verifications.
    pub admin: Option<SecretFrom>,
}

impl HttpConfig {
    /// Default settings with this address.
    #[must_use]
    pub fn listening_on(listen: SocketAddr) -> HttpConfig {
        HttpConfig {
            listen,
            tokens: ServeTokens::default(),
            tls: None,
            hosts: Vec::new(),
            connections_max: Self::connections_max(),
            connections_per_address_max: Self::connections_per_address_max(),
            failed_tokens_per_min_max: Self::failed_tokens_per_min_max(),
            reply_bytes_max: Self::reply_bytes_max(),
            questions: false,
            danger_listen_in_the_open: false,
        }
    }

    fn failed_tokens_per_min_max() -> u32 {
        30
    }

    fn reply_bytes_max() -> usize {
        128 << 20
    }

    fn connections_max() -> usize {
        1_024
    }

    fn connections_per_address_max() -> usize {
        64
    }

    /// Whether changes need the admin token. Without any token, only clients on this machine can change anything.
    pub(super) fn changes_are_guarded(&self) -> bool {
        self.tokens.admin.is_some() || (!self.tokens.is_any_set() && self.listen.ip().is_loopback())
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
        if self.tokens.is_any_set() && self.tokens.read.is_none() && self.tokens.admin.is_none() {
            problems.push(KeyProblem::new("tokens", "no token allows reading the answers; add read or admin"));
        }
        if self.questions && !self.changes_are_guarded() {
            let what =
                "questions can be changed with the admin token only; add tokens = { admin = \"env:PINFLOW_ADMIN\" }";
            problems.push(KeyProblem::new("questions", what));
        }
        if self.reply_bytes_max < 1 << 20 {
            problems.push(KeyProblem::range("reply_bytes_max", "at least 1048576"));
        }
        problems
    }
}

impl ServeTokens {
    /// Whether at least one token is configured.
    #[must_use]
    pub fn is_any_set(&self) -> bool {
        self.read.is_some() || self.metrics.is_some() || self.admin.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        KeyProblem::texts(&toml::from_str::<HttpConfig>(text).unwrap().validate(Path::new("/nowhere")))
    }

    #[test]
    fn address_beyond_this_machine_needs_tokens_and_tls_or_the_danger_flag() {
        assert!(problems("listen = '127.0.0.1:0'").is_empty());
        assert!(problems("listen = '[::1]:7461'").is_empty());
        assert_eq!(problems("listen = '0.0.0.0:7461'").len(), 1);
        assert_eq!(problems("listen = '0.0.0.0:7461'\ntokens = { read = 'env:T' }").len(), 1);
        assert!(problems("listen = '0.0.0.0:7461'\ndanger_listen_in_the_open = true").is_empty());
        // Certificate and key do not exist.
        let text = "listen = '0.0.0.0:7461'\ntokens = { read = 'env:T' }\ntls = { certificate = 'c', key = 'k' }";
        assert_eq!(problems(text).len(), 2);
        assert_eq!(problems("listen = '127.0.0.1:0'\ntokens = { metrics = 'env:T' }\nconnections_max = 0").len(), 2);
        assert!(problems("listen = '127.0.0.1:0'\nquestions = true").is_empty());
        assert!(problems("listen = '127.0.0.1:0'\nquestions = true\ntokens = { admin = 'env:T' }").is_empty());
        assert_eq!(problems("listen = '127.0.0.1:0'\nquestions = true\ntokens = { read = 'env:T' }").len(), 1);
        assert_eq!(problems("listen = '0.0.0.0:1'\nquestions = true\ndanger_listen_in_the_open = true").len(), 1);
        assert!(toml::from_str::<HttpConfig>("listen = '127.0.0.1:0'\ntokens = { read = 'secret' }").is_err());
        assert!(toml::from_str::<HttpConfig>("listen = 'localhost'").is_err());
    }
}
