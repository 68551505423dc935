//! The configuration of a Kinesis connection: credentials profile, region, endpoint.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::retry::RetryConfig;
use serde::Deserialize;

use pinflow_aws as aws;
use pinflow_core::key_problem::KeyProblem;
use pinflow_core::user_error::{ExitStatus, UserError};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer, 10 MiB of it over a slow line included.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// How Kinesis is reached.
///
/// Credentials are those of the AWS SDK's default chain: environment, profile, SSO, process, web identity, container,
/// instance. They never stand in a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KinesisConnection {
    /// Where the streams are; by default as `AWS_REGION` or the profile says.
    pub region: Option<String>,
    /// A profile of the AWS configuration files; by default the one that `AWS_PROFILE` names.
    pub profile: Option<String>,
    /// Another address than Amazon's own, as a URL: an interface endpoint, or a server for tests.
    pub endpoint: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum KinesisConnectionError {
    /// What is configured cannot be meant; each fault with its mend.
    #[error("{}", .0.join("\n"))]
    Faulty(Vec<String>),
    /// Nobody says where the streams are.
    #[error(
        "no AWS region is configured; set AWS_REGION, or write region = \"eu-west-1\" in the configuration or the profile"
    )]
    NoRegion,
}

impl UserError for KinesisConnectionError {
    fn exit_code(&self) -> ExitStatus {
        ExitStatus::BadUsage
    }
}

impl KinesisConnection {
    /// What is wrong, each with its mend.
    #[must_use]
    pub fn validate(&self) -> Vec<KeyProblem> {
        aws::validate_settings(self.region.as_deref(), self.endpoint.as_deref())
    }

    /// What works and is risky.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let url = self.endpoint.as_deref().and_then(|endpoint| aws::parse_endpoint(endpoint).ok());
        let exposed = url
            .filter(aws::is_exposed)
            .map(|url| format!("the connection to {url} is not encrypted: others can read the records; use https"));
        exposed.into_iter().collect()
    }

    /// Loads what the SDK needs. Credentials are looked for at the first call.
    ///
    /// # Errors
    /// [`KinesisConnectionError`], with every fault, or if no region is known.
    pub async fn load_sdk_config(&self) -> Result<SdkConfig, KinesisConnectionError> {
        let faults = self.validate();
        if !faults.is_empty() {
            return Err(KinesisConnectionError::Faulty(KeyProblem::texts(&faults)));
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(RESPONSE_TIMEOUT)
            .build();
        let mut loader = aws::config_loader(self.region.as_deref(), self.profile.as_deref())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        if config.region().is_none() { Err(KinesisConnectionError::NoRegion) } else { Ok(config) }
    }

    /// Where it leads, for people.
    #[must_use]
    pub fn display_name(&self) -> String {
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

    fn with_endpoint(endpoint: &str) -> KinesisConnection {
        KinesisConnection { endpoint: Some(endpoint.to_owned()), ..KinesisConnection::default() }
    }

    #[test]
    fn an_open_connection_to_another_machine_warns() {
        for (endpoint, warns) in
            [("http://127.0.0.1:1", false), ("http://localhost:1", false), ("https://x", false), ("http://x", true)]
        {
            assert_eq!(!with_endpoint(endpoint).warnings().is_empty(), warns, "{endpoint}");
        }
    }
}
