//! What can be said about serving over HTTP.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

use crate::http::{ListenSettings, ServerTls, deserialize_listen_address};
use crate::key_problem::KeyProblem;
use crate::secret::SecretFrom;

/// `[serve]`: answers over HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port: `127.0.0.1:7461`, `localhost:7461`, `:7461` or `7461`, which all mean this machine only. Port 0
    /// takes a free one, and logs which.
    #[serde(deserialize_with = "deserialize_listen_address")]
    pub listen: SocketAddr,
    /// Who may ask; without tokens everybody who reaches the port.
    #[serde(default)]
    pub tokens: ServeTokens,
    /// Encrypts, with this certificate.
    #[serde(default)]
    pub tls: Option<ServerTls>,
    /// Names under which it is asked, beside `localhost` and addresses. A request under another name is refused: a page
    /// of somebody else's, whose name points here, must not read the answers (DNS rebinding).
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Connections at the same time; further ones are turned away with 503.
    #[serde(default = "HttpConfig::connections_max")]
    pub connections_max: usize,
    /// Connections from one address that is not this machine's.
    #[serde(default = "HttpConfig::connections_per_address_max")]
    pub connections_per_address_max: usize,
    /// Requests with an unknown token from one address (of IPv6, a /64 network) in a minute; then 429 until it is over,
    /// without a look at the token. 0: no limit.
    #[serde(default = "HttpConfig::failed_tokens_per_min_max")]
    pub failed_tokens_per_min_max: u32,
    /// Bytes of replies that may be held for readers that have not taken them yet; then 503.
    #[serde(default = "HttpConfig::reply_bytes_max")]
    pub reply_bytes_max: usize,
    /// Listen beyond this machine without tokens and encryption.
    #[serde(default)]
    pub danger_listen_in_the_open: bool,
}

/// Bearer tokens, by what they allow.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeTokens {
    /// Answers, changes, status.
    pub read: Option<SecretFrom>,
    /// Metrics only.
    pub metrics: Option<SecretFrom>,
    /// Everything, recent rejections with their payloads too.
    pub admin: Option<SecretFrom>,
}

impl HttpConfig {
    /// Serving at an address, all else by default.
    #[must_use]
    pub fn at(listen: SocketAddr) -> HttpConfig {
        HttpConfig {
            listen,
            tokens: ServeTokens::default(),
            tls: None,
            hosts: Vec::new(),
            connections_max: Self::connections_max(),
            connections_per_address_max: Self::connections_per_address_max(),
            failed_tokens_per_min_max: Self::failed_tokens_per_min_max(),
            reply_bytes_max: Self::reply_bytes_max(),
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

    /// What is wrong, each with its mend. `base` is what relative paths are relative to.
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
        if self.tokens.is_any_set() && self.tokens.read.is_none() && self.tokens.admin.is_none() {
            faults.push(KeyProblem::new("tokens", "no token allows reading the answers; add read or admin"));
        }
        if self.reply_bytes_max < 1 << 20 {
            faults.push(KeyProblem::range("reply_bytes_max", "at least 1048576"));
        }
        faults
    }
}

impl ServeTokens {
    /// Whether one is asked for.
    #[must_use]
    pub fn is_any_set(&self) -> bool {
        self.read.is_some() || self.metrics.is_some() || self.admin.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        KeyProblem::texts(&toml::from_str::<HttpConfig>(text).unwrap().faults(Path::new("/nowhere")))
    }

    #[test]
    fn what_others_can_reach_is_guarded_or_said_to_be_dangerous() {
        assert!(faults("listen = '127.0.0.1:0'").is_empty());
        assert!(faults("listen = '[::1]:7461'").is_empty());
        assert_eq!(faults("listen = '0.0.0.0:7461'").len(), 1);
        assert_eq!(faults("listen = '0.0.0.0:7461'\ntokens = { read = 'env:T' }").len(), 1);
        assert!(faults("listen = '0.0.0.0:7461'\ndanger_listen_in_the_open = true").is_empty());
        // Certificate and key are not there.
        let text = "listen = '0.0.0.0:7461'\ntokens = { read = 'env:T' }\ntls = { certificate = 'c', key = 'k' }";
        assert_eq!(faults(text).len(), 2);
        assert_eq!(faults("listen = '127.0.0.1:0'\ntokens = { metrics = 'env:T' }\nconnections_max = 0").len(), 2);
        assert!(toml::from_str::<HttpConfig>("listen = '127.0.0.1:0'\ntokens = { read = 'secret' }").is_err());
        assert!(toml::from_str::<HttpConfig>("listen = 'localhost'").is_err());
    }
}
