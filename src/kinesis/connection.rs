//! How to connect: whose credentials, which region, perhaps another endpoint.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::retry::RetryConfig;
use serde::Deserialize;
use url::{Host, Url};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for an answer, 10 MiB of it over a slow line included.
const ANSWER: Duration = Duration::from_secs(60);

/// How Kinesis is reached.
///
/// Credentials are those of the AWS SDK's default chain: environment, profile, SSO, process, web identity, container,
/// instance. They never stand in a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connection {
    /// Where the streams are; by default as `AWS_REGION` or the profile says.
    pub region: Option<String>,
    /// A profile of the AWS configuration files; by default the one that `AWS_PROFILE` names.
    pub profile: Option<String>,
    /// Another address than Amazon's own, as a URL: an interface endpoint, or a server for tests.
    pub endpoint: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// What is configured cannot be meant; each fault with its mend.
    #[error("{}", .0.join("\n"))]
    Faulty(Vec<String>),
    /// Nobody says where the streams are.
    #[error("no AWS region: write region = \"…\", or set AWS_REGION, or one in the profile")]
    NoRegion,
}

impl Connection {
    /// What is wrong, each with its mend.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(region) = self.region.as_ref().filter(|region| region.is_empty() || !region.chars().all(plain)) {
            faults.push(format!("region {region:?} is none; a region is written like eu-west-1"));
        }
        if let Some(endpoint) = &self.endpoint {
            match Url::parse(endpoint) {
                Ok(url) if !["http", "https"].contains(&url.scheme()) || !url.has_host() => {
                    faults.push(format!("endpoint {endpoint:?} is no address; write https://HOST or http://HOST:PORT"));
                }
                Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                    // The text may hold a secret, so it is not repeated.
                    faults.push("endpoint holds credentials; they come from the AWS credential chain".to_owned());
                }
                Ok(_) => {}
                Err(error) => faults.push(format!("endpoint {endpoint:?} is no address: {error}")),
            }
        }
        faults
    }

    /// What works and is risky.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Some(url) = self.endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok()) else {
            return Vec::new();
        };
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let exposed = url.scheme() == "http" && !is_here;
        let what = || format!("the connection to {url} is not encrypted: others can read the records; use https");
        if exposed { vec![what()] } else { Vec::new() }
    }

    /// Loads what the SDK needs. Credentials are looked for at the first call.
    ///
    /// # Errors
    /// [`ConnectionError`], with every fault, or if no region is known.
    pub async fn load(&self) -> Result<SdkConfig, ConnectionError> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(ConnectionError::Faulty(faults));
        }
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        if config.region().is_none() { Err(ConnectionError::NoRegion) } else { Ok(config) }
    }

    /// Where it leads, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        match (&self.endpoint, &self.region) {
            (Some(endpoint), _) => format!("kinesis at {endpoint}"),
            (None, Some(region)) => format!("kinesis in {region}"),
            (None, None) => "kinesis".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(endpoint: &str) -> Connection {
        Connection { endpoint: Some(endpoint.to_owned()), ..Connection::default() }
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        assert!(Connection::default().faults().is_empty());
        for endpoint in ["https://kinesis.eu-west-1.amazonaws.com", "http://localhost:4568", "http://[::1]:1/"] {
            assert!(at(endpoint).faults().is_empty(), "{endpoint}");
        }
        for endpoint in ["localhost:4568", "ftp://x", "kinesis", ""] {
            assert_eq!(at(endpoint).faults().len(), 1, "{endpoint}");
        }
        let region = Connection { region: Some("Ireland!".to_owned()), ..Connection::default() };
        assert_eq!(region.faults().len(), 1);
    }

    #[test]
    fn a_secret_in_an_address_is_refused_and_not_repeated() {
        let faults = at("https://me:canary@example.com").faults();
        assert!(faults.len() == 1 && !faults[0].contains("canary"), "{faults:?}");
    }

    #[test]
    fn an_open_connection_to_another_machine_warns() {
        for (endpoint, warns) in
            [("http://127.0.0.1:1", false), ("http://localhost:1", false), ("https://x", false), ("http://x", true)]
        {
            assert_eq!(!at(endpoint).warnings().is_empty(), warns, "{endpoint}");
        }
    }
}
